from collections.abc import Callable, Mapping

from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

# A fused function: one compiled function for each of the C types "float" and "double".
prepare: Mapping[str, Callable[..., int]]

class Correlation(Kernel):
    def __init__(
        self, stride: Ints, before: Ints, dilation: Ints, name: str, rotates: bool = False
    ) -> None: ...
