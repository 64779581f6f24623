"""Convolution and correlation of two maps as in MATLAB, beside torch's `conv2d`."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np

from fastconv import functional as F
from operators import Case

AIM = 1.2
# Sizes of a map and of a kernel.
SIZES = ((512, 3), (512, 7), (1024, 15), (64, 3))


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each pair as a full convolution, and as the correlation of the map's own size."""
    torch = import_module("torch")
    bound = 1e-5 if dtype == np.float32 else 1e-13
    rng = np.random.default_rng(0)
    for size, kernel in SIZES:
        a = rng.standard_normal((size, size), dtype)
        b = rng.standard_normal((kernel, kernel), dtype)
        maps = torch.from_numpy(a)[None, None]
        for name, shape, padding in (
            ("conv2", "full", kernel - 1),
            ("correlate2", "same", kernel // 2),
        ):
            function = getattr(F, name)
            turned = b[::-1, ::-1].copy() if name == "conv2" else b
            yield Case(
                f"{name} {shape} {size}x{size} by {kernel}x{kernel}",
                partial(function, a, b, shape),
                partial(
                    torch.nn.functional.conv2d,
                    maps,
                    torch.from_numpy(turned)[None, None],
                    padding=padding,
                ),
                partial(
                    function, a.astype(np.float64), b.astype(np.float64), shape, algorithm="direct"
                ),
                bound,
            )
