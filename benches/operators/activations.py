"""Activations and their gradients beside torch's."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

# Geometric mean of the ratios, none below 0.9.
AIM = 1.2
# Large ones are bound by memory, small ones by what a call costs.
SHAPES = ((8, 64, 56, 56), (64, 120), (1, 84))
SOFTMAX = ((8, 1000), (128, 1000))
# Whether the gradient takes the output, and torch's operator for it, with its options.
BACKWARD: dict[str, tuple[bool, str, tuple[Any, ...]]] = {
    "relu": (True, "threshold_backward", (0,)),
    "hardtanh": (True, "hardtanh_backward", (-1, 1)),
    "leaky_relu": (False, "leaky_relu_backward", (0.01, False)),
    "hardsigmoid": (False, "hardsigmoid_backward", ()),
    "hardswish": (False, "hardswish_backward", ()),
    "sigmoid": (True, "sigmoid_backward", ()),
    "tanh": (True, "tanh_backward", ()),
    "silu": (False, "silu_backward", ()),
    "mish": (False, "mish_backward", ()),
    "gelu": (False, "gelu_backward", ()),
    "softplus": (False, "softplus_backward", (1, 20)),
}
# Those without an operator of torch's own for the gradient.
FORWARD = ("elu", "selu", "softsign", "logsigmoid")


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each activation forward and backward, softmax and dropout."""
    torch = import_module("torch")
    rng = np.random.default_rng(0)
    # torch's own errors set the bound: its sixth is of single precision.
    bound = 1e-6 if dtype == np.float32 else 1e-7
    for shape in SHAPES:
        x, residual = rng.standard_normal((2, *shape), dtype)
        theirs = torch.from_numpy(x)
        size = "x".join(map(str, shape))
        for name in (*BACKWARD, *FORWARD):
            ours = getattr(F, name)
            yield Case(
                f"{name} {size} forward",
                partial(ours, x),
                partial(getattr(torch.nn.functional, name), theirs),
                lambda name=name, x=x: getattr(reference, name)(x.astype(np.float64)),
                bound,
            )
            if name in BACKWARD:
                from_output, operator, options = BACKWARD[name]
                yield gradient(
                    f"{name} {size}",
                    getattr(F, f"{name}_backward"),
                    getattr(torch.ops.aten, operator),
                    getattr(reference, f"{name}_backward"),
                    (residual, ours(x) if from_output else x),
                    options,
                    bound,
                )
        generator = np.random.default_rng(1)
        # Their generators differ: with these probabilities nothing is left by either.
        yield Case(
            f"dropout {size} forward",
            lambda x=x, rng=generator: F.dropout(x, 1.0, rng=rng)[0],
            partial(torch.nn.functional.dropout, theirs, 1 - 1e-12),
            lambda x=x: np.zeros(x.shape),
            bound,
        )
    for shape in SOFTMAX:
        x, residual = rng.standard_normal((2, *shape), dtype)
        theirs = torch.from_numpy(x)
        for name in ("softmax", "log_softmax"):
            yield Case(
                f"{name} {shape[0]}x{shape[1]} forward",
                partial(getattr(F, name), x, 1),
                partial(getattr(torch.nn.functional, name), theirs, 1),
                lambda name=name, x=x: getattr(reference, name)(x.astype(np.float64), 1),
                bound,
            )
            yield gradient(
                f"{name} {shape[0]}x{shape[1]}",
                getattr(F, f"{name}_backward"),
                getattr(torch.ops.aten, f"_{name}_backward_data"),
                getattr(reference, f"{name}_backward"),
                (residual, getattr(F, name)(x, 1)),
                (1, theirs.dtype),
                bound,
            )


def gradient(
    name: str,
    ours: Callable[..., Any],
    rival: Callable[..., Any],
    truth: Callable[..., Any],
    arrays: tuple[Any, ...],
    options: tuple[Any, ...],
    bound: float,
) -> Case:
    """Return the case of a gradient, of the residual and what forward saved."""
    torch = import_module("torch")
    tensors = [torch.from_numpy(array) for array in arrays]
    wide = [array.astype(np.float64) for array in arrays]
    return Case(
        f"{name} backward",
        lambda: ours(*arrays),
        lambda: rival(*tensors, *options),
        lambda: truth(*wide),
        bound,
    )
