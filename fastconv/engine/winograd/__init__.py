"""Winograd's algorithm: fewer products for kernels of 3 x 3, 5 x 5, and rows or columns.

forward      square tiles, or lines; forward and input gradient; weight: the weight gradient
tiles        the transforms (tiles_loops.h, form.h; points.h is the only home of the matrices)
rows         tiles that are parts of rows, samples in the lanes; rows_weight: the weight gradient
counts       how many tiles a map has

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", arXiv 1509.09308.
"""
