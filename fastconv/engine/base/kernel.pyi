from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from fastconv._geometry import Ints

OPERATIONS: tuple[str, str, str]

def recorded() -> AbstractContextManager[list[tuple[str, tuple[int, int] | None]]]: ...
def note(variant: str) -> None: ...

class Kernel: ...
class ArrayKernel(Kernel): ...

class Choice:
    row: Any
    copied: tuple[bool, bool] | None
    workspace: int
    threads: int
    tile: tuple[int, int] | None

class Dispatch:
    def __init__(
        self,
        axes: int,
        groups: int,
        choose: Callable[[Ints, Ints, Ints, int, bool], tuple[Any, Kernel | tuple[bool, bool]]],
    ) -> None: ...
    def forward(
        self,
        x: Any,
        w: Any,
        bias: Any,
        y: Any,
        prepared: tuple[str, Any] | None = None,
        residual: Any = None,
        activation: tuple[Any, ...] | None = None,
    ) -> None: ...
    def input_gradient(
        self,
        grad_output: Any,
        w: Any,
        bias: Any,
        grad_input: Any,
        prepared: tuple[str, Any] | None = None,
        residual: Any = None,
        activation: tuple[Any, ...] | None = None,
    ) -> None: ...
    def prepare(self, operation: str, x: Any, w: Any, y: Any) -> tuple[str, Any] | None: ...
    def weight_gradient(self, x: Any, residual: Any, grad_weight: Any) -> None: ...
    def explain(self, operation: str, x: Any, w: Any, y: Any) -> Choice: ...
