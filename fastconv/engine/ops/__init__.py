"""What is compiled beside the convolutions.

pooling, halving   maxima and means of windows; halving: means of two by two
activations, losses, sums, optimizers, batches
"""
