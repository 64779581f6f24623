"""Random calls of a function, how they are made in fastconv and its reference, and their bounds.

Linear functions. Each sums at most n products per output element. Whatever the order of summation,
with unit roundoff u = eps/2,

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

The others. Their n counts roundings, and in place of the sum of |products| stands the largest
number among the arguments and the result: where terms cancel, the result alone says nothing.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from fastconv import reference
from fastconv._geometry import ConvGeometry, conv_geometry
from fastconv.engine.plan import Algorithm

Array = np.ndarray[Any, np.dtype[Any]]
Ints = tuple[int, ...]
Parts: TypeAlias = tuple[Array, ...]

# Maps as large as those of LeNet-5, over one to three axes.
_TIMED = {1: (8, 6, 784), 2: (8, 6, 28, 28), 3: (2, 6, 8, 14, 14)}


@dataclass(frozen=True)
class Wide:
    """An array that is float64 whatever dtype the others have."""

    array: Array


@dataclass(frozen=True)
class Call:
    """Arguments of one call, in float64, and how many products or roundings an element takes.

    `shapes` are those of input and weight, where the call is one of a convolution that has a choice
    of algorithms. `written` are the arguments, by place or name, that the call writes into.
    """

    arguments: tuple[Any, ...]
    options: dict[str, Any]
    terms: int
    shapes: tuple[Ints, Ints] | None = None
    written: tuple[int | str, ...] = ()

    def __str__(self) -> str:
        """Return the call's arguments, arrays by shape."""
        words = [_word(argument) for argument in self.arguments]
        return ", ".join(words + [f"{name}={_word(value)}" for name, value in self.options.items()])


def _word(argument: Any) -> str:
    if isinstance(argument, Wide):
        argument = argument.array
    if isinstance(argument, list):
        return f"[{', '.join(map(_word, argument))}]"
    return f"array{argument.shape}" if isinstance(argument, np.ndarray) else repr(argument)


@dataclass(frozen=True)
class Subject:
    """A function to check.

    `name` is that of a function of `fastconv.functional`, or, with a dot, of another package, such
    as "ndimage.sobel". `draw` makes a call from a source of random numbers: of random geometry, or,
    if the source is plain, of the size of a LeNet-5 layer. `exact` tells whether small integers
    give integers, or numbers that are as exact; `linear`, which bound holds.
    """

    name: str
    draw: Callable[["Source"], Call]
    exact: bool = True
    linear: bool = True

    def case(self, seed: int, index: int, integers: bool) -> Call:
        """Return case number `index`: a pure function of the arguments."""
        rng = np.random.default_rng([seed, index, zlib.crc32(self.name.encode())])
        return self.draw(Source(rng, integers))

    def timed(self, seed: int, sizes: Mapping[int, Ints] = _TIMED) -> Call:
        """Return the call that is timed, of maps of these sizes, by their number of axes."""
        return self.draw(Source(np.random.default_rng(seed), plain=True, sizes=sizes))


@dataclass(frozen=True)
class Source:
    """Random numbers, and arrays of random values and memory layout."""

    rng: np.random.Generator
    integers: bool = False
    plain: bool = False
    sizes: Mapping[int, Ints] = field(default_factory=lambda: _TIMED)

    def pick(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def choose(self, items: Sequence[Any]) -> Any:
        """Return one of the items."""
        return items[self.pick(0, len(items) - 1)]

    def maps(self, axes: int, least: int = 1) -> Ints:
        """Return the shape of maps over so many axes of at least so many cells."""
        if self.plain:
            return self.sizes[axes]
        sizes = (self.pick(least, least + 6) for _ in range(axes))
        return (self.pick(1, 3), self.pick(1, 4), *sizes)

    def each(self, axes: int, low: int, high: int) -> Ints:
        """Return an integer from low to high for each axis."""
        return tuple(self.pick(low, high) for _ in range(axes))

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
    return _bound(_fast(name), call, lambda array: cast(array, dtype), extra)


def slow(name: str, call: Call, dtype: np.dtype[Any]) -> Callable[[], Any]:
    """Return the reference call, with arrays of `dtype`."""
    return _bound(_slow(name), call, lambda array: cast(array, dtype))


def expected(subject: Subject, call: Call, dtype: np.dtype[Any]) -> tuple[Parts, Parts]:
    """Return the reference's results for arrays rounded to `dtype`, and the size of their bound."""

    def exact(array: Array) -> Array:
        return cast(cast(array, dtype), np.dtype(np.float64))

    results = _bound(_slow(subject.name), call, exact)()
    if subject.linear:
        return results, _bound(_slow(subject.name), call, lambda array: abs(exact(array)))()
    largest = max(map(_largest, (*call.arguments, *call.options.values())), default=0.0)
    return results, tuple(np.maximum(largest, _largest(part)) for part in results)


def _fast(name: str) -> Callable[..., Any]:
    """Return the function of `fastconv.functional`, or of the package before the dot."""
    package, _, function = name.rpartition(".")
    module = import_module(f"fastconv.{package or 'functional'}")
    found: Callable[..., Any] = getattr(module, function)
    return found


def _slow(name: str) -> Callable[..., Any]:
    """Return its definition in `fastconv.reference`."""
    package, _, function = name.rpartition(".")
    module = import_module(f"fastconv.reference.{package}") if package else reference
    found: Callable[..., Any] = getattr(module, function)
    return found


def _bound(
    function: Callable[..., Any],
    call: Call,
    convert: Callable[[Array], Array],
    extra: dict[str, Any] | None = None,
) -> Callable[[], Parts]:
    """Return a call of converted arguments that returns the arrays of its result."""
    arguments = [_converted(convert, argument) for argument in call.arguments]
    options = {key: _converted(convert, value) for key, value in call.options.items()}
    given: dict[int | str, Any] = dict(enumerate(arguments))
    given.update(options.items())

    def run() -> Parts:
        result = function(*arguments, **options, **(extra or {}))
        parts = result if isinstance(result, tuple) else (result,)
        parts = (*parts, *(given[key] for key in call.written))
        return tuple(np.asarray(part) for part in parts if part is not None)

    return run


def _converted(convert: Callable[[Array], Array], value: Any) -> Any:
    if isinstance(value, Wide):
        return value.array.copy()
    if isinstance(value, list):
        return [_converted(convert, entry) for entry in value]
    return convert(value) if _is_real(value) else value


def _largest(value: Any) -> float:
    """Return the largest absolute value in an argument, 0 where it holds no real numbers."""
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    return float(np.abs(value).max(initial=0)) if _is_real(value) else 0.0


def norm_bound(name: str, call: Call, dtype: np.dtype[Any], algorithm: Algorithm) -> Array:
    """Return what the error of an algorithm with norms may be, one number for each plane."""
    assert call.shapes is not None
    assert algorithm.bounds.norms is not None
    geometry = call_geometry(call)
    gradient = name.partition("_")[2]
    # What moves as the input does comes first, but in the gradient with respect to it.
    norms = algorithm.bounds.norms[::-1] if gradient == "input" else algorithm.bounds.norms
    ones = (1,) * len(geometry.in_size)
    arrays = [array for array in call.arguments if isinstance(array, np.ndarray)][:2]
    planes = [
        np.linalg.norm(array.reshape(*array.shape[:2], -1), norm, axis=2).reshape(
            *array.shape[:2], *ones
        )
        for array, norm in zip(arrays, norms, strict=True)
    ]
    arguments: list[Any] = list(planes)
    if gradient:
        size = call.shapes[gradient == "weight"]
        arguments.insert(gradient == "weight", (*size[:2], *ones))
    scale: Array = getattr(reference, name)(*arguments, groups=geometry.groups)
    operation = "_".join(["conv2d", gradient]) if gradient else "conv2d"
    return algorithm.bounds.error(geometry, operation) * float(np.finfo(dtype).eps) * scale


def call_geometry(call: Call) -> ConvGeometry:
    """Return the geometry of a convolution: with its borders continued, that of what it reads."""
    assert call.shapes is not None
    ones = (1,) * (len(call.shapes[0]) - 2)
    options = {"stride": ones, "padding": "valid", "dilation": ones, "groups": 1, **call.options}
    mode = options.pop("padding_mode", "zeros")
    geometry = conv_geometry(*call.shapes, **options)
    if mode == "zeros":
        return geometry
    (n, c, *size), weight = call.shapes
    continued = [cells + sum(pair) for cells, pair in zip(size, geometry.padding, strict=True)]
    return conv_geometry((n, c, *continued), weight, **{**options, "padding": "valid"})


def _is_real(argument: object) -> TypeGuard[Array]:
    return isinstance(argument, np.ndarray) and argument.dtype.kind == "f"


def cast(argument: Array, dtype: np.dtype[Any]) -> Array:
    """Convert an array, keeping the order of its axes in memory."""
    if argument.strides and argument.strides[-1] == 2 * argument.itemsize:
        wide = np.zeros((*argument.shape[:-1], 2 * argument.shape[-1]), dtype)
        wide[..., ::2] = argument
        return wide[..., ::2]
    return argument.astype(dtype, order="K")
