from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(self, before: tuple[int, ...], rotates: bool = False) -> None: ...
