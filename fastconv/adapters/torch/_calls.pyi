from collections.abc import Callable, Sequence
from typing import Any

from fastconv._geometry import Ints
from fastconv.adapters._switch import Count

def use_table(wanted: bool = True) -> bool: ...
def look_at(tensor: Any) -> tuple[int, Ints, Ints] | None: ...
def make(shape: Ints, dtype: Any, memory_format: Any) -> Any: ...

class Part:
    def __init__(
        self,
        compute: Callable[..., None],
        reads: tuple[int | None, ...],
        shape: Ints,
        memory_format: Any,
        arrays: bool,
    ) -> None: ...

class Route:
    def __init__(
        self,
        *,
        passed: Count | None = None,
        served: Count | None = None,
        whole: Callable[..., Any] | None = None,
        parts: tuple[Part | None, ...] = (),
        copies: tuple[bool, ...] = (),
        rest: Sequence[bool] | None = None,
        dtype: Any = None,
    ) -> None: ...

class Override:
    on: bool
    profile: bool
    @property
    def plan(self) -> Callable[..., Route]: ...
    def __init__(self, kernel: Any, plan: Callable[..., Route]) -> None: ...
    def clear(self) -> None: ...
    def __call__(self, keyset: Any, *call: Any, **options: Any) -> Any: ...
