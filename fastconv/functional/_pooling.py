"""What the poolings share: their plans, and what runs a kernel for given windows.

Maps of one to three axes are seen as (N, C, D, H, W).
"""

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import FLOAT32, FLOAT64, INT64, Array, PaddingLike, PerAxis
from fastconv._geometry import Ints, Padding, axis_name
from fastconv._pool_geometry import (
    PoolGeometry,
    Table,
    adaptive_windows,
    pool_geometry,
    pool_windows,
)
from fastconv.engine.base.cache import Cache
from fastconv.engine.base.memory import empty
from fastconv.engine.ops import places, pooling, pooling_gradients
from fastconv.engine.ops.windows import reader_numbers, window_numbers

Indices = NDArray[np.int64]

# "full" would let windows lie outside the input.
POOL_PADDING_WORDS = ("valid", "same", "same_lower")

_BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_LONGEST_SUM = 64
# Tables of windows with so many bytes are kept; larger ones are made again in each call.
_KEPT = 1 << 20
# The cells of a plane that the places of a float32 can tell apart.
_PLACES = 1 << 30


class PoolPlan:
    """Windows, with the numbers that the kernels want."""

    def __init__(self, in_size: Ints, out_size: Ints, meeting: Ints, window: Ints) -> None:
        self.in_size = in_size
        self.out_size = out_size
        # Whether so many numbers meet in a running sum, down a column and along a row, of a window
        # or of the windows that hold a position, that their rounding errors matter.
        self.long_windows = sum(window) > _LONGEST_SUM
        self.many_readers = sum(meeting) > _LONGEST_SUM
        self._kept: dict[str, Table] = {}

    def _tables(self) -> tuple[Table, ...]:
        """Return the windows of each axis."""
        raise NotImplementedError

    def _numbers(self) -> Table:
        raise NotImplementedError

    def _dilation(self) -> Ints:
        return (1,) * len(self.in_size)

    def _keep(self, name: str, make: Callable[[], Table]) -> Table:
        found = self._kept.get(name)
        if found is None:
            found = make()
            if found.nbytes <= _KEPT:
                self._kept[name] = found
        return found

    @property
    def windows(self) -> Table:
        """The numbers of all kernels."""
        return self._keep("windows", self._numbers)

    @property
    def readers(self) -> Table:
        """What the gradient of a mean wants, too."""
        return self._keep(
            "readers", lambda: reader_numbers(self._tables(), self.in_size, self._dilation())
        )


class RegularPlan(PoolPlan):
    """Windows that lie evenly."""

    def __init__(self, geometry: PoolGeometry) -> None:
        self.geometry = geometry
        kernel, stride = geometry.kernel, geometry.stride
        meeting = tuple(-(-k // s) for k, s in zip(kernel, stride, strict=True))
        super().__init__(geometry.in_size, geometry.out_size, meeting, kernel)

    @cached_property
    def cells(self) -> int:
        """The cells of a window."""
        return prod(self.geometry.kernel)

    @cached_property
    def hangs_over(self) -> bool:
        """Whether a window has cells beyond the padding, by `ceil_mode`."""
        g = self.geometry
        return any(
            (out - 1) * s + d * (k - 1) + 1 > n + sum(pair)
            for out, s, d, k, n, pair in zip(
                g.out_size, g.stride, g.dilation, g.kernel, g.in_size, g.padding, strict=True
            )
        )

    def _tables(self) -> tuple[Table, ...]:
        return pool_windows(self.geometry)

    def _numbers(self) -> Table:
        g = self.geometry
        last = g.kernel[-1], g.stride[-1], g.padding[-1][0]
        return window_numbers(self._tables(), g.dilation, g.in_size[-1], *last)

    def _dilation(self) -> Ints:
        return self.geometry.dilation


class AdaptivePlan(PoolPlan):
    """As many windows as are wanted, over the whole input."""

    def __init__(self, in_size: Ints, out_size: Ints) -> None:
        window = tuple(-(-n // out) + 1 for n, out in zip(in_size, out_size, strict=True))
        # Of more windows than positions, many hold the same one.
        meeting = tuple(-(-out // n) + 1 for n, out in zip(in_size, out_size, strict=True))
        super().__init__(in_size, out_size, meeting, window)

    @cached_property
    def is_global(self) -> bool:
        """Whether there is one window over everything."""
        return all(out == 1 for out in self.out_size)

    def _tables(self) -> tuple[Table, ...]:
        return tuple(map(adaptive_windows, self.in_size, self.out_size))

    def _numbers(self) -> Table:
        size, out = self.in_size[-1], self.out_size[-1]
        # Windows lie evenly where the size is a multiple of their number.
        kernel = size // out if size % out == 0 else 0
        return window_numbers(self._tables(), self._dilation(), size, kernel, kernel)


def _plan(
    in_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingLike,
    dilation: PerAxis,
    ceil_mode: int,
) -> RegularPlan:
    axes = len(in_size)
    kernel = _check.integers("kernel_size", kernel_size, axes, 1)
    form: Padding = _check.padding("padding", padding, axes, POOL_PADDING_WORDS)
    geometry = pool_geometry(
        in_size,
        kernel,
        kernel if stride is None else _check.integers("stride", stride, axes, 1),
        form,
        _check.integers("dilation", dilation, axes, 1),
        # By ONNX's rule a word alone says how many windows there are.
        bool(ceil_mode) and not (ceil_mode == _ONNX and isinstance(form, str)),
    )
    return RegularPlan(geometry)


def _plan_adaptive(in_size: Ints, output_size: Any) -> AdaptivePlan:
    axes = len(in_size)
    if not all(in_size):
        raise ValueError(f"input must have no spatial axis of size 0, got sizes {in_size}")
    entries = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    if len(entries) == axes:
        # None is the size that is there.
        entries = tuple(
            n if entry is None else entry for n, entry in zip(in_size, entries, strict=True)
        )
    return AdaptivePlan(in_size, _check.integers("output_size", entries, axes, 1))


_ONNX = 2
# The arguments as users write them lead to the plan; `ceil_mode` is 0, 1 or _ONNX.
_planned = Cache(_plan, 256)
_planned_adaptive = Cache(_plan_adaptive, 256)


def pool_plan(
    in_size: Ints,
    kernel_size: PerAxis,
    stride: PerAxis | None,
    padding: PaddingLike,
    dilation: PerAxis,
    ceil_mode: bool | str,
) -> RegularPlan:
    """Return the plan of windows that lie evenly."""
    mode = check_ceil_mode(ceil_mode)
    number = _ONNX if mode == "onnx" else int(mode)
    found: RegularPlan = _planned(in_size, kernel_size, stride, padding, dilation, number)
    return found


def adaptive_plan(in_size: Ints, output_size: Any) -> AdaptivePlan:
    """Return the plan of adaptive windows."""
    found: AdaptivePlan = _planned_adaptive(in_size, output_size)
    return found


def check_ceil_mode(ceil_mode: Any) -> bool | str:
    """Return False, True or "onnx"."""
    if not isinstance(ceil_mode, str):
        return bool(ceil_mode)
    if ceil_mode != "onnx":
        raise ValueError(f"ceil_mode must be a bool or 'onnx', got {ceil_mode!r}")
    return ceil_mode


def float_maps(input: Array, axes: int) -> Array:
    """Return maps of float32 or float64 over so many axes."""
    input = _check.array("input", input)
    _check.rank("input", input.shape, axes)
    return input


def any_maps(input: Array, axes: int) -> Array:
    """Return maps that may also hold bytes."""
    if isinstance(input, np.ndarray) and input.dtype in _BYTES:
        input = _check.plain_array("input", input)
        _check.rank("input", input.shape, axes)
        return input
    return float_maps(input, axes)


def as_volumes(maps: NDArray[Any], axes: int) -> NDArray[Any]:
    """View (N, C, *spatial) or (C, *spatial) as (N, C, D, H, W)."""
    every = slice(None)
    lead = (every, every) if maps.ndim == axes + 2 else (None, every)
    return maps[lead + (None,) * (3 - axes)]


def as_cells(maps: NDArray[Any], axes: int) -> NDArray[Any]:
    """View maps whose spatial axes are contiguous as (N, C, cells); others are copied."""
    shape = maps.shape if maps.ndim == axes + 2 else (1, *maps.shape)
    return maps.reshape(*shape[:2], prod(shape[2:]))


def max_windows(
    plan: PoolPlan, windows: Table | None, input: Array, return_indices: bool, out: Array | None
) -> Any:
    """Return the maxima of windows, and with `return_indices` their places.

    The windows are those of a plan, unless there are others that fit it.
    """
    axes = len(plan.in_size)
    shape = input.shape[:-axes] + plan.out_size
    result = _check.output(out, shape, input.dtype, input, axes=axes)
    indices = empty(shape, INT64) if return_indices else None
    if result.size:
        numbers = plan.windows if windows is None else windows
        maps, maxima = as_volumes(input, axes), as_volumes(result, axes)
        found = None if indices is None else as_volumes(indices, axes)
        signed = input.dtype.kind == "i"
        if found is None or input.dtype == FLOAT64 or prod(plan.in_size) < _PLACES:
            pooling.max_pool(maps, maxima, found, numbers, signed)
        else:
            # Float64 has wider places.
            for n in range(len(maps)):
                wide = np.empty(maxima[n : n + 1].shape)
                sample = maps[n : n + 1].astype(FLOAT64)
                pooling.max_pool(sample, wide, found[n : n + 1], numbers)
                maxima[n] = wide[0]
    output = _check.deliver(result, out)
    return output if indices is None else (output, indices)


def mean_windows(
    plan: PoolPlan, input: Array, cells: int, count_include_pad: bool, out: Array | None
) -> Array:
    """Return the means of windows: of `cells` if that is not 0, else of their own."""
    axes = len(plan.in_size)
    result = _check.output(out, input.shape[:-axes] + plan.out_size, input.dtype, input, axes=axes)
    if result.size:
        options = (plan.windows, cells, bool(count_include_pad))
        maps, means = as_volumes(input, axes), as_volumes(result, axes)
        run_wide(pooling.mean_pool, plan.long_windows, maps, means, options)
    return _check.deliver(result, out)


def mean_windows_backward(
    plan: PoolPlan,
    grad_output: Array,
    size: Ints,
    cells: int,
    count_include_pad: bool,
    out: Array | None,
) -> Array:
    """Return the gradient of `mean_windows`."""
    axes = len(plan.in_size)
    check_residual(grad_output, plan, size)
    result = _check.output(out, size, grad_output.dtype, grad_output, axes=axes)
    if result.size:
        options = (plan.windows, plan.readers, cells, bool(count_include_pad))
        residual, gradient = as_volumes(grad_output, axes), as_volumes(result, axes)
        kernel = pooling_gradients.mean_pool_backward
        run_wide(kernel, plan.many_readers, residual, gradient, options)
    return _check.deliver(result, out)


def check_residual(grad_output: Array, plan: PoolPlan, size: Ints) -> None:
    """Refuse a residual that does not have the output's shape."""
    axes = len(plan.in_size)
    names = ", ".join("O" + axis_name(axis, axes) for axis in range(axes))
    formula = f"(N, C, {names})" if len(size) == axes + 2 else f"(C, {names})"
    _check.same_shape("grad_output", grad_output, size[:-axes] + plan.out_size, formula)


def run_wide(
    kernel: Callable[..., None],
    long_sums: bool,
    maps: Array,
    results: Array,
    options: tuple[Any, ...],
) -> None:
    """Run a kernel of sums; long sums of float32 are added in float64, sample by sample."""
    if not (long_sums and maps.dtype == FLOAT32):
        kernel(maps, results, *options)
        return
    for n in range(len(maps)):
        means = np.empty(results[n : n + 1].shape, FLOAT64)
        kernel(maps[n : n + 1].astype(FLOAT64), means, *options)
        with np.errstate(all="ignore"):
            results[n] = means[0]


def to_places(
    write: Callable[..., bool],
    name: str,
    values: Array,
    indices: Indices,
    size_name: str,
    size: Ints,
    axes: int,
    out: Array | None,
) -> Array:
    """Return planes of a size with values at the places that the indices name, else zeros.

    `write` is a kernel; the names are those of the arguments.
    """
    values = _check.array(name, values)
    _check.rank(name, values.shape, axes)
    indices = _check.indices("indices", indices)
    _check.same_shape("indices", indices, values.shape, f"{name}.shape")
    size = _check.size(size_name, size, axes)
    if size[:-axes] != values.shape[:-axes]:
        raise ValueError(f"{size_name} must begin as {name}.shape = {values.shape}, got {size}")
    result = _check.output(out, size, values.dtype, values, indices, axes=axes)
    if out is not None and indices.size:
        # The kernel finds a wrong index only when it has written what comes before.
        check_places(indices, size[-axes:])
    if result.size or values.size:
        inside = write(as_cells(values, axes), as_cells(indices, axes), as_cells(result, axes))
        if not inside:
            check_places(indices, size[-axes:])
    return _check.deliver(result, out)


def from_places(planes: Array, indices: Indices, axes: int, out: Array | None) -> Array:
    """Return what a residual `planes` has at the places that the indices name."""
    planes = _check.array("grad_output", planes)
    _check.rank("grad_output", planes.shape, axes)
    indices = _check.indices("indices", indices)
    _check.rank("indices", indices.shape, axes)
    if indices.shape[:-axes] != planes.shape[:-axes]:
        raise ValueError(
            f"indices must begin as grad_output.shape = {planes.shape}, got {indices.shape}"
        )
    result = _check.output(out, indices.shape, planes.dtype, planes, indices, axes=axes)
    if result.size:
        # The kernel would find a wrong index only when it has written what comes before.
        check_places(indices, planes.shape[-axes:])
        cells = np.ascontiguousarray(planes)
        places.read_places(as_cells(result, axes), as_cells(indices, axes), as_cells(cells, axes))
    return _check.deliver(result, out)


def check_places(indices: Indices, size: Ints) -> None:
    """Refuse indices of which one lies outside the plane."""
    smallest, largest = int(indices.min()), int(indices.max())
    cells = prod(size)
    if smallest < 0 or largest >= cells:
        formula = "*".join(axis_name(axis, len(size)) for axis in range(len(size)))
        raise ValueError(
            f"indices must be from 0 to {formula} - 1 = {cells - 1}, got values from {smallest} to "
            f"{largest}"
        )
