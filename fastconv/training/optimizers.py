"""Rules that turn gradients into new parameter values: SGD and Adam, as torch.optim defines them.

A step is one call of a compiled loop, which reads and writes the arrays of all parameters once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastconv import _check
from fastconv._check import C_TYPES
from fastconv.engine.ops import optimizers as compiled
from fastconv.layers import Parameter

Array = np.ndarray[Any, np.dtype[Any]]


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

    # The settings; those that are numbers are at least 0, and less than the limit.
    _limits: ClassVar[Mapping[str, float]] = {"lr": math.inf}
    _flags: tuple[str, ...] = ()
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
        # For each parameter None until it has them, then arrays of its shape and dtype.
        self._buffers: list[tuple[Array, ...] | None] = [None] * len(self.params)
        self._steps = [0] * len(self.params)

    def step(self) -> None:
        """Update every parameter that has a gradient; one whose ``grad`` is None stays as it is.

        So does one that is frozen (``requires_grad`` is False).

        Everything is checked first: a step that raises has changed nothing.

        Raises
        ------
        ValueError
            If a setting is out of range, a gradient has not the shape and dtype of its parameter,
            or a parameter cannot be written to.
        TypeError
            If a setting is no number, or a parameter or gradient no array of float32 or float64.
        """
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self._limits, *self._flags)}

    def _check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings as floats and bools, or say which one is wrong."""
        checked: dict[str, Any] = {
            name: _number(name, settings[name], below=limit) for name, limit in self._limits.items()
        }
        for name in self._flags:
            if not isinstance(settings[name], bool | np.bool_):
                raise TypeError(f"{name}: got {settings[name]!r}, expected a bool")
            checked[name] = bool(settings[name])
        return checked

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
        state: dict[str, Any] = {"kind": type(self).__name__, **self._settings()}
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
            If the class, the entries, or the shape or dtype of an array differ, or a number is out
            of range.
        TypeError
            If the state is no mapping, or a value is of another type.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state: got a {type(state).__name__}, expected a mapping")
        if state.get("kind") != type(self).__name__:
            raise ValueError(
                f"state: belongs to the optimizer {state.get('kind')!r}, "
                f"expected {type(self).__name__!r}"
            )
        count = len(self.params)
        required = {"kind", *self._settings(), *(f"{index}.steps" for index in range(count))}
        possible = required | {
            f"{index}.{name}" for index in range(count) for name in self._buffer_names
        }
        missing, unexpected = sorted(required - set(state)), sorted(set(state) - possible, key=str)
        if missing or unexpected:
            raise ValueError(
                f"state: missing entries {missing}, unexpected entries {unexpected} "
                f"for {count} parameters"
            )
        settings = self._check_settings(state)
        steps = [
            _check.integer(f"state: {index}.steps", state[f"{index}.steps"], 0)
            for index in range(count)
        ]
        buffers = [self._load_buffers(index, steps[index], state) for index in range(count)]
        vars(self).update(settings)
        self._buffers, self._steps = buffers, steps

    def __repr__(self) -> str:
        numbers = "".join(f", {name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({len(self.params)} parameters{numbers})"

    def _load_buffers(
        self, index: int, steps: int, state: Mapping[str, Any]
    ) -> tuple[Array, ...] | None:
        found = [name for name in self._buffer_names if f"{index}.{name}" in state]
        if not found:
            return None
        if len(found) != len(self._buffer_names):
            raise ValueError(
                f"state: parameter {index} has {found}, expected {list(self._buffer_names)}"
            )
        if not steps:
            raise ValueError(f"state: parameter {index} has {found} before its first step")
        arrays = [state[f"{index}.{name}"] for name in found]
        for name, array in zip(found, arrays, strict=True):
            _check.like(f"state: {index}.{name}", array, self.params[index].data, "the parameter")
        return tuple(array.copy() for array in arrays)


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

    _limits = dict.fromkeys(("lr", "momentum", "dampening", "weight_decay"), math.inf)
    _flags = ("nesterov",)
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
        self.momentum, self.dampening = momentum, dampening
        self.weight_decay, self.nesterov = weight_decay, nesterov
        vars(self).update(self._check_settings(vars(self)))

    def _check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        checked = super()._check_settings(settings)
        if checked["nesterov"] and (checked["momentum"] == 0 or checked["dampening"] != 0):
            raise ValueError(
                f"nesterov: needs momentum > 0 and dampening = 0, got "
                f"momentum={checked['momentum']:g} and dampening={checked['dampening']:g}"
            )
        return checked

    def step(self) -> None:
        """Update every parameter that has a gradient, or raise with nothing changed."""
        lr, momentum, dampening, decay, nesterov = self._check_settings(vars(self)).values()
        step = _Step(self)
        for index, (values, _) in step.operands.items():
            begins = step.buffers[index] is None
            if momentum and begins:
                step.buffers[index] = (np.empty_like(values),)
            step.add(index, (step.buffers[index] or ()) if momentum else (), begins)
        step.take(compiled.sgd, lr, momentum, 1.0 - dampening, decay, nesterov)


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

    _limits: ClassVar[Mapping[str, float]] = {
        "lr": math.inf, "beta1": 1.0, "beta2": 1.0, "eps": math.inf, "weight_decay": math.inf
    }  # fmt: skip
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
        self.eps, self.weight_decay = eps, weight_decay
        vars(self).update(self._check_settings(vars(self)))

    def _load_buffers(
        self, index: int, steps: int, state: Mapping[str, Any]
    ) -> tuple[Array, ...] | None:
        buffers = super()._load_buffers(index, steps, state)
        if steps and buffers is None:
            raise ValueError(
                f"state: parameter {index} has done {steps} steps, "
                f"expected {list(self._buffer_names)}"
            )
        return buffers

    def step(self) -> None:
        """Update every parameter that has a gradient, or raise with nothing changed."""
        lr, beta1, beta2, eps, decay = self._check_settings(vars(self)).values()
        step = _Step(self)
        for index, (values, _) in step.operands.items():
            buffers = step.buffers[index]
            if buffers is None:
                buffers = step.buffers[index] = (np.zeros_like(values), np.zeros_like(values))
            count = step.steps[index]
            rate = lr / (1.0 - beta1**count)
            correction = 1.0 / math.sqrt(1.0 - beta2**count)
            step.add(index, buffers, False, rate, correction)
        step.take(compiled.adam, 1.0 - beta1, beta2, 1.0 - beta2, eps, decay)


class _Step:
    """A step that is checked and at hand, while nothing has changed yet.

    Parameters
    ----------
    optimizer : Optimizer
        What it does to each parameter with a gradient is to be added.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        # What the optimizer keeps after the step.
        self.buffers, self.steps = list(optimizer._buffers), list(optimizer._steps)
        # Values and gradient by the parameter's index, as the compiled loops take them.
        self.operands: dict[int, tuple[Array, Array]] = {}
        self.copies: list[tuple[Array, Array]] = []
        self.rows: dict[np.dtype[Any], list[tuple[int, tuple[Array, ...], bool, float, float]]] = {}
        for index, param in enumerate(optimizer.params):
            if param.grad is not None and param.requires_grad:
                self.operands[index] = self._contiguous(f"params[{index}]", param.data, param.grad)
                self.steps[index] += 1

    def _contiguous(self, name: str, data: Array, gradient: Array) -> tuple[Array, Array]:
        if type(data) is not np.ndarray or type(gradient) is not np.ndarray:
            data = _check.plain_array(f"{name}.data", data)
            gradient = _check.plain_array(f"{name}.grad", gradient)
        if data.dtype not in C_TYPES:
            raise TypeError(f"{name}.data must have dtype float32 or float64, got {data.dtype}")
        values = data
        if not data.flags.carray:
            if not data.flags.writeable:
                raise ValueError(f"{name}.data is read-only")
            values = data.copy()
            self.copies.append((data, values))
        return values, gradient if gradient.flags.carray else gradient.copy()

    def add(
        self,
        index: int,
        buffers: tuple[Array, ...],
        begins: bool,
        rate: float = 0.0,
        correction: float = 0.0,
    ) -> None:
        """Add what the compiled loop reads and writes for a parameter."""
        operands = self.operands[index]
        row = index, (*operands, *buffers), begins, rate, correction
        self.rows.setdefault(operands[0].dtype, []).append(row)

    def take(self, kernel: Callable[..., None], *numbers: float) -> None:
        """Change the parameters and the optimizer."""
        ready = [compiled.Blocks(rows) for rows in self.rows.values()]
        # From here on nothing fails.
        for blocks in ready:
            kernel(blocks, *numbers)
        for data, values in self.copies:
            data[...] = values
        self.optimizer._buffers, self.optimizer._steps = self.buffers, self.steps


def _number(name: str, value: object, *, below: float = math.inf) -> float:
    """Check that a setting is a finite number in [0, below) and return it as a float."""
    if type(value) is float and 0 <= value < below:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(f"{name}: got {value!r} of type {type(value).__name__}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < below:
        limit = "" if below == math.inf else f" and < {below:g}"
        raise ValueError(f"{name}: got {value!r}, expected a finite number >= 0{limit}")
    return number
