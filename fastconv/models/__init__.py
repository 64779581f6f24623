"""Networks, as compositions of layers."""

from fastconv.models.lenet import lenet5, lenet5_relu, lenet_digits

__all__ = ["lenet5", "lenet5_relu", "lenet_digits"]
