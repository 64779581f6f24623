"""What is compiled beside the convolutions.

pooling               maxima and means of windows, and their gradients (windows.py, windows.pxd)
activations, losses   element by element, and row by row (elementwise.h: one exponential)
sums                  of maps, and of rows: the gradients of a bias
optimizers            the steps of all parameters in one loop
batches               images, taken and normalised
"""
