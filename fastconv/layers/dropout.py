"""Dropout of elements and of whole channels."""

from typing import Any, ClassVar

import numpy as np

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, Random
from fastconv._docs import described_like
from fastconv.layers.base import Layer


class _Dropout(Layer):
    """What `functional` drops in training mode; the identity in evaluation mode."""

    _function: ClassVar[str]
    _passes_on_evaluating = True

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Random = None) -> None:
        self.p = _check.probability("p", p)
        self.inplace = bool(inplace)
        self.rng = np.random.default_rng(rng)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if not self.training:
            return _check.array("input", x), None
        output, mask = getattr(F, self._function)(
            x, self.p, rng=self.rng, out=x if self.inplace else None
        )
        return output, (mask, output.shape, output.dtype)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        mask, shape, dtype = saved
        grad_output = _check.array("grad_output", grad_output)
        # A mask of channels does not know how large they are.
        _check.same_shape("grad_output", grad_output, shape, "output.shape")
        if grad_output.dtype != dtype:
            raise TypeError(f"grad_output must have dtype {dtype}, got {grad_output.dtype}")
        if not input_grad:
            return None
        result: Array = getattr(F, f"{self._function}_backward")(grad_output, mask, self.p)
        return result

    def _describe(self) -> str:
        return f"p={self.p}" + ", inplace=True" * self.inplace


class Dropout(_Dropout):
    """Zeros at random in training mode, the identity in evaluation mode: `functional.dropout`.

    Parameters
    ----------
    p : float
        Probability of being dropped, from 0 to 1.
    inplace : bool
        Write the output over the input.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where the random numbers come from; an int is a seed.

    Raises
    ------
    TypeError, ValueError
        If p is not a number from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Dropout(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    _function = "dropout"


@described_like(Dropout)
class Dropout1d(_Dropout):
    """Whole channels of lines set to zero at random in training mode: `functional.dropout1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Dropout1d(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    _function = "dropout1d"


@described_like(Dropout)
class Dropout2d(_Dropout):
    """Whole channels of maps set to zero at random in training mode: `functional.dropout2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Dropout2d(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    _function = "dropout2d"


@described_like(Dropout)
class Dropout3d(_Dropout):
    """Whole channels of volumes set to zero at random in training mode: `functional.dropout3d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Dropout3d(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    _function = "dropout3d"


@described_like(Dropout)
class AlphaDropout(_Dropout):
    """Elements set to the limit of `SELU` at random in training: `functional.alpha_dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.AlphaDropout(0.5).eval()(np.ones(3))
    array([1., 1., 1.])
    """

    _function = "alpha_dropout"
