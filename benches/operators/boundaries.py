"""Convolutions whose padding shows the input's own cells, beside torch's `pad` and `conv2d`."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from fastconv import functional as F
from operators import Case

# Batch, channels, size, output channels, kernel.
LAYERS = (
    (8, 64, 56, 64, 3),
    (8, 3, 224, 64, 7),
    (1, 64, 56, 64, 3),
    (8, 256, 14, 256, 3),
    (8, 16, 128, 16, 3),
)
MODES = ("reflect", "replicate", "circular")


def cases(dtype: np.dtype) -> Iterator[Case]:
    """Yield each layer forward, with the same padding on all sides."""
    torch = import_module("torch")
    bound = 1e-5 if dtype == np.float32 else 1e-12
    rng = np.random.default_rng(0)
    for n, c, size, k, kernel in LAYERS:
        x = rng.standard_normal((n, c, size, size), dtype)
        w = rng.standard_normal((k, c, kernel, kernel), dtype) * dtype.type((c * kernel**2) ** -0.5)
        theirs = torch.from_numpy(x), torch.from_numpy(w)
        cells = kernel // 2
        for mode in MODES:
            yield Case(
                f"{mode} {c}-{k} {kernel}x{kernel} @{size} batch {n}",
                lambda x=x, w=w, p=cells, m=mode: F.conv2d(x, w, padding=p, padding_mode=m),
                lambda t=theirs, p=cells, m=mode: torch.nn.functional.conv2d(
                    torch.nn.functional.pad(t[0], (p,) * 4, m), t[1]
                ),
                lambda x=x, w=w, p=cells, m=mode: F.conv2d(
                    F.pad(x.astype(np.float64), (p,) * 4, m), w.astype(np.float64), algorithm="gemm"
                ),
                bound,
            )
