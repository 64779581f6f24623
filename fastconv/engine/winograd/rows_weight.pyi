from fastconv.engine.base.kernel import Kernel

class WeightGradient(Kernel):
    def __init__(self, axes: int, groups: int, before: tuple[int, ...]) -> None: ...
