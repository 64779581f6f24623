"""Losses as objects: called with output and target, then asked for the gradient."""

import inspect
from typing import Any

import numpy as np

from fastconv import functional as F
from fastconv._check import Array
from fastconv.functional._reduction import REDUCTIONS, check_reduction
from fastconv.functional.probability_losses import DIVERGENCE_REDUCTIONS
from fastconv.layers import profiling


class _Loss:
    """A loss function that remembers its arguments for `backward`.

    The options are attributes, which may be changed between calls.
    """

    _function: Any
    _gradient: Any
    _reductions: tuple[str, ...] = REDUCTIONS

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(reduction, self._reductions)
        self.reduction = reduction
        self._names: tuple[str, ...] = ("reduction",)
        self._saved: tuple[Array, Any, dict[str, Any]] | None = None

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
        options = self._options()
        function = type(self)._function
        profile = profiling.current()
        if profile is None:
            loss = function(input, target, **options)
        else:
            with profiling.measured(profile, self, "forward"):
                loss = function(input, target, **options)
        self._saved = (input, target, options)
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
        input, target, options = self._saved
        function, options = type(self)._gradient, {**options, "grad_output": grad_output}
        profile = profiling.current()
        gradient: Array
        if profile is None:
            gradient = function(input, target, **options)
        else:
            with profiling.measured(profile, self, "backward"):
                gradient = function(input, target, **options)
        # A grad_output that was refused leaves the loss as it was.
        self._saved = None
        return gradient

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take over: all but the last call, as of layers."""
        return {**vars(self), "_saved": None}

    def _keep(self, **options: Any) -> None:
        """Keep more options, by their names."""
        self._names = (*options, *self._names)
        vars(self).update(options)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def __repr__(self) -> str:
        usual = inspect.signature(type(self)).parameters
        shown = [
            f"{name}=<{value.shape} {value.dtype}>"
            if isinstance(value, np.ndarray)
            else f"{name}={value!r}"
            for name, value in self._options().items()
            if name == "reduction" or isinstance(value, np.ndarray) or value != usual[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class CrossEntropyLoss(_Loss):
    """Cross-entropy of the softmax with classes or probabilities: `functional.cross_entropy`.

    Parameters
    ----------
    weight, ignore_index, label_smoothing : keyword-only
        As in `functional.cross_entropy`.
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

    def __init__(
        self,
        *,
        weight: Array | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._keep(weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)


class NLLLoss(_Loss):
    """Negative log-likelihood of classes: `functional.nll_loss`.

    Parameters
    ----------
    weight, ignore_index : keyword-only
        As in `functional.nll_loss`.
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.NLLLoss()(np.array([[-2.0, -1.0]]), np.array([0])))
    2.0
    """

    _function = staticmethod(F.nll_loss)
    _gradient = staticmethod(F.nll_loss_backward)

    def __init__(
        self,
        *,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._keep(weight=weight, ignore_index=ignore_index)


class BCELoss(_Loss):
    """Cross-entropy of probabilities with what happened: `functional.binary_cross_entropy`.

    Parameters
    ----------
    weight : ndarray, optional, keyword-only
        As in `functional.binary_cross_entropy`.
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.BCELoss()(np.array([0.0]), np.array([1.0])))
    100.0
    """

    _function = staticmethod(F.binary_cross_entropy)
    _gradient = staticmethod(F.binary_cross_entropy_backward)

    def __init__(self, *, weight: Array | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep(weight=weight)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of the sigmoid of scores: `functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight, pos_weight : ndarray, optional, keyword-only
        As in `functional.binary_cross_entropy_with_logits`.
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.BCEWithLogitsLoss()(np.array([-50.0]), np.array([1.0])))
    50.0
    """

    _function = staticmethod(F.binary_cross_entropy_with_logits)
    _gradient = staticmethod(F.binary_cross_entropy_with_logits_backward)

    def __init__(
        self,
        *,
        weight: Array | None = None,
        pos_weight: Array | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self._keep(weight=weight, pos_weight=pos_weight)


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence: `functional.kl_div`.

    Parameters
    ----------
    log_target : bool, keyword-only
        As in `functional.kl_div`.
    reduction : {"mean", "batchmean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> loss = layers.KLDivLoss(reduction="batchmean")
    >>> float(loss(np.array([[-3.0, -2.0]]), np.array([[0.0, 1.0]])))
    2.0
    """

    _function = staticmethod(F.kl_div)
    _gradient = staticmethod(F.kl_div_backward)
    _reductions = DIVERGENCE_REDUCTIONS

    def __init__(self, *, log_target: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep(log_target=log_target)


class MSELoss(_Loss):
    """Mean squared difference: `functional.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.MSELoss()(np.array([1.0, 2.0]), np.zeros(2)))
    2.5
    """

    _function = staticmethod(F.mse_loss)
    _gradient = staticmethod(F.mse_loss_backward)


class L1Loss(_Loss):
    """Mean absolute difference: `functional.l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.L1Loss()(np.array([1.0, 2.0]), np.zeros(2)))
    1.5
    """

    _function = staticmethod(F.l1_loss)
    _gradient = staticmethod(F.l1_loss_backward)


class HuberLoss(_Loss):
    """Squares of small differences, absolute values of large ones: `functional.huber_loss`.

    Parameters
    ----------
    delta : float, keyword-only
        As in `functional.huber_loss`.
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.HuberLoss(delta=2.0)(np.array([4.0]), np.zeros(1)))
    6.0
    """

    _function = staticmethod(F.huber_loss)
    _gradient = staticmethod(F.huber_loss_backward)

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep(delta=delta)


class SmoothL1Loss(_Loss):
    """Absolute differences, rounded off below beta: `functional.smooth_l1_loss`.

    Parameters
    ----------
    beta : float, keyword-only
        As in `functional.smooth_l1_loss`.
    reduction : {"mean", "sum", "none"}, keyword-only
        What to do with the losses of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> float(layers.SmoothL1Loss(beta=2.0)(np.array([4.0]), np.zeros(1)))
    3.0
    """

    _function = staticmethod(F.smooth_l1_loss)
    _gradient = staticmethod(F.smooth_l1_loss_backward)

    def __init__(self, *, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self._keep(beta=beta)


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
