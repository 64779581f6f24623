from typing import Any

def response_norm(
    dy: Any, x: Any, result: Any, size: int, alpha: float, beta: float, k: float
) -> None: ...
