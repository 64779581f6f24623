from typing import Any

def correlate(
    x: Any,
    y: Any,
    numbers: tuple[int, int, int],
    frame: Any,
    taps: Any,
    weights: Any,
    outside: Any,
    fold: int,
    start: float,
    planes: tuple[int, ...] | None,
) -> None: ...
