"""Losses and their gradients beside torch's."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from fastconv import functional as F
from fastconv import reference
from operators import Case

# Geometric mean of the ratios, none below 0.9.
AIM = 1.2
# Of scores; and of pairs.
CLASSES = ((8, 1000), (64, 1000), (128, 1000), (64, 10), (8, 21, 64, 64))
PAIRS = ((64, 10), (128, 1000), (8, 64, 56, 56))
# Name, the dtype's own arguments, and whether the input are probabilities.
OF_PAIRS = (
    ("mse_loss", "plain"),
    ("l1_loss", "plain"),
    ("huber_loss", "plain"),
    ("smooth_l1_loss", "plain"),
    ("binary_cross_entropy", "probabilities"),
    ("binary_cross_entropy_with_logits", "plain"),
    ("kl_div", "logarithms"),
)


def both(name, input, target, bound, title, options, their_options):
    """Yield a loss forward, backward, and both ways as in a step of training."""
    torch = import_module("torch")
    theirs = torch.from_numpy(input).requires_grad_()
    their_target = torch.from_numpy(target)
    their_loss = getattr(torch.nn.functional, name)
    loss, backward = getattr(F, name), getattr(F, f"{name}_backward")

    def rival():
        with torch.no_grad():
            return their_loss(theirs, their_target, **their_options)

    value = their_loss(theirs, their_target, **their_options)

    def rival_backward():
        (gradient,) = torch.autograd.grad(value, theirs, retain_graph=True)
        return gradient

    yield Case(
        f"{title} forward",
        lambda: loss(input, target, **options),
        rival,
        lambda: getattr(reference, name)(*wide(input, target), **widened(options)),
        bound,
    )

    def rival_both():
        loss = their_loss(theirs, their_target, **their_options)
        (gradient,) = torch.autograd.grad(loss, theirs)
        return loss.detach(), gradient

    yield Case(
        f"{title} backward",
        lambda: backward(input, target, **options),
        rival_backward,
        lambda: getattr(reference, f"{name}_backward")(*wide(input, target), **widened(options)),
        bound,
    )
    # A rival that keeps the softmax of forward has the exponentials already: so the sum counts.
    yield Case(
        f"{title} both",
        lambda: (loss(input, target, **options), backward(input, target, **options)),
        rival_both,
        lambda: tuple(
            getattr(reference, f"{name}{way}")(*wide(input, target), **widened(options))
            for way in ("", "_backward")
        ),
        bound,
    )


def wide(input, target):
    kind = np.float64 if target.dtype.kind == "f" else target.dtype
    return input.astype(np.float64), target.astype(kind)


def widened(options):
    return {
        name: value.astype(np.float64) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }


def cases(dtype: "np.dtype") -> Iterator[Case]:
    """Yield each loss forward and backward."""
    torch = import_module("torch")
    bound = 1e-5 if dtype == np.float32 else 1e-13
    rng = np.random.default_rng(0)
    for shape in CLASSES:
        scores = rng.standard_normal(shape, dtype)
        target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
        size = "x".join(map(str, shape))
        yield from both("cross_entropy", scores, target, bound, f"cross_entropy {size}", {}, {})
        weight = rng.random(shape[1], dtype)
        yield from both(
            "cross_entropy", scores, target, bound, f"cross_entropy {size} weight, smoothing",
            {"weight": weight, "label_smoothing": 0.1},
            {"weight": torch.from_numpy(weight), "label_smoothing": 0.1},
        )  # fmt: skip
        logs = np.asarray(F.log_softmax(scores, 1))
        yield from both("nll_loss", logs, target, bound, f"nll_loss {size}", {}, {})
    for shape in PAIRS:
        target = rng.random(shape, dtype)
        for name, kind in OF_PAIRS:
            input = rng.standard_normal(shape, dtype)
            if kind == "probabilities":
                input = rng.random(shape, dtype)
            elif kind == "logarithms":
                input = np.log(rng.random(shape, dtype) + dtype.type(1e-3))
            options = {"reduction": "batchmean"} if name == "kl_div" else {}
            title = f"{name} {'x'.join(map(str, shape))}"
            yield from both(name, input, target, bound, title, options, options)
