from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(self, stride: Ints, before: Ints, dilation: Ints, name: str) -> None: ...
    def estimate(
        self,
        shapes: tuple[Ints, ...],
        strides: tuple[Ints, ...],
        itemsize: int,
        threads: int,
        prepared: bool = False,
    ) -> tuple[float, float, float]: ...
