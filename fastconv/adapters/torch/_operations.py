"""Batch normalisation, pooling and full connections of torch, computed by `fastconv.functional`.

Unlike convolutions, torch has kernels of its own for these on the CPU, which are overridden. What
computes an operation is called as torch's kernel is, with arrays in the place of tensors; where it
raises TypeError or ValueError, torch tells the user what is wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch._prims_common import suggest_memory_format

from fastconv import functional as F
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.adapters._switch import Count
from fastconv.adapters.torch._calls import Route, make
from fastconv.adapters.torch._routes import DTYPES, Tensor, Tensors, refuse
from fastconv.engine.base.isa import isa

Pair: TypeAlias = Sequence[int]

_WRONG = "the arguments are not taken"

_TORCHS = {dtype: of_torch for of_torch, dtype in DTYPES.items()}


def _new(shape: Ints, like: Array) -> Tensor:
    """Return a new tensor with the dtype of an array."""
    return make(shape, _TORCHS[like.dtype], torch.contiguous_format)


# ---- batch normalisation, in training ------------------------------------------------------------


def _batch_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensors:
    statistics = np.empty((2, input.shape[1]))
    output = F.batch_norm(
        input, running_mean, running_var, weight, bias, training, momentum, eps,
        statistics=statistics,
    )  # fmt: skip
    mean, inverse = statistics[0].astype(input.dtype), statistics[1].astype(input.dtype)
    return torch.from_numpy(output), torch.from_numpy(mean), torch.from_numpy(inverse)


def _batch_norm_backward(
    grad_output: Array,
    input: Array,
    weight: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    save_mean: Array,
    save_invstd: Array,
    train: bool,
    eps: float,
    output_mask: tuple[bool, bool, bool],
) -> Tensors:
    statistics = np.stack([save_mean, save_invstd]).astype(np.float64)
    shapes = input.shape, input.shape[1:2], input.shape[1:2]
    out = tuple(
        _new(shape, input) if wanted else None
        for shape, wanted in zip(shapes, output_mask, strict=True)
    )
    arrays: Any = tuple(None if tensor is None else tensor.numpy() for tensor in out)
    F.batch_norm_backward(
        grad_output, input, statistics, weight, train, output_mask=output_mask, out=arrays
    )
    return out


# ---- pooling -------------------------------------------------------------------------------------


class _Pool:
    """The pooling operations over one number of axes."""

    def __init__(self, axes: int) -> None:
        self.axes = axes

    def _function(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(F, name.format(axes=self.axes))
        return found

    def _windows(self, *values: Pair) -> list[Any]:
        """Return what torch keeps as one number, or as one for each axis, or as none at all."""
        return [tuple(value) * (self.axes if len(value) == 1 else 1) or None for value in values]

    def max_pool(
        self,
        input: Array,
        kernel_size: Pair,
        stride: Pair = (),
        padding: Pair = (0,),
        dilation: Pair = (1,),
        ceil_mode: bool = False,
    ) -> Tensors:
        windows = self._windows(kernel_size, stride, padding, dilation)
        pool = self._function("max_pool{axes}d")
        maxima, indices = pool(input, *windows, ceil_mode, return_indices=True)
        return torch.from_numpy(maxima), torch.from_numpy(indices)

    def avg_pool(
        self,
        input: Array,
        kernel_size: Pair,
        stride: Pair = (),
        padding: Pair = (0,),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        windows = self._windows(kernel_size, stride, padding)
        pool = self._function("avg_pool{axes}d")
        means = pool(input, *windows, ceil_mode, count_include_pad, divisor_override)
        return torch.from_numpy(means)

    def avg_pool_backward(
        self,
        grad_output: Array,
        input: Array,
        kernel_size: Pair,
        stride: Pair,
        padding: Pair,
        *options: Any,
    ) -> Tensor:
        gradient = _new(input.shape, input)
        windows = self._windows(kernel_size, stride, padding)
        backward = self._function("avg_pool{axes}d_backward")
        backward(grad_output, input.shape, *windows, *options, out=gradient.numpy())
        return gradient

    def adaptive_avg_pool(self, input: Array, output_size: Pair) -> Tensor:
        pool = self._function("adaptive_avg_pool{axes}d")
        return torch.from_numpy(pool(input, *self._windows(output_size)))

    def adaptive_avg_pool_backward(self, grad_output: Array, input: Array) -> Tensor:
        gradient = _new(input.shape, input)
        backward = self._function("adaptive_avg_pool{axes}d_backward")
        backward(grad_output, input.shape, out=gradient.numpy())
        return gradient


# ---- full connections ----------------------------------------------------------------------------


def _product(left: Array, right: Array, bias: Array | None = None) -> Tensor:
    product = _new((left.shape[0], right.shape[1]), left)
    F.linear(left, right.T, bias, out=product.numpy())
    return product


def _product_and_bias(bias: Array, left: Array, right: Array) -> Tensor:
    return _product(left, right, bias)


# ---- what is served, and where it wins -----------------------------------------------------------


def _at_least(numbers: int) -> Callable[..., bool]:
    """Return what tells whether an input is so large; in a gradient, the first is the residual."""
    return lambda *tensors: max(tensor.numel() for tensor in tensors[:2]) >= numbers


def _is_large_product(*tensors: Tensor) -> bool:
    """Tell whether a product is large enough; with few rows, columns or steps the memory decides.

    Without AVX-512 the arithmetic of PyTorch's library is as fast as ours.
    """
    left, right = tensors[-2:]
    products = left.numel() * right.shape[1]
    if isa() == "avx512":
        least = 1 << 20
    else:
        least = 1 << 21 if min(*left.shape, right.shape[1]) <= 8 else 1 << 24
    return bool(products >= least)


@dataclass(frozen=True, slots=True)
class Way:
    """How an operation is computed here, and for which calls that is faster.

    It is so where `pays` says it of a call's tensors, and `refuses` has no reason against the call.
    """

    compute: Callable[..., Any]
    pays: Callable[..., bool]
    refuses: Callable[..., str] = lambda *call: ""


def _evaluates(place: int) -> Callable[..., str]:
    """Return a reason against calls of batch norm that are not of training mode."""

    def refuses(*call: Any) -> str:
        return "" if call[place] else "PyTorch is as fast outside of training"

    return refuses


def _other_sum(bias: Tensor, left: Tensor, right: Tensor) -> str:
    if bias.shape != right.shape[1:]:
        return "what is added is not one number for each column"
    return _other_product(left, right)


def _other_product(left: Tensor, right: Tensor) -> str:
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        return _WRONG
    return "PyTorch is as fast at vectors" if 1 in (*left.shape, *right.shape) else ""


# Measured by `python benches/bench_torch_operations.py --all`, as PyTorch's time over ours on two
# threads of an AMD EPYC (Zen 5). Batch norm: forward 1.9 to 3.4, and 0.91 with 32,768 numbers;
# backward 1.2 with 6 million, 0.8 to 1.1 with 3, else 0.4 to 0.7; outside of training 0.4 to 1.2.
# Maxima: 5 to 20; their gradient 0.5 to 1.0, so it stays where it is. Means: 1.3 to 15, their
# gradients 1.0 to 9. Products: 1.1 to 12 with a million multiplications, 0.7 to 1.6 with half as
# many, in float64, too; with AVX2 1.1 to 12 with two million in few rows or with 17 million, else
# 0.6 to 1.2.
def _ways() -> dict[str, dict[str, Way]]:
    pools: dict[str, Way] = {}
    for axes in (2, 3):
        pool = _Pool(axes)
        pools |= {
            f"max_pool{axes}d_with_indices": Way(pool.max_pool, _at_least(1 << 15)),
            f"avg_pool{axes}d": Way(pool.avg_pool, _at_least(1 << 15)),
            f"avg_pool{axes}d_backward": Way(pool.avg_pool_backward, _at_least(1 << 16)),
            f"_adaptive_avg_pool{axes}d": Way(pool.adaptive_avg_pool, _at_least(1 << 15)),
            f"_adaptive_avg_pool{axes}d_backward": Way(
                pool.adaptive_avg_pool_backward, _at_least(1 << 18)
            ),
        }
    norms = {
        "native_batch_norm": Way(_batch_norm, _at_least(1 << 16), _evaluates(5)),
        "native_batch_norm_backward": Way(_batch_norm_backward, _at_least(1 << 22), _evaluates(7)),
    }
    products = {
        "mm": Way(_product, _is_large_product, _other_product),
        "addmm": Way(_product_and_bias, _is_large_product, _other_sum),
    }
    return {"batch_norm": norms, "pool": pools, "linear": products}


WAYS = _ways()


# ---- routes --------------------------------------------------------------------------------------


def _refuse(tensors: list[Tensor]) -> str:
    """Return why a call with these tensors cannot be served, or ""."""
    reason = refuse(tuple(tensors))
    if reason:
        return reason
    contiguous = torch.contiguous_format
    if any(not t.is_contiguous() and suggest_memory_format(t) != contiguous for t in tensors):
        return "PyTorch is faster in channels_last"
    return ""


class Operation:
    """Makes the routes of one of these operations, and has their calls counted."""

    def __init__(self, name: str, way: Way, count: Callable[[str, str], Count]) -> None:
        self.name, self.way, self._count = name, way, count

    def __call__(self, *call: Any, **options: Any) -> Route:
        """Return the route of a call."""
        reason = self.refuse(call, options)
        if reason:
            return Route(passed=self._count(self.name, reason))
        return Route(
            served=self._count(self.name, ""),
            passed=self._count(self.name, _WRONG),
            whole=self.way.compute,
        )

    def refuse(self, call: tuple[Any, ...], options: dict[str, Any]) -> str:
        """Return why a call is not served, or ""."""
        tensors = [value for value in call if isinstance(value, torch.Tensor)]
        reason = _refuse(tensors)
        if reason:
            return reason
        if options:
            # Factors of a product and of what is added to it.
            return f"{' and '.join(sorted(options))} are given"
        return self.way.refuses(*call) or ("" if self.way.pays(*tensors) else "it is small")
