"""Normalisation across neighbouring channels, and its gradient."""

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops.response_norm import response_norm
from fastconv.functional._maps import contiguous_from, maps_of, operand, result


def local_response_norm(
    input: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    divide_by_size: bool = True,
    out: Array | None = None,
) -> Array:
    r"""Return input / (k + alpha / size * sum of squares)^beta, over a window of channels.

    A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012,
    section 3.3. There the sum is not divided: `divide_by_size=False` with size 5, alpha 1e-4, beta
    0.75 and k 2.

    Parameters
    ----------
    input : ndarray, shape (N, C, ...)
        Float32 or float64.
    size : int
        The channels of a window: channel c has those from c - size // 2 to c + (size - 1) // 2, as
        in torch. (ONNX has an even size the other way round; an odd one is the same.) Those that
        do not exist count as 0.
    alpha, beta, k : float
        See above. A `beta` of 0.5, 0.75 or 1 is much faster than others.
    divide_by_size : bool, keyword-only
        Divide alpha by the size, as torch and ONNX do.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Notes
    -----
    The terms of a sum are not negative; at most 32 are added in one running sum, and those sums
    after each other: the error of the result is below (40 + size / 32) beta eps of itself.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.local_response_norm(np.array([[1.0, 2.0, 3.0]]), 3, alpha=3, beta=1, k=0)
    array([[0.2       , 0.14285714, 0.23076923]])
    """
    input = maps_of(input)
    written = result(out, input, 2, (), (input,))
    _run(None, input, written, size, alpha, beta, k, divide_by_size)
    return _check.deliver(written, out)


def local_response_norm_backward(
    grad_output: Array,
    input: Array,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    divide_by_size: bool = True,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `local_response_norm`.

    Parameters
    ----------
    grad_output, input : ndarray, shape (N, C, ...)
        The residual, and the input of `local_response_norm`.
    size, alpha, beta, k, divide_by_size
        As in `local_response_norm`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.array([[1.0, 2.0]])
    >>> F.local_response_norm_backward(np.ones((1, 2)), x, 1, alpha=1, beta=1, k=0)
    array([[-1.  , -0.25]])
    """
    input = maps_of(input)
    grad_output = operand("grad_output", grad_output, input)
    written = result(out, input, 2, (), (grad_output, input))
    _run(grad_output, input, written, size, alpha, beta, k, divide_by_size)
    return _check.deliver(written, out)


def _run(
    grad_output: Array | None,
    input: Array,
    written: Array,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    divide_by_size: bool,
) -> None:
    size = _check.integer("size", size, 1)
    alpha, beta = _check.number("alpha", alpha), _check.number("beta", beta)
    k = _check.number("k", k)
    if written.size:
        response_norm(
            None if grad_output is None else contiguous_from(grad_output, 2),
            contiguous_from(input, 2), written, size, alpha / size if divide_by_size else alpha,
            beta, k,
        )  # fmt: skip
