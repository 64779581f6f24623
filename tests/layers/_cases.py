"""A case or more for each layer: its arguments, and the shape of an input."""

from typing import NamedTuple

import numpy as np

from fastconv import layers


def normal(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class Case(NamedTuple):
    """A layer and the shape of an input for it."""

    name: str
    shape: tuple[int, ...]
    args: tuple = ()
    kwargs: dict | None = None

    def build(self, dtype=np.float64):
        more = {"dtype": dtype, "rng": 0} if "Conv" in self.name or self.name == "Linear" else {}
        if self.name == "PReLU" or ("Norm" in self.name and self.name != "LocalResponseNorm"):
            more = {"dtype": dtype}
        return getattr(layers, self.name)(*self.args, **(self.kwargs or {}), **more)

    @property
    def input(self):
        return normal(self.shape, 1)

    def __str__(self):
        return f"{self.name}{self.args}{self.kwargs or ''}{self.shape}"


SPATIAL = (2, 4, 7, 6)
LINE, VOLUME = (2, 4, 9), (2, 4, 3, 5, 4)

TORCH_CASES = [
    Case("BatchNorm1d", (5, 4), (4,)),
    Case("BatchNorm1d", LINE, (4, 1e-3)),
    Case("BatchNorm2d", SPATIAL, (4, 1e-3, None)),
    Case("BatchNorm2d", SPATIAL, (4, 1e-3, 0.2, False, False)),
    Case("BatchNorm3d", VOLUME, (4,)),
    Case("GroupNorm", SPATIAL, (2, 4)),
    *(Case("LayerNorm", SPATIAL, args) for args in ((6,), ((7, 6), 1e-3, False))),
    *(Case(f"InstanceNorm{n}d", x, (4,)) for n, x in enumerate((LINE, SPATIAL, VOLUME), 1)),
    Case("LocalResponseNorm", SPATIAL, (3, 0.1, 0.6, 2.0)),
    Case("Conv2d", SPATIAL, (4, 3, 3)),
    Case("Conv2d", SPATIAL[1:], (4, 3, 3)),
    Case("Conv2d", SPATIAL, (4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False)),
    Case("Conv2d", SPATIAL, (4, 8, 3), {"groups": 4, "padding": 2, "stride": 3}),
    Case("Conv2d", SPATIAL, (4, 3, (4, 3)), {"padding": "same", "dilation": (1, 2)}),
    Case("Conv2d", SPATIAL, (4, 3, 2), {"padding": "valid"}),
    *(
        Case("Conv2d", SPATIAL, (4, 3, 3, stride, padding, 2, 1, bias, mode))
        for mode in ("reflect", "replicate", "circular")
        for stride, padding, bias in (((2, 1), (3, 1), True), (1, "same", False), (1, 0, True))
    ),
    Case("Conv2d", SPATIAL[1:], (4, 2, (4, 3)), {"padding": "same", "padding_mode": "circular"}),
    Case("Conv1d", LINE, (4, 6, 3, 2, 1, 2, 2)),
    Case("Conv1d", LINE[1:], (4, 3, 4), {"padding": "same", "bias": False}),
    Case("Conv1d", LINE, (4, 3, 3, 1, 2, 1, 1, True, "reflect")),
    Case("Conv3d", VOLUME, (4, 6, (2, 3, 2), (1, 2, 1), (1, 0, 1), 1, 2)),
    Case("Conv3d", VOLUME[1:], (4, 3, 3), {"padding": 1}),
    Case("Conv3d", VOLUME, (4, 2, 2, 1, 1, 1, 1, False, "replicate")),
    Case("ConvTranspose1d", LINE, (4, 6, 4, 3, 1, 2, 2)),
    Case("ConvTranspose1d", LINE[1:], (4, 3, 2), {"bias": False, "dilation": 3}),
    Case("ConvTranspose2d", SPATIAL, (4, 3, 2, 2)),
    Case("ConvTranspose2d", SPATIAL, (4, 6, (3, 4), (2, 1), (1, 2), (1, 0), 2, True, (1, 2))),
    Case("ConvTranspose2d", SPATIAL[1:], (4, 8, 3), {"groups": 4, "padding": 1}),
    Case("ConvTranspose3d", VOLUME, (4, 6, (2, 3, 2), (1, 2, 3), (1, 0, 1), (0, 1, 2), 2)),
    Case("ConvTranspose3d", VOLUME[1:], (4, 3, 2, 2)),
    Case("Linear", (5, 4), (4, 3)),
    Case("Linear", (4,), (4, 3)),
    Case("Linear", (2, 3, 4), (4, 3, False)),
    Case("MaxPool2d", SPATIAL, (2,)),
    Case("MaxPool2d", SPATIAL, (3, 2, 1)),
    Case("MaxPool2d", SPATIAL, ((2, 3), (3, 1), (1, 0), (2, 1), False, True)),
    Case("MaxPool2d", SPATIAL, (2, 2, 0, 1, False, True)),
    Case("MaxPool2d", SPATIAL[1:], (3, 1)),
    Case("AvgPool2d", SPATIAL, (2,)),
    Case("AvgPool2d", SPATIAL, (3, 2, 1, True, False)),
    Case("AvgPool2d", SPATIAL, ((2, 3), (3, 1), (1, 1), True, True, 5)),
    Case("AvgPool2d", SPATIAL[1:], (3, 1)),
    *(
        Case(f"{name}{axes}d", (2, 3, *(5, 6, 7)[-axes:]), args)
        for axes in (1, 2, 3)
        for name, args in (
            ("AdaptiveAvgPool", (1,)),
            ("AdaptiveAvgPool", ((None, 3, 2)[-axes:],)),
            ("AdaptiveMaxPool", (1,)),
            ("AdaptiveMaxPool", ((None, 3, 2)[-axes:],)),
            ("LPPool", (2, 2)),
            ("LPPool", (4, 3, 2, True)),
            ("AvgPool", (3, 2, 1, True, False)),
            ("MaxPool", (3, 2, 1, 1, False, True)),
        )
    ),
    Case("Flatten", SPATIAL),
    Case("Flatten", SPATIAL, (-3, 2)),
    Case("Unflatten", SPATIAL, (1, (2, 2))),
    Case("Unflatten", SPATIAL, (-1, (3, -1))),
    Case("Identity", SPATIAL),
    Case("ReLU", SPATIAL),
    Case("ReLU", SPATIAL, (True,)),
    Case("LeakyReLU", SPATIAL, (0.2,)),
    Case("LeakyReLU", SPATIAL, (0.2, True)),
    Case("LeakyReLU", SPATIAL, (-0.5,)),
    Case("Sigmoid", SPATIAL),
    Case("Tanh", SPATIAL),
    Case("Softmax", SPATIAL, (1,)),
    Case("Softmax", SPATIAL, (-1,)),
    Case("LogSoftmax", SPATIAL, (1,)),
    Case("LogSoftmax", SPATIAL, (-1,)),
    Case("Dropout", SPATIAL, (0.0,)),
    Case("Dropout", SPATIAL, (1.0, True)),
    *(
        Case(name, SPATIAL, (inplace,))
        for name in ("ReLU6", "Hardsigmoid", "Hardswish", "SELU", "SiLU", "Mish")
        for inplace in (False, True)
    ),
    Case("Hardtanh", SPATIAL, (-0.5, 0.7)),
    Case("Hardtanh", SPATIAL, (-0.5, 0.7, True)),
    Case("ELU", SPATIAL, (0.7,)),
    Case("ELU", SPATIAL, (0.7, True)),
    Case("CELU", SPATIAL, (0.5,)),
    Case("CELU", SPATIAL, (0.5, True)),
    Case("GELU", SPATIAL),
    Case("GELU", SPATIAL, ("tanh",)),
    Case("Softplus", SPATIAL),
    Case("Softplus", SPATIAL, (2.0, 1.0)),
    Case("Softsign", SPATIAL),
    Case("LogSigmoid", SPATIAL),
    Case("PReLU", SPATIAL),
    Case("PReLU", SPATIAL, (4, 0.1)),
    *(
        Case(name, (2, 4, *[3] * axes), (0.0,))
        for axes, name in enumerate(("Dropout1d", "Dropout2d", "Dropout3d"), 1)
    ),
    Case("Dropout2d", SPATIAL, (1.0, True)),
    Case("AlphaDropout", SPATIAL, (0.0,)),
    *(
        Case(f"{kind}{axes}d", (2, 3, 4, 3, 4)[: 2 + axes], (padding, *more))
        for kind, *more in (
            ("ZeroPad",),
            ("ConstantPad", 1.5),
            ("ReflectionPad",),
            ("ReplicationPad",),
            ("CircularPad",),
        )
        for axes in (1, 2, 3)
        for padding in (2, (1, 2, 0, 1, 2, 0)[: 2 * axes])
    ),
    *(
        Case(f"{kind}Pad2d", SPATIAL, ((-1, 2, 1, -2),))
        for kind in ("Zero", "Reflection", "Replication", "Circular")
    ),
    Case("PixelShuffle", SPATIAL, (2,)),
    Case("PixelUnshuffle", (2, 3, 6, 4), (2,)),
    Case("Upsample", SPATIAL, (None, 2)),
    Case("Upsample", SPATIAL, ((5, 9), None, "bilinear", True)),
    Case("Upsample", SPATIAL, (None, (1.5, 0.7), "bicubic")),
    Case("Upsample", SPATIAL[:3], (11, None, "linear")),
    Case("AlphaDropout", SPATIAL, (1.0, True)),
]

OWN_CASES = [
    Case("Conv2d", SPATIAL, (4, 2, 3, 2, "same")),
    Case("Conv2d", SPATIAL, (4, 2, (4, 3), 3, "same_lower", 2, 2)),
    Case("Conv2d", (2, 2, 2, 3), (2, 2, (3, 2), 2, "full")),
    Case("Conv2d", SPATIAL, (4, 4, 3, (3, 2), ((0, 2), (1, 0)), (2, 1), 4)),
    Case("Conv2d", SPATIAL, (4, 2, 3, 2, ((0, 2), (3, 1)), 1, 2, True, "reflect")),
    Case("Conv2d", (2, 2, 3, 3), (2, 2, 2, 2, "full", 2, 1, True, "circular")),
    Case("Conv2d", SPATIAL, (4, 2, 4, 3, "same_lower", 1, 1, True, "replicate")),
    Case("Conv1d", LINE, (4, 2, 3, 2, "same_lower")),
    Case("Conv3d", VOLUME, (4, 2, 2, 1, ((0, 1), (2, 0), (1, 1)))),
    Case("ConvTranspose2d", SPATIAL, (4, 2, 3, 2, ((0, 1), (2, 1)), 1)),
    Case("ConvTranspose1d", LINE, (4, 2, 3, 2, "valid")),
    Case("MaxPool2d", SPATIAL, (3, 2, "same")),
    Case("MaxPool2d", SPATIAL, (3, 1, ((1, 0), (0, 1)))),
    Case("AvgPool2d", SPATIAL, (2, 1, "same_lower")),
    Case("AvgPool2d", SPATIAL, (3, 2, ((1, 0), (0, 1)), True, False)),
    Case("LeakyReLU", SPATIAL, (-0.5, True)),
    Case("Upsample", SPATIAL, (None, 1.7), {"coordinates": "asymmetric", "rounding": "ceil"}),
    Case("Upsample", SPATIAL, (9, None, "bilinear"), {"coordinates": "half_pixel_symmetric"}),
    Case("Dropout", SPATIAL, (0.4,), {"rng": 3}),
    Case("Dropout", SPATIAL, (0.4, True), {"rng": 3}),
    Case("Dropout1d", SPATIAL[1:], (0.4,), {"rng": 3}),
    Case("Dropout2d", SPATIAL, (0.4, True), {"rng": 3}),
    Case("Dropout3d", SPATIAL, (0.4,), {"rng": 3}),
    Case("AlphaDropout", SPATIAL, (0.4, True), {"rng": 3}),
]

CASES = TORCH_CASES + OWN_CASES
