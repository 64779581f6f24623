"""Activations and their gradients beside torch's."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from fastconv import functional as F
from operators import Case

# Geometric mean of the ratios, none below 0.9.
AIM = 1.2
SHAPES = ((8, 64, 56, 56),)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each activation forward and backward."""
    torch = import_module("torch")
    bound = 1e-6 if dtype == np.float32 else 1e-14
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x, residual = rng.standard_normal((2, *shape), dtype)
        theirs, their_residual = torch.from_numpy(x), torch.from_numpy(residual)
        size = "x".join(map(str, shape))
        y = F.relu(x)
        their_y = torch.from_numpy(y)
        yield Case(
            f"relu {size} forward",
            lambda x=x: F.relu(x),
            lambda x=theirs: torch.nn.functional.relu(x),
            lambda x=x: np.maximum(x.astype(np.float64), 0),
            bound,
        )
        yield Case(
            f"relu {size} backward",
            lambda y=y, d=residual: F.relu_backward(d, y),
            lambda y=their_y, d=their_residual: torch.ops.aten.threshold_backward(d, y, 0),
            lambda y=y, d=residual: np.where(y > 0, d.astype(np.float64), 0),
            bound,
        )
