"""The same convolution by several hands: fastconv, torch, and the slow ones.

Each maker takes a `Case` and returns a call without arguments that computes it as a user of that
library would, with a fresh result each time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

import fastconv
from fastconv import functional, reference
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.benchmark.tables import Layer

Call = Callable[[], Any]

# About what the reference computes in ten seconds.
MOST_FLOPS_OF_THE_REFERENCE = 10**9


@dataclass(frozen=True)
class Case:
    """A convolution with its operands: what both sides get.

    `first` and `second` are (input, weight) for "forward", (weight, grad_output) for "input", and
    (input, grad_output) for "weight"; `result` is the shape of what comes out.
    """

    layer: Layer
    direction: str
    batch: int
    first: Array
    second: Array
    result: Ints

    @property
    def flops(self) -> int:
        """The formula's multiplications and additions."""
        return self.layer.flops(self.batch)


def make_case(layer: Layer, direction: str, batch: int, dtype: np.dtype[Any]) -> Case:
    """Draw standard normal operands, weights over sqrt(C/groups R S), always the same."""
    geometry = layer.geometry(batch)
    rng = np.random.default_rng(0)

    def normal(shape: Ints, scale: float = 1.0) -> Array:
        return np.multiply(rng.standard_normal(shape, dtype), scale, dtype=dtype)

    scale = float(np.prod(geometry.weight_shape[1:])) ** -0.5
    shapes = {
        "input": geometry.input_shape,
        "weight": geometry.weight_shape,
        "output": geometry.output_shape,
    }
    *operands, result = {
        "forward": ("input", "weight", "output"),
        "input": ("weight", "output", "input"),
        "weight": ("input", "output", "weight"),
    }[direction]
    first, second = (normal(shapes[name], scale if name == "weight" else 1) for name in operands)
    return Case(layer, direction, batch, first, second, shapes[result])


def fastconv_call(case: Case, algorithm: str = "auto") -> Call:
    """Return the call of the public function."""
    return _numpy_call(functional, case, {"algorithm": algorithm})


def reference_call(case: Case) -> Call:
    """Return the call of the slow definition.

    Raises
    ------
    ValueError
        If it would take too long.
    """
    if case.flops > MOST_FLOPS_OF_THE_REFERENCE:
        raise ValueError(
            f"the reference is too slow for {case.flops / 1e9:.1f} GFLOP; it gets at most "
            f"{MOST_FLOPS_OF_THE_REFERENCE / 1e9:.1f}"
        )
    return _numpy_call(reference, case, {})


def _numpy_call(module: ModuleType, case: Case, options: dict[str, Any]) -> Call:
    layer, first, second = case.layer, case.first, case.second
    options = {
        **options,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
    }
    if case.direction == "forward":
        return partial(module.conv2d, first, second, **options)
    if case.direction == "input":
        return partial(module.conv2d_input, case.result, first, second, **options)
    return partial(module.conv2d_weight, first, case.result, second, **options)


def torch_call(case: Case) -> Call:
    """Return the call of torch on the same memory, with nothing computed beside it.

    Raises
    ------
    ImportError
        If torch is not installed.
    """
    torch, layer = _torch(), case.layer
    first, second = torch.from_numpy(case.first), torch.from_numpy(case.second)
    stride, padding, dilation = list(layer.stride), list(layer.padding), list(layer.dilation)
    if case.direction == "forward":
        conv2d = torch.nn.functional.conv2d
        return lambda: conv2d(first, second, None, stride, padding, dilation, layer.groups)
    backward = torch.ops.aten.convolution_backward
    rest = (None, stride, padding, dilation, False, [0, 0], layer.groups)
    like = torch.empty(case.result, dtype=first.dtype)  # only its size matters
    if case.direction == "input":
        return lambda: backward(second, like, first, *rest, (True, False, False))[0]
    return lambda: backward(second, first, like, *rest, (False, True, False))[1]


RIVALS: dict[str, Callable[[Case], Call]] = {
    "torch": torch_call,
    "im2col": partial(fastconv_call, algorithm="im2col"),
    "direct": partial(fastconv_call, algorithm="direct"),
    "reference": reference_call,
}


def default_rival() -> str:
    """Return "torch" where it is installed, else "im2col".

    Returns
    -------
    str

    Examples
    --------
    >>> default_rival() in RIVALS
    True
    """
    try:
        _torch()
    except ImportError:
        return "im2col"
    return "torch"


@contextmanager
def threads_of_both(threads: int, rival: str | None) -> Iterator[None]:
    """Give fastconv and torch so many threads, and back what they had."""
    sides = [fastconv, _torch()] if rival == "torch" else [fastconv]
    before = [side.get_num_threads() for side in sides]
    try:
        for side in sides:
            side.set_num_threads(threads)
        yield
    finally:
        for side, count in zip(sides, before, strict=True):
            side.set_num_threads(count)


def _torch() -> Any:
    try:
        return import_module("torch")
    except ImportError:
        raise ImportError(
            "torch is not installed; without it the rivals are im2col, direct and reference"
        ) from None
