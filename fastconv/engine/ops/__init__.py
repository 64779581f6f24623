"""What is compiled beside the convolutions.

max_pooling, mean_pooling   maxima and means of windows (windows.pxd: what both stand on)
halving                     means of two by two
activations, losses, sums, optimizers, batches
"""
