from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

class WeightGradient(Kernel):
    def __init__(self, role: str, stride: Ints, before: Ints, dilation: Ints) -> None: ...
