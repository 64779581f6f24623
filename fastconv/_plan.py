"""Which algorithm computes a convolution: one ordered table, read from the top.

The choice depends on the geometry alone, never on the number of threads, so that the same call
gives the same bits everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from fastconv._geometry import ConvGeometry, Ints, Padding, conv_geometry


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the table.

    `refuses` returns the reason why the algorithm cannot serve a geometry, or None; `automatic`
    says whether "auto" may pick it, and `why` gives the reason for that. `exact` says whether
    integers give exactly the integer result while no partial sum needs rounding.
    """

    name: str
    refuses: Callable[[ConvGeometry], str | None]
    automatic: bool
    why: str
    exact: bool = True


def _serves_all(geometry: ConvGeometry) -> None:
    """Refuse no geometry."""


def _needs_one_channel(geometry: ConvGeometry) -> str | None:
    """Refuse several input channels in a group."""
    channels = geometry.in_channels // geometry.groups
    if channels == 1:
        return None
    return f"it needs one input channel in each group, here are {channels}"


ALGORITHMS = (
    Algorithm(
        "depthwise",
        _needs_one_channel,
        automatic=True,
        why="kernels of one channel have too few products for a tile of several outputs",
    ),
    Algorithm(
        "gemm",
        _serves_all,
        automatic=True,
        why="the fastest of those that serve all; the same bits for every number of threads",
    ),
    Algorithm(
        "direct",
        _serves_all,
        automatic=False,
        why="plain loops, to be read rather than to be fast",
    ),
    Algorithm(
        "im2col",
        _serves_all,
        automatic=False,
        why="its order of summation is that of the BLAS that NumPy was built with",
    ),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked call: its geometry and the algorithm that computes it."""

    geometry: ConvGeometry
    algorithm: str


@lru_cache(maxsize=4096)
def plan_conv(
    input_shape: Ints,
    weight_shape: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
    algorithm: str,
) -> Plan:
    """Return the plan of a convolution; the same call is looked up the next time.

    Raises
    ------
    ValueError
        If the sizes do not fit together, or the algorithm does not exist or cannot serve them.
    """
    geometry = conv_geometry(input_shape, weight_shape, stride, padding, dilation, groups)
    refused = {row.name: row.refuses(geometry) for row in ALGORITHMS}
    able = [row for row in ALGORITHMS if refused[row.name] is None]
    if algorithm == "auto":
        return Plan(geometry, next(row.name for row in able if row.automatic))
    if algorithm not in refused:
        reason = "does not exist"
    elif refused[algorithm] is not None:
        reason = f"cannot compute this: {refused[algorithm]}"
    else:
        return Plan(geometry, algorithm)
    names = ", ".join(repr(row.name) for row in able)
    raise ValueError(f"algorithm {algorithm!r} {reason}; those that can: 'auto', {names}")
