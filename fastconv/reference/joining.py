"""Where branches of a network meet: sums and concatenations."""

from collections.abc import Sequence

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype


def add(input: Array, other: Array) -> Array:
    """Return the sum of two arrays of one shape and dtype.

    Parameters
    ----------
    input, other : ndarray
        Float32 or float64.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import reference
    >>> reference.add(np.ones(2), np.array([1.0, 2.0]))
    array([2., 3.])
    """
    float_dtype(input=input, other=other)
    expect_shape("other", other, input.shape)
    return input + other


def concatenate(inputs: Sequence[Array], axis: int = 1) -> Array:
    """Return arrays one after the other along an axis.

    Parameters
    ----------
    inputs : sequence of ndarray
        One or more of one dtype, of equal shapes but for the axis.
    axis : int
        The axis, of the channels by default.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import reference
    >>> reference.concatenate([np.ones((1, 2)), np.zeros((1, 1))])
    array([[1., 1., 0.]])
    """
    shape = list(inputs[0].shape)
    shape[axis] = sum(value.shape[axis] for value in inputs)
    result = np.empty(shape, float_dtype(**{f"inputs[{i}]": v for i, v in enumerate(inputs)}))
    begin = 0
    for value in inputs:
        end = begin + value.shape[axis]
        np.moveaxis(result, axis, 0)[begin:end] = np.moveaxis(value, axis, 0)
        begin = end
    return result
