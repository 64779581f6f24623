"""Normalisation beside torch's: batch norm with ReLU and residual, and the others."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

# Geometric mean of the ratios of batch norm in training with a ReLU, forward and backward.
AIM = 2.5
BATCH = 8
SIZES = ((64, 112), (64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7))


def batch_cases(torch, dtype, channels, size, adds) -> Iterator[Case]:
    """Yield a step: forward and backward, as torch's autograd calls its kernels."""
    rng = np.random.default_rng(0)
    x, residual, grad = rng.standard_normal((3, BATCH, channels, size, size), dtype)
    weight, bias = rng.standard_normal((2, channels), dtype)
    mean, var = np.zeros(channels, dtype), np.ones(channels, dtype)
    # A number next to 0 before the ReLU may be rounded to either side of it: no gradient there.
    before = reference.batch_norm(x, None, None, weight, bias, True) + (residual if adds else 0)
    grad[np.abs(before) < 1e-4] = 0
    theirs = [torch.from_numpy(a) for a in (x, residual, grad, weight, bias, mean, var)]
    added = residual if adds else None
    aten = torch.ops.aten

    def ours():
        saved = np.empty((2, channels))
        y = F.batch_norm_relu(x, mean, var, weight, bias, True, residual=added, statistics=saved)
        return y, *F.batch_norm_relu_backward(
            grad, x, saved, weight, bias, True, output=y if adds else None
        )

    def rival():
        x, residual, grad, weight, bias, mean, var = theirs
        z, *saved = aten.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5)
        y = torch.relu(z + residual if adds else z)
        g = aten.threshold_backward(grad, y, 0)
        return (
            y,
            *aten.native_batch_norm_backward(
                g, x, weight, mean, var, *saved, True, 1e-5, [True] * 3
            ),
            g if adds else None,
        )

    def truth():
        wide = [a.astype(np.float64) for a in (x, residual, grad, weight, bias)]
        saved = np.empty((2, channels))
        y = reference.batch_norm_relu(
            wide[0], None, None, *wide[3:], True, residual=wide[1] if adds else None,
            statistics=saved,
        )  # fmt: skip
        return y, *reference.batch_norm_relu_backward(
            wide[2], wide[0], saved, *wide[3:], True, output=y if adds else None
        )

    bound = 1e-5 if dtype == np.float32 else 1e-12
    name = f"batch_norm+{'add+' * adds}relu {channels}@{size} step"
    yield Case(name, ours, rival, truth, bound)


def response_cases(torch, dtype, channels, size) -> Iterator[Case]:
    """Yield AlexNet's local response normalisation, forward and backward."""
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, BATCH, channels, size, size), dtype)
    options = 5, 1e-4, 0.75, 2.0
    leaf, residual = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grad)

    def rival():
        leaf.grad = None
        y = torch.nn.functional.local_response_norm(leaf, *options)
        y.backward(residual)
        return y.detach(), leaf.grad

    def both(module, x, grad):
        y = module.local_response_norm(x, *options)
        return y, module.local_response_norm_backward(grad, x, *options)

    yield Case(
        f"local_response_norm {channels}@{size} step",
        lambda: both(F, x, grad),
        rival,
        lambda: both(reference, x.astype(np.float64), grad.astype(np.float64)),
        1e-6 if dtype == np.float32 else 1e-14,
    )


def sample_cases(torch, dtype, name, shape, groups) -> Iterator[Case]:
    """Yield a step of group norm, of instance norm with a group a channel, or of layer norm."""
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, *shape), dtype)
    layer = groups is None
    options = (shape[-1:],) if layer else (groups,)
    rows = shape[:-1] if layer else (shape[0], groups)
    weight, bias = rng.standard_normal((2, shape[-1] if layer else shape[1]), dtype)
    function = "layer_norm" if layer else "group_norm"
    theirs = [torch.from_numpy(a) for a in (x, grad, weight, bias)]
    aten = torch.ops.aten

    def both(module, x, grad, weight, bias):
        saved = np.empty((2, *rows))
        y = getattr(module, function)(x, *options, weight, bias, statistics=saved)
        backward = getattr(module, f"{function}_backward")
        return y, *backward(grad, x, *options, saved, weight)

    def rival():
        x, grad, weight, bias = theirs
        if layer:
            y, *saved = aten.native_layer_norm(x, *options, weight, bias, 1e-5)
            return y, *aten.native_layer_norm_backward(
                grad, x, *options, *saved, weight, bias, [True] * 3
            )
        sizes = shape[0], shape[1], x[0, 0].numel(), groups
        y, *saved = aten.native_group_norm(x, weight, bias, *sizes, 1e-5)
        return y, *aten.native_group_norm_backward(grad, x, *saved, weight, *sizes, [True] * 3)

    yield Case(
        f"{name} {'x'.join(map(str, shape))} step",
        lambda: both(F, x, grad, weight, bias),
        rival,
        lambda: both(reference, *(a.astype(np.float64) for a in (x, grad, weight, bias))),
        1e-5 if dtype == np.float32 else 1e-12,
    )


# Name, shape, and groups; layer norm has none.
SAMPLES = (
    ("group_norm", (8, 64, 112, 112), 32),
    ("group_norm", (8, 64, 56, 56), 32),
    ("group_norm", (8, 256, 28, 28), 32),
    ("group_norm", (8, 512, 14, 14), 32),
    ("group_norm", (8, 512, 7, 7), 32),
    ("group_norm", (8, 1024, 7, 7), 32),
    ("group_norm", (8, 64, 4, 4), 8),
    ("group_norm", (64, 120), 8),
    ("instance_norm", (8, 64, 56, 56), 64),
    ("instance_norm", (8, 512, 7, 7), 512),
    ("instance_norm", (8, 64, 1000), 64),
    ("layer_norm", (4096, 64), None),
    ("layer_norm", (8, 197, 768), None),
    ("layer_norm", (4096, 10), None),
)


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield the steps of batch norm, then the others."""
    torch = import_module("torch")
    for channels, size in SIZES:
        for adds in (False, True):
            yield from batch_cases(torch, dtype, channels, size, adds)
    for channels, size in ((96, 55), (256, 27)):
        yield from response_cases(torch, dtype, channels, size)
    for sample in SAMPLES:
        yield from sample_cases(torch, dtype, *sample)
