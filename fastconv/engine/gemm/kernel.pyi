from collections.abc import Callable

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel as Caller

class Kernel: ...

class Bound(Caller):
    def __init__(
        self,
        axes: int,
        groups: int,
        choose: Callable[[tuple[Ints, ...], tuple[Ints, ...], int, int], Kernel],
    ) -> None: ...
