"""Rules that turn gradients into new parameter values: SGD and Adam, as torch.optim defines them.

A step is one call of a compiled loop, which reads and writes the arrays of all parameters once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fastconv import _optimizers
from fastconv._check import C_TYPES
from fastconv.layers import Parameter

Array = np.ndarray[Any, np.dtype[Any]]

_SGD = {dtype: _optimizers.sgd[name] for dtype, name in C_TYPES.items()}
_ADAM = {dtype: _optimizers.adam[name] for dtype, name in C_TYPES.items()}


class Optimizer:
    """What all optimizers share: the parameters, their scratch memory and the saved state.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, float32 or float64.
    lr : float
        Learning rate; a plain attribute that may be changed between steps.

    Raises
    ------
    ValueError
        If there are no parameters, one is listed twice, or ``lr`` is negative.
    TypeError
        If something else than parameters is given.

    Examples
    --------
    >>> from fastconv import layers, training
    >>> isinstance(training.SGD(layers.Linear(2, 1).parameters(), 0.1), training.Optimizer)
    True
    """

    _numbers: tuple[str, ...] = ("lr",)
    _buffer_names: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Parameter], lr: float) -> None:
        self.params: list[Parameter] = list(params)
        for index, param in enumerate(self.params):
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"params: item {index} is a {type(param).__name__}, expected a Parameter"
                )
        if not self.params:
            raise ValueError("params: empty, expected at least one Parameter")
        if len({id(param) for param in self.params}) != len(self.params):
            raise ValueError("params: the same Parameter is listed twice")
        self.lr = _number("lr", lr)
        self._buffers: list[tuple[Array, ...] | None] = [None] * len(self.params)
        self._steps = [0] * len(self.params)

    def step(self) -> None:
        """Update every parameter that has a gradient; one whose ``grad`` is None stays as it is."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients: the next backward pass writes them anew."""
        for param in self.params:
            param.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later run needs to continue with the same bits.

        Returns
        -------
        dict
            ``"kind"`` (the class name), the settings by name, and per parameter ``i``
            ``"i.steps"`` and its arrays, such as ``"i.momentum_buffer"``. The arrays share memory
            with the optimizer.
        """
        state: dict[str, Any] = {"kind": type(self).__name__}
        state.update({name: getattr(self, name) for name in self._numbers})
        for index, (buffers, steps) in enumerate(zip(self._buffers, self._steps, strict=True)):
            state[f"{index}.steps"] = steps
            if buffers is not None:
                state.update(
                    {
                        f"{index}.{name}": buffer
                        for name, buffer in zip(self._buffer_names, buffers, strict=True)
                    }
                )
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; nothing changes when it does not fit.

        Parameters
        ----------
        state : mapping
            What ``state_dict`` of an optimizer of the same class and for parameters of the same
            shapes returned. Arrays are copied.

        Raises
        ------
        ValueError
            If the class, the entries, or the shape or dtype of an array differ.
        """
        if state.get("kind") != type(self).__name__:
            raise ValueError(
                f"state: belongs to the optimizer {state.get('kind')!r}, "
                f"expected {type(self).__name__!r}"
            )
        count = len(self.params)
        required = {"kind", *self._numbers, *(f"{index}.steps" for index in range(count))}
        possible = required | {
            f"{index}.{name}" for index in range(count) for name in self._buffer_names
        }
        missing, unexpected = sorted(required - set(state)), sorted(set(state) - possible)
        if missing or unexpected:
            raise ValueError(
                f"state: missing entries {missing}, unexpected entries {unexpected} "
                f"for {count} parameters"
            )
        buffers = [self._load_buffers(index, state) for index in range(count)]
        steps = [int(state[f"{index}.steps"]) for index in range(count)]
        for name in self._numbers:
            setattr(self, name, state[name])
        self._buffers, self._steps = buffers, steps

    def __repr__(self) -> str:
        numbers = "".join(f", {name}={getattr(self, name)!r}" for name in self._numbers)
        return f"{type(self).__name__}({len(self.params)} parameters{numbers})"

    def _load_buffers(self, index: int, state: Mapping[str, Any]) -> tuple[Array, ...] | None:
        found = [name for name in self._buffer_names if f"{index}.{name}" in state]
        if not found:
            return None
        if len(found) != len(self._buffer_names):
            raise ValueError(
                f"state: parameter {index} has {found}, expected {list(self._buffer_names)}"
            )
        data = self.params[index].data
        loaded = []
        for name in found:
            array = np.asarray(state[f"{index}.{name}"])
            if array.shape != data.shape or array.dtype != data.dtype:
                raise ValueError(
                    f"state: {index}.{name} has shape {array.shape} and dtype {array.dtype}, "
                    f"expected {data.shape} and {data.dtype} as the parameter"
                )
            loaded.append(array.copy())
        return tuple(loaded)


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, float32 or float64.
    lr : float
        Learning rate; a plain attribute that may be changed between steps.
    momentum : float, optional
        Factor of the previous update direction.
    dampening : float, optional
        The gradient enters the direction with the factor ``1 - dampening``, except at first.
    weight_decay : float, optional
        Factor of the L2 penalty, added to the gradient as ``weight_decay * parameter``.
    nesterov : bool, optional
        Look ahead along the direction; needs momentum and no dampening.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or ``nesterov`` lacks what it needs.
    TypeError
        If a number or the parameters are of the wrong type.

    Notes
    -----
    The rule of torch.optim.SGD, which differs from Sutskever et al., "On the importance of
    initialization and momentum in deep learning" (2013), in where the learning rate enters:

    .. math::
        g &= \nabla J + \lambda w \\
        v &= \mu v + (1 - \tau) g \quad (v = g \text{ at first}) \\
        w &= w - \eta v, \quad\text{with Nesterov}\quad w = w - \eta (g + \mu v)

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, 0.0]))
    >>> SGD([w], lr=0.1).step()
    >>> w.data
    array([0., 2.])
    """

    _numbers = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _buffer_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = _number("momentum", momentum)
        self.dampening = _number("dampening", dampening)
        self.weight_decay = _number("weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"nesterov: needs momentum > 0 and dampening = 0, "
                f"got momentum={momentum} and dampening={dampening}"
            )

    def step(self) -> None:
        """Update every parameter that has a gradient; one whose ``grad`` is None stays as it is."""
        moves = self.momentum != 0
        ready = _Ready()
        for index, param in enumerate(self.params):
            if param.grad is None:
                continue
            buffers = self._buffers[index]
            begins = buffers is None
            direction: tuple[Array, ...] = ()
            if moves:
                if buffers is None:
                    self._buffers[index] = buffers = (np.empty_like(param.data, order="C"),)
                direction = buffers
            self._steps[index] += 1
            ready.add(param, direction, begins)
        numbers = (self.lr, self.momentum, 1.0 - self.dampening, self.weight_decay, self.nesterov)
        ready.step(_SGD, *numbers)


class Adam(Optimizer):
    r"""Adam: steps scaled by running estimates of the gradient's mean and variance.

    Parameters
    ----------
    params : iterable of Parameter
        The parameters to update, float32 or float64.
    lr : float, optional
        Learning rate; a plain attribute that may be changed between steps.
    betas : tuple of two floats, optional
        Decay rates of the two running means, both in [0, 1).
    eps : float, optional
        Added to the denominator.
    weight_decay : float, optional
        Factor of the L2 penalty, added to the gradient as ``weight_decay * parameter``.

    Raises
    ------
    ValueError
        If a number is negative, not finite or out of range.
    TypeError
        If a number or the parameters are of the wrong type.

    Notes
    -----
    Algorithm 1 of Kingma and Ba, "Adam: a method for stochastic optimization" (2015), with
    torch's place of ``eps``, for step :math:`t = 1, 2, \ldots` of each parameter:

    .. math::
        g &= \nabla J + \lambda w \\
        m &= m + (1 - \beta_1) (g - m) \\
        v &= \beta_2 v + (1 - \beta_2) g^2 \\
        w &= w - \frac{\eta}{1 - \beta_1^t}
             \frac{m}{\sqrt{v} / \sqrt{1 - \beta_2^t} + \epsilon}

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0, 2.0]))
    >>> w.add_grad(np.array([10.0, -0.1]))
    >>> Adam([w], lr=0.5).step()
    >>> w.data.round(6)
    array([0.5, 2.5])
    """

    _numbers = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _buffer_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas: got {betas!r}, expected a pair of numbers")
        self.beta1, self.beta2 = (
            _number(f"betas[{index}]", beta, below=1.0) for index, beta in enumerate(betas)
        )
        self.eps = _number("eps", eps)
        self.weight_decay = _number("weight_decay", weight_decay)

    def step(self) -> None:
        """Update every parameter that has a gradient; one whose ``grad`` is None stays as it is."""
        ready = _Ready()
        for index, param in enumerate(self.params):
            if param.grad is None:
                continue
            buffers = self._buffers[index]
            if buffers is None:
                shape, dtype = param.data.shape, param.data.dtype
                buffers = (np.zeros(shape, dtype), np.zeros(shape, dtype))
                self._buffers[index] = buffers
            step = self._steps[index] = self._steps[index] + 1
            rate = self.lr / (1.0 - self.beta1**step)
            correction = 1.0 / math.sqrt(1.0 - self.beta2**step)
            ready.add(param, buffers, rate, correction)
        numbers = (1.0 - self.beta1, self.beta2, 1.0 - self.beta2, self.eps, self.weight_decay)
        ready.step(_ADAM, *numbers)


class _Ready:
    """Parameters of one step, as the compiled loops take them: contiguous, each dtype by itself."""

    def __init__(self) -> None:
        self.lists: dict[np.dtype[Any], list[tuple[Any, ...]]] = {}
        self.copies: list[tuple[Array, Array]] = []

    def add(self, param: Parameter, buffers: tuple[Array, ...], *rest: float) -> None:
        """Add a parameter with what the optimizer keeps for it, and the numbers of its step."""
        data, gradient = param.data, param.grad
        assert gradient is not None
        if gradient.dtype != data.dtype:
            raise ValueError(f"a parameter of {data.dtype} has a gradient of {gradient.dtype}")
        if not gradient.flags.c_contiguous:
            gradient = np.ascontiguousarray(gradient)
        values = data
        if not data.flags.c_contiguous:
            values = data.copy("C")
            self.copies.append((data, values))
        self.lists.setdefault(data.dtype, []).append(((values, gradient, *buffers), *rest))

    def step(self, kernels: Mapping[np.dtype[Any], Callable[..., None]], *numbers: float) -> None:
        for dtype, parameters in self.lists.items():
            kernels[dtype](parameters, *numbers)
        for data, values in self.copies:
            data[...] = values


def _number(name: str, value: object, *, below: float = math.inf) -> float:
    """Check that a setting is a finite number in [0, below) and return it as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name}: got {value!r} of type {type(value).__name__}, expected a number")
    number = float(value)
    if not 0 <= number < below:
        limit = "" if below == math.inf else f" and < {below:g}"
        raise ValueError(f"{name}: got {value!r}, expected a finite number >= 0{limit}")
    return number
