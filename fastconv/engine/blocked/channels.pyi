from array import array

from fastconv.engine.base.kernel import Kernel

class Correlation(Kernel):
    def __init__(
        self,
        depth: array[int],
        row: array[int],
        column: array[int],
        turns: int,
    ) -> None: ...

def most_turns(itemsize: int) -> int: ...
