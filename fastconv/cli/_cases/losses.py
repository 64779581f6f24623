"""Cases of losses and their gradients."""

from functools import partial
from typing import Any

import numpy as np

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Source, Subject

_TERMS = 20
_REDUCTIONS = ("none", "sum", "mean")


def _between(source: Source, *shape: int) -> Array:
    """Return multiples of 1/16 that are probabilities, but not 0 or 1."""
    return source.rng.integers(1, 16, shape) / 16


def _pair(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    size = source.maps(2)
    return source.array(*size), source.array(*size), {}


def _probabilities(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    size = source.maps(2)
    return _between(source, *size), _between(source, *size), _weighted(source, size[1])


def _with_logits(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    size = source.maps(2)
    options = _weighted(source, size[1])
    if source.pick(0, 1):
        options["pos_weight"] = _between(source, size[1], 1, 1)
    return source.array(*size), _between(source, *size), options


def _weighted(source: Source, channels: int) -> dict[str, Any]:
    return {"weight": _between(source, channels, 1, 1)} if source.pick(0, 1) else {}


def _divergence(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    size, logarithms = source.maps(2), bool(source.pick(0, 1))
    target = _between(source, *size)
    target = np.log(target) if logarithms else target
    return np.log(_between(source, *size)), target, {"log_target": logarithms}


def _classes(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    scores = source.array(*source.maps(1, 2))
    target = source.rng.integers(0, scores.shape[1], (scores.shape[0], *scores.shape[2:]))
    options: dict[str, Any] = {"ignore_index": source.choose((-100, 0))}
    # One cell counts in any case, so that no mean is of nothing.
    target.flat[0] = scores.shape[1] - 1
    if scores.shape[1] == 1:
        options["ignore_index"] = -100
    if source.pick(0, 1):
        options["weight"] = _between(source, scores.shape[1])
    return scores, target, options


def _scores(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    scores, target, options = _classes(source)
    return scores, target, {**options, "label_smoothing": source.choose((0.0, 0.25))}


def _logarithms(source: Source) -> tuple[Array, Array, dict[str, Any]]:
    scores, target, options = _classes(source)
    return reference.log_softmax(scores, 1), target, options


_LOSSES = {
    "mse_loss": _pair,
    "half_squared_error": _pair,
    "l1_loss": _pair,
    "huber_loss": _pair,
    "smooth_l1_loss": _pair,
    "binary_cross_entropy": _probabilities,
    "binary_cross_entropy_with_logits": _with_logits,
    "kl_div": _divergence,
    "cross_entropy": _scores,
    "nll_loss": _logarithms,
}


def _forward(name: str, source: Source) -> Call:
    input, target, options = _LOSSES[name](source)
    return Call((input, target), {**options, "reduction": source.choose(_REDUCTIONS)}, _TERMS)


def _gradient(name: str, source: Source) -> Call:
    call = _forward(name, source)
    # So large a residual makes the gradient of a mean as large as that of a sum.
    residual = float(call.arguments[0].size) if call.options["reduction"] == "mean" else 1.0
    if call.options["reduction"] == "none":
        loss = getattr(reference, name)(*call.arguments, **call.options)
        return Call(call.arguments, {**call.options, "grad_output": source.array(*loss.shape)},
                    _TERMS)  # fmt: skip
    return Call(call.arguments, {**call.options, "grad_output": residual}, _TERMS)


SUBJECTS = tuple(
    Subject(name + way, partial(draw, name), exact=False, linear=False)
    for name in _LOSSES
    for way, draw in (("", _forward), ("_backward", _gradient))
)
