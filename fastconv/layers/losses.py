"""Losses as objects: called with output and target, then asked for the gradient."""

from typing import Any

from fastconv import functional as F
from fastconv._check import Array
from fastconv.functional.losses import check_reduction


class _Loss:
    """A loss function that remembers its arguments for `backward`."""

    _function: Any
    _gradient: Any

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(reduction)
        self.reduction = reduction
        self._saved: tuple[Array, Any] | None = None

    def __call__(self, input: Array, target: Any) -> Any:
        """Return `forward(input, target)`."""
        return self.forward(input, target)

    def forward(self, input: Array, target: Any) -> Any:
        """Return the loss.

        Parameters
        ----------
        input, target : ndarray
            The network's output and what it should be; the function says which shapes.

        Returns
        -------
        scalar, or ndarray with reduction="none"
        """
        loss = type(self)._function(input, target, reduction=self.reduction)
        self._saved = (input, target)
        return loss

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to `input` of the last call.

        Parameters
        ----------
        grad_output : float, or ndarray with reduction="none"
            Gradient with respect to the loss.

        Returns
        -------
        ndarray, shape of `input`

        Raises
        ------
        RuntimeError
            If the loss was not computed before; each call serves one backward pass.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward needs a call of the loss before it, one for each "
                "backward pass"
            )
        input, target = self._saved
        gradient: Array = type(self)._gradient(
            input, target, reduction=self.reduction, grad_output=grad_output
        )
        # A grad_output that was refused leaves the loss as it was.
        self._saved = None
        return gradient

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take over: all but the last call, as of layers."""
        return {**vars(self), "_saved": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"


class CrossEntropyLoss(_Loss):
    """Cross-entropy of the softmax with classes: `functional.cross_entropy`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> loss = layers.CrossEntropyLoss()
    >>> round(float(loss(np.zeros((1, 2)), np.array([1]))), 4)
    0.6931
    >>> loss.backward()
    array([[ 0.5, -0.5]])
    """

    _function = staticmethod(F.cross_entropy)
    _gradient = staticmethod(F.cross_entropy_backward)


class MSELoss(_Loss):
    """Mean squared difference: `functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.MSELoss()(np.array([1.0, 2.0]), np.zeros(2)))
    2.5
    """

    _function = staticmethod(F.mse_loss)
    _gradient = staticmethod(F.mse_loss_backward)


class HalfSquaredError(_Loss):
    """The lectures' 1/2 ||d - y||**2 of each sample: `functional.half_squared_error`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.HalfSquaredError()(np.array([[1.0, 2.0]]), np.zeros((1, 2))))
    2.5
    """

    _function = staticmethod(F.half_squared_error)
    _gradient = staticmethod(F.half_squared_error_backward)
