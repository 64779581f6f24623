"""Few channels and many samples: what `_samples` and `_samples_weight` compute for an algorithm.

They have the bits of the algorithm, which computes what they refuse.
"""

from math import prod
from typing import Any

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
# With more channels, to lay them out takes as long as other layouts lose.
_MOST_CHANNELS = 32


def may_pay(geometry: ConvGeometry) -> bool:
    """Tell whether the loops with samples in the lanes may be the fastest."""
    return (
        geometry.batch >= _LEAST_SAMPLES
        and geometry.in_channels <= _MOST_CHANNELS * geometry.groups
        and geometry.out_channels <= _MOST_CHANNELS * geometry.groups
        and prod(geometry.kernel) > 1
    )


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
            axes = forward_axes(geometry)
            if _CORRELATE[input.dtype](maps, kernels, shift, results, *axes, self._by_columns):
                return
        super().forward(geometry, input, weight, bias, output, prepared)

    def input_gradient(
        self, geometry: ConvGeometry, grad_output: Array, weight: Array, grad_input: Array
    ) -> None:
        """Write the gradient with respect to the input into `grad_input`."""
        if may_pay(geometry):
            maps, kernels, results = views(geometry, grad_input, weight, grad_output)
            axes = gradient_axes(geometry)
            turned = kernels.swapaxes(1, 2)
            if _CORRELATE[weight.dtype](results, turned, None, maps, *axes, self._by_columns):
                return
        super().input_gradient(geometry, grad_output, weight, grad_input)

    def weight_gradient(
        self, geometry: ConvGeometry, input: Array, grad_output: Array, grad_weight: Array
    ) -> None:
        """Write the gradient with respect to the weights into `grad_weight`."""
        if may_pay(geometry):
            maps, kernels, results = views(geometry, input, grad_weight, grad_output)
            axes = forward_axes(geometry)
            if _CORRELATE_WEIGHT[input.dtype](maps, results, kernels, *axes):
                return
        super().weight_gradient(geometry, input, grad_output, grad_weight)

    def workspace(
        self, operation: str, geometry: ConvGeometry, input: Array, weight: Array, output: Array
    ) -> int:
        """Return the bytes of workspace that an operation takes, for arrays of this layout."""
        size = 0
        if may_pay(geometry):
            maps, kernels, results = views(geometry, input, weight, output)
            if operation == "conv2d":
                axes = forward_axes(geometry)
                size = _CORRELATE[input.dtype](maps, kernels, None, results, *axes, dry=True)
            elif operation == "conv2d_weight":
                axes = forward_axes(geometry)
                size = _CORRELATE_WEIGHT[input.dtype](maps, results, kernels, *axes, dry=True)
            else:
                turned, axes = kernels.swapaxes(1, 2), gradient_axes(geometry)
                size = _CORRELATE[input.dtype](results, turned, None, maps, *axes, dry=True)
        return size or super().workspace(operation, geometry, input, weight, output)
