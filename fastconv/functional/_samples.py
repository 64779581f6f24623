"""Few channels and many samples: what `_samples` and `_samples_weight` compute for an algorithm.

They have the bits of the algorithm, which computes what they refuse.
"""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from fastconv import _samples, _samples_weight
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._axes import forward_axes, gradient_axes
from fastconv.functional._compiled import Compiled, views

_CORRELATE = {dtype: _samples.correlate[name] for dtype, name in C_TYPES.items()}
_CORRELATE_WEIGHT = {
    dtype: _samples_weight.correlate_weight[name] for dtype, name in C_TYPES.items()
}

# With fewer samples the vectors are bands of rows, whose neighbours are laid out twice.
_LEAST_SAMPLES = 8
# With so many groups, of at most so many channels each, groups lie in the lanes.
_LEAST_GROUPS = 16
_MOST_ACROSS = 3
# With more channels, to lay them out takes as long as other layouts lose.
_MOST_CHANNELS = 32


@lru_cache(maxsize=4096)
def lies_across(geometry: ConvGeometry) -> bool:
    """Tell whether groups lie in the lanes, instead of samples."""
    channels = max(geometry.in_channels, geometry.out_channels)
    return geometry.groups >= _LEAST_GROUPS and channels <= _MOST_ACROSS * geometry.groups


@lru_cache(maxsize=4096)
def may_pay(geometry: ConvGeometry) -> bool:
    """Tell whether the loops with samples, or groups, in the lanes may be the fastest."""
    channels = max(geometry.in_channels, geometry.out_channels)
    return prod(geometry.kernel) > 1 and (
        (geometry.batch >= _LEAST_SAMPLES and channels <= _MOST_CHANNELS * geometry.groups)
        or lies_across(geometry)
    )


def ask(
    loops: tuple[Callable[..., int], Callable[..., int]],
    operation: str,
    geometry: ConvGeometry,
    arrays: tuple[Array, Array, Array],
    **options: bool,
) -> int:
    """Return the bytes of workspace that loops with numbers in the lanes take, or 0: they refuse.

    `loops` are those of the correlation and of the weight gradient, `arrays` what `views` returns.
    """
    correlate, correlate_weight = loops
    maps, kernels, results = arrays
    axes = forward_axes(geometry)
    if operation == "conv2d":
        return correlate(maps, kernels, None, results, *axes, dry=True, **options)
    if operation == "conv2d_weight":
        return correlate_weight(maps, results, kernels, *axes, dry=True, **options)
    turned, axes = kernels.swapaxes(1, 2), gradient_axes(geometry)
    return correlate(results, turned, None, maps, *axes, dry=True, **options)


class Samples(Compiled):
    """An algorithm that leaves many samples of few channels to those loops."""

    # Whether the algorithm adds the taps of a kernel column by column.
    _by_columns = False

    def forward(
        self,
        geometry: ConvGeometry,
        input: Array,
        weight: Array,
        bias: Array | None,
        output: Array,
        prepared: Any = None,
    ) -> None:
        """Write the convolution into `output`."""
        if may_pay(geometry):
            maps, kernels, results = views(geometry, input, weight, output)
            shift = None if bias is None else bias.reshape(geometry.groups, -1)
            axes, across = forward_axes(geometry), lies_across(geometry)
            correlate = _CORRELATE[input.dtype]
            if correlate(maps, kernels, shift, results, *axes, self._by_columns, across):
                return
        super().forward(geometry, input, weight, bias, output, prepared)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        if may_pay(geometry):
            maps, kernels, results = views(geometry, grad_input, weight, grad_output)
            axes, across = gradient_axes(geometry), lies_across(geometry)
            turned, correlate = kernels.swapaxes(1, 2), _CORRELATE[weight.dtype]
            if correlate(results, turned, None, maps, *axes, self._by_columns, across):
                return
        super().input_gradient(geometry, grad_output, weight, grad_input)

    def weight_gradient(
        self, geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
    ) -> None:
        """Write the gradient with respect to the weights into `grad_weight`."""
        if may_pay(geometry):
            axes, across = forward_axes(geometry), lies_across(geometry)
            if across:
                # Maps of other layouts would be refused, and give other bits.
                input, grad_output = map(np.ascontiguousarray, (input, grad_output))
            maps, kernels, results = views(geometry, input, grad_weight, grad_output)
            if _CORRELATE_WEIGHT[input.dtype](maps, results, kernels, *axes, across):
                return
        super().weight_gradient(geometry, input, grad_output, grad_weight)

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        size = 0
        if may_pay(geometry):
            loops = _CORRELATE[input.dtype], _CORRELATE_WEIGHT[input.dtype]
            arrays = views(geometry, input, weight, output)
            size = ask(loops, operation, geometry, arrays, across=lies_across(geometry))
        return size or super().workspace(operation, geometry, input, weight, output)
