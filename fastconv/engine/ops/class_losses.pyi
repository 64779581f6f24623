from typing import Any

def survey(target: Any, weight: Any, classes: int, ignored: int) -> float | None: ...
def cross_entropy(
    scores: Any,
    target: Any,
    losses: Any,
    weight: Any,
    classes: int,
    inner: int,
    ignored: int,
    smoothing: float,
) -> None: ...
def cross_entropy_backward(
    scores: Any,
    target: Any,
    dx: Any,
    weight: Any,
    classes: int,
    inner: int,
    ignored: int,
    smoothing: float,
    scale: Any,
) -> None: ...
def nll(
    scores: Any, target: Any, losses: Any, weight: Any, classes: int, inner: int, ignored: int
) -> None: ...
def nll_backward(
    scores: Any,
    target: Any,
    dx: Any,
    weight: Any,
    classes: int,
    inner: int,
    ignored: int,
    scale: Any,
) -> None: ...
