"""Cases of batch, group, instance, layer and local response normalisation."""

from typing import Any

import numpy as np

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Source, Subject, Wide

# Roundings of a number that is normalised by statistics in double precision, and of a gradient.
_TERMS = 20


def _maps(source: Source) -> Array:
    """Return maps of which each channel has several cells, and so a spread."""
    return source.array(*source.maps(2, 3))


def _affine(source: Source, channels: int) -> tuple[Array | None, Array | None]:
    if source.pick(0, 2) == 0:
        return None, None
    return source.array(channels), source.array(channels)


def _batch(source: Source, adds: bool) -> Call:
    """Draw a batch norm, in training or not, with or without a residual to add."""
    x = _maps(source)
    channels = x.shape[1]
    mean, var = source.array(channels), abs(source.array(channels)) + 0.5
    training = bool(source.pick(0, 1))
    options: dict[str, Any] = {"statistics": Wide(np.zeros((2, channels)))}
    if adds:
        options["residual"] = source.array(*x.shape)
    arguments = x, mean, var, *_affine(source, channels), training, 0.25
    return Call(arguments, options, _TERMS, written=(1, 2, "statistics"))


def _batch_norm(source: Source) -> Call:
    return _batch(source, adds=False)


def _batch_norm_relu(source: Source) -> Call:
    return _batch(source, adds=bool(source.pick(0, 1)))


def _saved(name: str, call: Call) -> tuple[Array, Array]:
    """Return the output of a batch norm in training, and the statistics that it keeps."""
    x, _, _, weight, bias, *_ = call.arguments
    saved = np.zeros((2, x.shape[1]))
    options = {**call.options, "statistics": saved}
    return getattr(reference, name)(x, None, None, weight, bias, True, **options), saved


def _batch_norm_gradient(source: Source) -> Call:
    call = _batch_norm(source)
    x, _, _, weight, _, training, _ = call.arguments
    _, saved = _saved("batch_norm", call)
    return Call((source.array(*x.shape), x, Wide(saved), weight, training), {}, _sums(x))


def _batch_norm_relu_output(source: Source) -> Call:
    call = _batch_norm_relu(source)
    x, _, _, weight, bias, *_ = call.arguments
    _, saved = _saved("batch_norm_relu", call)
    options: dict[str, Any] = {"upper": 0.5}
    if "residual" in call.options:
        options["residual"] = call.options["residual"]
    return Call((x, Wide(saved), weight, bias), options, _sums(x))


def _batch_norm_relu_gradient(source: Source) -> Call:
    call = _batch_norm_relu(source)
    x, _, _, weight, bias, training, _ = call.arguments
    residual = call.options.get("residual")
    output, saved = _saved("batch_norm_relu", call)
    before = reference.batch_norm(x, None, None, weight, bias, True)
    if residual is not None:
        before = before + residual
    # A number next to 0 before the ReLU may be rounded to either side of it: no gradient there.
    grad = np.where(np.abs(before) < 1e-4, 0, source.array(*x.shape))
    options = {} if residual is None else {"output": output}
    return Call((grad, x, Wide(saved), weight, bias, training), options, _sums(x))


def _sums(x: Array) -> int:
    """Return the roundings of gradients that are sums over a channel."""
    return _TERMS + x.size // int(x.shape[1])


def _grouped(source: Source) -> tuple[Array, int, Array | None, Array | None]:
    x = _maps(source)
    groups = source.choose([n for n in range(1, x.shape[1] + 1) if x.shape[1] % n == 0])
    return x, groups, *_affine(source, x.shape[1])


def _group_norm(source: Source) -> Call:
    return Call(_grouped(source), {}, _TERMS)


def _group_norm_gradient(source: Source) -> Call:
    x, groups, weight, bias = _grouped(source)
    saved = np.zeros((2, x.shape[0], groups))
    reference.group_norm(x, groups, weight, bias, statistics=saved)
    return Call((source.array(*x.shape), x, groups, Wide(saved), weight), {}, _sums(x))


def _instance_norm(source: Source) -> Call:
    x = _maps(source)
    return Call((x, None, None, *_affine(source, x.shape[1])), {}, _TERMS)


def _instance_norm_gradient(source: Source) -> Call:
    x, _, _, weight, bias = _instance_norm(source).arguments
    saved = np.zeros((2, *x.shape[:2]))
    reference.instance_norm(x, None, None, weight, bias, statistics=saved)
    return Call((source.array(*x.shape), x, Wide(saved), weight), {}, _sums(x))


def _layer_norm(source: Source) -> Call:
    x = _maps(source)
    shape = x.shape[1:]
    wanted = source.pick(0, 2) > 0
    weight, bias = (source.array(*shape), source.array(*shape)) if wanted else (None, None)
    return Call((x, shape, weight, bias), {}, _TERMS)


def _layer_norm_gradient(source: Source) -> Call:
    x, shape, weight, bias = _layer_norm(source).arguments
    saved = np.zeros((2, len(x)))
    reference.layer_norm(x, shape, weight, bias, statistics=saved)
    return Call((source.array(*x.shape), x, shape, Wide(saved), weight), {}, _TERMS + x.size)


def _response(source: Source) -> tuple[Any, ...]:
    return _maps(source), source.pick(1, 5), 0.1, source.choose((0.75, 0.5)), 2.0


def _response_norm(source: Source) -> Call:
    return Call(_response(source), {}, _TERMS)


def _response_norm_gradient(source: Source) -> Call:
    x, *options = _response(source)
    return Call((source.array(*x.shape), x, *options), {}, _TERMS)


SUBJECTS = tuple(
    Subject(name, draw, exact=False, linear=False)
    for name, draw in {
        "batch_norm": _batch_norm,
        "batch_norm_backward": _batch_norm_gradient,
        "batch_norm_relu": _batch_norm_relu,
        "batch_norm_relu_backward": _batch_norm_relu_gradient,
        "batch_norm_relu_output": _batch_norm_relu_output,
        "group_norm": _group_norm,
        "group_norm_backward": _group_norm_gradient,
        "instance_norm": _instance_norm,
        "instance_norm_backward": _instance_norm_gradient,
        "layer_norm": _layer_norm,
        "layer_norm_backward": _layer_norm_gradient,
        "local_response_norm": _response_norm,
        "local_response_norm_backward": _response_norm_gradient,
    }.items()
)
