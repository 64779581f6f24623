"""Convolutions over one and three axes, and transposed ones, with their gradients."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import numpy as np

from fastconv import functional as F
from operators import Case

# Geometric mean of the ratios of each of the three groups.
AIM = 1.5


class Layer(NamedTuple):
    """Channels, kernel and options of a layer, and the size of its input."""

    name: str
    batch: int
    channels: int
    size: tuple[int, ...]
    outputs: int
    kernel: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    groups: int = 1
    output_padding: int | None = None


LAYERS = (
    Layer("conv1d 1-64 k400/160@16000", 8, 1, (16000,), 64, (400,), 160),
    Layer("conv1d 64-128 k3@3000", 8, 64, (3000,), 128, (3,), 1, 1),
    Layer("conv1d depthwise 64 k31@3000", 8, 64, (3000,), 64, (31,), 1, 15, 64),
    Layer(
        "conv3d 3-64 3x7x7/1,2,2@16x112", 8, 3, (16, 112, 112), 64, (3, 7, 7), (1, 2, 2), (1, 3, 3)
    ),
    Layer("conv3d 64-64 3x3x3@16x56 batch 1", 1, 64, (16, 56, 56), 64, (3, 3, 3), 1, 1),
    Layer("conv3d 32-64 1x3x3@16x56", 8, 32, (16, 56, 56), 64, (1, 3, 3), 1, (0, 1, 1)),
    Layer("conv_transpose2d 128-64 2x2/2@28", 8, 128, (28, 28), 64, (2, 2), 2, 0, 1, 0),
    Layer("conv_transpose2d 512-256 4x4/2@8", 8, 512, (8, 8), 256, (4, 4), 2, 1, 1, 0),
    Layer("conv_transpose2d 64-64 3x3/2@28", 8, 64, (28, 28), 64, (3, 3), 2, 1, 1, 1),
)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each layer forward, and its gradients with respect to input and weights."""
    torch = import_module("torch")
    # Of sums as long as a weight gradient's over 8 x 16 x 56 x 56 positions, and of Winograd's.
    bound = 1e-4 if dtype == np.float32 else 1e-12
    rng = np.random.default_rng(0)
    for layer in LAYERS:
        axes, transposed = len(layer.size), layer.output_padding is not None
        stride, padding = (
            value if isinstance(value, tuple) else (value,) * axes
            for value in (layer.stride, layer.padding)
        )
        channels = (layer.channels, layer.outputs)
        shape = (*(channels if transposed else channels[::-1]), *layer.kernel)
        shape = (shape[0], shape[1] // layer.groups, *shape[2:])
        x = rng.standard_normal((layer.batch, layer.channels, *layer.size), dtype)
        w = rng.standard_normal(shape, dtype) / np.sqrt(w_terms(layer)).astype(dtype)
        added = layer.output_padding or 0
        options = (stride, padding, added, layer.groups, 1) if transposed else (
            stride, padding, 1, layer.groups
        )  # fmt: skip
        name = f"conv_transpose{axes}d" if transposed else f"conv{axes}d"
        forward, for_input, for_weight = (
            getattr(F, name + part) for part in ("", "_input", "_weight")
        )
        g = rng.standard_normal(forward(x, w, None, *options).shape, dtype)
        ours = (
            lambda f=forward, x=x, w=w, o=options: f(x, w, None, *o),
            lambda f=for_input, x=x, w=w, g=g, o=options: f(x.shape, w, g, *o),
            lambda f=for_weight, x=x, w=w, g=g, o=options: f(x, w.shape, g, *o),
        )

        def theirs(x, w, g, part, o=(stride, padding, [1] * axes, transposed, [added] * axes,
                                     layer.groups)):  # fmt: skip
            if part == 0:
                return torch.ops.aten.convolution(x, w, None, *o)
            mask = [part == 1, part == 2, False]
            return torch.ops.aten.convolution_backward(g, x, w, None, *o, mask)[part - 1]

        single = [torch.from_numpy(array) for array in (x, w, g)]
        for part, what in enumerate(("forward", "input gradient", "weight gradient")):
            yield Case(
                f"{layer.name} {what}",
                ours[part],
                lambda p=part, a=single, f=theirs: f(*a, p),
                lambda p=part, a=single, f=theirs: f(*(t.double() for t in a), p).numpy(),
                bound,
            )


def w_terms(layer: Layer) -> int:
    """Return how many products an output adds up, about."""
    return layer.channels // layer.groups * int(np.prod(layer.kernel))
