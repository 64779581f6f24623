"""Large kernels by Fourier transforms: overlap-save blocks, a line in each lane of the vectors.

transforms.py  the algorithm of the table of variants, and what `fastconv.signal` calls
blocks.py      how the output is cut into blocks, and what they cost
tables.py      factors, twiddles, roots of unity; why a real block is half as many complex numbers
planes         transforms of one size: correlations, spectra
steps          the steps of blocks, and how threads share them
lines.h        transforms of lines, and products (lines_loops.h; the types are in line.h)

In a block, columns come first: a vector of them is read from neighbours in memory. Then LANES rows
are turned at once, transformed, multiplied by the kernel's spectrum, transformed back and turned
back, all in a near cache. A line is cut into rows, so it takes the same way. The spectra are never
put into order. Padding that is whole lines is not transformed.

What makes the bits: the lengths and the blocks, which follow the shapes alone, and the steps of a
line, which are the same in every lane.
"""
