from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

OPERATIONS: tuple[str, ...]

class Plain(Kernel):
    def __init__(
        self, operation: str, by_columns: bool, stride: Ints, before: Ints, dilation: Ints
    ) -> None: ...
