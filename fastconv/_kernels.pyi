from typing import Any

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

OPERATIONS: tuple[str, ...]

class Plain(Kernel):
    def __init__(
        self, operation: str, by_columns: bool, stride: Ints, before: Ints, dilation: Ints
    ) -> None: ...

def unfold(maps: Any, columns: Any, windows: tuple[Ints, Ints, Ints, Ints, Ints]) -> None: ...
def fold(columns: Any, maps: Any, windows: tuple[Ints, Ints, Ints, Ints, Ints]) -> None: ...
