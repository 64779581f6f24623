from typing import Any

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel
from fastconv.engine.gemm.correlation import Correlation

class InputGradient(Kernel):
    def __init__(
        self, variant: type[Correlation], phases: tuple[Any, ...], covered: bool
    ) -> None: ...
    def estimate(
        self,
        shapes: tuple[Ints, ...],
        strides: tuple[Ints, ...],
        itemsize: int,
        threads: int,
    ) -> tuple[float, float, float]: ...
