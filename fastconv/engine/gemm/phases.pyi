from collections.abc import Iterable
from typing import Any

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

class InputGradient(Kernel):
    def __init__(
        self,
        kernels: Iterable[Kernel],
        phases: tuple[Any, ...],
        covered: bool,
        name: str,
    ) -> None: ...
    def estimates(
        self,
        shapes: tuple[Ints, ...],
        strides: tuple[Ints, ...],
        itemsize: int,
        threads: int,
    ) -> list[tuple[float, float, float]]: ...
