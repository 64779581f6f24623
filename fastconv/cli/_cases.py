"""Random cases for ``fastconv check``: calls of the same function in fastconv and its reference.

The bound. Every function here is linear in its first array and sums at most n products per output
element. Whatever the order of summation, with unit roundoff u = eps/2,

    |computed - exact| <= gamma(n) sum |products|,   gamma(n) = n u / (1 - n u)

(N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1; fused
multiply-adds only lower it). The sum of |products| is the same function of the absolute values of
the arguments, which the reference computes. Allowed is (n + 2) eps times that: twice gamma(n + 2),
one half for the roundings of the bias and the result, the other because the reference, which
computes float32 cases in float64, rounds itself in float64 ones. It is of the form
c K eps max|x| max|w|, but sharper, element by element. With n = 0 nothing is rounded, and the
results must be equal; so they must on small integers, where every sum is exact.

The algorithms that are not exact on integers have bounds of their own, of norms
(`fastconv.engine.errors`); here they are taken of whole planes, of which blocks and tiles
are parts.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from fastconv import functional, reference
from fastconv._geometry import ConvGeometry, conv_geometry
from fastconv.engine.plan import Algorithm

Array = np.ndarray[Any, np.dtype[Any]]
Ints = tuple[int, ...]
_WORDS = ("valid", "same", "same_lower", "full")


@dataclass(frozen=True)
class Call:
    """Arguments of one call, in float64, and how many products an output element sums.

    `shapes` are those of input and weight, where the call is one of a convolution.
    """

    arguments: tuple[Any, ...]
    options: dict[str, Any]
    terms: int
    shapes: tuple[Ints, Ints] | None = None

    def __str__(self) -> str:
        """Return the call's arguments, arrays by shape."""
        words = [
            f"array{argument.shape}" if isinstance(argument, np.ndarray) else repr(argument)
            for argument in self.arguments
        ]
        return ", ".join(words + [f"{name}={value!r}" for name, value in self.options.items()])


@dataclass(frozen=True)
class Subject:
    """A function to check.

    `draw` makes a call of random geometry from a generator and a source of values; `timed` is a
    call of the size of a LeNet-5 layer. `divides` marks means, which are not exact on integers.
    """

    name: str
    draw: Callable[["Source"], Call]
    timed: Callable[["Source"], Call]
    divides: bool = False

    def case(self, seed: int, index: int, integers: bool) -> Call:
        """Return case number `index`: a pure function of the arguments."""
        rng = np.random.default_rng([seed, index, zlib.crc32(self.name.encode())])
        return self.draw(Source(rng, integers))


@dataclass(frozen=True)
class Source:
    """Random numbers, and arrays of random values and memory layout."""

    rng: np.random.Generator
    integers: bool = False
    plain: bool = False

    def pick(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def choose(self, items: Sequence[Any]) -> Any:
        """Return one of the items."""
        return items[self.pick(0, len(items) - 1)]

    def array(self, *shape: int) -> Array:
        """Return standard normal numbers, or integers from -4 to 4."""
        values: Array = self.rng.standard_normal(shape)
        if self.integers:
            values = np.clip(np.rint(values * 2), -4, 4)
        layout = 0 if self.plain or len(shape) < 3 else self.pick(0, 2)
        if layout == 1:  # the channels last in memory
            values = np.moveaxis(np.ascontiguousarray(np.moveaxis(values, -3, -1)), -1, -3)
        elif layout == 2:  # every second column of a wider array
            wide = np.zeros((*shape[:-1], 2 * shape[-1]))
            wide[..., ::2] = values
            values = wide[..., ::2]
        return values


def fast(name: str, call: Call, dtype: np.dtype[Any], algorithm: str | None) -> Callable[[], Any]:
    """Return the fast call, with arrays of `dtype` in the layouts of the case."""
    extra = {} if algorithm is None else {"algorithm": algorithm}
    arguments = [cast(argument, dtype) for argument in call.arguments]
    return lambda: getattr(functional, name)(*arguments, **call.options, **extra)


def slow(name: str, call: Call, dtype: np.dtype[Any]) -> Callable[[], Any]:
    """Return the reference call, with arrays of `dtype`."""
    arguments = [cast(argument, dtype) for argument in call.arguments]
    return lambda: getattr(reference, name)(*arguments, **call.options)


def expected(name: str, call: Call, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the reference's result for arrays rounded to `dtype`, and the sum of |products|."""
    wide = np.dtype(np.float64)
    exact = [cast(cast(argument, dtype), wide) for argument in call.arguments]
    sizes = [abs(value) if _is_real(value) else value for value in exact]
    function = getattr(reference, name)
    return function(*exact, **call.options), function(*sizes, **call.options)


def norm_bound(name: str, call: Call, dtype: np.dtype[Any], algorithm: Algorithm) -> Array:
    """Return what the error of an algorithm with norms may be, one number for each plane."""
    assert call.shapes is not None
    assert algorithm.bounds.norms is not None
    geometry = call_geometry(call)
    # What moves as the input does comes first, but in the gradient with respect to it.
    norms = algorithm.bounds.norms[::-1] if name == "conv2d_input" else algorithm.bounds.norms
    arrays = [array for array in call.arguments if isinstance(array, np.ndarray)][:2]
    planes = [
        np.linalg.norm(array.reshape(*array.shape[:2], -1), norm, axis=2)[..., None, None]
        for array, norm in zip(arrays, norms, strict=True)
    ]
    arguments: list[Any] = list(planes)
    if name != "conv2d":
        size = call.shapes[name == "conv2d_weight"]
        arguments.insert(name == "conv2d_weight", (*size[:2], 1, 1))
    scale: Array = getattr(reference, name)(*arguments, groups=geometry.groups)
    return algorithm.bounds.error(geometry, name) * float(np.finfo(dtype).eps) * scale


def call_geometry(call: Call) -> ConvGeometry:
    """Return the geometry of a convolution."""
    assert call.shapes is not None
    options = {"stride": (1, 1), "padding": "valid", "dilation": (1, 1), "groups": 1}
    return conv_geometry(*call.shapes, **{**options, **call.options})


def _is_real(argument: object) -> TypeGuard[Array]:
    return isinstance(argument, np.ndarray) and argument.dtype.kind == "f"


def cast(argument: Any, dtype: np.dtype[Any]) -> Any:
    """Convert a floating-point array, keeping the order of its axes in memory."""
    if not _is_real(argument):
        return argument
    if argument.strides and argument.strides[-1] == 2 * argument.itemsize:
        wide = np.zeros((*argument.shape[:-1], 2 * argument.shape[-1]), dtype)
        wide[..., ::2] = argument
        return wide[..., ::2]
    return argument.astype(dtype, order="K")


def _conv(source: Source) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Draw input, weight, bias and options of a convolution that fits."""
    groups = source.choose((1, 1, 1, 2, 3))
    channels, kernels = source.pick(1, 4) * groups, source.pick(1, 4) * groups
    kernel = (source.pick(1, 4), source.pick(1, 4))
    stride = (source.pick(1, 3), source.pick(1, 3))
    dilation = (source.pick(1, 2), source.pick(1, 2))
    if source.pick(0, 4) == 0:
        # What most networks have most of, and an algorithm of its own.
        kernel, stride, dilation = (3, 3), (1, 1), (1, 1)
    windows = [step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True)]
    padding: Any = source.choose((*_WORDS, *["pairs"] * len(_WORDS)))
    least = list(windows)
    if padding == "pairs":
        padding = tuple((source.pick(0, 2), source.pick(0, 2)) for _ in kernel)
        least = [max(1, w - sum(pair)) for w, pair in zip(windows, padding, strict=True)]
    size = [length + source.pick(0, 7) for length in least]
    x = source.array(source.pick(1, 3), channels, *size)
    weight = source.array(kernels, channels // groups, *kernel)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, source.array(kernels), options


def _lenet_conv(source: Source) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Return the second convolution of LeNet-5, on a batch of 8."""
    return source.array(8, 6, 14, 14), source.array(16, 6, 5, 5), source.array(16), {}


_Convolution = tuple[Array, Array, Array, dict[str, Any]]


def _forward(arguments: _Convolution) -> Call:
    x, weight, bias, options = arguments
    terms = math.prod(weight.shape[1:])
    return Call((x, weight, bias), options, terms, (x.shape, weight.shape))


def _residual(arguments: _Convolution, source: Source) -> Array:
    x, weight, _, options = arguments
    return source.array(*reference.conv2d(x, weight, None, **options).shape)


def _input_gradient(arguments: _Convolution, source: Source) -> Call:
    x, weight, _, options = arguments
    residual = _residual(arguments, source)
    terms = weight.shape[0] // options.get("groups", 1) * math.prod(weight.shape[2:])
    return Call((x.shape, weight, residual), options, terms, (x.shape, weight.shape))


def _weight_gradient(arguments: _Convolution, source: Source) -> Call:
    x, weight, _, options = arguments
    residual = _residual(arguments, source)
    terms = residual.shape[0] * math.prod(residual.shape[2:])
    return Call((x, weight.shape, residual), options, terms, (x.shape, weight.shape))


def _bias_gradient(arguments: _Convolution, source: Source) -> Call:
    residual = _residual(arguments, source)
    return Call((residual,), {}, residual.shape[0] * math.prod(residual.shape[2:]))


def _pool(source: Source, mean: bool) -> tuple[Array, tuple[int, int], dict[str, Any]]:
    """Draw input, window and options of a pooling that fits."""
    kernel = (source.pick(1, 3), source.pick(1, 3))
    dilation = (source.pick(1, 2), source.pick(1, 2))
    options: dict[str, Any] = {
        "stride": (source.pick(1, 3), source.pick(1, 3)),
        # At least one window cell lies inside the input: before, by torch's rule of half a
        # kernel; after, because the input is no smaller than the window.
        "padding": tuple(source.pick(0, taps // 2) for taps in kernel),
        "dilation": dilation,
        "ceil_mode": bool(source.pick(0, 1)),
    }
    if mean:
        options["count_include_pad"] = bool(source.pick(0, 1))
        options["divisor_override"] = source.choose((None, None, 3))
    windows = [step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True)]
    size = [length + source.pick(0, 7) for length in windows]
    return source.array(source.pick(1, 3), source.pick(1, 4), *size), kernel, options


def _lenet_pool(source: Source) -> tuple[Array, tuple[int, int], dict[str, Any]]:
    """Return the first pooling of LeNet-5, on a batch of 8."""
    return source.array(8, 6, 28, 28), (2, 2), {}


_Pooling = tuple[Array, tuple[int, int], dict[str, Any]]


def _max_gradient(arguments: _Pooling, source: Source) -> Call:
    x, kernel, options = arguments
    indices = reference.max_pool2d(x, kernel, **options, return_indices=True)[1]
    residual = source.array(*indices.shape)
    return Call((residual, indices, x.shape), {}, math.prod(kernel))


def _mean(arguments: _Pooling) -> Call:
    x, kernel, options = arguments
    return Call((x, kernel), options, math.prod(kernel) + 1)


def _mean_gradient(arguments: _Pooling, source: Source) -> Call:
    x, kernel, options = arguments
    residual = source.array(*reference.avg_pool2d(x, kernel, **options).shape)
    return Call((residual, x.shape, kernel), options, math.prod(kernel) + 1)


def _columns(source: Source) -> tuple[Array, tuple[int, int], dict[str, Any]]:
    """Draw input, window and options of unfold."""
    x, weight, _, options = _conv(source)
    del options["groups"]
    if isinstance(options["padding"], str):
        options["padding"] = (source.pick(0, 2), source.pick(0, 2))
    return x, (weight.shape[2], weight.shape[3]), options


def _lenet_columns(source: Source) -> tuple[Array, tuple[int, int], dict[str, Any]]:
    return source.array(8, 6, 14, 14), (5, 5), {}


def _fold(arguments: _Pooling, source: Source) -> Call:
    x, kernel, options = arguments
    columns = source.array(*reference.unfold(x, kernel, **options).shape)
    return Call((columns, x.shape[2:], kernel), options, math.prod(kernel))


def _linear(source: Source) -> Call:
    rows, size, outputs = source.pick(1, 9), source.pick(1, 40), source.pick(1, 20)
    return _dense(source, rows, size, outputs)


def _dense(source: Source, rows: int, size: int, outputs: int) -> Call:
    x, weight = source.array(rows, size), source.array(outputs, size)
    return Call((x, weight, source.array(outputs)), {}, size)


def _max_pool(arguments: _Pooling) -> Call:
    x, kernel, options = arguments
    return Call((x, kernel), {**options, "return_indices": True}, 0)


def _unfold(arguments: _Pooling) -> Call:
    x, kernel, options = arguments
    return Call((x, kernel), options, 0)


SUBJECTS = (
    Subject("conv2d", lambda s: _forward(_conv(s)), lambda s: _forward(_lenet_conv(s))),
    Subject(
        "conv2d_input",
        lambda s: _input_gradient(_conv(s), s),
        lambda s: _input_gradient(_lenet_conv(s), s),
    ),
    Subject(
        "conv2d_weight",
        lambda s: _weight_gradient(_conv(s), s),
        lambda s: _weight_gradient(_lenet_conv(s), s),
    ),
    Subject(
        "conv2d_bias",
        lambda s: _bias_gradient(_conv(s), s),
        lambda s: _bias_gradient(_lenet_conv(s), s),
    ),
    Subject(
        "max_pool2d", lambda s: _max_pool(_pool(s, False)), lambda s: _max_pool(_lenet_pool(s))
    ),
    Subject(
        "max_pool2d_backward",
        lambda s: _max_gradient(_pool(s, False), s),
        lambda s: _max_gradient(_lenet_pool(s), s),
    ),
    Subject(
        "avg_pool2d",
        lambda s: _mean(_pool(s, True)),
        lambda s: _mean(_lenet_pool(s)),
        divides=True,
    ),
    Subject(
        "avg_pool2d_backward",
        lambda s: _mean_gradient(_pool(s, True), s),
        lambda s: _mean_gradient(_lenet_pool(s), s),
        divides=True,
    ),
    Subject("unfold", lambda s: _unfold(_columns(s)), lambda s: _unfold(_lenet_columns(s))),
    Subject("fold", lambda s: _fold(_columns(s), s), lambda s: _fold(_lenet_columns(s), s)),
    Subject("linear", _linear, lambda s: _dense(s, 64, 400, 120)),
)
