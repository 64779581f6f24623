from array import array

from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(
        self,
        depth: array[int],
        row: array[int],
        column: array[int],
        by_columns: bool,
        across: bool,
        samples: int,
    ) -> None: ...

def shared_lanes(batch: int, rows: int, reach: float, itemsize: int) -> tuple[int, int]: ...
def axis_extent(size: int, out: int, numbers: array[int]) -> tuple[int, int, int]: ...
def most_steps(itemsize: int) -> int: ...
