from fastconv._check import Array
from fastconv._geometry import Ints

def transformed(
    maps: Array, kernel: Ints, seen: bool, out: Ints, before: Ints, v: Array
) -> None: ...
