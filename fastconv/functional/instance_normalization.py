"""Normalisation of each channel of each sample, and the gradients.

D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance normalization: the missing ingredient for fast
stylization", arXiv 1607.08022.
"""

from math import prod

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.functional._maps import maps_of, moving, new_statistics
from fastconv.functional._pieces import sum_along
from fastconv.functional.batch_normalization import batch_norm, batch_norm_backward
from fastconv.functional.group_normalization import group_norm, group_norm_backward

Gradient = Array | None


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    statistics: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Return the input normalised by mean and variance of each channel of each sample.

    Parameters
    ----------
    input : ndarray, shape (N, C, ...)
        Float32 or float64, with any number of axes behind the channels.
    running_mean, running_var : ndarray, shape (C,), or None
        With `use_input_stats` they are moved in place, if there are any: by `momentum` towards the
        averages over the batch of mean and unbiased variance. Otherwise they are what the
        channels are normalised by, as in `batch_norm` outside of training.
    weight, bias : ndarray, shape (C,), optional
        1 and 0 by default.
    use_input_stats : bool
        Normalise by mean and variance of the input.
    momentum : float
        The weight of this batch in the running statistics.
    eps : float
        Added to the variance.
    statistics : ndarray of float64, optional, keyword-only
        Where to write what the gradient needs, mean and 1 / sqrt(var + eps): of shape (2, N, C),
        and (2, C) where the running statistics are used.
    out : ndarray, optional
        Where to write the result; it may be `input`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape; if there is one value a channel of a sample; or
        no running statistics where they are used.

    Notes
    -----
    Accuracy is as in `batch_norm`. A NaN stays in its channel and sample.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, mean, var = np.array([[[1.0, 3.0], [2.0, 6.0]]]), np.zeros(2), np.ones(2)
    >>> F.instance_norm(x, mean, var, eps=0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    >>> mean, var
    (array([0.2, 0.4]), array([1.1, 1.7]))
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "running_mean and running_var must be arrays where use_input_stats is False"
            )
        return batch_norm(
            input, running_mean, running_var, weight, bias, False, momentum, eps,
            statistics=statistics, out=out,
        )  # fmt: skip
    input = _instances(input)
    samples, channels = input.shape[:2]
    momentum, eps = _check.number("momentum", momentum), _check.number("eps", eps)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must both be arrays, or both None")
    values = prod(input.shape[2:])
    if values == 1:
        raise ValueError(
            f"input must have more than one value a channel of a sample, got shape {input.shape}"
        )
    if running_mean is None or running_var is None:
        return group_norm(input, channels, weight, bias, eps, statistics=statistics, out=out)
    shape = (channels,)
    running_mean = moving("running_mean", running_mean, input, shape, written=True)
    running_var = moving("running_var", running_var, input, shape, written=True)
    saved = new_statistics(statistics, (2, samples, channels), input, weight, bias)
    output = group_norm(input, channels, weight, bias, eps, statistics=saved, out=out)
    if statistics is not None and saved is not statistics:
        statistics[...] = saved
    if input.size:
        with np.errstate(all="ignore"):
            variance = np.maximum(1 / saved[1] ** 2 - eps, 0) * (values / (values - 1))
            for running, each in ((running_mean, saved[0]), (running_var, variance)):
                average = sum_along(each, 0)[0] / samples
                running[...] = (1 - momentum) * running + momentum * average
    return output


def instance_norm_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    use_input_stats: bool = True,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    out: tuple[Gradient, Gradient, Gradient] | None = None,
) -> tuple[Gradient, Gradient, Gradient]:
    """Return the gradients of `instance_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : ndarray, shape (N, C, ...)
        The residual, and the input of `instance_norm`.
    statistics : ndarray of float64, shape (2, N, C), or (2, C) without `use_input_stats`
        What `instance_norm` wrote.
    weight, use_input_stats
        As in `instance_norm`.
    output_mask, out
        As in `group_norm_backward`.

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
    >>> x, saved = np.array([[[1.0, 3.0], [2.0, 6.0]]]), np.empty((2, 1, 2))
    >>> y = F.instance_norm(x, eps=0, statistics=saved)
    >>> F.instance_norm_backward(y, x, saved)[1:]
    (array([2., 2.]), array([0., 0.]))
    """
    if not use_input_stats:
        return batch_norm_backward(
            grad_output, input, statistics, weight, False, output_mask=output_mask, out=out
        )
    input = _instances(input)
    return group_norm_backward(
        grad_output, input, input.shape[1], statistics, weight, output_mask=output_mask, out=out
    )


def _instances(input: object) -> Array:
    maps = maps_of(input)
    if not maps.shape[1]:
        raise ValueError(f"input must have a channel at least, got shape {maps.shape}")
    return maps
