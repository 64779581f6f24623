"""Weights that were made ready for one geometry, so that no call does it again."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from fastconv._check import Array
from fastconv.engine.choice import Plan

_FIELDS = ("in_channels", "in_size", "stride", "padding", "dilation", "groups")
_values = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PreparedWeight:
    """What `prepare_weight` returns; takes the place of `weight` in `conv2d`.

    A copy or a pickle takes over the weights and the arguments, and prepares again: what an
    algorithm makes of weights is for one instruction set.

    Attributes
    ----------
    weight : ndarray, shape (K, C/groups, R, S)
        A copy of the weights, read-only.
    plan : Plan
        The geometry, of one sample, and the algorithm that they are ready for.
    data : object
        What the algorithm makes of them; None where it reads them as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> ready = F.prepare_weight(np.ones((64, 64, 3, 3)), (64, 30, 30), padding=1)
    >>> ready.weight.shape, ready.plan.algorithm
    ((64, 64, 3, 3), 'winograd')
    >>> ready
    PreparedWeight((64, 64, 3, 3) float64, for inputs of (64, 30, 30), 'winograd')
    """

    weight: Array
    plan: Plan
    data: Any
    # What makes it again: a function and its arguments.
    _origin: "tuple[Callable[..., PreparedWeight], tuple[Any, ...]]"

    def check(self, plan: Plan) -> None:
        """Refuse another geometry or algorithm; the batch may be any.

        Raises
        ------
        ValueError
            If there is a difference; it names it.
        """
        ready, asked = _values(self.plan.geometry), _values(plan.geometry)
        if ready != asked:
            differ = (
                f"{name} {mine}, got {other}"
                for name, mine, other in zip(_FIELDS, ready, asked, strict=True)
                if mine != other
            )
            raise ValueError(f"weight was prepared for {'; '.join(differ)}")
        if self.plan.algorithm != plan.algorithm:
            raise ValueError(
                f"weight was prepared for algorithm {self.plan.algorithm!r}, got {plan.algorithm!r}"
            )

    def __reduce__(self) -> "tuple[Callable[..., PreparedWeight], tuple[Any, ...]]":
        return self._origin

    def __repr__(self) -> str:
        weight, inputs = self.weight, self.plan.geometry.input_shape[1:]
        return (
            f"{type(self).__name__}({weight.shape} {weight.dtype}, for inputs of {inputs}, "
            f"{self.plan.algorithm!r})"
        )
