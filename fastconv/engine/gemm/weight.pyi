from fastconv._geometry import Ints
from fastconv.engine.gemm.kernel import Kernel

class WeightGradient(Kernel):
    def __init__(self, stride: Ints, before: Ints, dilation: Ints) -> None: ...
