"""What is compiled beside the convolutions.

pooling               maxima, means and norms of windows (windows.py, windows.pxd; window_loops)
pooling_gradients     the gradients of means and norms
places                what maxima leave: numbers to and from places in their plane
boundaries            maps with copies of their own cells around them
activations           element by element
softmax               along one axis, of any place
losses                of pairs of numbers (losses.h), and of scores of classes (class_losses.h)
exponential.h         the one exponential, and logarithm.h the one logarithm, of vectors
batch_normalization   with a ReLU and a residual, and the gradients (normalization.h: its loops)
group_normalization   of a sample's channels, by the same loops
layer_normalization   of rows of numbers (runs.h: what its loops share with those of maps)
response_norm         local response normalisation: a window of channels
resampling            interpolation; channels exchanged for pixels
joining               sums of branches
sums                  of maps, and of rows: the gradients of a bias
optimizers            the steps of all parameters in one loop
batches               images, taken and normalised
"""
