from typing import Any

def forward(
    x: Any,
    statistics: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any,
    bias: Any,
    training: bool,
    momentum: float,
    eps: float,
    relu: bool,
    residual: Any,
    y: Any,
) -> None: ...
def backward(
    dy: Any,
    x: Any,
    statistics: Any,
    weight: Any,
    bias: Any,
    training: bool,
    relu: bool,
    y: Any,
    dx: Any,
    dweight: Any,
    dbias: Any,
    dresidual: Any,
) -> None: ...
