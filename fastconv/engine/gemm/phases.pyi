from collections.abc import Iterable
from typing import Any

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel
from fastconv.engine.gemm.correlation import Correlation

class InputGradient(Kernel):
    def __init__(
        self,
        variants: Iterable[type[Correlation]],
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
