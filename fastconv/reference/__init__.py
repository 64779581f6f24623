"""Slow definitions that read like the formulas of the lectures.

The functions have the names and signatures of `fastconv.functional`, without `algorithm` and
`out`. They import NumPy alone and share nothing with the fast code, so that they can prove it
wrong: an input is padded, and the positions of a window are counted by sliding it along. Sums
are taken in float64 and come back in the dtype of the input.

Each convolution and `pool2d` function has a twin for any number of spatial axes in its module, with
`nd` in the name for the number of axes.
"""

from fastconv.reference.activations import (
    dropout,
    dropout_backward,
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from fastconv.reference.conv import (
    conv1d,
    conv2d,
    conv3d,
)
from fastconv.reference.conv_gradients import (
    conv1d_backward,
    conv1d_bias,
    conv1d_input,
    conv1d_weight,
    conv2d_backward,
    conv2d_bias,
    conv2d_input,
    conv2d_weight,
    conv3d_backward,
    conv3d_bias,
    conv3d_input,
    conv3d_weight,
)
from fastconv.reference.conv_transpose import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from fastconv.reference.conv_transpose_gradients import (
    conv_transpose1d_backward,
    conv_transpose1d_bias,
    conv_transpose1d_input,
    conv_transpose1d_weight,
    conv_transpose2d_backward,
    conv_transpose2d_bias,
    conv_transpose2d_input,
    conv_transpose2d_weight,
    conv_transpose3d_backward,
    conv_transpose3d_bias,
    conv_transpose3d_input,
    conv_transpose3d_weight,
)
from fastconv.reference.joining import add, concatenate
from fastconv.reference.linear import linear, linear_backward
from fastconv.reference.losses import (
    cross_entropy,
    cross_entropy_backward,
    half_squared_error,
    half_squared_error_backward,
    mse_loss,
    mse_loss_backward,
)
from fastconv.reference.matrix import conv2d_matrix
from fastconv.reference.padding import pad, pad_backward
from fastconv.reference.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.reference.unfold import fold, unfold

__all__ = [
    "add",
    "avg_pool2d",
    "avg_pool2d_backward",
    "concatenate",
    "conv1d",
    "conv1d_backward",
    "conv1d_bias",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_backward",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_matrix",
    "conv2d_weight",
    "conv3d",
    "conv3d_backward",
    "conv3d_bias",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose1d_bias",
    "conv_transpose1d_input",
    "conv_transpose1d_weight",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose2d_bias",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "conv_transpose3d_bias",
    "conv_transpose3d_input",
    "conv_transpose3d_weight",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "fold",
    "half_squared_error",
    "half_squared_error_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "mse_loss_backward",
    "pad",
    "pad_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
    "unfold",
]
