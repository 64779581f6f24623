"""Sums and concatenation of maps, beside torch's."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np

from fastconv import functional as F
from operators import Case

AIM = 1.2
SUMS = ((8, 64, 56, 56), (8, 2048, 7, 7), (1, 84))
# Of an Inception module, and of a U-Net's expanding path.
PARTS = (
    ((8, 64, 28, 28), (8, 128, 28, 28), (8, 32, 28, 28), (8, 32, 28, 28)),
    ((2, 64, 128, 128), (2, 64, 128, 128)),
)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each sum and each concatenation."""
    torch = import_module("torch")
    rng = np.random.default_rng(0)
    for shape in SUMS:
        a, b = rng.standard_normal((2, *shape), dtype)
        yield Case(
            f"add {'x'.join(map(str, shape))}",
            partial(F.add, a, b),
            partial(torch.add, torch.from_numpy(a), torch.from_numpy(b)),
            lambda a=a, b=b: a + b,
            0,
        )
    for shapes in PARTS:
        parts = [rng.standard_normal(shape, dtype) for shape in shapes]
        channels = "+".join(str(shape[1]) for shape in shapes)
        yield Case(
            f"concatenate {channels}@{shapes[0][-1]} batch {shapes[0][0]}",
            partial(F.concatenate, parts),
            partial(torch.cat, [torch.from_numpy(part) for part in parts], 1),
            partial(np.concatenate, parts, 1),
            0,
        )
