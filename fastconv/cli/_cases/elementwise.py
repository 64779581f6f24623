"""Cases of activations, softmax and dropout."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Source, Subject

# Roundings of an activation: more than the most units in the last place that any is off by.
_TERMS = 20
# Names, of those whose gradient takes the output, and whether integers are exact; their options.
_ACTIVATIONS: dict[str, tuple[bool, bool, Callable[[Source], dict[str, Any]]]] = {
    "relu": (True, True, lambda source: {}),
    "relu6": (True, True, lambda source: {}),
    "hardtanh": (True, True, lambda s: {"min_val": -s.pick(1, 2), "max_val": s.pick(1, 2)}),
    "leaky_relu": (False, False, lambda s: {"negative_slope": s.choose((0.01, 0.2))}),
    "elu": (False, False, lambda s: {"alpha": s.choose((1.0, 0.3))}),
    "celu": (False, False, lambda s: {"alpha": s.choose((1.0, 0.3))}),
    "selu": (False, False, lambda source: {}),
    "hardsigmoid": (False, False, lambda source: {}),
    "hardswish": (False, False, lambda source: {}),
    "sigmoid": (True, False, lambda source: {}),
    "logsigmoid": (False, False, lambda source: {}),
    "tanh": (True, False, lambda source: {}),
    "silu": (False, False, lambda source: {}),
    "mish": (False, False, lambda source: {}),
    "gelu": (False, False, lambda s: {"approximate": s.choose(("none", "tanh"))}),
    "softplus": (False, False, lambda s: {"beta": s.choose((1.0, 2.0))}),
    "softsign": (False, False, lambda source: {}),
}


def _maps(source: Source) -> Array:
    return source.array(*source.maps(2))


def _forward(name: str, source: Source) -> Call:
    return Call((_maps(source),), _ACTIVATIONS[name][2](source), _TERMS)


def _gradient(name: str, source: Source) -> Call:
    x, options = _maps(source), _ACTIVATIONS[name][2](source)
    of = getattr(reference, name)(x, **options) if _ACTIVATIONS[name][0] else x
    return Call((source.array(*x.shape), of), options, _TERMS)


def _slopes(source: Source) -> tuple[Array, Array]:
    x = _maps(source)
    return x, source.array(x.shape[1] if source.pick(0, 1) else 1)


def _prelu(source: Source) -> Call:
    return Call(_slopes(source), {}, 1)


def _prelu_gradient(source: Source) -> Call:
    x, weight = _slopes(source)
    return Call((source.array(*x.shape), x, weight), {}, x.size // weight.size)


def _softmax(source: Source) -> Call:
    x = _maps(source)
    return Call((x, source.pick(-4, 3)), {}, _TERMS)


def _softmax_gradient(name: str, source: Source) -> Call:
    x, axis = _softmax(source).arguments
    return Call((source.array(*x.shape), getattr(reference, name)(x, axis), axis), {}, _TERMS)


def _dropout(axes: int, p: float, source: Source) -> Call:
    return Call((source.array(*source.maps(axes)), p), {"rng": source.pick(0, 1000)}, 3)


def _dropout_gradient(name: str, axes: int, p: float, source: Source) -> Call:
    x, p = _dropout(axes, p, source).arguments
    mask = getattr(reference, name)(x, p, rng=source.pick(0, 1000))[1]
    return Call((source.array(*x.shape), mask, p), {}, 3)


def _activations() -> list[Subject]:
    found = []
    for name, (_, exact, _) in _ACTIVATIONS.items():
        traits = {"exact": exact, "linear": False}
        found.append(Subject(name, partial(_forward, name), **traits))
        found.append(Subject(f"{name}_backward", partial(_gradient, name), **traits))
    return found


def _dropouts() -> list[Subject]:
    found = []
    # With a half, what is left of an integer is an integer.
    for name, axes, p in (
        ("dropout", 2, 0.5), ("dropout1d", 1, 0.5), ("dropout2d", 2, 0.5), ("dropout3d", 3, 0.5),
        ("alpha_dropout", 2, 0.3),
    ):  # fmt: skip
        traits = {"exact": p == 0.5, "linear": False}
        found.append(Subject(name, partial(_dropout, axes, p), **traits))
        draw = partial(_dropout_gradient, name, axes, p)
        found.append(Subject(f"{name}_backward", draw, **traits))
    return found


def _softmaxes() -> list[Subject]:
    found = []
    for name in ("softmax", "log_softmax"):
        found.append(Subject(name, _softmax, exact=False, linear=False))
        draw = partial(_softmax_gradient, name)
        found.append(Subject(f"{name}_backward", draw, exact=False, linear=False))
    return found


SUBJECTS = (
    *_activations(),
    Subject("prelu", _prelu, linear=False),
    Subject("prelu_backward", _prelu_gradient, linear=False),
    *_softmaxes(),
    *_dropouts(),
)
