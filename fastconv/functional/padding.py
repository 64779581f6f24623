"""Cells around an array: constant, or taken from the array itself.

Each axis has a map from the positions of the padded array to positions of the input, and the maps
of different axes do not see each other. So a compiled loop over five axes, of which three are
padded, serves all arrays: it pads the last three, and if there are more, two at a time in front of
those that are done. The gradient is the transpose: each cell gets what its copies were given.
"""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints, Pair, Pairs
from fastconv.engine.base.memory import empty
from fastconv.engine.ops import boundaries

# Of a list of places that is kept for the next call, in numbers.
_MOST_KEPT = 4096
# Takes arrays as volumes, from and to, and the axes that it serves.
Run: TypeAlias = Callable[[Array, Array, slice], None]

PADDING_MODES = ("constant", "reflect", "replicate", "circular", "symmetric")


def pad(
    input: Array,
    pad: Ints,
    mode: str = "constant",
    value: float = 0.0,
    *,
    out: Array | None = None,
) -> Array:
    r"""Put cells before and after the last axes of an array.

    Parameters
    ----------
    input : ndarray
        Float32 or float64, any shape.
    pad : tuple of int
        Cells (before, after) of the last axis, then of the one before it, and so on, in one flat
        tuple, as in torch. Negative numbers take cells away, in mode "circular" before the others
        come, else from what the axis would be with them.
    mode : {"constant", "reflect", "replicate", "circular", "symmetric"}
        What the new cells hold: `value`; the input mirrored at its border cells, which are not
        repeated; the nearest border cell; the input from its other end; or the input mirrored with
        its border cells repeated. Reflected cells must be fewer than the axis has, circular and
        symmetric ones at most as many.
    value : float
        What the new cells hold in mode "constant".
    out : ndarray, optional
        Where to write the result. Its planes, the last two axes, are contiguous.

    Returns
    -------
    ndarray
        Each padded axis has size + before + after cells.

    Raises
    ------
    TypeError
        If `input` or `out` is not an array of float32 or float64, or `pad` holds something else
        than integers.
    ValueError
        If `pad` has an odd length or more pairs than the input has axes, the mode is unknown, or
        an axis has too few cells.

    Notes
    -----
    Along one axis of size n, position p of the result holds the input's position i(p - before):

    .. math:: i(q) = \begin{cases}
              n - 1 - \bigl|n - 1 - |q|\bigr| & \text{reflect} \\
              \min(\max(q, 0), n - 1) & \text{replicate} \\
              q \bmod n & \text{circular} \\
              \min(q \bmod 2n,\ 2n - 1 - (q \bmod 2n)) & \text{symmetric}
              \end{cases}

    and for "circular" with the part of the axis that is left, where cells are taken away.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> line = np.array([1.0, 2.0, 3.0])
    >>> F.pad(line, (2, 1))
    array([0., 0., 1., 2., 3., 0.])
    >>> F.pad(line, (2, 1), "reflect")
    array([3., 2., 1., 2., 3., 2.])
    >>> F.pad(line, (2, 1), "replicate")
    array([1., 1., 1., 2., 3., 3.])
    >>> F.pad(line, (2, 1), "circular")
    array([2., 3., 1., 2., 3., 1.])
    >>> F.pad(line, (2, 1), "symmetric")
    array([2., 1., 1., 2., 3., 3.])
    >>> F.pad(line, (-1, 2), "reflect"), F.pad(line, (-1, 2), "circular")
    (array([2., 3., 2., 1.]), array([2., 3., 2., 3.]))
    """
    input = _check.array("input", input)
    pairs = _pairs(pad, mode, input.shape)
    value = _check.number("value", value)
    if mode != "constant" and value != 0:
        raise ValueError(f"value must be 0 with mode={mode!r}, which does not use it, got {value}")
    result = _check.output(out, _padded_shape(input.shape, pairs), input.dtype, input)
    _fill(input, result, pairs, mode, value)
    return _check.deliver(result, out)


def pad_backward(
    grad_output: Array,
    input_size: Ints,
    pad: Ints,
    mode: str = "constant",
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `pad`: each cell's own residual and those of its copies.

    Parameters
    ----------
    grad_output : ndarray
        The residual: gradient with respect to the output of `pad`, float32 or float64.
    input_size : tuple of int
        Shape of the input.
    pad, mode
        As in `pad`.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape `input_size`
        Zero where `pad` took cells away.

    Raises
    ------
    TypeError, ValueError
        As `pad`; also if `grad_output` does not have the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.pad_backward(np.array([1.0, 10.0, 2.0, 3.0, 4.0, 20.0]), (3,), (2, 1), "reflect")
    array([ 2., 33.,  5.])
    """
    grad_output = _check.array("grad_output", grad_output)
    if not isinstance(input_size, tuple | list):
        raise TypeError(f"input_size must be a tuple of integers, got {type(input_size).__name__}")
    size = tuple(_check.integer(f"input_size[{i}]", n, 0) for i, n in enumerate(input_size))
    pairs = _pairs(pad, mode, size)
    _check.same_shape(
        "grad_output", grad_output, _padded_shape(size, pairs), "size + before + after"
    )
    result = _check.output(out, size, grad_output.dtype, grad_output)
    if mode == "constant":
        # What was added is taken away, and zeros come where cells were.
        back = tuple((-before, -after) for before, after in pairs)
        _fill(grad_output, result, back, mode, 0.0)
    else:
        _fold(grad_output, result, pairs, mode)
    return _check.deliver(result, out)


def _pairs(pad: object, mode: str, shape: Ints) -> Pairs:
    """Return one (before, after) pair for each axis of an input, or say what does not fit."""
    if not isinstance(mode, str):
        raise TypeError(f"mode must be a str, got {type(mode).__name__}")
    if mode not in PADDING_MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, PADDING_MODES))}, got {mode!r}")
    if not isinstance(pad, tuple | list):
        raise TypeError(f"pad must be a tuple of integers, got {type(pad).__name__}")
    if len(pad) % 2 or len(pad) > 2 * len(shape):
        raise ValueError(
            f"pad must have two entries for each padded axis, at most 2*{len(shape)} for an input "
            f"of shape {shape}, got {len(pad)}: {pad!r}"
        )
    cells = [_check.integer(f"pad[{i}]", entry, -_check.MAX_INT) for i, entry in enumerate(pad)]
    last_first = list(zip(cells[::2], cells[1::2], strict=True))
    untouched = len(shape) - len(last_first)
    pairs = ((0, 0),) * untouched + tuple(reversed(last_first))
    for axis, n in enumerate(shape[untouched:], untouched):
        check_room("pad", mode, n, pairs[axis], str(axis - len(shape)))
    return pairs


def check_room(name: str, mode: str, n: int, pair: Pair, axis: str) -> None:
    """Refuse a pair for which an axis of size n is too small."""
    left, length = n + min(pair[0], 0) + min(pair[1], 0), n + sum(pair)
    if mode == "constant":
        fits, rule = left >= 0, "takes away at most"
    elif mode == "circular":
        fits, rule = left >= max(0, *pair), "needs at most, on each side, what is left of"
    elif mode == "reflect" and max(pair) >= n:
        fits, rule = False, "needs less on each side than"
    elif mode == "symmetric":
        fits, rule = max(pair) <= n and length >= 0, "needs at most, on each side,"
    else:
        fits, rule = n > 0 and length > 0, "needs at least one of"
    if not fits:
        raise ValueError(f"{name}: mode {mode!r} {rule} the {n} cells of axis {axis}, got {pair}")


def _padded_shape(shape: Ints, pairs: Pairs) -> Ints:
    return tuple(n + before + after for n, (before, after) in zip(shape, pairs, strict=True))


def _in_steps(run: Run, given: Array, result: Array, pairs: Pairs) -> None:
    """Bring some of the axes after the others from the size of `given` to that of `result`."""
    ends = range(len(pairs) - 3, 0, -2)
    steps = [slice(max(len(pairs) - 3, 0), len(pairs))]
    steps += [slice(max(end - 2, 0), end) for end in ends]
    steps = [axes for axes in steps if any(map(any, pairs[axes]))] or steps[:1]
    # What is written is seen with other axes, so it must be in order; an `out` may be not.
    flat = len(pairs) > 5 or steps[-1].stop < len(pairs)
    whole = empty(result.shape, result.dtype) if flat and not result.flags.c_contiguous else result
    for axes in steps:
        shape = (*given.shape[: axes.start], *result.shape[axes], *given.shape[axes.stop :])
        room = whole if axes is steps[-1] else empty(shape, given.dtype)
        run(_volumes(given, axes), _volumes(room, axes), axes)
        given = room
    if whole is not result:
        result[...] = whole


def _volumes(array: Array, axes: slice) -> Array:
    """View an array as (N, C, D, H, W), where `axes` are the last, or come before W."""
    if axes.stop == array.ndim <= 5:
        return array[(None,) * (5 - array.ndim)]
    behind = (prod(array.shape[axes.stop :]),) * (axes.stop < array.ndim)
    inner = (*array.shape[axes], *behind)
    return array.reshape((prod(array.shape[: axes.start]), *(1,) * (4 - len(inner)), *inner))


def _fill(input: Array, result: Array, pairs: Pairs, mode: str, value: float) -> None:
    """Write an input with the cells around it."""

    def run(maps: Array, padded: Array, axes: slice) -> None:
        found = _axes_of(input.shape, pairs, axes, maps.shape[4])
        boundaries.fill(maps, padded, places(mode, *found), found[1][-1][0], value)

    _in_steps(run, input, result, pairs)


def _fold(grad_output: Array, result: Array, pairs: Pairs, mode: str) -> None:
    """Write into each cell of the result the sum of what it and its copies were given."""
    size = result.shape

    def run(padded: Array, maps: Array, axes: slice) -> None:
        found = _axes_of(size, pairs, axes, maps.shape[4])
        boundaries.fold(padded, maps, places(mode, *found), found[1][-1][0])

    _in_steps(run, grad_output, result, pairs)


def _axes_of(size: Ints, pairs: Pairs, axes: slice, columns: int) -> tuple[Ints, Pairs]:
    """Return the sizes and pairs of the three last axes of volumes."""
    sizes, around = size[axes], pairs[axes]
    if axes.stop < len(size):
        sizes, around = (*sizes, columns), (*around, (0, 0))
    ones = 3 - len(sizes)
    return (1,) * ones + sizes, ((0, 0),) * ones + around


def places(mode: str, size: Ints, pairs: Pairs) -> NDArray[np.intp]:
    """Return, axis after axis, which position each padded position shows, -1 for a constant."""
    # Finding them takes as long as the rest of a small call.
    short = sum(size) + sum(map(sum, pairs)) <= _MOST_KEPT
    return (_kept_places if short else _new_places)(mode, size, pairs)


def _new_places(mode: str, size: Ints, pairs: Pairs) -> NDArray[np.intp]:
    return np.concatenate([_shown(mode, n, *pair) for n, pair in zip(size, pairs, strict=True)])


_kept_places = lru_cache(64)(_new_places)


def _shown(mode: str, n: int, before: int, after: int) -> NDArray[np.intp]:
    """Return the positions on an axis of size n that those of the padded axis show."""
    positions = np.arange(-before, n + after, dtype=np.intp)
    if mode != "circular":
        return sources(mode, n, positions)
    # The circle is closed over what is left.
    first, left = max(-before, 0), n + min(before, 0) + min(after, 0)
    return first + sources(mode, left, positions - first)


def sources(mode: str, n: int, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the positions on an axis of size n that those before, on and after it show."""
    if mode == "constant" or n == 0:
        return np.where((positions >= 0) & (positions < n), positions, -1)
    if mode == "reflect":
        period = np.abs(positions) % max(2 * n - 2, 1)
        mirrored: NDArray[np.intp] = n - 1 - np.abs(n - 1 - period)
        return mirrored
    if mode == "replicate":
        return np.clip(positions, 0, n - 1)
    if mode == "circular":
        return positions % n
    turn: NDArray[np.intp] = positions % (2 * n)
    return np.minimum(turn, 2 * n - 1 - turn)
