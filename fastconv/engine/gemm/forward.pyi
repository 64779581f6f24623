from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(
        self,
        axes: int,
        groups: int,
        stride: tuple[int, ...],
        before: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...

class GradientPhase(Kernel):
    def __init__(
        self,
        axes: int,
        groups: int,
        positions: tuple[tuple[int, ...], ...],
        taps: tuple[tuple[int, ...], ...],
        before: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...
