from typing import Any

from fastconv._geometry import Ints

def lanes_of(itemsize: int) -> int: ...

class Planes:
    spectrum_size: int

    def __init__(self, tables: Any) -> None: ...
    def workspace(self, channels: int, outputs: int) -> int: ...
    def transform(
        self, maps: Any, spectra: Any, place: Ints, size: Ints, denormals: bool = False
    ) -> None: ...
    def correlate(
        self,
        x: Any,
        spectra: Any,
        bias: Any,
        y: Any,
        before: Ints,
        size: Ints,
        skip: Ints,
        conjugate: bool,
        denormals: bool = False,
    ) -> None: ...
    def add_products(self, x: Any, residual: Any, total: Any) -> None: ...
    def inverse(self, spectra: Any, y: Any) -> None: ...
