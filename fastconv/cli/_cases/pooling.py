"""Cases of pooling over one to three axes."""

from functools import partial
from math import prod
from typing import Any, NamedTuple

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Ints, Source, Subject


class _Pooling(NamedTuple):
    x: Array
    kernel: Ints
    options: dict[str, Any]


def _windows(source: Source, axes: int) -> _Pooling:
    """Draw input, window and options of a pooling that fits."""
    if source.plain:
        return _Pooling(source.array(*source.maps(axes)), (2,) * axes, {})
    kernel, dilation = source.each(axes, 1, 3), source.each(axes, 1, 2)
    options: dict[str, Any] = {
        "stride": source.each(axes, 1, 3),
        # At least one window cell lies inside the input: before, by torch's rule of half a
        # kernel; after, because the input is no smaller than the window.
        "padding": tuple(source.pick(0, taps // 2) for taps in kernel),
        "dilation": dilation,
        "ceil_mode": bool(source.pick(0, 1)),
    }
    size = [
        step * (taps - 1) + 1 + source.pick(0, 7)
        for step, taps in zip(dilation, kernel, strict=True)
    ]
    return _Pooling(source.array(source.pick(1, 3), source.pick(1, 4), *size), kernel, options)


def _max(axes: int, source: Source) -> Call:
    x, kernel, options = _windows(source, axes)
    return Call((x, kernel), {**options, "return_indices": True}, 0)


def _max_gradient(axes: int, source: Source) -> Call:
    x, kernel, options = _windows(source, axes)
    forward = getattr(reference, f"max_pool{axes}d")
    indices = forward(x, kernel, **options, return_indices=True)[1]
    return Call((source.array(*indices.shape), indices, x.shape), {}, prod(kernel))


def _means(source: Source, axes: int) -> _Pooling:
    case = _windows(source, axes)
    if not source.plain:
        case.options["count_include_pad"] = bool(source.pick(0, 1))
        case.options["divisor_override"] = source.choose((None, None, 3))
    return case


def _mean(axes: int, source: Source) -> Call:
    x, kernel, options = _means(source, axes)
    return Call((x, kernel), options, prod(kernel) + 1)


def _mean_gradient(axes: int, source: Source) -> Call:
    x, kernel, options = _means(source, axes)
    output = getattr(reference, f"avg_pool{axes}d")(x, kernel, **options)
    return Call((source.array(*output.shape), x.shape, kernel), options, prod(kernel) + 1)


def _norms(source: Source, axes: int) -> tuple[_Pooling, float]:
    return _windows(source, axes), source.choose((1.0, 2.0, 3.0))


def _norm(axes: int, source: Source) -> Call:
    (x, kernel, options), p = _norms(source, axes)
    return Call((x, p, kernel), options, prod(kernel) + 8)


def _norm_gradient(axes: int, source: Source) -> Call:
    (x, kernel, options), p = _norms(source, axes)
    output = getattr(reference, f"lp_pool{axes}d")(x, p, kernel, **options)
    arguments = source.array(*output.shape), x, output, p, kernel
    return Call(arguments, options, prod(kernel) + 12)


def _adaptive(source: Source, axes: int) -> tuple[Array, Ints]:
    x = source.array(*source.maps(axes))
    return x, (7,) * axes if source.plain else source.each(axes, 1, 5)


def _most(large: Ints, small: Ints) -> int:
    """Return how many parts of a large range a small one's part meets at most."""
    return prod(-(-n // m) + 1 for n, m in zip(large, small, strict=True))


def _adaptive_max(axes: int, source: Source) -> Call:
    return Call(_adaptive(source, axes), {"return_indices": True}, 0)


def _adaptive_max_gradient(axes: int, source: Source) -> Call:
    x, size = _adaptive(source, axes)
    indices = getattr(reference, f"adaptive_max_pool{axes}d")(x, size, return_indices=True)[1]
    terms = _most(size, x.shape[2:])
    return Call((source.array(*indices.shape), indices, x.shape), {}, terms)


def _adaptive_mean(axes: int, source: Source) -> Call:
    x, size = _adaptive(source, axes)
    return Call((x, size), {}, _most(x.shape[2:], size) + 1)


def _adaptive_mean_gradient(axes: int, source: Source) -> Call:
    x, size = _adaptive(source, axes)
    terms = _most(size, x.shape[2:]) + 1
    return Call((source.array(*x.shape[:2], *size), x.shape), {}, terms)


def _fractional(axes: int, source: Source) -> Call:
    # Steps are multiples of a quarter and samples of an eighth, so that no window depends on how
    # the places are rounded.
    counts = tuple(source.choose((1, 2, 3, 5)) for _ in range(axes))
    kernel = source.each(axes, 1, 3)
    size = [k + o - 1 + source.pick(0, 5) for k, o in zip(kernel, counts, strict=True)]
    lead = (8, 6) if source.plain else source.each(2, 1, 3)
    samples = source.rng.integers(0, 8, (*lead, axes)) / 8
    options = {"output_size": counts, "return_indices": True, "_random_samples": samples}
    return Call((source.array(*lead, *size), kernel), options, 0)


def _fractional_gradient(axes: int, source: Source) -> Call:
    call = _fractional(axes, source)
    forward = getattr(reference, f"fractional_max_pool{axes}d")
    indices = forward(*call.arguments, **call.options)[1]
    x, kernel = call.arguments
    # The last window ends with the map, however near the one before is.
    terms = prod(taps + 1 for taps in kernel)
    return Call((source.array(*indices.shape), indices, x.shape), {}, terms)


def _places(source: Source, axes: int) -> tuple[Array, Array, Ints]:
    """Draw maps, the places of their maxima in windows beside each other, and the window."""
    x = source.array(*source.maps(axes, 3))
    kernel = (2,) * axes if source.plain else source.each(axes, 1, 3)
    indices = getattr(reference, f"max_pool{axes}d")(x, kernel, return_indices=True)[1]
    return x, indices, kernel


def _unpool(axes: int, source: Source) -> Call:
    x, indices, kernel = _places(source, axes)
    options = {"output_size": x.shape[2:]}
    return Call((source.array(*indices.shape), indices, kernel), options, 0)


def _unpool_gradient(axes: int, source: Source) -> Call:
    x, indices, _ = _places(source, axes)
    return Call((x, indices), {}, 0)


def _subjects(axes: int) -> tuple[Subject, ...]:
    def subject(name: str, draw: Any, **traits: bool) -> Subject:
        return Subject(name.format(axes), partial(draw, axes), **traits)

    return (
        subject("max_pool{}d", _max),
        subject("max_pool{}d_backward", _max_gradient),
        subject("avg_pool{}d", _mean, exact=False),
        subject("avg_pool{}d_backward", _mean_gradient, exact=False),
        subject("lp_pool{}d", _norm, exact=False, linear=False),
        subject("lp_pool{}d_backward", _norm_gradient, exact=False, linear=False),
        subject("adaptive_max_pool{}d", _adaptive_max),
        subject("adaptive_max_pool{}d_backward", _adaptive_max_gradient),
        subject("adaptive_avg_pool{}d", _adaptive_mean, exact=False),
        subject("adaptive_avg_pool{}d_backward", _adaptive_mean_gradient, exact=False),
        subject("max_unpool{}d", _unpool),
        subject("max_unpool{}d_backward", _unpool_gradient),
    )


def _fractional_subjects(axes: int) -> tuple[Subject, ...]:
    name = f"fractional_max_pool{axes}d"
    return (
        Subject(name, partial(_fractional, axes)),
        Subject(f"{name}_backward", partial(_fractional_gradient, axes)),
    )


SUBJECTS = (
    *_subjects(2),
    *_subjects(1),
    *_subjects(3),
    *_fractional_subjects(2),
    *_fractional_subjects(3),
)
