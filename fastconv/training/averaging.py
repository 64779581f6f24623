"""Weights averaged over the steps of training."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv import _check
from fastconv.engine.ops import optimizers as compiled
from fastconv.layers import Parameter

Array = np.ndarray[Any, np.dtype[Any]]


class ExponentialMovingAverage:
    r"""An exponential moving average of parameters, updated beside the optimizer.

    Parameters
    ----------
    params : iterable of Parameter
        What is averaged, float32 or float64.
    decay : float, optional
        What an average keeps in an update, from 0 to 1; a plain attribute that may be changed.

    Raises
    ------
    ValueError
        If there are no parameters, one is listed twice, or the decay is out of range.
    TypeError
        If an argument is of the wrong type.

    Notes
    -----
    As torch.optim.swa_utils.AveragedModel with the averaging function of an exponential moving
    average, the first update takes the parameters as they are; then

    .. math:: a = a + (1 - d) (w - a)

    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992); with a
    decay, Tarvainen and Valpola, "Mean teachers are better role models" (2017).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Parameter
    >>> w = Parameter(np.array([1.0]))
    >>> average = ExponentialMovingAverage([w], decay=0.75)
    >>> average.update()
    >>> w.data[...] = 3.0
    >>> average.update()
    >>> with average.applied():
    ...     w.data
    array([1.5])
    >>> w.data
    array([3.])
    """

    def __init__(self, params: Iterable[Parameter], decay: float = 0.999) -> None:
        self.params = list(params)
        for index, param in enumerate(self.params):
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"params: item {index} is a {type(param).__name__}, expected a Parameter"
                )
        if not self.params:
            raise ValueError("params: empty, expected at least one Parameter")
        if len({id(param) for param in self.params}) != len(self.params):
            raise ValueError("params: the same Parameter is listed twice")
        self.decay = _check.probability("decay", decay)
        #: The number of updates.
        self.updates = 0
        #: The averages, in the order of the parameters.
        self.averages: list[Array] = [param.data.copy("C") for param in self.params]

    def update(self) -> None:
        """Take the parameters as they are now into the averages.

        Raises
        ------
        ValueError, TypeError
            If the decay is out of range, or a parameter has another shape or dtype than before;
            nothing has changed.
        """
        decay = _check.probability("decay", self.decay)
        rows: dict[np.dtype[Any], list[Any]] = {}
        for index, (param, average) in enumerate(zip(self.params, self.averages, strict=True)):
            self._check(index, param, average)
            arrays = average, np.ascontiguousarray(param.data)
            rows.setdefault(average.dtype, []).append((index, arrays, False, 0.0, 0.0))
        fresh = 1.0 - decay if self.updates else 1.0
        for blocks in [compiled.Blocks(row) for row in rows.values()]:
            compiled.average(blocks, fresh)
        self.updates += 1

    def swap(self) -> None:
        """Exchange the parameters and their averages; a second call takes it back.

        Raises
        ------
        ValueError, TypeError
            If a parameter has another shape or dtype than before, or is read-only; nothing has
            changed.
        """
        pairs = list(zip(self.params, self.averages, strict=True))
        for index, (param, average) in enumerate(pairs):
            self._check(index, param, average)
            if not param.data.flags.writeable:
                raise ValueError(f"params[{index}].data is read-only")
        for param, average in pairs:
            kept = param.data.copy()
            param.data[...] = average
            average[...] = kept

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the parameters be their averages inside a ``with`` statement, as to evaluate them.

        Yields
        ------
        None
        """
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """Return what a later run needs to go on.

        Returns
        -------
        dict
            ``"decay"``, ``"updates"``, and for parameter ``i`` ``"i.average"``, which shares memory
            with this object.
        """
        state: dict[str, Any] = {"decay": self.decay, "updates": self.updates}
        state.update({f"{i}.average": average for i, average in enumerate(self.averages)})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; nothing changes when it does not fit.

        Parameters
        ----------
        state : mapping
            What `state_dict` returned for parameters of the same shapes. Arrays are copied.

        Raises
        ------
        ValueError
            If the entries, or the shape or dtype of an array differ, or a number is out of range.
        TypeError
            If the state is no mapping, or a value is of another type.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state: got a {type(state).__name__}, expected a mapping")
        expected = self.state_dict()
        if set(state) != set(expected):
            raise ValueError(
                f"state: missing entries {sorted(set(expected) - set(state))}, unexpected entries "
                f"{sorted(set(state) - set(expected), key=str)}"
            )
        decay = _check.probability("state: decay", state["decay"])
        updates = _check.integer("state: updates", state["updates"], 0)
        names = [f"{i}.average" for i in range(len(self.params))]
        for name in names:
            _check.like(f"state: {name}", state[name], expected[name], "the parameter")
        self.decay, self.updates = decay, updates
        self.averages = [state[name].copy("C") for name in names]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.params)} parameters, decay={self.decay!r}, "
            f"updates={self.updates})"
        )

    @staticmethod
    def _check(index: int, param: Parameter, average: Array) -> None:
        _check.like(f"params[{index}].data", param.data, average, "its average")
