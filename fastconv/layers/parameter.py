"""What training changes: an array and its gradient."""

from fastconv import _check
from fastconv._check import Array


class Parameter:
    """An array that training changes, and the gradient with respect to it.

    Parameters
    ----------
    data : ndarray
        The values; optimizers and `Layer.load_state_dict` write into this array.
    name : str
        The parameter's name within its layer, "weight" or "bias".
    requires_grad : bool, keyword-only
        False freezes it: backward passes compute no gradient for it, and optimizers leave it.

    Attributes
    ----------
    grad : ndarray or None
        None until the first backward pass after `zero_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> p = Parameter(np.zeros(3), "bias")
    >>> p.add_grad(np.ones(3)); p.add_grad(np.ones(3)); p.grad
    array([2., 2., 2.])
    >>> p.zero_grad(); p.grad is None
    True
    """

    __slots__ = ("data", "grad", "name", "requires_grad")

    def __init__(self, data: Array, name: str = "", *, requires_grad: bool = True) -> None:
        self.data = data
        self.name = name
        self.requires_grad = bool(requires_grad)
        self.grad: Array | None = None

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def add_grad(self, gradient: Array) -> None:
        """Add to the gradient; the first time after `zero_grad`, become it.

        A frozen parameter takes none.

        Parameters
        ----------
        gradient : ndarray, shape and dtype of `data`
            A first gradient is kept, not copied.

        Raises
        ------
        TypeError
            If it is no array.
        ValueError
            If it, or the gradient it is added to, has another shape or dtype.
        """
        add_gradients((self,), (gradient,))

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter({self.name!r}, shape={self.data.shape}, dtype={self.data.dtype}{frozen})"


def gradient_mask(
    input_grad: bool, weight: Parameter | None, bias: Parameter | None
) -> tuple[bool, bool, bool]:
    """Return the `output_mask` of a backward function: no gradient of what is frozen or missing."""
    return (
        input_grad,
        weight is not None and weight.requires_grad,
        bias is not None and bias.requires_grad,
    )


def add_gradients(
    parameters: tuple[Parameter | None, ...], gradients: tuple[Array | None, ...]
) -> None:
    """Add to each parameter that there is its gradient, or to none if one does not fit.

    Frozen parameters take none.
    """
    pairs = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter is None or gradient is None or not parameter.requires_grad:
            continue
        _check.like("gradient", gradient, parameter.data, "the parameter")
        if parameter.grad is not None:
            _check.like("grad", parameter.grad, parameter.data, "the parameter")
            if not parameter.grad.flags.writeable:
                raise ValueError("grad is read-only, and nothing can be added to it")
        pairs.append((parameter, gradient))
    for parameter, gradient in pairs:
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad += gradient
