from collections.abc import Callable, Mapping
from typing import Any

class Blocks:
    def __init__(
        self, parameters: list[tuple[int, tuple[Any, ...], bool, float, float]], /
    ) -> None: ...

# Fused functions: one compiled function for each of the C types "float" and "double".
adam: Mapping[str, Callable[..., None]]
sgd: Mapping[str, Callable[..., None]]
