from typing import Any

class Blocks:
    def __init__(
        self, parameters: list[tuple[int, tuple[Any, ...], bool, float, float]], /
    ) -> None: ...

def adam(
    blocks: Blocks,
    fresh1: float,
    keep2: float,
    fresh2: float,
    eps: float,
    decay: float,
    shrink: float,
) -> None: ...
def rmsprop(
    blocks: Blocks,
    lr: float,
    momentum: float,
    keep: float,
    fresh: float,
    eps: float,
    decay: float,
) -> None: ...
def average(blocks: Blocks, fresh: float) -> None: ...
def squared_norm(x: Any) -> float: ...
def sgd(
    blocks: Blocks, lr: float, momentum: float, fresh: float, decay: float, nesterov: bool
) -> None: ...
