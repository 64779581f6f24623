"""Cases of what moves, joins and resamples arrays."""

from typing import Any

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Ints, Source, Subject

_MODES = {
    1: ("nearest", "nearest-exact", "linear"),
    2: ("nearest", "nearest-exact", "bilinear", "bicubic"),
    3: ("nearest", "nearest-exact", "trilinear"),
}
_COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
)  # fmt: skip


def _padded(source: Source) -> tuple[Array, Ints, str]:
    """Draw an array, the cells around its last axes, and what they show."""
    mode = source.choose(("constant", "reflect", "replicate", "circular", "symmetric"))
    return source.array(*source.maps(2, 3)), source.each(2 * source.pick(1, 2), -1, 2), mode


def _pad(source: Source) -> Call:
    x, pad, mode = _padded(source)
    return Call((x, pad, mode), {"value": 2.0} if mode == "constant" else {}, 0)


def _pad_gradient(source: Source) -> Call:
    x, pad, mode = _pad(source).arguments
    residual = source.array(*reference.pad(x, pad, mode).shape)
    # Itself and, on each axis, at most two copies on either side.
    return Call((residual, x.shape, pad, mode), {}, 5 ** (len(pad) // 2))


def _resized(source: Source) -> tuple[Array, dict[str, Any], int]:
    axes = 2 if source.plain else source.pick(1, 3)
    x = source.array(*source.maps(axes, 2))
    mode = source.choose(_MODES[axes])
    size = tuple(2 * n for n in x.shape[2:]) if source.plain else source.each(axes, 1, 12)
    options: dict[str, Any] = {"size": size, "mode": mode}
    if mode != "nearest-exact" and source.pick(0, 1):
        options["coordinates"] = source.choose(_COORDINATES)
    elif mode.endswith(("linear", "cubic")):
        options["align_corners"] = bool(source.pick(0, 1))
    return x, options, 0 if mode.startswith("nearest") else 30


def _interpolate(source: Source) -> Call:
    x, options, terms = _resized(source)
    return Call((x,), options, terms)


def _interpolate_gradient(source: Source) -> Call:
    x, options, _ = _resized(source)
    residual = source.array(*x.shape[:2], *options["size"])
    return Call((residual, x.shape), options, 30)


def _shuffle(source: Source) -> Call:
    (n, c, *size), factor = source.maps(2), source.pick(1, 3)
    return Call((source.array(n, c * factor**2, *size), factor), {}, 0)


def _unshuffle(source: Source) -> Call:
    (n, c, *size), factor = source.maps(2), source.pick(1, 3)
    return Call((source.array(n, c, *(factor * cells for cells in size)), factor), {}, 0)


def _sum(source: Source) -> Call:
    size = source.maps(2)
    return Call((source.array(*size), source.array(*size)), {}, 1)


def _joined(source: Source) -> Call:
    shape, axis = source.maps(2), source.pick(-4, 3)
    pieces = []
    for _ in range(source.pick(1, 4)):
        size = list(shape)
        size[axis] = source.pick(1, 5)
        pieces.append(source.array(*size))
    return Call((pieces, axis), {}, 0)


def _turned(source: Source) -> Call:
    return Call((source.array(*source.maps(2)[2:]),), {}, 0)


SUBJECTS = (
    Subject("pad", _pad),
    Subject("pad_backward", _pad_gradient),
    Subject("interpolate", _interpolate, exact=False, linear=False),
    Subject("interpolate_backward", _interpolate_gradient, exact=False, linear=False),
    Subject("pixel_shuffle", _shuffle),
    Subject("pixel_unshuffle", _unshuffle),
    Subject("add", _sum),
    Subject("concatenate", _joined),
    Subject("rot180", _turned),
)
