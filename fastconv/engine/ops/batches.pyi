from typing import Any

from numpy.typing import NDArray

def take_images(
    images: NDArray[Any],
    chosen: NDArray[Any],
    mean: NDArray[Any],
    scale: NDArray[Any],
    x: NDArray[Any],
    moves: NDArray[Any] | None = None,
) -> bool: ...
