from typing import Any

from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(self, numbers: tuple[Any, Any, Any], /) -> None: ...
