from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

class Cache(Generic[P, R]):
    limit: int
    def __init__(self, function: Callable[P, R], limit: int) -> None: ...
    def __len__(self) -> int: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
