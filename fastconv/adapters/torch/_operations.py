"""Batch normalisation and pooling of torch, computed by fastconv where that is faster.

Unlike convolutions, torch has kernels of its own for these on the CPU, which are overridden: see
`override`. Tensors go to `fastconv.functional` as arrays of NumPy, which takes about 20 us a call,
so that small ones stay where they are.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import library as registry
from torch._prims_common import suggest_memory_format

from fastconv import functional as F
from fastconv.adapters._switch import Count
from fastconv.adapters.torch._calls import make
from fastconv.adapters.torch._routes import Tensor, Tensors, refuse
from fastconv.engine.base.threads import num_threads

Pair: TypeAlias = Sequence[int]

# Calls of one shape that are computed by both sides while profiled.
COMPARED = 2


def _array(tensor: Tensor) -> Any:
    """Return the memory of a tensor as an array."""
    return tensor.detach().numpy()


def _optional(tensor: Tensor | None) -> Any:
    return None if tensor is None else _array(tensor)


def _like(tensor: Tensor) -> Tensor:
    """Return a new tensor of the same shape and dtype."""
    return make(tuple(tensor.shape), tensor.dtype, torch.contiguous_format)


# ---- batch normalisation -------------------------------------------------------------------------


def _batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensors:
    output = _like(input)
    statistics = np.empty((2, input.shape[1]))
    F.batch_norm(
        _array(input), _optional(running_mean), _optional(running_var), _optional(weight),
        _optional(bias), training, momentum, eps, statistics=statistics, out=_array(output),
    )  # fmt: skip
    # Outside of training, torch returns none.
    saved = torch.from_numpy(statistics[:, : None if training else 0]).to(input.dtype)
    return output, saved[0].clone(), saved[1].clone()


def _batch_norm_backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
    train: bool,
    eps: float,
    output_mask: tuple[bool, bool, bool],
) -> Tensors:
    mean, variance = (save_mean, save_invstd) if train else (running_mean, running_var)
    if mean is None or variance is None:
        raise ValueError("there are no statistics")
    statistics = np.stack([_array(mean), _array(variance)]).astype(np.float64)
    if not train:
        statistics[1] = 1 / np.sqrt(statistics[1] + eps)
    channels = make((input.shape[1],), input.dtype, torch.contiguous_format)
    out = [
        torch.empty_like(like) if wanted else None
        for like, wanted in zip((input, channels, channels), output_mask, strict=True)
    ]
    if out[0] is not None:
        out[0] = _like(input)
    F.batch_norm_backward(
        _array(grad_output), _array(input), statistics, _optional(weight), train,
        output_mask=output_mask, out=tuple(map(_optional, out)),
    )  # fmt: skip
    return tuple(out)


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
        input: Tensor,
        kernel_size: Pair,
        stride: Pair = (),
        padding: Pair = (0,),
        dilation: Pair = (1,),
        ceil_mode: bool = False,
    ) -> Tensors:
        windows = self._windows(kernel_size, stride, padding, dilation)
        pool = self._function("max_pool{axes}d")
        maxima, indices = pool(_array(input), *windows, ceil_mode, return_indices=True)
        return torch.from_numpy(maxima), torch.from_numpy(indices)

    def avg_pool(
        self,
        input: Tensor,
        kernel_size: Pair,
        stride: Pair = (),
        padding: Pair = (0,),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        windows = self._windows(kernel_size, stride, padding)
        pool = self._function("avg_pool{axes}d")
        means = pool(_array(input), *windows, ceil_mode, count_include_pad, divisor_override)
        return torch.from_numpy(means)

    def avg_pool_backward(
        self,
        grad_output: Tensor,
        input: Tensor,
        kernel_size: Pair,
        stride: Pair,
        padding: Pair,
        *options: Any,
    ) -> Tensor:
        gradient = _like(input)
        windows = self._windows(kernel_size, stride, padding)
        backward = self._function("avg_pool{axes}d_backward")
        backward(_array(grad_output), tuple(input.shape), *windows, *options, out=_array(gradient))
        return gradient

    def adaptive_avg_pool(self, input: Tensor, output_size: Pair) -> Tensor:
        pool = self._function("adaptive_avg_pool{axes}d")
        return torch.from_numpy(pool(_array(input), *self._windows(output_size)))

    def adaptive_avg_pool_backward(self, grad_output: Tensor, input: Tensor) -> Tensor:
        gradient = _like(input)
        backward = self._function("adaptive_avg_pool{axes}d_backward")
        backward(_array(grad_output), tuple(input.shape), out=_array(gradient))
        return gradient


# ---- what is served, and where it wins -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """How an operation is computed here, and for which calls that is faster.

    It is so for inputs of `least` numbers or more, if `wins` does not give a reason against it.
    """

    compute: Callable[..., Any]
    least: int
    wins: Callable[..., str] = lambda *call: ""


def _trains(place: int) -> Callable[..., str]:
    """Return a reason against calls of batch norm that are not of training mode."""

    def wins(*call: Any) -> str:
        return "" if call[place] else "PyTorch is as fast outside of training"

    return wins


# Measured by `python benches/bench_torch_operations.py --all`, as PyTorch's time over ours on two
# threads of an AMD EPYC (Zen 5). Batch norm: forward 1.9 to 3.4, and 0.91 with 32,768 numbers;
# backward 1.2 with 6 million, 0.8 to 1.1 with 3, else 0.4 to 0.7; outside of training 0.4 to 1.2.
# Maxima: 5 to 20; their gradient 0.5 to 1.0, so it stays where it is. Means: 1.3 to 15, their
# gradients 1.0 to 9.
def _ways() -> dict[str, dict[str, Way]]:
    pools: dict[str, Way] = {}
    for axes in (2, 3):
        pool = _Pool(axes)
        pools |= {
            f"max_pool{axes}d_with_indices": Way(pool.max_pool, 1 << 15),
            f"avg_pool{axes}d": Way(pool.avg_pool, 1 << 15),
            f"avg_pool{axes}d_backward": Way(pool.avg_pool_backward, 1 << 16),
            f"_adaptive_avg_pool{axes}d": Way(pool.adaptive_avg_pool, 1 << 15),
            f"_adaptive_avg_pool{axes}d_backward": Way(pool.adaptive_avg_pool_backward, 1 << 18),
        }
    norms = {
        "native_batch_norm": Way(_batch_norm, 1 << 16, _trains(5)),
        "native_batch_norm_backward": Way(_batch_norm_backward, 1 << 22, _trains(7)),
    }
    return {"batch_norm": norms, "pool": pools}


WAYS = _ways()


# ---- the dispatcher ------------------------------------------------------------------------------


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
    """What the dispatcher calls for one of these operations; `kernel` is torch's own.

    It is an `Override` as those of convolutions are, but keeps no routes.
    """

    def __init__(
        self,
        name: str,
        kernel: Any,
        way: Way,
        count: Callable[[str, str], Count],
    ) -> None:
        self.name, self.kernel, self.way, self.count = name, kernel.call_boxed, way, count
        self.on = self.profile = False
        self._compared: dict[Any, list[float]] = {}

    def clear(self) -> None:
        """Forget what was timed."""
        self._compared = {}

    def __call__(self, keyset: Any, *call: Any) -> Any:
        if not self.on:
            return self.kernel(keyset, *call)
        reason = self._decide(call)
        begin = perf_counter()
        if not reason:
            try:
                with num_threads(torch.get_num_threads()):
                    result = self.way.compute(*call)
            except (TypeError, ValueError):
                # Of wrong arguments torch tells the user, in its own words.
                reason, begin = "the arguments are not taken", perf_counter()
        if reason:
            result = self.kernel(keyset, *call)
        count = self.count(self.name, reason)
        count.calls += 1
        if self.profile:
            seconds = perf_counter() - begin
            count.seconds += seconds
            if not reason:
                count.saved += self._others_time(keyset, call) - seconds
        return result

    def _decide(self, call: tuple[Any, ...]) -> str:
        """Return why a call is not served, or ""."""
        tensors = [value for value in call if isinstance(value, torch.Tensor)]
        # Outside of training, what was saved of the statistics is empty.
        tensors = [tensor for tensor in tensors if tensor.numel() or tensor.ndim > 1]
        # In a gradient, the first is the residual.
        largest = max((tensor.numel() for tensor in tensors[:2]), default=0)
        if not largest or largest < self.way.least:
            return "it is small"
        return self.way.wins(*call) or _refuse(tensors)

    def _others_time(self, keyset: Any, call: tuple[Any, ...]) -> float:
        """Return what torch takes for such a call: the least of the first few."""
        times = self._compared.setdefault(tuple(call[0].shape), [])
        if len(times) < COMPARED:
            # Torch would move the running statistics once more.
            copies = [v.clone() if isinstance(v, torch.Tensor) else v for v in call]
            begin = perf_counter()
            self.kernel(keyset, *copies)
            times.append(perf_counter() - begin)
        return min(times)


def override(group: str, count: Callable[[str, str], Count]) -> tuple[Any, list[Any]]:
    """Put the operations of a group into the dispatcher; return what keeps them there, and them.

    Torch warns at the first kernel that takes the place of another: that is what is wanted here.
    """
    library = registry.Library("aten", "IMPL")
    operations = []
    for name, way in WAYS[group].items():
        operation = Operation(name, registry.get_kernel(f"aten::{name}", "CPU"), way, count)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*verriding a previously registered")
            library.impl(name, operation, "CPU", with_keyset=True)
        operations.append(operation)
    return library, operations
