"""What is compiled beside the convolutions.

pooling, pooling_gradient   maxima and means of windows; windows.py, windows.pxd: what both stand on
activations, losses         element by element, and row by row (elementwise.h: one exponential)
sums                        of maps, and of rows: the gradients of a bias
optimizers                  the steps of all parameters in one loop
batches                     images, taken and normalised
"""
