"""Where branches of a network meet: sums and concatenations.

Their gradients need no function. That of a sum is the residual itself, for each of the two; that of
a concatenation are the residual's slices along the axis.
"""

from collections.abc import Sequence

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import joining as compiled


def add(input: Array, other: Array, *, out: Array | None = None) -> Array:
    """Return the sum of two arrays of one shape and dtype, as at the end of a residual block.

    Parameters
    ----------
    input, other : ndarray
        Float32 or float64. Unlike NumPy's sum, nothing is repeated to fit.
    out : ndarray, optional
        Where to write the result; it may be either of the two.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        If an argument is not such an array, or the two differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.add(np.ones(2), np.array([1.0, 2.0]))
    array([2., 3.])
    """
    input, other = _check.array("input", input), _check.array("other", other)
    _check.same_dtype("other", other, "input", input)
    _check.same_shape("other", other, input.shape, "input.shape")
    result = _check.elementwise(out, input)
    # The loops read an element before they write it, and only in order.
    in_order = result.flags.c_contiguous and all(
        value is result or not np.may_share_memory(value, result) for value in (input, other)
    )
    flat = result if in_order else np.empty(result.shape, result.dtype)
    compiled.add(np.ascontiguousarray(input), np.ascontiguousarray(other), flat)
    return _check.deliver(flat, out)


def concatenate(inputs: Sequence[Array], axis: int = 1, *, out: Array | None = None) -> Array:
    """Return arrays one after the other along an axis, as at the end of an Inception block.

    Parameters
    ----------
    inputs : sequence of ndarray
        One or more, float32 or float64, of equal shapes but for the axis.
    axis : int
        The axis, that of the channels of a batch by default; a negative one counts from the end.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If there are no inputs, they are not such arrays or do not fit together, or they have no
        such axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.concatenate([np.zeros((8, 64, 28, 28)), np.zeros((8, 32, 28, 28))]).shape
    (8, 96, 28, 28)
    """
    if not isinstance(inputs, tuple | list) or not inputs:
        raise TypeError(f"inputs must be a list of one or more arrays, got {type(inputs).__name__}")
    arrays = [_check.array(f"inputs[{i}]", value) for i, value in enumerate(inputs)]
    first = arrays[0]
    axis = _check.integer("axis", axis, -_check.MAX_INT)
    if not -first.ndim <= axis < first.ndim:
        raise ValueError(f"axis must be from {-first.ndim} to {first.ndim - 1}, got {axis}")
    axis %= first.ndim
    for i, value in enumerate(arrays[1:], 1):
        _check.same_dtype(f"inputs[{i}]", value, "inputs[0]", first)
        expected = (*first.shape[:axis], *value.shape[axis : axis + 1], *first.shape[axis + 1 :])
        _check.same_shape(f"inputs[{i}]", value, expected, f"inputs[0].shape but for axis {axis}")
    length = sum(value.shape[axis] for value in arrays)
    shape = (*first.shape[:axis], length, *first.shape[axis + 1 :])
    result = _check.output(out, shape, first.dtype, *arrays)
    return _check.deliver(np.concatenate(arrays, axis, out=result), out)
