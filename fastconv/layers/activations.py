"""The activation layers.

Each computes a function of `functional`; its gradient takes the input, or the output where the
class says so.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv import functional as F
from fastconv._check import Array, float_dtype
from fastconv._docs import completed, described_like
from fastconv.layers.base import Layer, Parameter, add_gradients, gradient_mask

# Of the layers that may write their output over the input.
_documented = completed({"Parameters": "...\ninplace : bool\n    Write the output over the input."})


@dataclass(eq=False, repr=False)
class _Activation(Layer):
    """A function of one element at a time, its gradient and its options: the fields."""

    _function: ClassVar[str]
    # Whether backward takes the output, in place of the input.
    _from_output = False
    inplace = False

    def _arguments(self) -> dict[str, Any]:
        """Return the options, which have the names of the function's arguments."""
        names: tuple[str, ...] = self.__match_args__  # of the fields
        if not names:
            return {}
        return {name: getattr(self, name) for name in names if name != "inplace"}

    def _forward(self, x: Array) -> tuple[Array, Array]:
        # What is written over is not there any more for backward.
        copied = self.inplace and self.training and not self._from_output
        saved = _check.array("input", x).copy() if copied else x
        function = getattr(F, self._function)
        output = function(x, **self._arguments(), out=x if self.inplace else None)
        return output, output if self._from_output else saved

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        gradient = getattr(F, f"{self._function}_backward")
        result: Array = gradient(grad_output, saved, **self._arguments())
        return result

    def _describe(self) -> str:
        parts = [f"{name}={value!r}" for name, value in self._arguments().items()]
        return ", ".join(parts + ["inplace=True"] * bool(self.inplace))


@dataclass(eq=False, repr=False)
class _InPlace(_Activation):
    """One without other options that may write its output over the input."""

    inplace: bool = False


@_documented
class ReLU(_InPlace):
    """max(x, 0): `functional.relu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    _function = "relu"
    _from_output = True
    # `_keeps_output` is False: what a layer writes over the output in place is positive where it
    # was, too, or lets no gradient through.


@_documented
class ReLU6(_InPlace):
    """x cut off below 0 and above 6: `functional.relu6`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ReLU6()(np.array([-1.0, 9.0]))
    array([0., 6.])
    """

    _function = "relu6"
    _from_output = True
    _keeps_output = True


@_documented
@dataclass(eq=False, repr=False)
class Hardtanh(_Activation):
    """x cut off below min_val and above max_val: `functional.hardtanh`.

    Parameters
    ----------
    min_val : float
        The least output.
    max_val : float
        The largest output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Hardtanh()(np.array([-3.0, 0.5]))
    array([-1. ,  0.5])
    """

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False

    _function = "hardtanh"
    _from_output = True
    _keeps_output = True


@_documented
@dataclass(eq=False, repr=False)
class LeakyReLU(_Activation):
    """x where it is positive, else negative_slope * x: `functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        Slope for negative inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    negative_slope: float = 0.01
    inplace: bool = False

    _function = "leaky_relu"


@_documented
class Hardsigmoid(_InPlace):
    """(x + 3) / 6 cut off below 0 and above 1: `functional.hardsigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Hardsigmoid()(np.array([-3.0, 0.0]))
    array([0. , 0.5])
    """

    _function = "hardsigmoid"


@_documented
class Hardswish(_InPlace):
    """x times the hard sigmoid of x: `functional.hardswish`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Hardswish()(np.array([3.0]))
    array([3.])
    """

    _function = "hardswish"


@_documented
@dataclass(eq=False, repr=False)
class ELU(_Activation):
    """x where it is positive, else alpha * (exp(x) - 1): `functional.elu`.

    Parameters
    ----------
    alpha : float
        Minus the limit for very negative inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.ELU()(np.array([-1000.0, 2.0]))
    array([-1.,  2.])
    """

    alpha: float = 1.0
    inplace: bool = False

    _function = "elu"


@_documented
class SELU(_InPlace):
    """ELU, scaled so that outputs keep mean 0 and variance 1: `functional.selu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.SELU()(np.array([0.0, 1.0]))
    array([0.        , 1.05070099])
    """

    _function = "selu"


@_documented
@dataclass(eq=False, repr=False)
class CELU(_Activation):
    """x where it is positive, else alpha * (exp(x/alpha) - 1): `functional.celu`.

    Parameters
    ----------
    alpha : float
        Minus the limit for very negative inputs; positive.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.CELU(0.5)(np.array([-1000.0, 2.0]))
    array([-0.5,  2. ])
    """

    alpha: float = 1.0
    inplace: bool = False

    _function = "celu"


@_documented
class SiLU(_InPlace):
    """x * sigmoid(x): `functional.silu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.SiLU()(np.array([1000.0]))
    array([1000.])
    """

    _function = "silu"


@_documented
class Mish(_InPlace):
    """x * tanh(softplus(x)): `functional.mish`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Mish()(np.array([1000.0]))
    array([1000.])
    """

    _function = "mish"


@dataclass(eq=False, repr=False)
class GELU(_Activation):
    """x times the probability that a standard normal variable is smaller: `functional.gelu`.

    Parameters
    ----------
    approximate : str
        Or "tanh".

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.GELU()(np.array([-1.0, 1.0]))
    array([-0.15865525,  0.84134475])
    """

    approximate: str = "none"

    _function = "gelu"


@dataclass(eq=False, repr=False)
class Softplus(_Activation):
    """log(1 + exp(beta * x)) / beta: `functional.softplus`.

    Parameters
    ----------
    beta : float
        How sharply the function bends; not 0.
    threshold : float
        x itself is returned where beta * x is above it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Softplus()(np.array([1000.0]))
    array([1000.])
    """

    beta: float = 1.0
    threshold: float = 20.0

    _function = "softplus"


class Softsign(_Activation):
    """x / (1 + abs(x)): `functional.softsign`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Softsign()(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """

    _function = "softsign"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)): `functional.sigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Sigmoid()(np.array([0.0]))
    array([0.5])
    """

    _function = "sigmoid"
    _from_output = True
    _keeps_output = True


class LogSigmoid(_Activation):
    """The logarithm of the sigmoid: `functional.logsigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LogSigmoid()(np.array([-1000.0]))
    array([-1000.])
    """

    _function = "logsigmoid"


class Tanh(_Activation):
    """The hyperbolic tangent: `functional.tanh`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.Tanh()(np.array([0.0]))
    array([0.])
    """

    _function = "tanh"
    _from_output = True
    _keeps_output = True


class PReLU(Layer):
    """x where it is positive, else a learned weight times x: `functional.prelu`.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        What the weights begin with.
    dtype : float32 or float64, keyword-only
        Of the weights.

    Raises
    ------
    TypeError, ValueError
        If an argument is no such number, or the dtype another.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.PReLU(dtype=np.float64)(np.array([-1.0, 2.0]))
    array([-0.25,  2.  ])
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike = np.float32
    ) -> None:
        self.num_parameters = _check.integer("num_parameters", num_parameters, 1)
        slopes = np.full(self.num_parameters, _check.number("init", init), float_dtype(dtype))
        self.weight = Parameter(slopes, "weight")

    def _forward(self, x: Array) -> tuple[Array, Array]:
        return F.prelu(x, self.weight.data), x

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        for_input, for_weight, _ = gradient_mask(input_grad, self.weight, None)
        grad_input, grad_weight = F.prelu_backward(
            grad_output, saved, self.weight.data, output_mask=(for_input, for_weight)
        )
        add_gradients((self.weight,), (grad_weight,))
        return grad_input

    def _describe(self) -> str:
        return f"num_parameters={self.num_parameters}"


@dataclass(eq=False, repr=False)
class _AlongAxis(Layer):
    """A function along one axis, whose gradient takes the output."""

    dim: int = -1

    _function: ClassVar[str]
    _keeps_output = True

    def _forward(self, x: Array) -> tuple[Array, Array]:
        output = getattr(F, self._function)(x, self.dim)
        return output, output

    def _backward(self, saved: Array, grad_output: Array, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        gradient: Array = getattr(F, f"{self._function}_backward")(grad_output, saved, self.dim)
        return gradient

    def _describe(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
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

    _function = "softmax"


@described_like(Softmax)
class LogSoftmax(_AlongAxis):
    """Logarithms of probabilities along one axis: `functional.log_softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layers.LogSoftmax(dim=1)(np.zeros((1, 1)))
    array([[0.]])
    """

    _function = "log_softmax"
