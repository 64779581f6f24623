"""Normalisation of groups of channels, sample by sample, and the gradients.

Y. Wu and K. He, "Group normalization", arXiv 1803.08494.
"""

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import group_normalization as compiled
from fastconv.functional._maps import (
    contiguous_from,
    flat,
    maps_of,
    new_statistics,
    operand,
    optional,
    result,
    saved_statistics,
)

Gradient = Array | None
_NOWHERE = (None, None, None)


def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the input normalised by mean and variance of a group of channels of one sample.

    Parameters
    ----------
    input : ndarray, shape (N, C, ...)
        Float32 or float64, with any number of axes behind the channels, or none.
    num_groups : int
        G, a divisor of C: a group has C/G neighbouring channels.
    weight, bias : ndarray, shape (C,), optional
        By what a channel is multiplied, and what is added: 1 and 0 by default.
    eps : float
        Added to the variance.
    statistics : ndarray of float64, shape (2, N, G), optional, keyword-only
        Where to write what the gradient needs: each group's mean, and 1 / sqrt(var + eps).
    out : ndarray, optional
        Where to write the result; it may be `input`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or C is no multiple of `num_groups`.

    Notes
    -----
    Accuracy is as in `batch_norm`. A NaN stays in its group.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.group_norm(np.array([[1.0, 3.0, 10.0, 10.0]]), 2, eps=0.01).round(3)
    array([[-0.995,  0.995,  0.   ,  0.   ]])
    """
    input, groups = _grouped(input, num_groups)
    channels = input.shape[1:2]
    weight = optional("weight", weight, input, channels, "(C,)")
    bias = optional("bias", bias, input, channels, "(C,)")
    eps = _check.number("eps", eps)
    written = result(out, input, 1, (input,))
    shape = (2, input.shape[0], groups)
    saved = new_statistics(statistics, shape, input, weight, bias, written)
    if input.size:
        compiled.forward(
            contiguous_from(input, 1), groups, flat(saved), flat(weight),
            flat(bias), eps, written,
        )  # fmt: skip
    else:
        saved[...] = np.nan
    if statistics is not None and saved is not statistics:
        statistics[...] = saved
    return _check.deliver(written, out)


def group_norm_backward(
    grad_output: Array,
    input: Array,
    num_groups: int,
    statistics: Array,
    weight: Array | None = None,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    out: tuple[Gradient, Gradient, Gradient] | None = None,
) -> tuple[Gradient, Gradient, Gradient]:
    """Return the gradients of `group_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : ndarray, shape (N, C, ...)
        The residual, and the input of `group_norm`.
    num_groups : int
        As in `group_norm`.
    statistics : ndarray of float64, shape (2, N, G)
        What `group_norm` wrote.
    weight : ndarray, shape (C,), optional
        As in `group_norm`.
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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, saved = np.array([[1.0, 3.0, 2.0, 6.0]]), np.empty((2, 1, 2))
    >>> y = F.group_norm(x, 2, eps=0, statistics=saved)
    >>> F.group_norm_backward(np.ones((1, 4)), x, 2, saved)[1:]
    (array([-1.,  1., -1.,  1.]), array([1., 1., 1., 1.]))
    """
    input, groups = _grouped(input, num_groups)
    grad_output = operand("grad_output", grad_output, input)
    channels = input.shape[1:2]
    saved = saved_statistics(statistics, (2, input.shape[0], groups), "(2, N, G)")
    weight = optional("weight", weight, input, channels, "(C,)")
    mask = _check.output_mask(output_mask)
    outs = _NOWHERE if out is None else _check.outputs(out, mask)
    small = tuple(a for a in (weight, saved) if a is not None)
    grad_input = None
    totals: list[Gradient] = [None, None]
    if mask[0]:
        grad_input = result(outs[0], input, 1, (grad_output, input), small)
    for i in (1, 2):
        if mask[i]:
            totals[i - 1] = _check.elementwise(outs[i], np.empty(channels, input.dtype))
    if input.size:
        compiled.backward(
            contiguous_from(grad_output, 1), contiguous_from(input, 1), groups,
            flat(saved), flat(weight), grad_input, *totals,
        )  # fmt: skip
    else:
        for total in totals:
            if total is not None:
                total[...] = 0
    if grad_input is not None:
        grad_input = _check.deliver(grad_input, outs[0])
    return grad_input, totals[0], totals[1]


def _grouped(input: object, num_groups: object) -> tuple[Array, int]:
    maps, groups = maps_of(input), _check.integer("num_groups", num_groups, 1)
    if maps.shape[1] % groups:
        raise ValueError(f"num_groups must divide C = {maps.shape[1]}, got {groups}")
    return maps, groups
