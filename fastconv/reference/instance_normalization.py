"""Normalisation of each channel of each sample, and its gradients."""

import numpy as np

from fastconv.reference._arguments import Array, float_dtype
from fastconv.reference.batch_normalization import batch_norm, batch_norm_backward
from fastconv.reference.group_normalization import group_norm, group_norm_backward


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
) -> Array:
    """Normalise each channel of each sample by its mean and variance.

    Parameters
    ----------
    input : numpy.ndarray, shape (N, C, ...)
        Maps of float32 or float64.
    running_mean, running_var : numpy.ndarray, shape (C,), or None
        Moved in place by the input's statistics, where there are any; otherwise what is
        normalised by.
    weight, bias : numpy.ndarray, shape (C,), optional
        By what a channel is multiplied, and what is added.
    use_input_stats : bool
        Normalise by mean and variance of the input.
    momentum : float
        The weight of this batch in the running statistics.
    eps : float
        Added to the variance.
    statistics : numpy.ndarray of float64, optional
        Where to write mean and 1 / sqrt(variance + eps): of shape (2, N, C), and (2, C) where the
        running statistics are used.

    Returns
    -------
    numpy.ndarray
        ``(input - mean) / sqrt(variance + eps) * weight + bias``.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If there is one value a channel, or no running statistics where they are used.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import instance_norm
    >>> instance_norm(np.array([[[1.0, 3.0], [2.0, 6.0]]]), eps=0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(
            input, running_mean, running_var, weight, bias, False, momentum, eps,
            statistics=statistics,
        )  # fmt: skip
    float_dtype(input=input, running_mean=running_mean, running_var=running_var)
    if np.prod(input.shape[2:]) == 1:
        raise ValueError("one value a channel has no variance")
    if running_mean is not None and running_var is not None:
        flat = input.astype(np.float64).reshape(*input.shape[:2], -1)
        mean, unbiased = flat.mean(2).mean(0), flat.var(2, ddof=1).mean(0)
        running_mean[...] = (1 - momentum) * running_mean + momentum * mean
        running_var[...] = (1 - momentum) * running_var + momentum * unbiased
    return group_norm(input, input.shape[1], weight, bias, eps, statistics=statistics)


def instance_norm_backward(
    grad_output: Array,
    input: Array,
    statistics: Array,
    weight: Array | None = None,
    use_input_stats: bool = True,
    *,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of `instance_norm` with respect to input, weight and bias.

    Parameters
    ----------
    grad_output, input : numpy.ndarray, shape (N, C, ...)
        The residual, and the input of `instance_norm`.
    statistics : numpy.ndarray of float64
        What `instance_norm` wrote.
    weight, use_input_stats
        As in `instance_norm`.
    output_mask : tuple of three bool
        Which of the three to return; the others are None.

    Returns
    -------
    grad_input, grad_weight, grad_bias : numpy.ndarray or None
        As `group_norm_backward` with a channel a group; as `batch_norm_backward` outside of
        training where the running statistics were used.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import instance_norm_backward
    >>> x, saved = np.array([[[-1.0, 1.0]]]), np.array([[[0.0]], [[1.0]]])
    >>> instance_norm_backward(x, x, saved)[1]
    array([2.])
    """
    if use_input_stats:
        return group_norm_backward(
            grad_output, input, input.shape[1], statistics, weight, output_mask=output_mask
        )
    return batch_norm_backward(
        grad_output, input, statistics, weight, False, output_mask=output_mask
    )
