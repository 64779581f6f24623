"""What all optimizers share: parameters in groups, settings, saved states, and steps.

A step is one call of a compiled loop for each group and dtype, which reads and writes the arrays of
all its parameters once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import C_TYPES
from fastconv.engine.ops import optimizers as compiled
from fastconv.layers import Parameter, profiling

Array = np.ndarray[Any, np.dtype[Any]]
Row: TypeAlias = tuple[int, tuple[Array | None, ...], bool, float, float]


class Optimizer:
    """What all optimizers share: the parameters, their scratch memory and the saved state.

    Parameters
    ----------
    params : iterable of Parameter, or of dicts
        The parameters to update, float32 or float64. In groups, each is a dict with "params" and
        the settings that are its own, under the names of the arguments, such as ``{"params":
        biases, "weight_decay": 0.0}``. The others are those of the optimizer.
    lr : float
        Learning rate; a plain attribute that may be changed between steps, as are all settings.

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
    # What settings are that the states of earlier versions do not have.
    _absent: ClassVar[Mapping[str, Any]] = {}
    # The arrays that it may keep for a parameter, and those that are there after the first step.
    _buffer_names: tuple[str, ...] = ()
    _needed: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Parameter | Mapping[str, Any]], lr: float) -> None:
        #: The groups, each with its parameters and its own settings.
        self.param_groups: list[dict[str, Any]] = []
        #: Whether groups were given, or parameters alone.
        self._grouped = False
        items = list(params)
        if any(isinstance(item, Mapping) for item in items):
            self._grouped = True
            self.param_groups = [self._group(i, item) for i, item in enumerate(items)]
        else:
            self.param_groups = [{"params": items}]
        self.params: list[Parameter] = [
            param for group in self.param_groups for param in group["params"]
        ]
        for index, param in enumerate(self.params):
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"params: item {index} is a {type(param).__name__}, expected a Parameter"
                )
        if not self.params:
            raise ValueError("params: empty, expected at least one Parameter")
        if len({id(param) for param in self.params}) != len(self.params):
            raise ValueError("params: the same Parameter is listed twice")
        self.lr = number("lr", lr)
        # For each parameter, arrays of its shape and dtype by their names; none before a step.
        self._buffers: list[dict[str, Array]] = [{} for _ in self.params]
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
            name: number(name, settings[name], below=limit) for name, limit in self._limits.items()
        }
        for name in self._flags:
            if not isinstance(settings[name], bool | np.bool_):
                raise TypeError(f"{name}: got {settings[name]!r}, expected a bool")
            checked[name] = bool(settings[name])
        return checked

    def _keep_settings(self) -> None:
        """Keep what was given as settings, once all of it is known to be right."""
        checked = self._check_settings(self._settings())
        all_checked = self._check_all()
        vars(self).update(checked)
        for group, settings in zip(self.param_groups, all_checked, strict=True):
            group.update({name: settings[name] for name in group if name != "params"})

    def _own_settings(self, name: str, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a group under the names of the attributes."""
        pairs = {"betas": ("beta1", "beta2")}
        found: dict[str, Any] = {}
        for key, value in own.items():
            if key == "params":
                continue
            names = pairs.get(key, (key,))
            if not {*names} <= {*self._limits, *self._flags}:
                raise ValueError(f"{name}: {type(self).__name__} has no setting {key!r}")
            if len(names) == 1:
                found[key] = value
            elif isinstance(value, tuple | list) and len(value) == len(names):
                found.update(zip(names, value, strict=True))
            else:
                raise TypeError(f"{name}: {key}: got {value!r}, expected a pair of numbers")
        return found

    def _group(self, index: int, item: object) -> dict[str, Any]:
        name = f"params: group {index}"
        if not isinstance(item, Mapping) or "params" not in item:
            raise TypeError(f"{name} is a {type(item).__name__}, expected a dict with 'params'")
        params = item["params"]
        params = [params] if isinstance(params, Parameter) else list(params)
        return {"params": params, **self._own_settings(name, item)}

    def _check_all(self) -> list[dict[str, Any]]:
        """Return the settings of all groups, or say which one is wrong."""
        common = self._settings()
        return [self._check_settings({**common, **group}) for group in self.param_groups]

    def learning_rates(self) -> list[float]:
        """Return ``lr``, and after it the learning rates of the groups that have their own.

        Returns
        -------
        list of float
        """
        return [self.lr, *(group["lr"] for group in self.param_groups if "lr" in group)]

    def set_learning_rates(self, rates: Iterable[float]) -> None:
        """Set what `learning_rates` returns, as schedules do.

        Parameters
        ----------
        rates : iterable of float
            As many as there are.
        """
        self.lr, *own = rates
        groups = (group for group in self.param_groups if "lr" in group)
        for group, rate in zip(groups, own, strict=True):
            group["lr"] = rate

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
            with the optimizer. Group ``g`` adds ``"groups.g.params"``, how many it has, and its own
            settings, such as ``"groups.g.lr"``.
        """
        state: dict[str, Any] = {"kind": type(self).__name__, **self._settings()}
        state.update(self._group_entries())
        for index, (buffers, steps) in enumerate(zip(self._buffers, self._steps, strict=True)):
            state[f"{index}.steps"] = steps
            state.update({f"{index}.{name}": buffer for name, buffer in buffers.items()})
        return state

    def _group_entries(self) -> dict[str, Any]:
        if not self._grouped:
            return {}
        return {
            f"groups.{i}.{name}": len(value) if name == "params" else value
            for i, group in enumerate(self.param_groups)
            for name, value in group.items()
        }

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
        state = {**self._absent, **state}
        count = len(self.params)
        entries = self._group_entries()
        required = {
            "kind", *self._settings(), *entries, *(f"{index}.steps" for index in range(count))
        }  # fmt: skip
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
        groups = [self._load_group(i, group, state) for i, group in enumerate(self.param_groups)]
        steps = [
            _check.integer(f"state: {index}.steps", state[f"{index}.steps"], 0)
            for index in range(count)
        ]
        buffers = [self._load_buffers(index, steps[index], state) for index in range(count)]
        vars(self).update(settings)
        self.param_groups, self._buffers, self._steps = groups, buffers, steps

    def __repr__(self) -> str:
        numbers = "".join(f", {name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({len(self.params)} parameters{numbers})"

    def _load_group(
        self, index: int, group: Mapping[str, Any], state: Mapping[str, Any]
    ) -> dict[str, Any]:
        if not self._grouped:
            return dict(group)
        name, count = f"groups.{index}", len(group["params"])
        if state[f"{name}.params"] != count:
            raise ValueError(
                f"state: {name} has {state[f'{name}.params']} parameters, expected {count}"
            )
        own = {key: state[f"{name}.{key}"] for key in group if key != "params"}
        common = {key: state[key] for key in self._settings()}
        checked = self._check_settings({**common, **own})
        return {"params": group["params"], **{key: checked[key] for key in own}}

    def _load_buffers(self, index: int, steps: int, state: Mapping[str, Any]) -> dict[str, Array]:
        arrays = {
            name: state[f"{index}.{name}"]
            for name in self._buffer_names
            if f"{index}.{name}" in state
        }
        if (arrays or steps) and not {*self._needed} <= {*arrays}:
            raise ValueError(
                f"state: parameter {index} has {list(arrays)} after {steps} steps, "
                f"expected {list(self._needed)}"
            )
        if arrays and not steps:
            raise ValueError(f"state: parameter {index} has {list(arrays)} before its first step")
        for name, array in arrays.items():
            _check.like(f"state: {index}.{name}", array, self.params[index].data, "the parameter")
        return {name: array.copy() for name, array in arrays.items()}


class Step:
    """A step that is checked and at hand, while nothing has changed yet.

    Parameters
    ----------
    optimizer : Optimizer
        What it does to each parameter with a gradient is to be added.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        settings = optimizer._check_all()
        # What the optimizer keeps after the step.
        self.buffers = [dict(buffers) for buffers in optimizer._buffers]
        self.steps = list(optimizer._steps)
        # Values and gradient by the parameter's index, as the compiled loops take them.
        self.operands: dict[int, tuple[Array, Array]] = {}
        self.copies: list[tuple[Array, Array]] = []
        # Of the parameters that are being added; and all that is to be run.
        self.rows: dict[np.dtype[Any], list[Row]] = {}
        self.calls: list[tuple[Callable[..., None], list[Row], tuple[float, ...]]] = []
        for index, param in enumerate(optimizer.params):
            if param.grad is not None and param.requires_grad:
                self.operands[index] = self._contiguous(index, param.data, param.grad)
                self.steps[index] += 1
        # The settings of each group, and which of its parameters have a gradient.
        self.groups: list[tuple[dict[str, Any], list[int]]] = []
        first = 0
        for each, group in zip(settings, optimizer.param_groups, strict=True):
            past = first + len(group["params"])
            self.groups.append((each, [i for i in range(first, past) if i in self.operands]))
            first = past

    def _contiguous(self, index: int, data: Array, gradient: Array) -> tuple[Array, Array]:
        if type(data) is not np.ndarray or type(gradient) is not np.ndarray:
            data = _check.plain_array(f"params[{index}].data", data)
            gradient = _check.plain_array(f"params[{index}].grad", gradient)
        if data.dtype not in C_TYPES:
            raise TypeError(
                f"params[{index}].data must have dtype float32 or float64, got {data.dtype}"
            )
        values = data
        if not data.flags.carray:
            if not data.flags.writeable:
                raise ValueError(f"params[{index}].data is read-only")
            values = data.copy()
            self.copies.append((data, values))
        return values, gradient if gradient.flags.carray else gradient.copy()

    def add(
        self,
        index: int,
        names: tuple[str | None, ...],
        rate: float = 0.0,
        correction: float = 0.0,
    ) -> None:
        """Add what the compiled loop reads and writes for a parameter.

        The names are those of the arrays that it keeps, zeros at first; None stands for one that
        these settings do not need.
        """
        operands, kept = self.operands[index], self.buffers[index]
        arrays: list[Array | None] = [*operands]
        begins = False
        for name in names:
            if name is not None and name not in kept:
                kept[name] = np.zeros_like(operands[0])
                begins = True
            arrays.append(None if name is None else kept[name])
        row = index, tuple(arrays), begins, rate, correction
        self.rows.setdefault(operands[0].dtype, []).append(row)

    def close(self, kernel: Callable[..., None], *numbers: float) -> None:
        """Have the parameters that were added go through a compiled loop."""
        self.calls += [(kernel, rows, numbers) for rows in self.rows.values()]
        self.rows = {}

    def take(self) -> None:
        """Change the parameters and the optimizer."""
        profile = profiling.current()
        if profile is None:
            self._take()
        else:
            with profiling.measured(profile, self.optimizer, "step"):
                self._take()

    def _take(self) -> None:
        ready = [(kernel, compiled.Blocks(rows), numbers) for kernel, rows, numbers in self.calls]
        # From here on nothing fails.
        for kernel, blocks, numbers in ready:
            kernel(blocks, *numbers)
        for data, values in self.copies:
            data[...] = values
        self.optimizer._buffers, self.optimizer._steps = self.buffers, self.steps


def number(name: str, value: object, *, below: float = math.inf) -> float:
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
