from array import array

from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(
        self,
        row: array[int],
        column: array[int],
        held: str,
        together: int,
        by_columns: bool = False,
    ) -> None: ...
