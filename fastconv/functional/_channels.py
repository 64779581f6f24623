"""Groups of few channels: what `_channels` and `_channels_weight` compute for the engine.

They have its bits (but for the weight gradient), and it computes what they refuse.
"""

from math import prod
from typing import Any

from fastconv import _channels, _channels_weight
from fastconv._check import C_TYPES, Array
from fastconv._geometry import ConvGeometry
from fastconv.functional._axes import forward_axes, gradient_axes
from fastconv.functional._compiled import views
from fastconv.functional._samples import Samples, ask

_CORRELATE = {dtype: _channels.correlate[name] for dtype, name in C_TYPES.items()}
_CORRELATE_WEIGHT = {
    dtype: _channels_weight.correlate_weight[name] for dtype, name in C_TYPES.items()
}

# With fewer channels in a group, they leave lanes empty; with more, the engine's tiles are full.
_LEAST_CHANNELS = 8
_MOST_CHANNELS = 32


def fill_lanes(geometry: ConvGeometry) -> bool:
    """Tell whether the loops with the channels of groups in the lanes may be the fastest."""
    channels = geometry.in_channels, geometry.out_channels
    return (
        geometry.groups > 1
        and prod(geometry.kernel) > 1
        and min(channels) >= _LEAST_CHANNELS * geometry.groups
        and max(channels) <= _MOST_CHANNELS * geometry.groups
    )


class Channels(Samples):
    """An algorithm that leaves groups of few channels to those loops."""

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
        if fill_lanes(geometry):
            maps, kernels, results = views(geometry, input, weight, output)
            shift = None if bias is None else bias.reshape(geometry.groups, -1)
            if _CORRELATE[input.dtype](maps, kernels, shift, results, *forward_axes(geometry)):
                return
        super().forward(geometry, input, weight, bias, output, prepared)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        if fill_lanes(geometry):
            maps, kernels, results = views(geometry, grad_input, weight, grad_output)
            turned, axes = kernels.swapaxes(1, 2), gradient_axes(geometry)
            if _CORRELATE[weight.dtype](results, turned, None, maps, *axes):
                return
        super().input_gradient(geometry, grad_output, weight, grad_input)

    def weight_gradient(
        self, geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
    ) -> None:
        """Write the gradient with respect to the weights into `grad_weight`."""
        if fill_lanes(geometry):
            maps, kernels, results = views(geometry, input, grad_weight, grad_output)
            if _CORRELATE_WEIGHT[input.dtype](maps, results, kernels, *forward_axes(geometry)):
                return
        super().weight_gradient(geometry, input, grad_output, grad_weight)

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        size = 0
        if fill_lanes(geometry):
            loops = _CORRELATE[input.dtype], _CORRELATE_WEIGHT[input.dtype]
            arrays = views(geometry, input, weight, output)
            size = ask(loops, operation, geometry, arrays)
        return size or super().workspace(operation, geometry, input, weight, output)
