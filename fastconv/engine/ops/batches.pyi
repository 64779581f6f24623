from typing import Any

from numpy.typing import NDArray

def take_images(
    images: NDArray[Any], chosen: NDArray[Any], mean: float, scale: float, x: NDArray[Any]
) -> bool: ...
