"""What all losses share: reductions, factors on single losses, and the residual of the gradient."""

from math import prod
from numbers import Real
from typing import Any

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import losses as compiled

Loss = Any
"""A NumPy scalar of the input's dtype, or with reduction="none" an array."""

REDUCTIONS = ("mean", "sum", "none")
Factor = tuple[Array, int] | None
"""Numbers for the losses, in their order, and how often each is repeated; or None."""
NO_NUMBERS = (0.0, 0.0, 0.0)


def check_reduction(reduction: str, known: tuple[str, ...] = REDUCTIONS) -> None:
    """Refuse a word that is no reduction.

    Raises
    ------
    ValueError
        If the word is unknown.
    """
    if reduction not in known:
        raise ValueError(
            f"reduction must be one of {', '.join(map(repr, known))}, got {reduction!r}"
        )


def reduce(losses: Array, reduction: str, count: float | None = None) -> Loss:
    """Return the losses, their sum, or that over `count`, by default their number.

    The mean of nothing is NaN, as in torch.
    """
    if reduction == "none":
        return np.asarray(losses)
    total = np.add.reduce(losses, axis=None)
    if reduction == "sum":
        return total
    count = losses.size if count is None else count
    return total / losses.dtype.type(count) if count else losses.dtype.type(np.nan)


def residual(
    grad_output: Any, reduction: str, count: float, shape: tuple[int, ...], like: Array
) -> Array:
    """Return grad_output, over `count` for a mean, in the dtype of `like`.

    It is a 0-D array, or with reduction="none" one of `shape`, that of the losses.
    """
    expected = shape if reduction == "none" else ()
    if type(grad_output) is float:
        scale = np.asarray(grad_output, like.dtype)
    elif isinstance(grad_output, np.ndarray):
        scale = _check.array("grad_output", grad_output)
        _check.same_dtype("grad_output", scale, "input", like)
    elif isinstance(grad_output, bool) or not isinstance(grad_output, Real):
        raise TypeError(
            f"grad_output must be a number or a numpy.ndarray, got {type(grad_output).__name__}"
        )
    else:
        scale = np.asarray(grad_output, like.dtype)
    if scale.shape != expected and scale.shape != ():
        raise ValueError(
            f"grad_output must be a number or have shape {expected} with reduction={reduction!r}, "
            f"got {scale.shape}"
        )
    if reduction in ("none", "sum"):
        return scale
    return np.asarray(scale / like.dtype.type(count) if count else like.dtype.type(np.nan))


def factor(name: str, value: Array | None, input: Array) -> Factor:
    """Check numbers that are broadcast to the input's shape, and say how they are repeated.

    Raises
    ------
    TypeError, ValueError
        If they are no array of the input's dtype, or cannot be broadcast.
    """
    if value is None:
        return None
    value = _check.array(name, value)
    _check.same_dtype(name, value, "input", input)
    shape = (1,) * (input.ndim - value.ndim) + value.shape
    if len(shape) != input.ndim or any(
        own not in (1, full) for own, full in zip(shape, input.shape, strict=True)
    ):
        raise ValueError(
            f"{name} must have a shape that broadcasts to input.shape = {input.shape}, "
            f"got {value.shape}"
        )
    own = [axis for axis, size in enumerate(shape) if size > 1]
    first, past = (own[0], own[-1] + 1) if own else (0, 0)
    if shape[first:past] == input.shape[first:past]:
        return np.ascontiguousarray(value), prod(input.shape[past:])
    return np.ascontiguousarray(np.broadcast_to(value, input.shape)), 1


def pair(input: Array, target: Array) -> tuple[Array, Array]:
    """Check two arrays of one dtype and shape."""
    input, target = _check.array("input", input), _check.array("target", target)
    _check.same_dtype("target", target, "input", input)
    _check.same_shape("target", target, input.shape, "input.shape")
    return input, target


def loss_of_pairs(
    kind: int,
    input: Array,
    target: Array,
    reduction: str,
    *,
    positive: Factor = None,
    weight: Factor = None,
    numbers: tuple[float, float, float] = NO_NUMBERS,
) -> Loss:
    """Return the losses of checked pairs, or their sum or mean in one pass over them."""
    if reduction == "none":
        losses = _check.new(input.shape, input.dtype)
        if input.size:
            x, t = np.ascontiguousarray(input), np.ascontiguousarray(target)
            compiled.each(kind, x, t, losses, positive, weight, numbers)
        return losses
    divisor = _divisor(input, reduction)
    return sums_of_pairs(kind, input, target, 1, divisor, positive, weight, numbers)[0]


def _divisor(input: Array, reduction: str) -> int:
    if reduction == "sum":
        return 1
    return input.size if reduction == "mean" else len(input)


def sums_of_pairs(
    kind: int,
    input: Array,
    target: Array,
    rows: int,
    divisor: float,
    positive: Factor = None,
    weight: Factor = None,
    numbers: tuple[float, float, float] = NO_NUMBERS,
) -> Array:
    """Return the sum of the losses of each row, over the divisor; over zero it is NaN."""
    sums = np.full(rows, 0 if divisor else np.nan, input.dtype)
    if input.size:
        x, t = np.ascontiguousarray(input), np.ascontiguousarray(target)
        compiled.total(kind, x, t, sums, divisor, positive, weight, numbers)
    return sums


def gradient_of_pairs(
    kind: int,
    input: Array,
    target: Array,
    scale: Array,
    out: Array | None,
    *,
    repeats: int = 1,
    positive: Factor = None,
    weight: Factor = None,
    numbers: tuple[float, float, float] = NO_NUMBERS,
) -> Array:
    """Return the slopes of the losses of checked pairs, times the residual `scale`.

    One that is no number is for as many pairs side by side as `repeats` says.
    """
    result = _check.elementwise(out, input)
    arrays = [input, target, scale, *(each[0] for each in (positive, weight) if each is not None)]
    flat = writeable(result, out, *arrays)
    if input.size:
        x, t = np.ascontiguousarray(input), np.ascontiguousarray(target)
        number, spread = float(scale) if not scale.ndim else 1.0, None
        if scale.ndim:
            spread = np.ascontiguousarray(scale), repeats
        compiled.slopes(kind, x, t, flat, number, spread, positive, weight, numbers)
    if flat is not result:
        result[...] = flat
    return result


def writeable(result: Array, out: Array | None, *inputs: Array) -> Array:
    """Return the result, or a stand-in for one into which a kernel cannot write."""
    if out is None or (
        result.flags.c_contiguous
        and not any(np.may_share_memory(result, value) for value in inputs)
    ):
        return result
    return np.empty(result.shape, result.dtype)
