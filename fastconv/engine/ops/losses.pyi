from typing import Any

SQUARE: int
HUBER: int
PROBABILITY: int
LOGIT: int
DIVERGENCE: int
LOG_DIVERGENCE: int

Factor = tuple[Any, int] | None

def each(
    kind: int,
    x: Any,
    target: Any,
    y: Any,
    positive: Factor = ...,
    weight: Factor = ...,
    numbers: tuple[float, float, float] = ...,
) -> None: ...
def slopes(
    kind: int,
    x: Any,
    target: Any,
    dx: Any,
    scale: float,
    residual: Factor = ...,
    positive: Factor = ...,
    weight: Factor = ...,
    numbers: tuple[float, float, float] = ...,
) -> None: ...
def total(
    kind: int,
    x: Any,
    target: Any,
    sums: Any,
    divisor: float,
    positive: Factor = ...,
    weight: Factor = ...,
    numbers: tuple[float, float, float] = ...,
) -> None: ...
