"""Where PyTorch is faster: measured, not reasoned.

    python benches/bench_torch.py --layers resnet50 alexnet mobilenet [--channels-last] [--all]

times each layer through the adapter; `--all` serves those of the table, too. What stands here lost
on two threads in more than one run, on an AMD EPYC (Zen 5), with AVX-512, or with both sides held
to AVX2; the figures are PyTorch's time over ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from fastconv._geometry import ConvGeometry
from fastconv.engine.base.isa import isa
from fastconv.engine.base.kernel import OPERATIONS
from fastconv.functional._calls import Call

# Channels-last tensors are copied on the way in and out. It pays where Winograd saves at least so
# many products for each number that is copied, with kernels of two axes or of one: 64-64 3x3@56 is
# at 1.2 to 1.7, and with AVX2 at 1.7 to 2.6; what has no such kernel is at 0.04 to 0.9.
_COPIED_PRODUCTS = 250
_COPIED_PRODUCTS_OF_LINES = 450

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = OPERATIONS
_CHANNELS_LAST = "PyTorch is faster in channels_last"


@dataclass(frozen=True, slots=True)
class Loss:
    """Calls that PyTorch computes faster, in float32; `operation` is the engine's name."""

    isa: str
    operation: str
    why: str
    holds: Callable[[ConvGeometry], bool]


LOSSES = (
    Loss(
        "avx512",
        FORWARD,
        "PyTorch is faster at large strides of few channels",
        # AlexNet's first layer, 11x11/4: 0.93.
        lambda g: len(g.kernel) == 2 and g.in_channels <= 4 and min(g.stride) >= 4,
    ),
    Loss(
        "avx2",
        INPUT_GRADIENT,
        "PyTorch is faster at many weights for few pixels",
        # 1x1 512-2048@7 and 2048-512@7, batch 8: 0.92; 256-1024@14, batch 1: 0.91.
        lambda g: (
            prod(g.kernel) == 1
            and g.in_channels * g.out_channels >= 1 << 18
            and g.batch * prod(g.out_size) <= 400
        ),
    ),
    Loss(
        "avx2",
        WEIGHT_GRADIENT,
        "PyTorch is faster at small maps of single channels",
        # 3x3 1024@7 in 1024 groups: 0.91.
        lambda g: 1 < g.groups == g.in_channels and prod(g.out_size) <= 49,
    ),
)


def slower(call: Call, itemsize: int, copied: bool) -> str:
    """Return why PyTorch is faster at a call, or "".

    `copied` tells whether its tensors are in channels_last.
    """
    geometry = call.plan.geometry
    if copied and not (
        call.plan.algorithm == "winograd"
        and _products(geometry)
        >= (_COPIED_PRODUCTS_OF_LINES if 1 in geometry.kernel else _COPIED_PRODUCTS)
    ):
        return _CHANNELS_LAST
    if itemsize == 4:
        for loss in LOSSES:
            if (loss.isa, loss.operation) == (isa(), call.operation.computed) and loss.holds(
                geometry
            ):
                return loss.why
    return ""


def _products(geometry: ConvGeometry) -> float:
    """Return the products for each number of the input and the output."""
    inputs, outputs = geometry.in_channels, geometry.out_channels
    numbers = inputs * prod(geometry.in_size) + outputs * prod(geometry.out_size)
    products = inputs // geometry.groups * outputs * prod(geometry.kernel + geometry.out_size)
    return products / numbers
