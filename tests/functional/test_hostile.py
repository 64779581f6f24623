# ruff: noqa: E501  (a table has one line for each call)
"""Bad calls: each ends in an error that names the argument and the numbers, and in nothing worse."""

import re

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import assert_exact, run_python

# A convolution, a pooling and a full connection that work; each bad call changes one thing.
X, W, B = np.ones((2, 4, 5, 6)), np.ones((6, 2, 3, 2)), np.ones(6)
G = np.ones((2, 6, 3, 5))
GROUPS = 2
POOLED, PLACES = F.max_pool2d(X, 2, return_indices=True)
FLAT, MATRIX, ROWS = np.ones((3, 4)), np.ones((5, 4)), np.ones((3, 5))
COLUMNS = F.unfold(X, 2)
CLASSES = np.array([0, 3, 1])
SINGLE, HALF = X.astype(np.float32), X.astype(np.float16)


def read_only(shape):
    array = np.ones(shape)
    array.flags.writeable = False
    return array


def misaligned(shape):
    return np.zeros(8 * int(np.prod(shape)) + 1, np.uint8)[1:].view(np.float64).reshape(shape)


def conv(x=X, weight=W, bias=B, groups=GROUPS, **options):
    return F.conv2d(x, weight, bias, groups=groups, **options)


def conv_input(size=X.shape, weight=W, residual=G, groups=GROUPS, **options):
    return F.conv2d_input(size, weight, residual, groups=groups, **options)


def conv_weight(x=X, size=W.shape, residual=G, groups=GROUPS, **options):
    return F.conv2d_weight(x, size, residual, groups=groups, **options)


def unpool(residual=POOLED, indices=PLACES, size=X.shape, **options):
    return F.max_pool2d_backward(residual, indices, size, **options)


def places(value, dtype=np.int64):
    changed = PLACES.astype(dtype)
    changed[1, 3, 1, 2] = value
    return changed


def fold(columns=COLUMNS, size=(5, 6), kernel=2, **options):
    return F.fold(columns, size, kernel, **options)


# The error, what its message must hold, and the call.
CALLS = [
    # What is not an array of float32 or float64.
    (TypeError, "input must be a numpy.ndarray, got list", lambda: conv(X.tolist())),
    (TypeError, "input must be a numpy.ndarray, got NoneType", lambda: conv(None)),
    (TypeError, "input must be a numpy.ndarray, got memoryview", lambda: conv(memoryview(X))),
    (TypeError, "input must be a plain numpy.ndarray, got a masked array", lambda: conv(np.ma.masked_array(X))),
    (TypeError, "input must have dtype float32 or float64, got int64", lambda: conv(X.astype(np.int64))),
    (TypeError, "input .* got bool", lambda: conv(X.astype(bool))),
    (TypeError, "input .* got float16", lambda: conv(HALF)),
    (TypeError, "input .* got float128|input .* got longdouble", lambda: conv(X.astype(np.longdouble))),
    (TypeError, "input .* got complex128", lambda: conv(X.astype(complex))),
    (TypeError, "input .* got object", lambda: conv(X.astype(object))),
    (TypeError, "input .* got <U", lambda: conv(X.astype(str))),
    (TypeError, "input .* got datetime64", lambda: conv(np.zeros(X.shape, "M8[s]"))),
    (TypeError, "input .* got \\[", lambda: conv(np.zeros(X.shape, [("a", "f4"), ("b", "f4")]))),
    (TypeError, "weight must be a numpy.ndarray, got float", lambda: conv(weight=1.0)),
    (TypeError, "weight .* got object", lambda: conv(weight=W.astype(object))),
    (TypeError, "bias must be a numpy.ndarray, got list", lambda: conv(bias=[0.0] * 6)),
    (TypeError, "bias .* got int64", lambda: conv(bias=np.ones(6, np.int64))),
    (TypeError, "grad_output must be a numpy.ndarray, got list", lambda: conv_input(residual=[1.0])),
    (TypeError, "grad_output .* got complex64", lambda: conv_weight(residual=G.astype(np.complex64))),
    (TypeError, "grad_output .* got float16", lambda: F.conv2d_bias(HALF)),
    (TypeError, "input .* got int32", lambda: F.max_pool2d(X.astype(np.int32), 2)),
    (TypeError, "input .* masked array", lambda: F.avg_pool2d(np.ma.masked_array(X), 2)),
    (TypeError, "input .* got float16", lambda: F.unfold(HALF, 2)),
    (TypeError, "input .* got float16", lambda: fold(COLUMNS.astype(np.float16))),
    (TypeError, "input .* got list", lambda: F.linear([[1.0]], np.ones((1, 1)))),
    (TypeError, "input .* got int64", lambda: F.relu(np.arange(3))),
    (TypeError, "input .* got float$", lambda: F.sigmoid(1.0)),
    (TypeError, "input .* got tuple", lambda: F.softmax((1.0, 2.0))),
    (TypeError, "input .* masked array", lambda: F.tanh(np.ma.masked_array(X))),
    (TypeError, "output .* got int64", lambda: F.relu_backward(X, X.astype(int))),
    (TypeError, "input .* got object", lambda: F.mse_loss(X.astype(object), X)),
    # dtypes that differ.
    (TypeError, "weight must have the dtype of input, float32, got float64", lambda: conv(SINGLE)),
    (TypeError, "bias must have the dtype of input, float64, got float32", lambda: conv(bias=B.astype(np.float32))),
    (TypeError, "grad_output must have the dtype of weight, float64, got float32", lambda: conv_input(residual=G.astype(np.float32))),
    (TypeError, "grad_output must have the dtype of input, float32, got float64", lambda: conv_weight(SINGLE)),
    (TypeError, "weight must have the dtype of input", lambda: F.conv2d_backward(SINGLE, W, G)),
    (TypeError, "weight must have the dtype of input, float64, got float32", lambda: F.linear(FLAT, MATRIX.astype(np.float32))),
    (TypeError, "bias must have the dtype", lambda: F.linear(FLAT, MATRIX, np.ones(5, np.float32))),
    (TypeError, "grad_output must have the dtype", lambda: F.linear_backward(ROWS.astype(np.float32), FLAT, MATRIX)),
    (TypeError, "grad_output must have the dtype of output, float64, got float32", lambda: F.tanh_backward(SINGLE, X)),
    (TypeError, "target must have the dtype of input, float64, got float32", lambda: F.half_squared_error(X, SINGLE)),
    (TypeError, "grad_output must have the dtype of input", lambda: F.mse_loss_backward(X, X, reduction="none", grad_output=SINGLE)),
    # Numbers of axes and sizes that do not fit.
    (ValueError, r"input must be \(N, C, H, W\) or \(C, H, W\), got 2-D with shape \(5, 6\)", lambda: conv(X[0, 0])),
    (ValueError, r"input must be .* got 5-D with shape \(1, 2, 4, 5, 6\)", lambda: conv(X[None])),
    (ValueError, r"input must be .* got 0-D", lambda: conv(np.array(1.0))),
    (ValueError, r"weight must be \(K, C/groups, R, S\), got 3-D with shape \(2, 3, 2\)", lambda: conv(weight=W[0])),
    (ValueError, r"weight must have no axis of size 0, got shape \(6, 2, 0, 2\)", lambda: conv(weight=W[:, :, :0])),
    (ValueError, r"weight must have no axis of size 0, got shape \(0, 2, 3, 2\)", lambda: conv(weight=W[:0])),
    (ValueError, r"input must have weight.shape\[1\]\*groups = 2\*2 = 4 channels, got 3", lambda: conv(X[:, :3])),
    (ValueError, r"2\*1 = 2 channels, got 4", lambda: conv(groups=1)),
    (ValueError, r"2\*3 = 6 channels, got 4", lambda: conv(groups=3)),
    (ValueError, "weight: its 6 output channels cannot be split into 4 groups", lambda: conv(groups=4)),
    (ValueError, f"cannot be split into {2**40} groups", lambda: conv(groups=2**40)),
    (ValueError, r"bias must have shape \(weight.shape\[0\],\) = \(6,\), got \(5,\)", lambda: conv(bias=B[:5])),
    (ValueError, r"bias must have shape .* got \(6, 1\)", lambda: conv(bias=B[:, None])),
    (ValueError, r"bias must have shape .* got \(\)", lambda: conv(bias=np.array(1.0))),
    (ValueError, r"weight is larger than the padded input on axis H: .* 1\*\(3 - 1\) \+ 1 = 3, but .* 2 \+ 0 \+ 0 = 2", lambda: conv(X[:, :, :2])),
    (ValueError, r"weight is larger .* axis W: .* 6\*\(2 - 1\) \+ 1 = 7, but .* = 6", lambda: conv(dilation=(1, 6))),
    (ValueError, r"weight is larger .* 0 \+ 1 \+ 1 = 2", lambda: conv(X[:, :, :0], padding=(1, 0))),
    (ValueError, r"grad_output must have shape \(N, K, OH, OW\) = \(2, 6, 3, 5\), got \(2, 6, 3, 4\)", lambda: conv_input(residual=G[..., :4])),
    (ValueError, r"grad_output must have shape \(K, OH, OW\) = \(6, 3, 5\), got \(2, 6, 3, 5\)", lambda: conv_input(X.shape[1:])),
    (ValueError, r"grad_output must have shape .* got \(1, 6, 3, 5\)", lambda: conv_weight(residual=G[:1])),
    (ValueError, r"grad_output must have shape .* got \(6, 3, 5\)", lambda: conv_weight(residual=G[0])),
    (ValueError, r"input_size must be \(N, C, H, W\) or \(C, H, W\), got \(5, 6\)", lambda: conv_input((5, 6))),
    (TypeError, "input_size must be a tuple of integers, got int 5", lambda: conv_input(5)),
    (TypeError, "input_size must be a tuple of integers, got ndarray", lambda: conv_input(X)),
    (TypeError, r"input_size\[3\] must be an integer, got float 6.0", lambda: conv_input((2, 4, 5, 6.0))),
    (TypeError, r"input_size\[0\] must be an integer, got bool", lambda: conv_input((True, 4, 5, 6))),
    (ValueError, r"input_size\[2\] must be at least 0, got -5", lambda: conv_input((2, 4, -5, 6))),
    (ValueError, r"weight_size must be \(K, C/groups, R, S\), got \(6, 2, 3\)", lambda: conv_weight(size=(6, 2, 3))),
    (ValueError, r"weight_size\[2\] must be at least 1, got 0", lambda: conv_weight(size=(6, 2, 0, 2))),
    (TypeError, r"weight_size\[1\] must be an integer, got float 2.0", lambda: conv_weight(size=(6, 2.0, 3, 2))),
    (ValueError, r"grad_output must be .* got 2-D", lambda: F.conv2d_bias(FLAT)),
    (ValueError, "output_mask must hold three booleans, got True", lambda: F.conv2d_backward(X, W, G, groups=2, output_mask=True)),
    (ValueError, r"output_mask .* got \(True, False\)", lambda: F.linear_backward(ROWS, FLAT, MATRIX, output_mask=(True, False))),
    # Stride, padding, dilation, groups, algorithm.
    (ValueError, "stride must be at least 1, got 0", lambda: conv(stride=0)),
    (ValueError, r"stride\[1\] must be at least 1, got -2", lambda: conv(stride=(1, -2))),
    (TypeError, "stride must be an integer or a tuple of 2, got float 1.5", lambda: conv(stride=1.5)),
    (TypeError, "stride .* got bool True", lambda: conv(stride=True)),
    (TypeError, "stride .* got NoneType", lambda: conv(stride=None)),
    (TypeError, "stride .* got str '2'", lambda: conv(stride="2")),
    (TypeError, "stride .* got ndarray", lambda: conv(stride=np.array([1, 1]))),
    (TypeError, r"stride\[0\] must be an integer, got NoneType", lambda: conv(stride=(None, 1))),
    (TypeError, r"stride\[0\] must be an integer, got tuple \(1, 1\)", lambda: conv(stride=((1, 1), 1))),
    (ValueError, r"stride .* one for each of the 2 axes H, W, got \(1, 1, 1\)", lambda: conv(stride=(1, 1, 1))),
    (ValueError, r"stride .* got \(\)", lambda: conv(stride=())),
    (ValueError, "padding must be at least 0, got -1", lambda: conv(padding=-1)),
    (ValueError, r"padding\[0\]\[1\] must be at least 0, got -1", lambda: conv(padding=((0, -1), (0, 0)))),
    (ValueError, "padding must be one of 'valid', 'same', 'same_lower', 'full', or numbers, got 'SAME'", lambda: conv(padding="SAME")),
    (ValueError, "padding must be one of .* got ''", lambda: conv(padding="")),
    (TypeError, "padding .* got bytes", lambda: conv(padding=b"same")),
    (TypeError, "padding .* got float 0.0", lambda: conv(padding=0.0)),
    (TypeError, "padding .* got NoneType", lambda: conv(padding=None)),
    (ValueError, r"padding .* axes H, W, got \(1, 2, 3\)", lambda: conv(padding=(1, 2, 3))),
    (ValueError, r"padding .* pair for each .* got \(\(1, 2\), 3\)", lambda: conv(padding=((1, 2), 3))),
    (ValueError, r"padding .* pair for each", lambda: conv(padding=((1, 2), (3,)))),
    (ValueError, r"padding .* pair for each", lambda: conv(padding=((1, 2), (3, 4), (5, 6)))),
    (TypeError, r"padding\[1\]\[0\] must be an integer, got float 1.0", lambda: conv(padding=((1, 2), (1.0, 2)))),
    (ValueError, "dilation must be at least 1, got 0", lambda: conv(dilation=0)),
    (TypeError, "dilation .* got float 2.0", lambda: conv(dilation=2.0)),
    (ValueError, "groups must be at least 1, got 0", lambda: conv(groups=0)),
    (ValueError, "groups must be at least 1, got -2", lambda: conv(groups=-2)),
    (TypeError, r"groups must be an integer, got tuple \(2,\)", lambda: conv(groups=(2,))),
    (TypeError, "groups must be an integer, got bool True", lambda: conv(groups=True)),
    (ValueError, "algorithm 'fast' does not exist; those that can: 'auto', 'fft', 'gemm', 'direct', 'im2col'", lambda: conv(algorithm="fast")),
    (ValueError, r"algorithm 'winograd' cannot compute this: it needs a kernel of 2x2, 3x3 or 5x5, or one row or column of 2, 3, 5 or 7 \(of every second tap, if it moves by 2\), here it is \(3, 2\) with stride \(1, 1\); those that can: 'auto', 'fft', 'gemm'", lambda: conv_input(algorithm="winograd")),
    (ValueError, "algorithm 'Direct' does not exist; those that can", lambda: conv_weight(algorithm="Direct")),
    (TypeError, "algorithm must be a str, got NoneType", lambda: conv(algorithm=None)),
    # out= of the wrong kind.
    (TypeError, "out must be a numpy.ndarray, got list", lambda: conv(out=[])),
    (TypeError, "out must be a numpy.ndarray, got MaskedArray", lambda: conv(out=np.ma.masked_array(G))),
    (ValueError, r"out must have the result's shape \(2, 6, 3, 5\), got \(2, 6, 3, 4\)", lambda: conv(out=np.empty((2, 6, 3, 4)))),
    (ValueError, r"out must have the result's shape .* got \(2, 6, 15\)", lambda: conv(out=np.empty((2, 6, 15)))),
    (ValueError, "out must have the result's dtype float64, got float32", lambda: conv(out=np.empty(G.shape, np.float32))),
    (ValueError, "out must have the result's dtype float64, got [<>]f8", lambda: conv(out=np.empty(G.shape, np.dtype(float).newbyteorder()))),
    (ValueError, "out must be writeable and aligned", lambda: conv(out=read_only(G.shape))),
    (ValueError, "out must be writeable and aligned", lambda: conv(out=np.broadcast_to(1.0, G.shape))),
    (ValueError, "out must be writeable and aligned", lambda: conv(out=misaligned(G.shape))),
    (ValueError, "out must have contiguous planes", lambda: conv(out=np.empty((2, 6, 3, 10))[..., ::2])),
    (ValueError, "out must have contiguous planes", lambda: conv(out=np.empty((2, 6, 5, 3)).swapaxes(2, 3))),
    (ValueError, "out must have contiguous planes", lambda: conv(out=np.empty((2, 6, 6, 5))[:, :, ::2])),
    (ValueError, "out must have contiguous planes", lambda: conv(out=np.empty(G.shape)[:, :, ::-1])),
    (ValueError, r"out .* shape \(2, 4, 5, 6\), got \(2, 4, 5, 5\)", lambda: conv_input(out=np.empty((2, 4, 5, 5)))),
    (ValueError, r"out .* shape \(6, 2, 3, 2\), got \(6, 4, 3, 2\)", lambda: conv_weight(out=np.empty((6, 4, 3, 2)))),
    (ValueError, r"out .* shape \(6,\), got \(6, 1\)", lambda: F.conv2d_bias(G, out=np.empty((6, 1)))),
    (ValueError, r"out .* shape \(2, 4, 2, 3\), got \(2, 4, 5, 6\)", lambda: F.max_pool2d(X, 2, out=np.empty(X.shape))),
    (ValueError, "out must have contiguous planes", lambda: F.avg_pool2d(X, 2, out=np.empty((2, 4, 3, 2)).swapaxes(2, 3))),
    (ValueError, "out must be writeable", lambda: unpool(out=read_only(X.shape))),
    (ValueError, "out .* dtype", lambda: F.unfold(X, 2, out=COLUMNS.astype(np.float32))),
    (ValueError, "out .* shape", lambda: fold(out=np.empty((2, 4, 6, 5)))),
    (ValueError, "out .* shape", lambda: F.linear(FLAT, MATRIX, out=np.empty((5, 3)))),
    (ValueError, "out .* dtype", lambda: F.relu(X, out=SINGLE.copy())),
    (ValueError, "out must be writeable", lambda: F.softmax(X, out=read_only(X.shape))),
    (ValueError, "out .* shape", lambda: F.tanh_backward(X, X, out=np.empty(3))),
    (TypeError, "out must be a numpy.ndarray, got list", lambda: F.dropout(X, out=[])),
    # Pooling.
    (ValueError, r"input must be .* got 2-D", lambda: F.max_pool2d(FLAT, 2)),
    (ValueError, r"input must have no spatial axis of size 0, got sizes \(0, 6\)", lambda: F.max_pool2d(X[:, :, :0], 1)),
    (ValueError, "kernel_size is larger than the padded input on axis H: .* = 6, but .* = 5", lambda: F.max_pool2d(X, 6)),
    (ValueError, "kernel_size is larger .* axis W", lambda: F.avg_pool2d(X, (1, 3), dilation=3)),
    (ValueError, r"a window on axis H holds no input position: size 5, .* padding \(3, 3\)", lambda: F.max_pool2d(X, 3, 1, 3)),
    (ValueError, r"a window on axis W holds no input position: .* padding \(0, 2\)", lambda: F.avg_pool2d(X, 2, 1, ((0, 0), (0, 2)))),
    (ValueError, "padding must be one of 'valid', 'same', 'same_lower', or numbers, got 'full'", lambda: F.max_pool2d(X, 3, 1, "full")),
    (ValueError, r"a window on axis H holds no input position: size 2, kernel_size 2, stride 1, padding \(1, 1\), dilation 3", lambda: F.max_pool2d(X[:, :, :2], (2, 1), 1, (1, 0), 3)),
    (ValueError, "kernel_size must be at least 1, got 0", lambda: F.max_pool2d(X, 0)),
    (TypeError, "kernel_size .* got float 2.0", lambda: F.avg_pool2d(X, 2.0)),
    (TypeError, "kernel_size .* got NoneType", lambda: F.max_pool2d(X, None)),
    (ValueError, r"kernel_size .* axes H, W, got \(2, 2, 2\)", lambda: F.max_pool2d(X, (2, 2, 2))),
    (ValueError, "stride must be at least 1, got 0", lambda: F.max_pool2d(X, 2, 0)),
    (TypeError, "stride .* got bool", lambda: F.avg_pool2d(X, 2, True)),
    (ValueError, "dilation must be at least 1, got -1", lambda: F.max_pool2d(X, 2, dilation=-1)),
    (ValueError, "divisor_override must be at least 1, got 0", lambda: F.avg_pool2d(X, 2, divisor_override=0)),
    (ValueError, "divisor_override must be at least 1, got -3", lambda: F.avg_pool2d(X, 2, divisor_override=-3)),
    (TypeError, "divisor_override must be an integer, got float 2.5", lambda: F.avg_pool2d(X, 2, divisor_override=2.5)),
    (ValueError, r"indices must be from 0 to H\*W - 1 = 29, got values from \d+ to 30", lambda: unpool(indices=places(30))),
    (ValueError, "indices must be from 0 .* got values from -1 to", lambda: unpool(indices=places(-1))),
    (ValueError, f"indices must be from 0 .* to {2**63 - 1}", lambda: unpool(indices=places(2**63 - 1))),
    (ValueError, f"indices must be from 0 .* from -{2**63} to", lambda: unpool(indices=places(-(2**63)))),
    (ValueError, "indices must be from 0 to H.W - 1 = -1", lambda: unpool(size=(2, 4, 0, 6))),
    (TypeError, "indices must have dtype int64, got int32", lambda: unpool(indices=PLACES.astype(np.int32))),
    (TypeError, "indices must have dtype int64, got uint64", lambda: unpool(indices=PLACES.astype(np.uint64))),
    (TypeError, "indices must have dtype int64, got float64", lambda: unpool(indices=PLACES.astype(float))),
    (TypeError, "indices must be a numpy.ndarray, got list", lambda: unpool(indices=PLACES.tolist())),
    (TypeError, "indices must be a plain numpy.ndarray, got a masked array", lambda: unpool(indices=np.ma.masked_array(PLACES))),
    (ValueError, r"indices must have shape grad_output.shape = \(2, 4, 2, 3\), got \(2, 4, 2, 2\)", lambda: unpool(indices=PLACES[..., :2])),
    (ValueError, r"input_size must begin as grad_output.shape = \(2, 4, 2, 3\), got \(2, 3, 5, 6\)", lambda: unpool(size=(2, 3, 5, 6))),
    (ValueError, r"input_size must begin as .* got \(4, 5, 6\)", lambda: unpool(size=X.shape[1:])),
    (ValueError, r"grad_output must have shape \(N, C, OH, OW\) = \(2, 4, 2, 3\), got \(2, 4, 5, 6\)", lambda: F.avg_pool2d_backward(X, X.shape, 2)),
    (ValueError, r"grad_output must have shape \(C, OH, OW\) = \(4, 2, 3\), got", lambda: F.avg_pool2d_backward(POOLED, X.shape[1:], 2)),
    # unfold and fold.
    (ValueError, r"input must be .* got 2-D", lambda: F.unfold(FLAT, 2)),
    (ValueError, r"kernel_size must have one to three entries, got \(1, 1, 1, 1\)", lambda: F.unfold(X, (1, 1, 1, 1))),
    (ValueError, "kernel_size is larger than the padded input on axis H", lambda: F.unfold(X, 6)),
    (ValueError, "stride must be at least 1, got 0", lambda: F.unfold(X, 2, stride=0)),
    (ValueError, r"input must be \(N, C\*prod\(kernel_size\), L\) or .* got 4-D", lambda: fold(X)),
    (ValueError, r"input must have a multiple of prod\(kernel_size\) = 4 rows, got 15", lambda: fold(COLUMNS[:, :15])),
    (ValueError, r"one column for each of the 4 x 5 = 20 windows in output_size \(5, 6\), got 19", lambda: fold(COLUMNS[..., :19])),
    (ValueError, r"output_size .* axes H, W, got \(1, 2, 3\)", lambda: fold(size=(1, 2, 3))),
    (ValueError, r"output_size must be at least 0, got -1", lambda: fold(size=-1)),
    # Full connection, activations.
    (ValueError, r"weight must be \(out_features, in_features\), none of them 0, got shape \(5,\)", lambda: F.linear(FLAT, np.ones(5))),
    (ValueError, r"weight must be .* got shape \(0, 4\)", lambda: F.linear(FLAT, np.ones((0, 4)))),
    (ValueError, r"input must be \(..., in_features\) with .* = 4, got shape \(4, 3\)", lambda: F.linear(FLAT.T, MATRIX)),
    (ValueError, r"input must be .* got shape \(\)", lambda: F.linear(np.array(1.0), MATRIX)),
    (ValueError, r"bias must have shape \(weight.shape\[0\],\) = \(5,\), got \(4,\)", lambda: F.linear(FLAT, MATRIX, np.ones(4))),
    (ValueError, r"grad_output must have shape .* = \(3, 5\), got \(3, 4\)", lambda: F.linear_backward(FLAT, FLAT, MATRIX)),
    (ValueError, r"grad_output must have shape output.shape = \(3, 4\), got \(3, 5\)", lambda: F.relu_backward(ROWS, FLAT)),
    (ValueError, r"grad_output must have shape input.shape", lambda: F.leaky_relu_backward(ROWS, FLAT)),
    (ValueError, r"axis must be from -2 to 1, got 2", lambda: F.softmax(FLAT, 2)),
    (ValueError, r"axis must be from -2 to 1, got -3", lambda: F.log_softmax(FLAT, -3)),
    (ValueError, "axis must be from 0 to -1, got -1", lambda: F.softmax(np.array(1.0))),
    (ValueError, "axis must be from -2 to 1, got 5", lambda: F.softmax_backward(FLAT, FLAT, 5)),
    (TypeError, "axis must be an integer, got NoneType", lambda: F.softmax(FLAT, None)),
    (TypeError, "axis must be an integer, got bool", lambda: F.softmax(FLAT, True)),
    (TypeError, "axis must be an integer, got tuple", lambda: F.log_softmax(FLAT, (0, 1))),
    (TypeError, "negative_slope must be a number, got str", lambda: F.leaky_relu(X, "0.1")),
    (TypeError, "negative_slope must be a number, got bool", lambda: F.leaky_relu(X, True)),
    (ValueError, "p must be from 0 to 1, got 1.5", lambda: F.dropout(X, 1.5)),
    (ValueError, "p must be from 0 to 1, got -0.1", lambda: F.dropout(X, -0.1)),
    (ValueError, "p must be from 0 to 1, got nan", lambda: F.dropout(X, np.nan)),
    (ValueError, "p must be from 0 to 1, got 2", lambda: F.dropout_backward(X, X > 0, 2)),
    (TypeError, "p must be a number, got NoneType", lambda: F.dropout(X, None)),
    (TypeError, "p must be a number, got bool", lambda: F.dropout(X, True)),
    (TypeError, "SeedSequence expects", lambda: F.dropout(X, rng="seed")),
    (TypeError, "mask must be a numpy.ndarray of bool", lambda: F.dropout_backward(X, X)),
    (ValueError, r"mask must have shape grad_output.shape = \(2, 4, 5, 6\), got \(2, 4\)", lambda: F.dropout_backward(X, np.ones((2, 4), bool))),
    # Losses.
    (ValueError, "target must hold classes from 0 to C - 1 = 3, got values from 0 to 4", lambda: F.cross_entropy(FLAT, CLASSES + [0, 1, 0])),
    (ValueError, "target must hold classes .* from -1 to 3", lambda: F.cross_entropy(FLAT, CLASSES - [1, 0, 0])),
    (ValueError, f"target must hold classes .* to {2**64 - 1}", lambda: F.cross_entropy(FLAT, np.array([0, 1, 2**64 - 1], np.uint64))),
    (ValueError, "target must hold classes", lambda: F.cross_entropy_backward(FLAT, CLASSES + 1)),
    (ValueError, r"target must have shape input.shape without C = \(3,\), got \(2,\)", lambda: F.cross_entropy(FLAT, CLASSES[:2])),
    (ValueError, r"target must have shape .* = \(2, 5, 6\), got \(2,\)", lambda: F.cross_entropy(X, CLASSES[:2])),
    (ValueError, r"target must have shape .* = \(3, 4\), got \(3,\)", lambda: F.cross_entropy(FLAT, CLASSES.astype(float))),
    (TypeError, "target must have an integer dtype or the input's, got bool", lambda: F.cross_entropy(FLAT, CLASSES > 0)),
    (TypeError, "target must be a numpy.ndarray, got list", lambda: F.cross_entropy(FLAT, [0, 1, 2])),
    (TypeError, "target must be a plain numpy.ndarray, got a masked array", lambda: F.cross_entropy(FLAT, np.ma.masked_array(CLASSES))),
    (ValueError, "input must be .* got a 0-D array", lambda: F.cross_entropy(np.array(1.0), np.array(0))),
    (ValueError, "input must have an axis .* got a 0-D array", lambda: F.half_squared_error(np.array(1.0), np.array(1.0))),
    (TypeError, "target must have an integer dtype, got float64", lambda: F.nll_loss(FLAT, FLAT)),
    (TypeError, "target must have the dtype of input, float64, got float32", lambda: F.cross_entropy(FLAT, FLAT.astype(np.float32))),
    (ValueError, "target must hold classes .* from 1 to 3", lambda: F.cross_entropy(FLAT[:, :2], CLASSES, ignore_index=0)),
    (ValueError, "ignore_index is for classes, got 0 with probabilities", lambda: F.cross_entropy(FLAT, FLAT, ignore_index=0)),
    (TypeError, "ignore_index must be an integer", lambda: F.nll_loss(FLAT, CLASSES, ignore_index=1.0)),
    (ValueError, "label_smoothing must be from 0 to 1, got 2.0", lambda: F.cross_entropy(FLAT, CLASSES, label_smoothing=2)),
    (ValueError, r"weight must have shape \(C,\) = \(4,\), got \(3,\)", lambda: F.cross_entropy(FLAT, CLASSES, weight=FLAT[:, 0])),
    (TypeError, "weight must be a numpy.ndarray, got list", lambda: F.cross_entropy(FLAT, CLASSES, weight=[1.0] * 4)),
    (TypeError, "weight must have the dtype of input", lambda: F.nll_loss(FLAT, CLASSES, weight=np.ones(4, np.float32))),
    (ValueError, r"weight must have a shape that broadcasts to input.shape = \(3, 4\), got \(3,\)", lambda: F.binary_cross_entropy(FLAT, FLAT, weight=FLAT[:, 0])),
    (ValueError, r"pos_weight must .*, got \(1, 3, 4\)", lambda: F.binary_cross_entropy_with_logits(FLAT, FLAT, pos_weight=FLAT[None])),
    (ValueError, "input must hold probabilities, got values from", lambda: F.binary_cross_entropy(FLAT - 9, FLAT)),
    (ValueError, "input must hold probabilities, got values from", lambda: F.binary_cross_entropy(FLAT + 9, FLAT, reduction="none")),
    (ValueError, "delta must be a finite number above 0, got 0.0", lambda: F.huber_loss(FLAT, FLAT, delta=0)),
    (TypeError, "delta must be a number, got str", lambda: F.huber_loss_backward(FLAT, FLAT, delta="1")),
    (ValueError, "beta must be a finite number of at least 0, got -1.0", lambda: F.smooth_l1_loss(FLAT, FLAT, beta=-1)),
    (ValueError, "reduction must be one of 'mean', 'batchmean', 'sum', 'none', got 'avg'", lambda: F.kl_div(FLAT, FLAT, reduction="avg")),
    (ValueError, "input must have an axis for reduction='batchmean'", lambda: F.kl_div(np.array(1.0), np.array(1.0), reduction="batchmean")),
    (ValueError, r"target must have shape input.shape = \(3, 4\), got \(3, 5\)", lambda: F.mse_loss(FLAT, ROWS)),
    (ValueError, r"target must have shape input.shape = \(3, 4\), got \(1, 4\)", lambda: F.mse_loss(FLAT, FLAT[:1])),
    (ValueError, "reduction must be one of 'mean', 'sum', 'none', got 'avg'", lambda: F.mse_loss(FLAT, FLAT, reduction="avg")),
    (ValueError, "reduction must be one of 'mean', 'sum', 'none', got None", lambda: F.cross_entropy(FLAT, CLASSES, reduction=None)),
    (ValueError, "reduction must be one of", lambda: F.half_squared_error_backward(FLAT, FLAT, reduction="MEAN")),
    (ValueError, r"grad_output must be a number or have shape \(3,\) with reduction='none', got \(4,\)", lambda: F.cross_entropy_backward(FLAT, CLASSES, reduction="none", grad_output=np.ones(4))),
    (ValueError, r"grad_output must be a number or have shape \(\) with reduction='mean', got \(3,\)", lambda: F.cross_entropy_backward(FLAT, CLASSES, grad_output=np.ones(3))),
    (TypeError, "grad_output must be a number or a numpy.ndarray, got NoneType", lambda: F.mse_loss_backward(FLAT, FLAT, grad_output=None)),
    (TypeError, "grad_output must be a number or a numpy.ndarray, got str", lambda: F.mse_loss_backward(FLAT, FLAT, grad_output="1")),
    (TypeError, "grad_output .* got complex", lambda: F.mse_loss_backward(FLAT, FLAT, grad_output=1j)),
    # Threads.
    (ValueError, "n must be between 1 and 1024, got 0", lambda: fastconv.set_num_threads(0)),
    (ValueError, "n must be between 1 and 1024, got -1", lambda: fastconv.set_num_threads(-1)),
    (ValueError, f"n must be between 1 and 1024, got {2**64}", lambda: fastconv.set_num_threads(2**64)),
    (TypeError, "n must be an integer, got float", lambda: fastconv.set_num_threads(2.0)),
    (TypeError, "n must be an integer, got bool", lambda: fastconv.set_num_threads(True)),
    (TypeError, "n must be an integer, got NoneType", lambda: fastconv.set_num_threads(None)),
    (TypeError, "n must be an integer, got str", lambda: fastconv.set_num_threads("2")),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_bad_call_says_what_is_wrong(number):
    error, message, call = CALLS[number]
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert re.search(message, str(caught.value)), str(caught.value)


def test_the_calls_that_the_table_changes_do_work():
    # Otherwise an error of the table could come from what was not changed.
    for call in (conv, conv_input, conv_weight, unpool, fold):
        call()
    conv(stride=2**62, padding=((0, 0), (0, 0)), out=np.empty((2, 6, 1, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_index_out_of_range_is_found_in_every_plane(dtype):
    # Planes are spread over threads; each must report, and none may write outside.
    fastconv.set_num_threads(3)
    residual = np.ones((4, 8, 64, 64), dtype)
    for plane in np.ndindex(4, 8):
        indices = np.zeros(residual.shape, np.int64)
        indices[(*plane, 63, 63)] = 128 * 128
        with pytest.raises(ValueError, match="got values from 0 to 16384"):
            F.max_pool2d_backward(residual, indices, (4, 8, 128, 128))


HUGE = """
    import resource, sys
    import numpy as np
    from fastconv import functional as F

    # Enough for everything that the arguments need, and not for an array of their size.
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31))

    x, w, g = np.ones((1, 2, 4, 5)), np.ones((2, 2, 3, 2)), np.ones((1, 2, 2, 4))
    columns = np.ones((1, 12, 8))
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    numbers = [s * n for n in (2**31 - 1, 2**31, 2**32, 2**40, 2**53, 2**61, 2**62 - 1, 2**62,
               2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30) for s in (1, -1)]
    ways = [lambda n: n, lambda n: (n, 1), lambda n: (1, n), lambda n: ((n, 0), (0, 0)),
            lambda n: ((0, 1), (0, n)), lambda n: (n, n)]
    sizes = [lambda n: (n, 2, 4, 5), lambda n: (1, n, 4, 5), lambda n: (1, 2, n, 5),
             lambda n: (1, 2, 4, n), lambda n: (2, 4, n), lambda n: (n, n, n, n)]
    calls = []
    for algorithm in ("direct", "im2col"):
        for name in ("stride", "padding", "dilation", "groups"):
            for way in ways:
                calls += [
                    lambda n, a=algorithm, k=name, f=way: F.conv2d(x, w, algorithm=a, **{k: f(n)}),
                    lambda n, a=algorithm, k=name, f=way:
                        F.conv2d(x, w[:, :, :1, :1], algorithm=a, **{k: f(n)}),
                    lambda n, a=algorithm, k=name, f=way:
                        F.conv2d_input(x.shape, w, g, algorithm=a, **{k: f(n)}),
                    lambda n, a=algorithm, k=name, f=way:
                        F.conv2d_input(x.shape, w, g[..., :1, :1], algorithm=a, **{k: f(n)}),
                    lambda n, a=algorithm, k=name, f=way:
                        F.conv2d_weight(x, w.shape, g, algorithm=a, **{k: f(n)}),
                    lambda n, a=algorithm, k=name, f=way:
                        F.conv2d_weight(x, w.shape, g[..., :1, :1], algorithm=a, **{k: f(n)}),
                ]
        for size in sizes:
            calls += [
                lambda n, a=algorithm, f=size: F.conv2d_input(f(n), w, g, algorithm=a),
                lambda n, a=algorithm, f=size:
                    F.conv2d_input(f(n), w, g[..., :1, :1], n, algorithm=a),
                lambda n, a=algorithm, f=size: F.conv2d_weight(x, f(n), g, algorithm=a),
                lambda n, a=algorithm, f=size:
                    F.conv2d_weight(x, f(n), g[..., :1, :1], n, algorithm=a),
            ]
    for name in ("kernel_size", "stride", "padding", "dilation", "divisor_override"):
        for way in ways:
            calls += [
                lambda n, k=name, f=way: F.max_pool2d(x, **{"kernel_size": 2, k: f(n)}),
                lambda n, k=name, f=way:
                    F.max_pool2d(x, **{"kernel_size": 2, "ceil_mode": True, k: f(n)}),
                lambda n, k=name, f=way:
                    F.max_pool2d(x, **{"kernel_size": f(n), "padding": "same", k: f(n)}),
                lambda n, k=name, f=way: F.avg_pool2d(x, **{"kernel_size": 2, k: f(n)}),
                lambda n, k=name, f=way:
                    F.avg_pool2d(x, **{"kernel_size": f(n), "padding": "same_lower", k: f(n)}),
                lambda n, k=name, f=way:
                    F.avg_pool2d_backward(pooled, x.shape, **{"kernel_size": 2, k: f(n)}),
                lambda n, k=name, f=way: F.unfold(x, **{"kernel_size": 2, k: f(n)}),
                lambda n, k=name, f=way: F.unfold(x, **{"kernel_size": 1, k: f(n)}),
                lambda n, k=name, f=way: F.fold(columns, (4, 5), **{"kernel_size": (3, 2), k: f(n)}),
                lambda n, k=name, f=way: F.fold(columns, f(n), **{"kernel_size": (3, 2), k: f(n)}),
            ]
    for size in sizes:
        calls += [
            lambda n, f=size: F.max_pool2d_backward(pooled, indices, f(n)),
            lambda n, f=size: F.avg_pool2d_backward(pooled, f(n), 2),
            lambda n, f=size: F.avg_pool2d_backward(pooled, f(n), 2, n),
            lambda n, f=size: F.fold(columns, f(n)[2:], (3, 2)),
        ]
    results = refusals = 0
    for call in calls:
        for n in numbers:
            try:
                result = call(n)
            except (ValueError, TypeError, MemoryError) as error:
                assert str(error), repr(error)
                refusals += 1
            else:
                assert result.size < 10_000
                assert np.isfinite(result).all()
                results += 1
    assert results > 500 and refusals > 15_000, (results, refusals)
    print("survived", results, refusals)
"""


def test_sizes_near_the_end_of_the_integers():
    # Nothing may overflow, crash, hang or ask for memory of the arguments' size: the process has
    # a limit of 2 GB and of time. Every call ends in a small result or an error with a message.
    pytest.importorskip("resource", reason="no limit on memory here, skipped: huge sizes")
    assert run_python(HUGE).startswith("survived")


def test_an_error_of_too_large_a_number_names_the_argument():
    for name in ("stride", "padding", "dilation", "groups"):
        for number in (2**62 + 1, 2**63, 2**64, 10**30):
            text = rf"{name} must be at most {2**62}, got {number}"
            with pytest.raises(ValueError, match=text):
                conv(**{name: number})
    for name in ("kernel_size", "stride", "padding", "dilation"):
        with pytest.raises(ValueError, match=rf"{name} must be at most {2**62}, got {2**63}"):
            F.max_pool2d(X, **{"kernel_size": 2, name: 2**63})
    with pytest.raises(ValueError, match=r"input_size\[1\] must be at most"):
        conv_input((2, 2**63, 5, 6))
    with pytest.raises(ValueError, match="output_size must be at most"):
        fold(size=2**63)
    with pytest.raises(ValueError, match=r"padded input on axis H is too large: .* = \d+, at most"):
        conv(padding=2**62)
    with pytest.raises(
        ValueError, match=r"a result of shape \(2, 6, .*\) is larger than any array"
    ):
        conv(padding=2**60)


def test_huge_strides_and_dilations_that_move_nothing():
    x, weight = X + np.arange(6), W[:, :, :1, :1] * 3
    many = 2**62
    expected = F.conv2d(x, W, B, groups=2)[:, :, :1, :1]
    assert_exact(F.conv2d(x, W, B, many, groups=2), expected.copy())
    expected = F.conv2d(x, weight, B, groups=2)
    assert_exact(F.conv2d(x, weight, B, dilation=2**61, groups=2), expected)
    gradient = F.conv2d_input(x.shape, weight, expected, dilation=2**61, groups=2)
    assert_exact(gradient, F.conv2d_input(x.shape, weight, expected, groups=2))
    gradient = F.conv2d_weight(x, weight.shape, expected, dilation=2**61, groups=2)
    assert_exact(gradient, F.conv2d_weight(x, weight.shape, expected, groups=2))
    corner = G[:, :, :1, :1]
    expected = np.zeros(x.shape)
    expected[:, :, :3, :2] = F.conv2d_input((2, 4, 3, 2), W, corner, groups=2)
    assert_exact(F.conv2d_input(x.shape, W, corner, many, groups=2), expected)
    expected = F.conv2d_weight(x[:, :, :3, :2], W.shape, corner, groups=2)
    assert_exact(F.conv2d_weight(x, W.shape, corner, many, groups=2), expected)
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert_exact(pool(x, 2, many), pool(x, 2)[:, :, :1, :1].copy())
        assert_exact(pool(x, 1, 1, dilation=many), x)
    assert_exact(F.max_pool2d(x, 2, many, ceil_mode=True), F.max_pool2d(x, 2)[:, :, :1, :1].copy())
    assert_exact(F.unfold(x, 2, stride=many), F.unfold(x, 2)[:, :, :1].copy())


def test_huge_padding_between_three_windows():
    # Three windows a side, of which the middle one sees the input and the others only padding.
    x, weight = np.full((1, 1, 1, 1), 5.0), np.full((2, 1, 1, 1), 7.0)
    options = {"stride": 2**40, "padding": 2**40}
    expected = np.full((1, 2, 3, 3), 1.0)
    expected[:, :, 1, 1] = 36
    assert_exact(F.conv2d(x, weight, np.ones(2), **options), expected)
    residual = np.arange(18.0).reshape(1, 2, 3, 3)
    assert_exact(F.conv2d_input(x.shape, weight, residual, **options), np.full((1, 1, 1, 1), 119.0))
    expected = np.array([20.0, 65.0]).reshape(2, 1, 1, 1)
    assert_exact(F.conv2d_weight(x, weight.shape, residual, **options), expected)
    # A window as large as that, over all of the input.
    assert F.max_pool2d(X, 2**40, padding=2**39) == pytest.approx(np.ones((2, 4, 1, 1)))
    means = F.avg_pool2d(X, 2**40, padding=2**39, count_include_pad=False)
    assert_exact(means, np.ones((2, 4, 1, 1)))
