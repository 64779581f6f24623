"""The activation layers, and dropout."""

from typing import Any

import numpy as np

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, Random
from fastconv.layers.base import Layer


class ReLU(Layer):
    """max(x, 0): `functional.relu`.

    Parameters
    ----------
    inplace : bool
        Write the output over the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    # Backward asks where the output is positive, but `_keeps_output` is False: what a layer writes
    # over it in place is positive there, too, or lets no gradient through.

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = bool(inplace)

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.relu(x, out=x if self.inplace else None)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        return F.relu_backward(grad_output, saved) if input_grad else None

    def _describe(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Layer):
    """Return x where it is positive, else negative_slope * x: `functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        Slope for negative inputs.
    inplace : bool
        Write the output over the input.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        self.inplace = bool(inplace)

    def _forward(self, x: Array) -> tuple[Array, Array]:
        saved = x.copy() if self.inplace and self.training else x
        return F.leaky_relu(x, self.negative_slope, out=x if self.inplace else None), saved

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return F.leaky_relu_backward(grad_output, saved, self.negative_slope)

    def _describe(self) -> str:
        return f"negative_slope={self.negative_slope}" + ", inplace=True" * self.inplace


class Sigmoid(Layer):
    """1 / (1 + exp(-x)): `functional.sigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Sigmoid()(np.zeros(1))
    array([0.5])
    """

    _keeps_output = True

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.sigmoid(x)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        return F.sigmoid_backward(grad_output, saved) if input_grad else None


class Tanh(Layer):
    """The hyperbolic tangent: `functional.tanh`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Tanh()(np.zeros(1))
    array([0.])
    """

    _keeps_output = True

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.tanh(x)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        return F.tanh_backward(grad_output, saved) if input_grad else None


class Softmax(Layer):
    """Probabilities along one axis: `functional.softmax`.

    Parameters
    ----------
    dim : int
        The axis, by torch.nn's name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Softmax(dim=1)(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """

    _keeps_output = True

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.softmax(x, self.dim)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        return F.softmax_backward(grad_output, saved, self.dim) if input_grad else None

    def _describe(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Layer):
    """Logarithms of probabilities along one axis: `functional.log_softmax`.

    Parameters
    ----------
    dim : int
        The axis, by torch.nn's name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LogSoftmax(dim=1)(np.zeros((1, 1)))
    array([[0.]])
    """

    _keeps_output = True

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = F.log_softmax(x, self.dim)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        return F.log_softmax_backward(grad_output, saved, self.dim) if input_grad else None

    def _describe(self) -> str:
        return f"dim={self.dim}"


class Dropout(Layer):
    """Zeros at random in training mode, the identity in evaluation mode: `functional.dropout`.

    Parameters
    ----------
    p : float
        Probability of a zero, from 0 to 1.
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

    _passes_on_evaluating = True

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Random = None) -> None:
        self.p = _check.probability("p", p)
        self.inplace = bool(inplace)
        self.rng = np.random.default_rng(rng)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if not self.training:
            return _check.array("input", x), None
        return F.dropout(x, self.p, rng=self.rng, out=x if self.inplace else None)

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        return F.dropout_backward(grad_output, saved, self.p) if input_grad else None

    def _describe(self) -> str:
        return f"p={self.p}" + ", inplace=True" * self.inplace
