"""Loops with other numbers than pixels or output channels in the lanes, before an algorithm.

They have the bits of the algorithm (but for the weight gradient), which computes what they refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from fastconv._geometry import ConvGeometry
from fastconv.engine.base.operation import Algorithm

# Called with the arrays of an operation, in the order of `base.operation.in_order`; returns the
# bytes of workspace, or 0 where it refuses them. With `dry` it does nothing else.
Bound: TypeAlias = Callable[..., int]


@dataclass
class Loops:
    """Compiled loops: whether they may be the fastest, and what computes one geometry."""

    may_pay: Callable[[ConvGeometry], bool]
    bind: Callable[[str, ConvGeometry], Bound]


class Lanes(Algorithm):
    """An algorithm that leaves to such loops what they do not refuse."""

    loops: ClassVar[tuple[Loops, ...]]

    def _before(self, operation: str, geometry: ConvGeometry) -> list[Bound]:
        """Return the loops that are tried before, in order."""
        return [loops.bind(operation, geometry) for loops in self.loops if loops.may_pay(geometry)]

    def bind_rest(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes what the loops refuse."""
        raise NotImplementedError

    def bind(self, operation: str, geometry: ConvGeometry) -> Callable[..., Any]:
        """Return what computes an operation of one geometry, called with its arrays."""
        before, rest = self._before(operation, geometry), self.bind_rest(operation, geometry)

        def compute(*arrays: Any, **dry: bool) -> Any:
            for loops in before:
                size = loops(*arrays, **dry)
                if size:
                    return size
            return rest(*arrays, **dry)

        return compute if before else rest
