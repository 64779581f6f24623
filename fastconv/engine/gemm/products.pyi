from fastconv._geometry import Ints
from fastconv.engine.base.kernel import Kernel

class InputGradient(Kernel):
    def __init__(self, stride: Ints, before: Ints, dilation: Ints) -> None: ...
