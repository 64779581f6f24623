"""Pooling over one and three axes, of powers, at random distances, and undone, beside torch's."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

AIM = 2.0
SEQUENCE, PLANE, VOLUME = (8, 64, 3000), (8, 64, 56, 56), (2, 64, 16, 28, 28)
# Function and shape, window and stride.
MAXIMA = (
    ("max_pool1d", SEQUENCE, 3, 2),
    ("max_pool1d", SEQUENCE, 2, 2),
    ("max_pool3d", VOLUME, 3, 2),
    ("max_pool3d", VOLUME, 2, 2),
)
MEANS = (
    ("avg_pool1d", SEQUENCE, 2, 2),
    ("avg_pool1d", SEQUENCE, 5, 1),
    ("avg_pool3d", VOLUME, 2, 2),
    ("avg_pool2d", PLANE, 3, 1),
)
POWERS = (("lp_pool1d", SEQUENCE, 2, 2), ("lp_pool2d", PLANE, 2, 2), ("lp_pool3d", VOLUME, 2, 2))
UNDONE = (("1d", SEQUENCE), ("2d", PLANE), ("3d", VOLUME))
FRACTIONAL = (("fractional_max_pool2d", PLANE, 28), ("fractional_max_pool3d", VOLUME, 8))


def wide(array: Any) -> Any:
    """Return an array of floats in float64, others as they are."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def gradient(
    name: str, function: str, arguments: tuple[Any, ...], rival: Callable[[], Any], bound: float
) -> Case:
    """Return the case of a gradient, of the arrays and options that forward saved."""
    truth = tuple(wide(a) if isinstance(a, np.ndarray) else a for a in arguments)
    return Case(
        f"{name} backward",
        partial(getattr(F, function), *arguments),
        rival,
        partial(getattr(reference, function), *truth),
        bound,
    )


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each kind of pooling forward and backward."""
    torch = import_module("torch")
    functional = torch.nn.functional
    bound = 1e-5 if dtype == np.float32 else 1e-12
    rng = np.random.default_rng(0)

    def prepared(call, x, *options):
        """Return torch's result, a residual of its shape, and torch's gradient."""
        leaf = torch.from_numpy(x).requires_grad_()
        result = call(leaf, *options)
        residual = rng.standard_normal(tuple(result.shape), dtype)
        theirs = torch.from_numpy(residual)
        back = partial(torch.autograd.grad, result, leaf, theirs, retain_graph=True)
        return result, residual, lambda: back()[0]

    def title(function, shape, kernel, stride):
        return f"{function} {kernel}/{stride} {'x'.join(map(str, shape))}"

    for function, shape, kernel, stride in MAXIMA:
        x = rng.standard_normal(shape, dtype)
        name = title(function, shape, kernel, stride)
        window = (kernel, stride, 0 if kernel == 2 else 1)
        call = getattr(functional, f"{function}_with_indices")
        yield Case(
            f"{name} forward",
            partial(getattr(F, function), x, *window, return_indices=True),
            partial(call, torch.from_numpy(x), *window),
            partial(getattr(reference, function), wide(x), *window, return_indices=True),
            0,
        )
        _, index = getattr(F, function)(x, *window, return_indices=True)
        _, residual, back = prepared(getattr(functional, function), x, *window)
        yield gradient(name, f"{function}_backward", (residual, index, shape), back, bound)
    for function, shape, kernel, stride in MEANS:
        x = rng.standard_normal(shape, dtype)
        name = title(function, shape, kernel, stride)
        call = getattr(functional, function)
        yield Case(
            f"{name} forward",
            partial(getattr(F, function), x, kernel, stride),
            partial(call, torch.from_numpy(x), kernel, stride),
            partial(getattr(reference, function), wide(x), kernel, stride),
            bound,
        )
        _, residual, back = prepared(call, x, kernel, stride)
        arguments = (residual, shape, kernel, stride)
        yield gradient(name, f"{function}_backward", arguments, back, bound)
    for function, shape, kernel, stride in POWERS:
        x = rng.standard_normal(shape, dtype)
        name = title(function, shape, kernel, stride)
        call = getattr(functional, function)
        ours = getattr(F, function)
        yield Case(
            f"{name} forward",
            partial(ours, x, 2.0, kernel, stride),
            partial(call, torch.from_numpy(x), 2.0, kernel, stride),
            partial(getattr(reference, function), wide(x), 2.0, kernel, stride),
            bound,
        )
        _, residual, back = prepared(call, x, 2.0, kernel, stride)
        arguments = (residual, x, ours(x, 2.0, kernel, stride), 2.0, kernel, stride)
        yield gradient(name, f"{function}_backward", arguments, back, bound)
    for axes, shape in UNDONE:
        x = rng.standard_normal(shape, dtype)
        y, index = getattr(F, f"max_pool{axes}")(x, 2, return_indices=True)
        function, name = f"max_unpool{axes}", f"max_unpool{axes} 2/2 to {'x'.join(map(str, shape))}"
        places = torch.from_numpy(index)
        call = getattr(functional, function)
        yield Case(
            f"{name} forward",
            partial(getattr(F, function), y, index, 2),
            partial(call, torch.from_numpy(y), places, 2),
            partial(getattr(reference, function), wide(y), index, 2),
            0,
        )
        _, residual, back = prepared(lambda t, c=call, i=places: c(t, i, 2), y)
        yield gradient(name, f"{function}_backward", (residual, index), back, 0)
    for function, shape, size in FRACTIONAL:
        x = rng.standard_normal(shape, dtype)
        samples = rng.random((*shape[:2], len(shape) - 2), dtype)
        name = f"{function} 2 {'x'.join(map(str, shape))} to {size}"
        options = {"output_size": size, "return_indices": True}
        call = getattr(functional, f"{function}_with_indices")
        draws = {"_random_samples": torch.from_numpy(samples)}
        ours = partial(getattr(F, function), x, 2, **options, _random_samples=samples)
        yield Case(
            f"{name} forward",
            ours,
            partial(call, torch.from_numpy(x), 2, size, **draws),
            # The reference goes window by window, for half a minute.
            ours,
            0,
        )
        leaf = torch.from_numpy(x).requires_grad_()
        result = call(leaf, 2, size, **draws)[0]
        residual = rng.standard_normal(tuple(result.shape), dtype)
        back = partial(torch.autograd.grad, result, leaf, torch.from_numpy(residual))
        arguments = (residual, ours()[1], shape)
        yield gradient(
            name,
            f"{function}_backward",
            arguments,
            lambda back=back: back(retain_graph=True)[0],
            bound,
        )
