"""Weights that were made ready for one geometry, so that no call does it again."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from fastconv._check import Array
from fastconv.engine.choice import Plan

# What must agree, and where the geometry has it.
_STEPS = {name: name for name in ("stride", "padding", "dilation", "groups")}
_OF_CONVOLUTION = {"in_channels": "in_channels", "in_size": "in_size", **_STEPS}
_OF_TRANSPOSED = {"in_size": "out_size", **_STEPS, "output size": "in_size"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PreparedWeight:
    """What `prepare_weight` returns; takes the place of `weight` in a convolution.

    A copy or a pickle takes over the weights and the arguments, and prepares again: what an
    algorithm makes of weights is for one instruction set.

    Attributes
    ----------
    operation : str
        "conv2d", or another convolution or transposed convolution.
    weight : ndarray
        A copy of the weights, read-only.
    plan : Plan
        The geometry, of one sample, and the algorithm that they are ready for. Of a transposed
        convolution it is that of the convolution whose output is its input.
    data : tuple of a str and an array, or None
        The variant of the algorithm that they are ready for, and what it makes of them; None where
        it reads them as they are.

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

    operation: str
    weight: Array
    plan: Plan
    data: tuple[str, Any] | None
    # What makes it again: a function and its arguments.
    _origin: "tuple[Callable[..., PreparedWeight], tuple[Any, ...]]"

    def check(self, operation: str, plan: Plan) -> None:
        """Refuse another operation, geometry or algorithm; the batch may be any.

        Raises
        ------
        ValueError
            If there is a difference; it names it.
        """
        if self.operation != operation:
            raise ValueError(f"weight was prepared for {self.operation}, not for {operation}")
        fields = _OF_TRANSPOSED if self._transposed else _OF_CONVOLUTION
        values = attrgetter(*fields.values())
        ready, asked = values(self.plan.geometry), values(plan.geometry)
        if ready != asked:
            differ = (
                f"{name} {mine}, got {other}"
                for name, mine, other in zip(fields, ready, asked, strict=True)
                if mine != other
            )
            raise ValueError(f"weight was prepared for {'; '.join(differ)}")
        if self.plan.algorithm != plan.algorithm:
            raise ValueError(
                f"weight was prepared for algorithm {self.plan.algorithm!r}, got {plan.algorithm!r}"
            )

    @property
    def _transposed(self) -> bool:
        return "transpose" in self.operation

    def __reduce__(self) -> "tuple[Callable[..., PreparedWeight], tuple[Any, ...]]":
        return self._origin

    def __repr__(self) -> str:
        weight, geometry = self.weight, self.plan.geometry
        shape = geometry.output_shape if self._transposed else geometry.input_shape
        return (
            f"{type(self).__name__}({weight.shape} {weight.dtype}, for inputs of {shape[1:]}, "
            f"{self.plan.algorithm!r})"
        )
