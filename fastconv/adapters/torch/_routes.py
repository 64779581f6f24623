"""Who computes a convolution of torch, and how: decided once for calls that are alike.

`refuse` and `slower` say why torch does. A `Route` of a call that is served says which functions
compute the results, from which of its tensors, and how the results must lie in memory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

from fastconv.adapters._switch import Count
from fastconv.adapters.torch._calls import Part, Route, look_at
from fastconv.adapters.torch._wins import slower
from fastconv.engine.base.kernel import Dispatch
from fastconv.engine.ops.sums import sum_maps
from fastconv.functional._calls import Call, find_call
from fastconv.functional._convolution import bias_gradient

Tensor: TypeAlias = torch.Tensor
Tensors: TypeAlias = tuple[Tensor | None, ...]
Format: TypeAlias = torch.memory_format

FORWARD, BACKWARD = "convolution", "convolution_backward"
GRADIENTS = ("input", "weight", "bias")

DTYPES: dict[Any, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}
# Of wrong arguments torch tells the user, in its own words.
_WRONG = "the arguments are not a convolution's"


# ---- tensors -------------------------------------------------------------------------------------


def refuse(tensors: Tensors) -> str:
    """Return why tensors cannot be served, whatever the call, or ""."""
    for tensor in tensors:
        if tensor is None or look_at(tensor) is not None:
            continue
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return f"a {type(tensor).__name__} may be more than its numbers"
        if tensor.dtype not in DTYPES:
            return f"the dtype is {str(tensor.dtype).removeprefix('torch.')}"
        return "a tensor is empty" if tensor.numel() == 0 else "a tensor is no plain memory"
    dtypes = {tensor.dtype for tensor in tensors if tensor is not None}
    return "the dtypes differ" if len(dtypes) > 1 else ""


def has_planes(tensor: Tensor) -> bool:
    """Tell whether maps or kernels are contiguous; samples and channels may lie anywhere."""
    expected = 1
    for size, stride in list(zip(tensor.shape, tensor.stride(), strict=True))[:1:-1]:
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def result_format(input: Tensor, weight: Tensor, *arguments: Any) -> Format:
    """Return the format of torch's results, of forward and all gradients.

    Torch itself says so. By its rules it follows the input and the weights, channels-last if one of
    them is; but for maps of one axis the weights alone.
    """
    if input.is_contiguous() and weight.is_contiguous():
        # One channel, or one pixel, could be called channels-last, too.
        return torch.contiguous_format
    stride, padding, dilation, transposed, output_padding, groups = arguments
    backend = torch._C._select_conv_backend(
        input, weight, bias=None, stride=stride, padding=padding, dilation=dilation,
        transposed=transposed, output_padding=output_padding, groups=groups,
    )  # fmt: skip
    if weight.ndim == 3:
        input, weight = input.contiguous().unsqueeze(2), weight.unsqueeze(2)
    found: Format = torch._C._conv_determine_backend_memory_format(input, weight, backend)
    return found


# ---- routes --------------------------------------------------------------------------------------


def find(kind: str, input: Tensor, weight: Tensor, arguments: Sequence[Any]) -> Call | None:
    """Return what computes a convolution ("") or a gradient ("_input", "_weight"); None: nothing.

    So it is where the arguments are wrong.
    """
    *lists, groups = arguments
    transposed = lists.pop(3)
    axes = weight.ndim - 2
    if (
        axes < 1
        or input.ndim != weight.ndim
        or any(len(values) not in (1, axes) for values in lists)
    ):
        return None
    stride, padding, dilation, output_padding = (
        tuple(values) * (axes // len(values)) for values in lists
    )
    name = f"conv{'_transpose' if transposed else ''}{axes}d{kind}"
    options: tuple[Any, ...] = (stride, padding, dilation, groups, "auto")
    if transposed:
        if any(n >= step for n, step in zip(output_padding, stride, strict=True)):
            # PyTorch has no gradients of some of these.
            return None
        options += (output_padding,)
    shapes = tuple(input.shape), tuple(weight.shape)
    try:
        return find_call(name, DTYPES[input.dtype], *shapes, options)
    except (TypeError, ValueError):
        return None


def takes_arrays(call: Call) -> bool:
    """Tell whether what computes is written in Python, for arrays of NumPy."""
    owner = getattr(call.compute, "__self__", None)
    return not isinstance(owner, Dispatch) or call.plan.algorithm == "fft"


class Planner:
    """Makes the routes of convolutions, and has their calls counted."""

    def __init__(self, count: Callable[[str, str], Count]) -> None:
        self._count = count

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor | None, *arguments: Any) -> Route:
        """Return the route of aten::convolution."""
        tensors = input, weight, bias
        reason = refuse(tensors)
        call = None if reason else find("", input, weight, arguments)
        if call is None or (bias is not None and tuple(bias.shape) != call.bias_shape):
            return Route(passed=self._count(FORWARD, reason or _WRONG))
        format = result_format(input, weight, *arguments)
        reason = slower(call, input.itemsize, format is not torch.contiguous_format)
        if reason:
            return Route(passed=self._count(FORWARD, reason))
        reads = 0, 1, None if bias is None else 2
        part = Part(call.compute, reads, call.output_shape, format, takes_arrays(call))
        return Route(
            served=self._count(FORWARD, ""),
            parts=(part,),
            copies=tuple(not has_planes(t) for t in tensors if t is not None),
            dtype=input.dtype,
        )

    def backward(
        self, grad_output: Tensor, input: Tensor, weight: Tensor, bias_sizes: Any, *others: Any
    ) -> Route:
        """Return the route of aten::convolution_backward.

        The gradients are decided one by one; that of the bias goes with that of the weights.
        """
        *arguments, mask = others
        tensors = grad_output, input, weight
        reason = refuse(tensors)
        if reason:
            return Route(passed=self._count(backward_of(mask), reason))
        for_input = find("_input", input, weight, arguments)
        for_weight = find("_weight", input, weight, arguments)
        if for_input is None or for_weight is None:
            return Route(passed=self._count(backward_of(mask), _WRONG))
        format = result_format(input, weight, *arguments)
        how = input.itemsize, format is not torch.contiguous_format
        reasons = [
            slower(for_input, *how) if mask[0] else "",
            slower(for_weight, *how) if mask[1] else "",
        ]
        reasons.append(reasons[1])
        ours = [wanted and not reason for wanted, reason in zip(mask, reasons, strict=True)]
        rest = [wanted and bool(reason) for wanted, reason in zip(mask, reasons, strict=True)]
        reason = reasons[0] or reasons[1] or "no gradient is wanted"
        passed = self._count(backward_of(rest), reason)
        if not any(ours):
            return Route(passed=passed)
        # A transposed convolution's output is the input of what it is the gradient of.
        maps = (0, 1) if for_weight.operation.transposed else (1, 0)
        axes = for_weight.operation.axes
        total: Any = sum_maps if axes == 2 else partial(bias_gradient, axes)
        shapes = tuple(input.shape), tuple(weight.shape), for_weight.bias_shape
        parts = (
            Part(for_input.compute, (0, 2, None), shapes[0], format, takes_arrays(for_input)),
            Part(for_weight.compute, maps, shapes[1], format, takes_arrays(for_weight)),
            Part(total, (0,), shapes[2], torch.contiguous_format, axes != 2),
        )
        return Route(
            served=self._count(backward_of(ours), ""),
            passed=passed,
            parts=tuple(part if own else None for part, own in zip(parts, ours, strict=True)),
            rest=rest if any(rest) else None,
            copies=tuple(not has_planes(tensor) for tensor in tensors),
            dtype=input.dtype,
        )


def backward_of(mask: Sequence[bool]) -> str:
    """Name the operation that computes these gradients."""
    names = [name for name, taken in zip(GRADIENTS, mask, strict=True) if taken]
    return f"{BACKWARD} of {', '.join(names) or 'nothing'}"
