"""Interpolation, pixel_shuffle and padding beside torch's."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

# Geometric mean of the ratios.
AIM = 1.5
CASES = (
    ((8, 64, 28, 28), {"scale_factor": 2, "mode": "nearest"}),
    ((8, 64, 28, 28), {"scale_factor": 2, "mode": "bilinear"}),
    ((8, 64, 28, 28), {"scale_factor": 2, "mode": "bilinear", "align_corners": True}),
    ((8, 64, 56, 56), {"size": 28, "mode": "bilinear"}),
    ((8, 16, 28, 28), {"scale_factor": 2, "mode": "bicubic"}),
    ((8, 64, 1000), {"scale_factor": 2, "mode": "linear"}),
    ((2, 16, 8, 28, 28), {"scale_factor": 2, "mode": "trilinear"}),
)
PADS = (
    ((8, 64, 56, 56), (1, 1, 1, 1), "constant"),
    ((8, 64, 56, 56), (3, 3, 3, 3), "reflect"),
    ((8, 3, 224, 224), (3, 3, 3, 3), "replicate"),
)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each operator forward, interpolation and padding backward, too."""
    torch = import_module("torch")
    functional = torch.nn.functional
    # The weights of torch's float32 interpolation are of single precision.
    bound = 2e-5 if dtype == np.float32 else 1e-13
    rng = np.random.default_rng(0)
    for shape, options in CASES:
        x = rng.standard_normal(shape, dtype)
        theirs = torch.from_numpy(x).requires_grad_()
        result = functional.interpolate(theirs, **options)
        residual = rng.standard_normal(tuple(result.shape), dtype)
        their_residual = torch.from_numpy(residual)
        word = "-corners" if options.get("align_corners") else ""
        name = f"{options['mode']}{word} {'x'.join(map(str, shape))} to {result.shape[-1]}"
        yield Case(
            f"{name} forward",
            lambda x=x, o=options: F.interpolate(x, **o),
            partial(functional.interpolate, theirs.detach(), **options),
            lambda x=x, o=options: reference.interpolate(x.astype(np.float64), **o),
            bound,
        )
        yield Case(
            f"{name} backward",
            lambda x=x, d=residual, o=options: F.interpolate_backward(d, x.shape, **o),
            lambda y=result, x=theirs, d=their_residual: torch.autograd.grad(
                y, x, d, retain_graph=True
            )[0],
            lambda x=x, d=residual, o=options: reference.interpolate_backward(
                d.astype(np.float64), x.shape, **o
            ),
            bound,
        )
    for factor in (2, 3):
        x = rng.standard_normal((8, 16 * factor**2, 56, 56), dtype)
        for name in ("pixel_shuffle", "pixel_unshuffle"):
            source = x if name == "pixel_shuffle" else F.pixel_shuffle(x, factor)
            yield Case(
                f"{name} {'x'.join(map(str, source.shape))} by {factor}",
                partial(getattr(F, name), source, factor),
                partial(getattr(functional, name), torch.from_numpy(source), factor),
                partial(getattr(reference, name), source, factor),
                0,
            )
    for shape, pad, mode in PADS:
        x = rng.standard_normal(shape, dtype)
        yield Case(
            f"pad {mode} {'x'.join(map(str, shape))} by {pad[0]} forward",
            lambda x=x, p=pad, m=mode: F.pad(x, p, m),
            partial(functional.pad, torch.from_numpy(x), pad, mode),
            lambda x=x, p=pad, m=mode: np.pad(
                x, ((0, 0), (0, 0), (p[2], p[3]), (p[0], p[1])), m.replace("replicate", "edge")
            ),
            0,
        )
        theirs = torch.from_numpy(x).requires_grad_()
        result = functional.pad(theirs, pad, mode)
        residual = rng.standard_normal(tuple(result.shape), dtype)
        their_residual = torch.from_numpy(residual)
        yield Case(
            f"pad {mode} {'x'.join(map(str, shape))} by {pad[0]} backward",
            partial(F.pad_backward, residual, shape, pad, mode),
            lambda y=result, x=theirs, d=their_residual: torch.autograd.grad(
                y, x, d, retain_graph=True
            )[0],
            partial(reference.pad_backward, residual.astype(np.float64), shape, pad, mode),
            bound,
        )
