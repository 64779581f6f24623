"""Losses of scores or log-probabilities of classes, and their gradients."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.ops import class_losses as compiled
from fastconv.functional._reduction import Loss, check_reduction, reduce, residual, writeable

_CLASS_DTYPE = np.dtype(np.intp)
# The lowest number for a class to ignore.
_LEAST = -(2**63)


def cross_entropy(
    input: Array,
    target: NDArray[Any],
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Loss:
    r"""Return the cross-entropy of the softmax of `input` with classes, or with probabilities.

    Parameters
    ----------
    input : ndarray, shape (N, C), (N, C, *spatial) or (C,)
        Scores of float32 or float64, not normalised; C classes.
    target : ndarray
        Of integers, and of the input's shape without C: the right classes, from 0 to C - 1. Or of
        the input's dtype and shape: the probabilities of all classes.
    weight : ndarray, shape (C,), optional
        How much each class counts.
    ignore_index : int
        Places of this class do not count; for targets that are classes.
    label_smoothing : float
        The part s of each target that is shared evenly among all classes, from 0 to 1.
    reduction : {"mean", "sum", "none"}
        What to do with the losses of the samples, or places. The mean of classes is over those that
        are not ignored, each counted with its class's weight, as in torch.

    Returns
    -------
    scalar, or ndarray of shape (N,), (N, *spatial) or () with reduction="none"

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, or a class does not exist.

    Notes
    -----
    .. math:: J_n = -\sum_c w_c t_{nc} \log \frac{\exp x_{nc}}{\sum_k \exp x_{nk}}

    For a class k, t is 1 - s there. To all t, and all probabilities times 1 - s, s / C is added.
    Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7.

    Sums over classes are taken in pieces, and these added in double precision.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.cross_entropy(np.zeros((2, 4)), np.array([0, 3])))
    1.3862943611198906
    >>> float(F.cross_entropy(np.zeros((2, 4)), np.array([0, -1]), ignore_index=-1))
    1.3862943611198906
    """
    check_reduction(reduction)
    labels = _Labels(input, target, weight, ignore_index, True)
    smoothing = _check.probability("label_smoothing", label_smoothing)
    losses = np.zeros(labels.shape, labels.input.dtype)
    if labels.input.size:
        compiled.cross_entropy(*labels.operands(losses, smoothing))
    return reduce(losses, reduction, labels.count)


def cross_entropy_backward(
    input: Array,
    target: NDArray[Any],
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `cross_entropy` with respect to the scores.

    It is softmax(input) less the target, where weights, smoothing and reduction do not say more.

    Parameters
    ----------
    input, target, weight, ignore_index, label_smoothing, reduction
        As in `cross_entropy`.
    grad_output : float, or ndarray of the losses' shape with reduction="none"
        Gradient with respect to the loss.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.cross_entropy_backward(np.zeros((1, 4)), np.array([1]))
    array([[ 0.25, -0.75,  0.25,  0.25]])
    """
    check_reduction(reduction)
    labels = _Labels(input, target, weight, ignore_index, True)
    smoothing = _check.probability("label_smoothing", label_smoothing)
    scale = residual(grad_output, reduction, labels.count, labels.shape, labels.input)
    result = _check.elementwise(out, labels.input)
    flat = writeable(result, out, *labels.arrays, scale)
    if result.size:
        rest = smoothing, np.ascontiguousarray(scale)
        compiled.cross_entropy_backward(*labels.operands(flat, *rest))
    return _check.deliver(flat, None if flat is result else result)


def nll_loss(
    input: Array,
    target: NDArray[np.integer[Any]],
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Loss:
    """Return the negative log-likelihood of classes: the rest of `cross_entropy`.

    Parameters
    ----------
    input : ndarray, shape (N, C), (N, C, *spatial) or (C,)
        Logarithms of the probabilities of C classes, as `log_softmax` returns them.
    target : ndarray of integers, shape (N,), (N, *spatial) or ()
        The right classes, from 0 to C - 1.
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Returns
    -------
    scalar, or ndarray of the target's shape with reduction="none"
        Of -weight[t] x[t] for each class t.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> float(F.nll_loss(np.log(np.array([[0.25, 0.75]])), np.array([0])))
    1.3862943611198906
    """
    check_reduction(reduction)
    labels = _Labels(input, target, weight, ignore_index, False)
    losses = np.zeros(labels.shape, labels.input.dtype)
    if labels.input.size:
        compiled.nll(*labels.operands(losses))
    return reduce(losses, reduction, labels.count)


def nll_loss_backward(
    input: Array,
    target: NDArray[np.integer[Any]],
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `nll_loss`: -weight at the right class, else 0.

    Parameters
    ----------
    input, target, weight, ignore_index, reduction
        As in `nll_loss`.
    grad_output, out
        As in `cross_entropy_backward`.

    Returns
    -------
    ndarray, shape of `input`

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.nll_loss_backward(np.zeros((2, 3)), np.array([2, 0]), reduction="sum")
    array([[ 0.,  0., -1.],
           [-1.,  0.,  0.]])
    """
    check_reduction(reduction)
    labels = _Labels(input, target, weight, ignore_index, False)
    scale = residual(grad_output, reduction, labels.count, labels.shape, labels.input)
    result = _check.elementwise(out, labels.input)
    flat = writeable(result, out, *labels.arrays, scale)
    if result.size:
        compiled.nll_backward(*labels.operands(flat, np.ascontiguousarray(scale)))
    return _check.deliver(flat, None if flat is result else result)


class _Labels:
    """Scores and what they should be, checked."""

    __slots__ = (
        "arrays", "classes", "count", "ignored", "inner", "input", "shape", "target", "weight"
    )  # fmt: skip

    def __init__(
        self,
        input: Array,
        target: NDArray[Any],
        weight: Array | None,
        ignore_index: int,
        probabilities: bool,
    ) -> None:
        self.input = input = _check.array("input", input)
        shape = input.shape
        # The losses' shape is what is left without the classes.
        if len(shape) == 2:
            self.shape, self.classes, self.inner = shape[:1], shape[1], 1
        elif shape:
            axis = min(len(shape) - 1, 1)
            self.shape = shape[:axis] + shape[axis + 1 :]
            self.classes, self.inner = shape[axis], prod(shape[axis + 1 :])
        else:
            raise ValueError("input must be (N, C), (N, C, *spatial) or (C,), got a 0-D array")
        self.ignored = _check.integer("ignore_index", ignore_index, _LEAST)
        # The arrays as they came, which a result must not overlap.
        self.arrays: tuple[NDArray[Any], ...] = (input, target)
        self.weight = None
        if weight is not None:
            weight = _check.array("weight", weight)
            _check.same_dtype("weight", weight, "input", input)
            _check.same_shape("weight", weight, (self.classes,), "(C,)")
            self.arrays = (input, target, weight)
            self.weight = np.ascontiguousarray(weight)
        if type(target) is not np.ndarray:
            target = _check.plain_array("target", target)
        if probabilities and target.dtype.kind == "f":
            self.target: NDArray[Any] = self._probabilities(target)
            self.count: float = prod(self.shape)
        else:
            self.target = self._classes(target, probabilities)
            self.count = self._survey()

    def operands(self, result: Array, *rest: Any) -> tuple[Any, ...]:
        """Return what the compiled loops take; the rest comes after the class to ignore."""
        return (
            np.ascontiguousarray(self.input),
            self.target,
            result,
            self.weight,
            self.classes,
            self.inner,
            self.ignored,
            *rest,
        )

    def _probabilities(self, target: NDArray[Any]) -> Array:
        target = _check.array("target", target)
        _check.same_dtype("target", target, "input", self.input)
        _check.same_shape("target", target, self.input.shape, "input.shape, as it is no class,")
        if self.ignored >= 0:
            raise ValueError(f"ignore_index is for classes, got {self.ignored} with probabilities")
        return np.ascontiguousarray(target)

    def _classes(self, target: NDArray[Any], probabilities: bool) -> NDArray[np.intp]:
        if target.dtype.kind not in "iu":
            other = " or the input's" if probabilities else ""
            raise TypeError(f"target must have an integer dtype{other}, got {target.dtype}")
        _check.same_shape("target", target, self.shape, "input.shape without C")
        flags = target.flags
        if target.dtype is _CLASS_DTYPE and flags.aligned and flags.c_contiguous:
            return target
        native = target.astype(_CLASS_DTYPE, "C")
        if target.dtype.kind == "u" and native.size and native.min() < 0:
            # It was more than the signed type holds, and must not become a class to ignore.
            native[native < 0] = self.classes
        return native

    def _survey(self) -> float:
        """Return what the places weigh that are not ignored, or refuse a class."""
        weight = compiled.survey(self.target, self.weight, self.classes, self.ignored)
        if weight is None:
            target = self.arrays[1]
            found = target[target != self.ignored]
            raise ValueError(
                f"target must hold classes from 0 to C - 1 = {self.classes - 1}, got values from "
                f"{found.min()} to {found.max()}"
            )
        return weight
