from collections.abc import Callable, Mapping
from typing import Any

# Fused functions: one compiled function for each of the C types "float" and "double".
correlate: Mapping[str, Callable[..., int]]

class Correlation:
    def __init__(
        self,
        axes: int,
        groups: int,
        stride: tuple[int, ...],
        before: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...
    def __call__(self, x: Any, w: Any, bias: Any, y: Any) -> None: ...

class InputGradient(Correlation):
    def __call__(self, residual: Any, w: Any, grad_input: Any) -> None: ...  # type: ignore[override]
