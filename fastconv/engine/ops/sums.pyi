from collections.abc import Callable, Mapping
from typing import Any

# Fused function: one compiled function for each of the C types "float" and "double".
sum_maps: Mapping[str, Callable[..., None]]

def sum_rows(x: Any, sums: Any) -> None: ...
