"""unfold and fold (im2col and col2im) beside torch's."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

AIM = 1.2
# Maps, kernel, padding and stride: the first layer and inner ones of a network, and patches.
WINDOWS = (
    ((8, 3, 224, 224), 7, 3, 2),
    ((8, 64, 56, 56), 3, 1, 1),
    ((8, 256, 14, 14), 3, 1, 2),
    ((8, 3, 224, 224), 16, 0, 16),
)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each way of each geometry."""
    torch = import_module("torch")
    rng = np.random.default_rng(0)
    for shape, kernel, padding, stride in WINDOWS:
        name = f"{shape[1]}@{shape[-1]} {kernel}x{kernel}/{stride} batch {shape[0]}"
        maps = rng.standard_normal(shape, dtype)
        options = 1, padding, stride
        columns = F.unfold(maps, kernel, *options)
        yield Case(
            f"unfold {name}",
            partial(F.unfold, maps, kernel, *options),
            partial(torch.nn.functional.unfold, torch.from_numpy(maps), kernel, *options),
            partial(reference.unfold, maps, kernel, *options),
            0,
        )
        yield Case(
            f"fold {name}",
            partial(F.fold, columns, shape[2:], kernel, *options),
            partial(
                torch.nn.functional.fold, torch.from_numpy(columns), shape[2:], kernel, *options
            ),
            partial(reference.fold, columns.astype(float), shape[2:], kernel, *options),
            1e-5,
        )
