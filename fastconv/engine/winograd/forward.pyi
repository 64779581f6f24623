from fastconv._check import Array
from fastconv.engine.base.kernel import Kernel

def prepare(w: Array, groups: int, u: Array | None = None) -> int: ...

class Correlation(Kernel):
    def __init__(
        self, before: tuple[int, ...], dilation: tuple[int, ...], rotates: bool = False
    ) -> None: ...
