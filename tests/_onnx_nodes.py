"""What computes the operators of ONNX here: words and layouts are translated, numbers are not.

A function of OPERATORS takes a node's inputs, its attributes and the number of its outputs. It
renames, puts integers into pairs, and turns, reshapes or repeats arrays; all arithmetic on them is
the library's.
"""

import numpy as np

from fastconv import functional as F

# As in the definition of the operator.
SELU = 1.67326319217681884765625, 1.05070102214813232421875
AUTO_PAD = {"NOTSET": None, "SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def spatial(name, x):
    """Return the function for the axes that an input has."""
    return getattr(F, name.format(x.ndim - 2))


def pairs(pads):
    """Return what is added before and after each axis; ONNX lists all of "before" first."""
    axes = len(pads) // 2
    return tuple(zip(pads[:axes], pads[axes:], strict=True))


def padding(given, axes):
    return AUTO_PAD[given.get("auto_pad", "NOTSET")] or pairs(given.get("pads", [0] * 2 * axes))


def steps(given, axes):
    """Return stride and dilation by our names."""
    return {
        "stride": tuple(given.get("strides", [1] * axes)),
        "dilation": tuple(given.get("dilations", [1] * axes)),
    }


def window(given, axes):
    """Return kernel, stride, padding, dilation and ceil_mode by our names."""
    return {
        "kernel_size": tuple(given["kernel_shape"]),
        "padding": padding(given, axes),
        "ceil_mode": "onnx" if given.get("ceil_mode") else False,
        **steps(given, axes),
    }


def conv(inputs, given, outputs):
    x, axes = inputs[0], inputs[0].ndim - 2
    options = {"padding": padding(given, axes), "groups": given.get("group", 1)}
    return (spatial("conv{}d", x)(*inputs, **options, **steps(given, axes)),)


def conv_transpose(inputs, given, outputs):
    """Compute a transposed convolution, as the gradient that it is where the output is given."""
    x, axes = inputs[0], inputs[0].ndim - 2
    options = {
        "padding": padding(given, axes),
        "groups": given.get("group", 1),
        **steps(given, axes),
    }
    size = given.get("output_shape")
    if size is None and isinstance(options["padding"], str):
        size = [n * by for n, by in zip(x.shape[2:], options["stride"], strict=True)]
    if size is not None:
        weight = inputs[1]
        shape = (len(x), weight.shape[1] * options["groups"], *size)
        return (spatial("conv{}d_input", x)(shape, weight, x, **options),)
    extra = tuple(given.get("output_padding", [0] * axes))
    return (spatial("conv_transpose{}d", x)(*inputs, output_padding=extra, **options),)


def max_pool(inputs, given, outputs):
    (x,) = inputs
    # Places in column-major order are those in the turned map.
    step = -1 if given.get("storage_order") else 1
    order = (0, 1, *[*range(2, x.ndim)][::step])
    options = {
        name: value[::step] if isinstance(value, tuple) else value
        for name, value in window(given, x.ndim - 2).items()
    }
    pool = spatial("max_pool{}d", x)
    found = pool(x.transpose(order), **options, return_indices=outputs == 2)
    return tuple(values.transpose(order) for values in (found if outputs == 2 else (found,)))


def average_pool(inputs, given, outputs):
    (x,) = inputs
    include = bool(given.get("count_include_pad", 0))
    pool = spatial("avg_pool{}d", x)
    return (pool(x, **window(given, x.ndim - 2), count_include_pad=include),)


def lp_pool(inputs, given, outputs):
    (x,) = inputs
    return (spatial("lp_pool{}d", x)(x, given.get("p", 2), **window(given, x.ndim - 2)),)


def global_pool(name):
    def compute(inputs, given, outputs):
        (x,) = inputs
        return (spatial(name, x)(x, 1),)

    return compute


def max_unpool(inputs, given, outputs):
    """Undo a pooling; places are those of the map of default size, to which ONNX adds zeros."""
    x, indices, *size = inputs
    options = window(given, x.ndim - 2)
    found = spatial("max_unpool{}d", x)(x, indices, options["kernel_size"], options["stride"])
    wanted = size[0].tolist() if size else found.shape
    more = [n - m for n, m in zip(wanted, found.shape, strict=True)]
    return (F.pad(found, tuple(n for after in reversed(more) for n in (0, after))),)


def col2im(inputs, given, outputs):
    x, image, block = inputs
    axes = len(image)
    options = {"padding": padding(given, axes), **steps(given, axes)}
    return (F.fold(x, tuple(image.tolist()), tuple(block.tolist()), **options),)


def local_response(inputs, given, outputs):
    (x,) = inputs
    options = {"alpha": given.get("alpha", 1e-4), "beta": given.get("beta", 0.75)}
    return (F.local_response_norm(x, given["size"], k=given.get("bias", 1.0), **options),)


def batch_norm(inputs, given, outputs):
    """Compute batch normalization; ONNX's momentum is what the running statistics keep."""
    x, weight, bias, *running = inputs
    mean, variance = (values.copy() for values in running)
    momentum = 1 - given.get("momentum", 0.9)
    training = bool(given.get("training_mode", 0))
    eps = given.get("epsilon", 1e-5)
    found = F.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)
    return (found, mean, variance)[:outputs]


def group_norm(inputs, given, outputs):
    x, weight, bias = inputs
    return (F.group_norm(x, given["num_groups"], weight, bias, given.get("epsilon", 1e-5)),)


def instance_norm(inputs, given, outputs):
    x, weight, bias = inputs
    eps = given.get("epsilon", 1e-5)
    return (F.instance_norm(x, weight=weight, bias=bias, eps=eps),)


def layer_norm(inputs, given, outputs):
    x, weight, bias = inputs
    rows = x.shape[: x.ndim - weight.ndim]
    saved = np.empty((2, *rows))
    eps = given.get("epsilon", 1e-5)
    found = F.layer_norm(x, weight.shape, weight, bias, eps, statistics=saved)
    return (found, *saved.astype(x.dtype).reshape(2, *rows, *(1,) * weight.ndim))


def softmax(function):
    def compute(inputs, given, outputs):
        return (function(*inputs, given.get("axis", -1)),)

    return compute


def gemm(inputs, given, outputs):
    a, b, *bias = inputs
    x = a.T if given.get("transA") else a
    weight = b if given.get("transB") else b.T
    factors = {"alpha": given.get("alpha", 1.0), "beta": given.get("beta", 1.0)}
    if bias and bias[0].shape[:-1] in ((), (1,)):
        row = np.broadcast_to(bias[0].reshape(-1), weight.shape[:1])
        return (F.linear(x, weight, row, **factors),)
    found = F.linear(x, weight, **factors)
    return (F.add(found, bias[0]) if bias else found,)


def activation(function, **renamed):
    """Return what computes an activation with options: ours, by ONNX's name and its default."""

    def compute(inputs, given, outputs):
        options = {ours: given.get(name, default) for ours, (name, default) in renamed.items()}
        return (function(*inputs, **options),)

    return compute


def prelu(inputs, given, outputs):
    """Compute PReLU with a slope of each element: as many channels of one element each."""
    x, slope = inputs
    each = np.broadcast_to(slope, x.shape).reshape(-1)
    return (F.prelu(x.reshape(1, -1), each).reshape(x.shape),)


def resize(inputs, given, outputs):
    x, _, scales, *sizes = inputs
    linear = ("linear", "bilinear", "trilinear")[x.ndim - 3]
    mode = {"nearest": "nearest", "linear": linear, "cubic": "bicubic"}[given["mode"]]
    options = {"coordinates": given.get("coordinate_transformation_mode", "half_pixel")}
    if mode == "nearest":
        options["rounding"] = given.get("nearest_mode", "round_prefer_floor")
    word, values = ("size", sizes[0]) if sizes else ("scale_factor", scales)
    by_axis = dict(zip(given.get("axes", range(x.ndim)), values.tolist(), strict=True))
    options[word] = tuple(by_axis[axis] for axis in range(2, x.ndim))
    return (F.interpolate(x, mode=mode, **options),)


def pad(inputs, given, outputs):
    x, pads, *rest = inputs
    value = float(rest[0]) if rest else 0.0
    axes = rest[1].tolist() if len(rest) > 1 else range(x.ndim)
    by_axis = {axis % x.ndim: pair for axis, pair in zip(axes, pairs(pads.tolist()), strict=True)}
    # Ours begin at the last axis.
    flat = [n for axis in reversed(range(x.ndim)) for n in by_axis.get(axis, (0, 0))]
    return (F.pad(x, tuple(flat), given["mode"], value),)


def class_loss(function):
    def compute(inputs, given, outputs):
        x, target, *weight = inputs
        loss = function(
            x,
            target,
            weight=weight[0] if weight else None,
            ignore_index=given.get("ignore_index", -100),
            reduction=given.get("reduction", "mean"),
        )
        return (np.asarray(loss),) if outputs == 1 else (np.asarray(loss), F.log_softmax(x, 1))

    return compute


OPERATORS = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Elu": activation(F.elu, alpha=("alpha", 1.0)),
    "Gelu": activation(F.gelu, approximate=("approximate", "none")),
    "Gemm": gemm,
    "GlobalAveragePool": global_pool("adaptive_avg_pool{}d"),
    "GlobalMaxPool": global_pool("adaptive_max_pool{}d"),
    "GroupNormalization": group_norm,
    "HardSigmoid": activation(F.hardsigmoid, alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "HardSwish": activation(F.hardswish),
    "InstanceNormalization": instance_norm,
    "LRN": local_response,
    "LayerNormalization": layer_norm,
    "LeakyRelu": activation(F.leaky_relu, negative_slope=("alpha", 0.01)),
    "LogSoftmax": softmax(F.log_softmax),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "NegativeLogLikelihoodLoss": class_loss(F.nll_loss),
    "PRelu": prelu,
    "Pad": pad,
    "Relu": activation(F.relu),
    "Resize": resize,
    "Selu": activation(F.selu, alpha=("alpha", SELU[0]), scale=("gamma", SELU[1])),
    "Sigmoid": activation(F.sigmoid),
    "Softmax": softmax(F.softmax),
    "SoftmaxCrossEntropyLoss": class_loss(F.cross_entropy),
    "Softplus": activation(F.softplus),
    "Tanh": activation(F.tanh),
}
