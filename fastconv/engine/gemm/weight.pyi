from collections.abc import Callable, Mapping
from typing import Any

# Fused functions: one compiled function for each of the C types "float" and "double".
correlate_weight: Mapping[str, Callable[..., int]]

class WeightGradient:
    def __init__(
        self,
        axes: int,
        groups: int,
        stride: tuple[int, ...],
        before: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...
    def __call__(self, x: Any, dy: Any, dw: Any) -> None: ...
