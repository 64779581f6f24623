"""Stateless operations on NumPy arrays, with the names and arguments of torch.nn.functional.

Arrays are (N, C, H, W) or (C, H, W), float32 or float64, with any strides; those of functions with
1d or 3d in their names have one or three spatial axes. Each function that
returns an array takes `out=`, an array to write into.
"""

from fastconv.functional._prepared import PreparedWeight
from fastconv.functional.activations import (
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
from fastconv.functional.conv import (
    conv1d,
    conv2d,
    conv3d,
    prepare_weight,
)
from fastconv.functional.conv_gradients import (
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
from fastconv.functional.conv_transpose import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from fastconv.functional.conv_transpose_gradients import (
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
from fastconv.functional.joining import add, concatenate
from fastconv.functional.linear import linear, linear_backward
from fastconv.functional.losses import (
    cross_entropy,
    cross_entropy_backward,
    half_squared_error,
    half_squared_error_backward,
    mse_loss,
    mse_loss_backward,
)
from fastconv.functional.padding import pad, pad_backward
from fastconv.functional.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastconv.functional.unfold import fold, unfold

__all__ = [
    "PreparedWeight",
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
    "prepare_weight",
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
