"""Filters of images, and convolutions of arrays, beside SciPy's: a row for each function."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import numpy as np

from fastconv import ndimage, signal
from operators import Case

AIM = 5
RIVAL = "scipy"
SIZE = 512


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each function on one image, with SciPy's where it has it."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((SIZE, SIZE), dtype)
    kernel, kernels = rng.standard_normal((7, 7), dtype), rng.standard_normal((8, 7, 7), dtype)
    line = rng.standard_normal(9, dtype)
    product = np.outer(np.hanning(17), np.hanning(17)).astype(np.float64)
    large = rng.standard_normal((65, 65), dtype)
    # Sums of floats are of floats in scipy.signal.
    bound = 1e-5 if dtype == np.float32 else 1e-12
    for name, arguments in (
        ("correlate", (kernel,)),
        ("convolve", (kernel,)),
        ("convolve", (product,)),
        ("correlate1d", (line,)),
        ("convolve1d", (line,)),
        ("filter_bank", (kernels,)),
        ("gaussian_filter", (3,)),
        ("gaussian_filter1d", (3,)),
        ("gaussian_laplace", (2,)),
        ("gaussian_gradient_magnitude", (2,)),
        ("uniform_filter", (7,)),
        ("uniform_filter1d", (7,)),
        ("sobel", ()),
        ("prewitt", ()),
        ("laplace", ()),
    ):
        yield case("ndimage", ndimage, name, image, arguments, bound)
    for name, arguments in (
        ("convolve", (kernel,)),
        ("correlate", (kernel,)),
        ("convolve2d", (kernel,)),
        ("correlate2d", (kernel,)),
        ("fftconvolve", (large,)),
        ("oaconvolve", (large,)),
    ):
        yield case("signal", signal, name, image, arguments, bound)


def case(package: str, ours: object, name: str, image, arguments: tuple, bound: float) -> Case:
    """Return the row of one function."""
    theirs = getattr(import_module(f"scipy.{package}"), name, None)
    wide = [
        np.asarray(a, np.float64) if isinstance(a, np.ndarray) else a for a in (image, *arguments)
    ]
    sizes = " ".join("x".join(map(str, a.shape)) for a in arguments if isinstance(a, np.ndarray))
    return Case(
        f"{package}.{name} {sizes or ' '.join(map(str, arguments))}".rstrip(),
        partial(getattr(ours, name), image, *arguments),
        None if theirs is None else partial(theirs, image, *arguments),
        partial(getattr(ours, name), *wide),
        bound,
    )
