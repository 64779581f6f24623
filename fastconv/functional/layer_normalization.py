"""Normalisation over the last axes, and the gradients.

J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv 1607.06450.
"""

from collections.abc import Sequence

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.ops import layer_normalization as compiled
from fastconv.functional._maps import (
    flat,
    new_statistics,
    operand,
    optional,
    result,
    saved_statistics,
)

Gradient = Array | None
_NOWHERE = (None, None, None)


def layer_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
    out: Array | None = None,
) -> Array:
    r"""Return (input - mean) / sqrt(var + eps) * weight + bias, over the last axes.

    Parameters
    ----------
    input : ndarray, shape (\*rows, \*normalized_shape)
        Float32 or float64.
    normalized_shape : int or sequence of int
        The lengths of the axes that mean and variance run over: the last ones.
    weight, bias : ndarray, shape `normalized_shape`, optional
        1 and 0 by default.
    eps : float
        Added to the variance.
    statistics : ndarray of float64, shape (2, \*rows), optional, keyword-only
        Where to write what the gradient needs: each row's mean, and 1 / sqrt(var + eps).
    out : ndarray, optional
        Where to write the result; it may be `input`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape.

    Notes
    -----
    Accuracy is as in `batch_norm`. A NaN stays in its row.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.layer_norm(np.array([[1.0, 3.0], [10.0, 10.0]]), 2, eps=0.01).round(3)
    array([[-0.995,  0.995],
           [ 0.   ,  0.   ]])
    """
    input, last, rows = _rows(input, normalized_shape)
    weight = optional("weight", weight, input, last, "normalized_shape")
    bias = optional("bias", bias, input, last, "normalized_shape")
    eps = _check.number("eps", eps)
    written = result(out, input, 0, (input,), tuple(a for a in (weight, bias) if a is not None))
    saved = new_statistics(statistics, (2, *rows), input, weight, bias, written)
    if input.size:
        compiled.forward(
            flat(input), saved.reshape(-1), flat(weight), flat(bias), eps, written.reshape(-1)
        )
    else:
        saved[...] = np.nan
    if statistics is not None and saved is not statistics:
        statistics[...] = saved
    return _check.deliver(written, out)


def layer_norm_backward(
    grad_output: Array,
    input: Array,
    normalized_shape: int | Sequence[int],
    statistics: Array,
    weight: Array | None = None,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    out: tuple[Gradient, Gradient, Gradient] | None = None,
) -> tuple[Gradient, Gradient, Gradient]:
    r"""Return the gradients of `layer_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : ndarray, shape (\*rows, \*normalized_shape)
        The residual, and the input of `layer_norm`.
    normalized_shape : int or sequence of int
        As in `layer_norm`.
    statistics : ndarray of float64, shape (2, \*rows)
        What `layer_norm` wrote.
    weight : ndarray, shape `normalized_shape`, optional
        As in `layer_norm`.
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
    The gradients of weight and bias are sums over the rows: of at most 128 at a time, which are
    joined in double precision.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, saved = np.array([[1.0, 3.0], [2.0, 6.0]]), np.empty((2, 2))
    >>> y = F.layer_norm(x, 2, eps=0, statistics=saved)
    >>> F.layer_norm_backward(np.ones((2, 2)), x, 2, saved)[1:]
    (array([-2.,  2.]), array([2., 2.]))
    """
    input, last, rows = _rows(input, normalized_shape)
    grad_output = operand("grad_output", grad_output, input)
    saved = saved_statistics(statistics, (2, *rows), "(2, *rows)")
    weight = optional("weight", weight, input, last, "normalized_shape")
    mask = _check.output_mask(output_mask)
    outs = _NOWHERE if out is None else _check.outputs(out, mask)
    small = tuple(a for a in (weight, saved) if a is not None)
    gradients: list[Gradient] = [None, None, None]
    if mask[0]:
        gradients[0] = result(outs[0], input, 0, (grad_output, input), small)
    for i in (1, 2):
        if mask[i]:
            like = np.empty(last, input.dtype)
            gradients[i] = result(outs[i], like, 0, (), (grad_output, input, *small))
    if input.size:
        compiled.backward(
            flat(grad_output), flat(input), saved.reshape(-1), flat(weight),
            *(None if gradient is None else gradient.reshape(-1) for gradient in gradients),
        )  # fmt: skip
    else:
        for gradient in gradients:
            if gradient is not None:
                gradient[...] = 0
    return _check.deliver_all((gradients[0], gradients[1], gradients[2]), outs)


def _rows(input: object, normalized_shape: object) -> tuple[Array, Ints, Ints]:
    """Return the input, and its shape in two parts: what is normalised over comes first."""
    array = _check.array("input", input)
    last = _check.lengths("normalized_shape", normalized_shape)
    rows = array.ndim - len(last)
    if rows < 0 or array.shape[rows:] != last:
        raise ValueError(f"input must end with normalized_shape = {last}, got shape {array.shape}")
    return array, last, array.shape[:rows]
