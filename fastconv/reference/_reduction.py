"""What all losses of the reference share: reductions, and the residual of the gradient."""

from typing import Any

import numpy as np

from fastconv.reference._arguments import Array, expect_shape


def reduce(losses: Array, reduction: str, dtype: np.dtype[Any], count: float | None = None) -> Any:
    """Return the losses, their sum, or that over `count`, by default their number."""
    if reduction == "none":
        return np.asarray(losses).astype(dtype)
    if reduction == "sum":
        return dtype.type(losses.sum())
    if reduction == "mean":
        count = losses.size if count is None else count
        return dtype.type(losses.sum() / count if count else np.nan)
    raise ValueError(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")


def spread_residual(
    shape: tuple[int, ...], reduction: str, grad_output: Any, count: float | None = None
) -> Array:
    """Spread the loss's gradient over its terms; a mean gives each its share."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean', 'sum' or 'none'")
    gradient = np.asarray(grad_output, np.float64)
    if gradient.ndim or reduction != "none":
        expect_shape("grad_output", gradient, shape if reduction == "none" else ())
    if count is None:
        count = int(np.prod(shape))
    share = (1 / count if count else np.nan) if reduction == "mean" else 1
    return np.broadcast_to(gradient, shape) * share


def expect_pair(input: Array, target: Array) -> tuple[Array, Array]:
    """Return two arrays of one shape in double precision."""
    expect_shape("target", target, input.shape)
    return input.astype(np.float64), target.astype(np.float64)
