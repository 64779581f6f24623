"""Batch normalisation, by itself or with a ReLU and a residual behind it, and the gradients.

S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", arXiv 1502.03167.
"""

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import batch_normalization as compiled
from fastconv.functional._maps import (
    contiguous_from,
    maps_of,
    moving,
    new_statistics,
    operand,
    optional,
    result,
    saved_statistics,
)

Gradient = Array | None
_NOWHERE = (None,) * 4


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
    out: Array | None = None,
) -> Array:
    r"""Return (input - mean) / sqrt(var + eps) * weight + bias, channel by channel.

    Parameters
    ----------
    input : ndarray, shape (N, C, ...)
        Float32 or float64, with any number of axes behind the channels, or none.
    running_mean, running_var : ndarray, shape (C,), or None
        In training they are moved in place, by `momentum` towards mean and unbiased variance of
        this batch, if there are any; otherwise they are what the channels are normalised by.
    weight, bias : ndarray, shape (C,), optional
        1 and 0 by default.
    training : bool
        Normalise by mean and variance of this batch.
    momentum : float
        The weight of this batch in the running statistics.
    eps : float
        Added to the variance.
    statistics : ndarray of float64, shape (2, C), optional, keyword-only
        Where to write what the gradient needs: each channel's mean, and 1 / sqrt(var + eps).
    out : ndarray, optional
        Where to write the result; it may be `input`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape; if there is one value a channel in training; or
        no running statistics outside of it.

    Notes
    -----
    Sums are taken in pieces of about 2048 numbers around a piece's own mean, and the pieces
    joined in double precision: mean and variance of float32 are right to about 1e-7 of themselves,
    however many numbers there are and however large their mean is. The error of the result is a few
    eps times (\|input - mean\| \|weight\| / sqrt(var + eps) + \|bias\|). The bits do not depend on
    the number of threads.

    A NaN or an infinity makes all of its channel NaN in training; otherwise it stays alone.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, mean, var = np.array([[1.0], [3.0]]), np.zeros(1), np.ones(1)
    >>> F.batch_norm(x, mean, var, training=True, eps=0)
    array([[-1.],
           [ 1.]])
    >>> mean, var
    (array([0.2]), array([1.1]))
    """
    return _forward(
        input, running_mean, running_var, weight, bias, training, momentum, eps, False, np.inf,
        None, statistics, out,
    )  # fmt: skip


def batch_norm_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    training: bool = False,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    out: tuple[Gradient, Gradient, Gradient] | None = None,
) -> tuple[Gradient, Gradient, Gradient]:
    """Return the gradients of `batch_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, ...)
        The residual.
    input : ndarray, same shape
        The input of `batch_norm`.
    statistics : ndarray of float64, shape (2, C)
        What `batch_norm` wrote.
    weight, training
        As in `batch_norm`.
    output_mask : tuple of three bool
        Which of the three to compute.
    out : tuple of three ndarray or None, optional
        Where to write each; None for a new array, and where `output_mask` is False. The gradient
        of the input may take the place of `grad_output` or `input`.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        None where masked.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape.

    Notes
    -----
    Sums are taken as in `batch_norm`; in float32 they are right to about 1e-6 of the sum of
    absolute values.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, saved = np.array([[0.0], [3.0], [3.0]]), np.empty((2, 1))
    >>> y = F.batch_norm(x, None, None, training=True, eps=0, statistics=saved)
    >>> _, grad_weight, grad_bias = F.batch_norm_backward(y, x, saved, training=True)
    >>> grad_weight.round(9), grad_bias.round(9)
    (array([3.]), array([0.]))
    """
    mask = _check.output_mask(output_mask)
    for_input, for_weight, for_bias, _ = _backward(
        grad_output,
        input,
        statistics,
        weight,
        None,
        training,
        False,
        np.inf,
        None,
        (*mask, False),
        out,
    )
    return for_input, for_weight, for_bias


def batch_norm_relu(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Array | None = None,
    upper: float | None = None,
    statistics: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return max(batch_norm(input) + residual, 0), in one pass over memory.

    Parameters
    ----------
    input, running_mean, running_var, weight, bias, training, momentum, eps
        As in `batch_norm`.
    residual : ndarray, shape of `input`, optional, keyword-only
        What is added before the ReLU, as at the end of a block of a residual network.
    upper : float, optional, keyword-only
        Cut the result off above it: 6 gives `relu6`.
    statistics
        As in `batch_norm`.
    out : ndarray, optional
        Where to write the result; it may be `input` or `residual`.

    Returns
    -------
    ndarray, shape of `input`
        A NaN stays a NaN.

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`; also if `residual` differs from the input in dtype or shape, or `upper` is
        not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, r = np.array([[1.0], [3.0]]), np.array([[1.5], [0.0]])
    >>> F.batch_norm_relu(x, None, None, training=True, eps=0, residual=r)
    array([[0.5],
           [1. ]])
    """
    return _forward(
        input, running_mean, running_var, weight, bias, training, momentum, eps, True,
        _bound(upper), residual, statistics, out,
    )  # fmt: skip


def batch_norm_relu_output(
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    residual: Array | None = None,
    upper: float | None = None,
    out: Array | None = None,
) -> Array:
    """Return what `batch_norm_relu` returned when it wrote these statistics: the same bits.

    It costs one pass over memory, in place of keeping the output from forward to backward.

    Parameters
    ----------
    input, weight, bias, residual, upper
        As `batch_norm_relu` had them.
    statistics : ndarray of float64, shape (2, C)
        What it wrote.
    out : ndarray, optional
        Where to write the result; it may be `input` or `residual`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, saved = np.array([[1.0], [3.0]]), np.empty((2, 1))
    >>> y = F.batch_norm_relu(x, None, None, training=True, statistics=saved)
    >>> (F.batch_norm_relu_output(x, saved) == y).all()
    np.True_
    """
    input = maps_of(input)
    shape = input.shape[1:2]
    weight = optional("weight", weight, input, shape, "(C,)")
    bias = optional("bias", bias, input, shape, "(C,)")
    saved = saved_statistics(statistics, (2, *shape), "(2, C)")
    if residual is not None:
        residual = operand("residual", residual, input)
    same = (input,) if residual is None else (input, residual)
    others = tuple(array for array in (weight, bias, saved) if array is not None)
    written = result(out, input, 2, same, others)
    bound = _bound(upper)
    if input.size:
        compiled.again(
            contiguous_from(input, 2), saved, weight, bias, bound,
            None if residual is None else contiguous_from(residual, 2), written,
        )  # fmt: skip
    return _check.deliver(written, out)


def batch_norm_relu_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    *,
    output: Array | None = None,
    upper: float | None = None,
    output_mask: tuple[bool, bool, bool, bool] = (True, True, True, True),
    out: tuple[Gradient, Gradient, Gradient, Gradient] | None = None,
) -> tuple[Gradient, Gradient, Gradient, Gradient]:
    """Return the gradients of `batch_norm_relu` with respect to input, weight, bias and residual.

    Where the residual passes the ReLU is found in one of two ways. Without `output` the sign
    before the ReLU is computed again, by the same roundings, from the input, which is read anyway:
    nothing more comes from memory. With a residual that would take the residual, too; `output` is
    as large, gives the answer by itself, and lets forward write over the residual.

    Parameters
    ----------
    grad_output : ndarray, shape (N, C, ...)
        Gradient with respect to the output of `batch_norm_relu`.
    input : ndarray, same shape
        The input of `batch_norm_relu`.
    statistics : ndarray of float64, shape (2, C)
        What `batch_norm_relu` wrote.
    weight, bias, training
        As in `batch_norm_relu`.
    output : ndarray, same shape, keyword-only
        What `batch_norm_relu` returned; needed if there was a residual.
    upper
        As in `batch_norm_relu`.
    output_mask : tuple of four bool
        Which of the four to compute; without `output` there is no gradient of a residual.
    out : tuple of four ndarray or None, optional
        Where to write each; None for a new array, and where `output_mask` is False. The gradient
        of the input may take the place of any of the three arrays; that of the residual, of
        `grad_output` or `output`.

    Returns
    -------
    grad_input, grad_weight, grad_bias, grad_residual : ndarray or None
        None where masked, and the last without `output`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, saved = np.array([[0.0], [3.0], [3.0]]), np.empty((2, 1))
    >>> y = F.batch_norm_relu(x, None, None, training=True, eps=0, statistics=saved)
    >>> F.batch_norm_relu_backward(np.ones((3, 1)), x, saved, training=True)[2]
    array([2.])
    >>> F.batch_norm_relu_backward(np.ones((3, 1)), x, saved, training=True, output=y)[3]
    array([[0.],
           [1.],
           [1.]])
    """
    mask = _check.output_mask(output_mask, 4)
    if output is None:
        mask = (*mask[:3], False)
    return _backward(
        grad_output,
        input,
        statistics,
        weight,
        bias,
        training,
        True,
        _bound(upper),
        output,
        mask,
        out,
    )


def _bound(upper: float | None) -> float:
    """Return where the output is cut off, or infinity."""
    if upper is None:
        return np.inf
    bound = _check.number("upper", upper)
    if not bound > 0:
        raise ValueError(f"upper must be above 0, got {upper!r}")
    return bound


def _forward(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    relu: bool,
    upper: float,
    residual: Array | None,
    statistics: Array | None,
    out: Array | None,
) -> Array:
    input = maps_of(input)
    shape = input.shape[1:2]
    weight = optional("weight", weight, input, shape, "(C,)")
    bias = optional("bias", bias, input, shape, "(C,)")
    momentum, eps = _check.number("momentum", momentum), _check.number("eps", eps)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must both be arrays, or both None")
    if running_mean is not None:
        running_mean = moving("running_mean", running_mean, input, shape, written=training)
        running_var = moving("running_var", running_var, input, shape, written=training)
    elif not training:
        raise ValueError("running_mean and running_var must be arrays where training is False")
    if residual is not None:
        residual = operand("residual", residual, input)
    same = (input,) if residual is None else (input, residual)
    written = result(out, input, 2, same)
    saved = new_statistics(statistics, (2, *shape), input, residual, weight, bias, written)
    if input.size:
        if training and input.size == shape[0]:
            raise ValueError(
                f"input must have more than one value a channel in training, got shape "
                f"{input.shape}"
            )
        compiled.forward(
            contiguous_from(input, 2), saved, running_mean, running_var, weight, bias,
            bool(training), momentum, eps, relu, upper,
            None if residual is None else contiguous_from(residual, 2), written,
        )  # fmt: skip
    else:
        # There is nothing of which it would be the mean.
        saved[...] = np.nan
    if statistics is not None and saved is not statistics:
        statistics[...] = saved
    return _check.deliver(written, out)


def _backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None,
    bias: Array | None,
    training: bool,
    relu: bool,
    upper: float,
    output: Array | None,
    mask: tuple[bool, ...],
    out: tuple[Gradient, ...] | None,
) -> tuple[Gradient, Gradient, Gradient, Gradient]:
    """Return the gradients of input, weight, bias and residual."""
    input = maps_of(input)
    shape = input.shape[1:2]
    grad_output = operand("grad_output", grad_output, input)
    saved = saved_statistics(statistics, (2, *shape), "(2, C)")
    weight = optional("weight", weight, input, shape, "(C,)")
    bias = optional("bias", bias, input, shape, "(C,)")
    if output is not None:
        output = operand("output", output, input)
    # batch_norm has three gradients, of which `out` tells the place.
    outs = _NOWHERE if out is None else (*_check.outputs(out, mask[: 4 if relu else 3]), None)
    arrays = tuple(a for a in (grad_output, input, output, weight, bias, saved) if a is not None)
    maps = tuple(a for a in (grad_output, input, output) if a is not None)
    grad_input = grad_weight = grad_bias = grad_residual = None
    if mask[0]:
        grad_input = result(outs[0], input, 2, maps, arrays[len(maps) :])
    if mask[1]:
        grad_weight = _check.output(outs[1], shape, input.dtype, *arrays)
    if mask[2]:
        grad_bias = _check.output(outs[2], shape, input.dtype, *arrays)
    if mask[3] and output is not None:
        grad_residual = result(outs[3], input, 2, (grad_output, output), (input, *arrays[3:]))
    gradients = (grad_input, grad_weight, grad_bias, grad_residual)
    if input.size:
        compiled.backward(
            contiguous_from(grad_output, 2), contiguous_from(input, 2), saved, weight, bias,
            bool(training), relu, upper, None if output is None else contiguous_from(output, 2),
            *gradients,
        )  # fmt: skip
    else:
        for total in (grad_weight, grad_bias):
            if total is not None:
                total[...] = 0
    if out is None:
        return gradients
    first, second, third, fourth = (
        None if array is None else _check.deliver(array, place)
        for array, place in zip(gradients, outs[:4], strict=True)
    )
    return first, second, third, fourth
