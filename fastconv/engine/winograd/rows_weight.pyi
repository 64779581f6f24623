from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

class WeightGradient(Kernel):
    def __init__(
        self, stride: Ints, before: Ints, dilation: Ints, name: str, rotates: bool = False
    ) -> None: ...
