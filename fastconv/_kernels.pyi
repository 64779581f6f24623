from fastconv._check import Array
from fastconv._geometry import Ints

OPERATIONS: tuple[str, ...]

def compute(
    operation: str,
    by_columns: bool,
    groups: int,
    stride: Ints,
    before: Ints,
    dilation: Ints,
    x: Array,
    w: Array,
    b: Array | None,
    y: Array,
    dry: bool = False,
) -> int: ...
