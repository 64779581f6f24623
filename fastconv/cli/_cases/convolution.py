"""Cases of convolutions over one to three axes, transposed or not, and of dense products."""

from functools import partial
from math import prod
from typing import Any, NamedTuple

from fastconv import reference
from fastconv.cli._cases.calls import Array, Call, Ints, Source, Subject

_WORDS = ("valid", "same", "same_lower", "full")
_MODES = ("reflect", "replicate", "circular", "symmetric")
# Input and weights of the second convolution of LeNet-5, on a batch of 8, and of others as large.
_TIMED: dict[int, tuple[Ints, Ints]] = {
    1: ((8, 6, 196), (16, 6, 25)),
    2: ((8, 6, 14, 14), (16, 6, 5, 5)),
    3: ((2, 6, 4, 14, 14), (16, 6, 3, 3, 3)),
}


class _Convolution(NamedTuple):
    x: Array
    weight: Array
    bias: Array
    options: dict[str, Any]


def _conv(source: Source, axes: int) -> _Convolution:
    """Draw a convolution that fits; one in five is of a kind that most networks have most of."""
    if source.plain:
        size, taps = _TIMED[axes]
        return _Convolution(source.array(*size), source.array(*taps), source.array(taps[0]), {})
    groups = source.choose((1, 1, 1, 2, 3))
    channels, kernels = source.pick(1, 4) * groups, source.pick(1, 4) * groups
    # The reference takes its time over three axes.
    most_taps, most_cells = (3, 3) if axes == 3 else (4, 7)
    kernel, stride = source.each(axes, 1, most_taps), source.each(axes, 1, 3)
    dilation = source.each(axes, 1, 2)
    if source.pick(0, 4) == 0:
        # An algorithm of its own computes these.
        kernel, stride, dilation = (3,) * axes, (1,) * axes, (1,) * axes
    windows = _windows(kernel, dilation)
    padding: Any = source.choose((*_WORDS, *["pairs"] * len(_WORDS)))
    least = windows
    if padding == "pairs":
        padding = tuple(source.each(2, 0, 2) for _ in kernel)
        least = tuple(max(1, w - sum(pair)) for w, pair in zip(windows, padding, strict=True))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if padding not in _WORDS and source.pick(0, 1):
        options["padding_mode"] = source.choose(_MODES)
        least = tuple(max(3, cells) for cells in least)
    size = tuple(cells + source.pick(0, most_cells) for cells in least)
    x = source.array(source.pick(1, 3), channels, *size)
    weight = source.array(kernels, channels // groups, *kernel)
    return _Convolution(x, weight, source.array(kernels), options)


def _windows(kernel: Ints, dilation: Ints) -> Ints:
    """Return how many cells a kernel covers on each axis."""
    return tuple(step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True))


def _forward(axes: int, source: Source) -> Call:
    x, weight, bias, options = _conv(source, axes)
    return Call((x, weight, bias), options, prod(weight.shape[1:]), (x.shape, weight.shape))


def _residual(case: _Convolution, axes: int, source: Source) -> Array:
    forward = getattr(reference, f"conv{axes}d")
    return source.array(*forward(case.x, case.weight, None, **case.options).shape)


def _input_terms(case: _Convolution) -> int:
    weight, options = case.weight, case.options
    terms: int = weight.shape[0] // options.get("groups", 1) * prod(weight.shape[2:])
    if "padding_mode" in options:
        # A cell also takes what its copies in the padding get.
        terms *= prod(1 + sum(pair) for pair in options["padding"])
    return terms


def _input_gradient(axes: int, source: Source) -> Call:
    case = _conv(source, axes)
    arguments = case.x.shape, case.weight, _residual(case, axes, source)
    shapes = case.x.shape, case.weight.shape
    return Call(arguments, case.options, _input_terms(case), shapes)


def _positions(residual: Array) -> int:
    found: int = residual.shape[0] * prod(residual.shape[2:])
    return found


def _weight_gradient(axes: int, source: Source) -> Call:
    case = _conv(source, axes)
    residual = _residual(case, axes, source)
    shapes = case.x.shape, case.weight.shape
    arguments = case.x, case.weight.shape, residual
    return Call(arguments, case.options, _positions(residual), shapes)


def _bias_gradient(axes: int, source: Source) -> Call:
    residual = source.array(*source.maps(axes))
    return Call((residual,), {}, _positions(residual))


def _gradients(axes: int, source: Source) -> Call:
    case = _conv(source, axes)
    if not source.plain:
        # With such strides the algorithm that is taken is an exact one.
        case.options["stride"] = source.each(axes, 2, 3)
    residual = _residual(case, axes, source)
    terms = max(_positions(residual), _input_terms(case))
    return Call((case.x, case.weight, residual), case.options, terms)


def _transposed(source: Source, axes: int) -> _Convolution:
    """Draw a transposed convolution; without three taps the algorithm that is taken is exact."""
    if source.plain:
        (batch, _, *size), taps = _TIMED[axes]
        x, weight = source.array(batch, taps[0], *size), source.array(*taps)
        return _Convolution(x, weight, source.array(taps[1]), {})
    groups = source.choose((1, 1, 2, 3))
    channels, kernels = source.pick(1, 3) * groups, source.pick(1, 3)
    kernel = tuple(source.choose((1, 2, 4)) for _ in range(axes))
    stride, dilation = source.each(axes, 1, 3), source.each(axes, 1, 2)
    spare = tuple(map(max, stride, dilation))
    windows = _windows(kernel, dilation)
    options = {
        "stride": stride,
        "padding": tuple(source.pick(0, (cells - 1) // 2) for cells in windows),
        "output_padding": tuple(source.pick(0, most - 1) for most in spare),
        "groups": groups,
        "dilation": dilation,
    }
    x = source.array(source.pick(1, 3), channels, *source.each(axes, 1, 6))
    weight = source.array(channels, kernels, *kernel)
    return _Convolution(x, weight, source.array(kernels * groups), options)


def _transposed_call(axes: int, result: str, source: Source) -> Call:
    case = _transposed(source, axes)
    x, weight, bias, options = case
    terms = x.shape[1] // int(options.get("groups", 1)) * prod(weight.shape[2:])
    if not result:
        return Call((x, weight, bias), options, terms)
    forward = getattr(reference, f"conv_transpose{axes}d")
    residual = source.array(*forward(x, weight, None, **options).shape)
    input_terms, weight_terms = prod(weight.shape[1:]), x.shape[0] * prod(x.shape[2:])
    if result == "_input":
        return Call((x.shape, weight, residual), options, input_terms)
    if result == "_weight":
        return Call((x, weight.shape, residual), options, weight_terms)
    terms = max(input_terms, weight_terms, _positions(residual))
    return Call((x, weight, residual), options, terms)


def _two_matrices(source: Source) -> Call:
    """Draw the arguments of MATLAB's conv2."""
    size, taps = ((28, 28), (5, 5)) if source.plain else (
        source.each(2, 4, 9), (source.choose((1, 2, 4)), source.choose((1, 2, 4)))
    )  # fmt: skip
    shape = source.choose(("full", "same", "valid"))
    return Call((source.array(*size), source.array(*taps), shape), {}, prod(taps))


def _dense(source: Source) -> tuple[Array, Array, int, int]:
    rows, size, outputs = (
        (64, 400, 120)
        if source.plain
        else (source.pick(1, 9), source.pick(1, 40), source.pick(1, 20))
    )
    return source.array(rows, size), source.array(outputs, size), rows, outputs


def _factors(source: Source) -> dict[str, Any]:
    """Draw the factors of the terms, powers of two."""
    if source.plain:
        return {}
    return {name: source.choose((1.0, 0.5, 2.0)) for name in ("alpha", "beta")}


def _linear(source: Source) -> Call:
    x, weight, _, outputs = _dense(source)
    return Call((x, weight, source.array(outputs)), _factors(source), x.shape[1])


def _linear_gradients(source: Source) -> Call:
    x, weight, rows, outputs = _dense(source)
    return Call((source.array(rows, outputs), x, weight), _factors(source), max(rows, outputs))


def _columns(source: Source) -> tuple[Array, Ints, dict[str, Any]]:
    """Draw input, window and options of unfold."""
    x, weight, _, options = _conv(source, 2)
    if not source.plain:
        del options["groups"]
        options.pop("padding_mode", None)
        if isinstance(options["padding"], str):
            options["padding"] = source.each(2, 0, 2)
    return x, weight.shape[2:], options


def _unfold(source: Source) -> Call:
    x, kernel, options = _columns(source)
    return Call((x, kernel), options, 0)


def _fold(source: Source) -> Call:
    x, kernel, options = _columns(source)
    columns = source.array(*reference.unfold(x, kernel, **options).shape)
    return Call((columns, x.shape[2:], kernel), options, prod(kernel))


_PARTS = {
    "": _forward,
    "_input": _input_gradient,
    "_weight": _weight_gradient,
    "_bias": _bias_gradient,
    "_backward": _gradients,
}


def _subjects(axes: int) -> list[Subject]:
    found = [
        Subject(f"conv{axes}d{result}", partial(draw, axes)) for result, draw in _PARTS.items()
    ]
    for result in _PARTS:
        name = f"conv_transpose{axes}d{result}"
        draw = partial(_transposed_call, axes, result)
        found.append(Subject(name, partial(_bias_gradient, axes) if result == "_bias" else draw))
    return found


SUBJECTS = (
    *_subjects(2),
    *_subjects(1),
    *_subjects(3),
    Subject("conv2", _two_matrices),
    Subject("correlate2", _two_matrices),
    Subject("unfold", _unfold),
    Subject("fold", _fold),
    Subject("linear", _linear),
    Subject("linear_backward", _linear_gradients),
)
