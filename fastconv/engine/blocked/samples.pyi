from array import array
from typing import Any

class Correlation:
    def __init__(
        self,
        axes: int,
        groups: int,
        depth: array[int],
        row: array[int],
        column: array[int],
        by_columns: bool,
        across: bool,
    ) -> None: ...
    def __call__(self, x: Any, w: Any, bias: Any, y: Any, dry: bool = False) -> int: ...

class InputGradient(Correlation):
    def __call__(  # type: ignore[override]
        self, residual: Any, w: Any, grad_input: Any, dry: bool = False
    ) -> int: ...
