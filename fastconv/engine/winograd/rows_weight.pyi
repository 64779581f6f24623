from fastconv.engine.base.kernel import Kernel

class WeightGradient(Kernel):
    def __init__(self, before: tuple[int, ...]) -> None: ...
