from typing import Any

def mean_pool(
    x: Any,
    y: Any,
    tables: tuple[Any, ...],
    steps: tuple[Any, ...],
    cells: float,
    count_padding: bool,
) -> None: ...
def mean_pool_backward(
    dy: Any,
    dx: Any,
    tables: tuple[Any, ...],
    readers: tuple[Any, ...],
    steps: tuple[Any, ...],
    cells: float,
    count_padding: bool,
) -> None: ...
