"""What every layer has: parameters, a forward and a backward pass, state."""

from collections.abc import Iterator, Mapping
from threading import local
from typing import Any, Self, TypeAlias

import numpy as np

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

    __slots__ = ("data", "grad", "name")

    def __init__(self, data: Array, name: str = "") -> None:
        self.data = data
        self.name = name
        self.grad: Array | None = None

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def add_grad(self, gradient: Array) -> None:
        """Add to the gradient; the first time after `zero_grad`, become it.

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
        return f"Parameter({self.name!r}, shape={self.data.shape}, dtype={self.data.dtype})"


def add_gradients(
    parameters: tuple[Parameter | None, ...], gradients: tuple[Array | None, ...]
) -> None:
    """Add to each parameter that there is its gradient, or to none if one does not fit."""
    pairs = [
        (parameter, gradient)
        for parameter, gradient in zip(parameters, gradients, strict=True)
        if parameter is not None and gradient is not None
    ]
    for parameter, gradient in pairs:
        _check.like("gradient", gradient, parameter.data, "the parameter")
        if parameter.grad is not None:
            _check.like("grad", parameter.grad, parameter.data, "the parameter")
            if not parameter.grad.flags.writeable:
                raise ValueError("grad is read-only, and nothing can be added to it")
    for parameter, gradient in pairs:
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad += gradient


# A forward pass in training mode leaves a call: what the layer saved, and the calls of other layers
# that it made. They form a tree, so that a layer, or a sequence of layers, may stand at several
# places of a network: backward goes down the same tree, and takes a layer's last call first.
# Layers are found by identity, since they need not be hashable; the layer itself stands beside its
# calls, since the number of one that is gone may be given to another.
_Call: TypeAlias = tuple[Any, "_Calls"]
_Calls: TypeAlias = dict[int, tuple["Layer", list[_Call]]]


class _Thread(local):
    """The calls within the forward or backward pass that this thread is in; None outside of any."""

    calls: _Calls | None = None


_thread = _Thread()


def _count(calls: _Calls) -> int:
    """Return how many calls backward has to undo."""
    return sum(len(own) for _, own in calls.values())


def _forget(calls: _Calls) -> None:
    """Leave backward nothing to undo."""
    for _, own in calls.values():
        for _, within in own:
            _forget(within)
        own.clear()


class Layer:
    """A part of a network: an operation, its parameters, and what backward needs of forward.

    A subclass defines `_forward(x) -> (output, saved)` and `_backward(saved, grad_output,
    input_grad) -> grad_input`. Layers and parameters that are its attributes are its own, in the
    order in which they were set, under their names.

    In training mode forward saves what backward consumes; in evaluation mode nothing is saved, and
    many threads may call forward at once.

    A layer may stand at several places of a network, or be called several times in the `_forward`
    of another one, whose `_backward` then undoes the calls in reverse. A forward pass that is not
    part of another layer's forgets the one before it.

    A layer may be copied and pickled; what forward saved for backward stays behind.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.Linear(4, 2, rng=0)
    >>> layer(np.ones((3, 4), np.float32)).shape
    (3, 2)
    >>> layer.backward(np.ones((3, 2), np.float32)).shape
    (3, 4)
    >>> sorted(layer.state_dict())
    ['bias', 'weight']
    """

    training = True
    # Whether backward needs the output as it was, so that no layer behind may write over it.
    _keeps_output = False
    # What backward undoes, the last call first.
    _calls: list[_Call] | None = None
    # What evaluation made of the parameters, or None where nothing is kept: see `prepare`.
    _prepared: dict[Any, Any] | None = None

    def forward(self, x: Array) -> Array:
        """Return the layer's output.

        Parameters
        ----------
        x : ndarray
            The input; the class says which shape.

        Returns
        -------
        ndarray
        """
        if not self.training:
            return self._forward(x)[0]
        outer = _thread.calls
        own = [] if outer is None else outer.setdefault(id(self), (self, []))[1]
        # What an earlier pass saved is freed before this one needs memory.
        self._calls = None
        within: _Calls = {}
        try:
            _thread.calls = within
            output, saved = self._forward(x)
        except BaseException:
            _forget(within)
            raise
        finally:
            _thread.calls = outer
        own.append((saved, within))
        self._calls = own
        return output

    def __call__(self, x: Array) -> Array:
        """Return `forward(x)`."""
        return self.forward(x)

    def backward(self, grad_output: Array, *, input_grad: bool = True) -> Array | None:
        """Add to the parameters' gradients and return the gradient with respect to the input.

        Parameters
        ----------
        grad_output : ndarray
            Gradient with respect to the output of the last forward pass.
        input_grad : bool
            False leaves out the gradient with respect to the input, which the first layer of a
            network does not need.

        Returns
        -------
        ndarray or None
            None with `input_grad=False`.

        Raises
        ------
        RuntimeError
            If no forward pass in training mode came before; each serves one backward pass.

        Notes
        -----
        A residual that is refused at once leaves everything as it was. If a layer in the middle of
        a network fails, those behind it have added their gradients: begin again with `zero_grad`
        and a forward pass.
        """
        outer = _thread.calls
        own = self._calls if outer is None else outer.get(id(self), (self, None))[1]
        if not own:
            raise RuntimeError(
                f"{type(self).__name__}.backward needs a forward pass in training mode before it, "
                "one for each backward pass; to undo several passes, make them in the _forward of "
                "one Layer, since each pass from outside forgets the one before"
            )
        saved, within = own[-1]
        before = _count(within)
        try:
            _thread.calls = within
            gradient = self._backward(saved, grad_output, input_grad)
        except BaseException:
            # What was refused at once may be tried again; a pass that was undone in part may not.
            if _count(within) < before:
                own.pop()
                _forget(within)
            raise
        finally:
            _thread.calls = outer
        own.pop()
        return gradient if input_grad else None

    def _forward(self, x: Array) -> tuple[Array, Any]:
        raise NotImplementedError

    def _backward(self, saved: Any, grad_output: Array, input_grad: bool) -> Array | None:
        raise NotImplementedError

    def children(self) -> Iterator[tuple[str, "Layer"]]:
        """Yield the names and layers that are attributes of this one."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value

    def layers(self) -> Iterator["Layer"]:
        """Yield this layer and all layers within it, depth first, each once."""
        found = {id(self): self}
        for _, child in self.children():
            for layer in child.layers():
                found.setdefault(id(layer), layer)
        yield from found.values()

    def named_parameters(
        self, prefix: str = "", *, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their names, as in torch: "0.weight", "0.bias", ...

        Parameters
        ----------
        prefix : str
            Put before each name.
        remove_duplicate : bool, keyword-only
            Yield a parameter that has several names under the first of them only.
        """
        if remove_duplicate:
            found: dict[int, tuple[str, Parameter]] = {}
            for name, parameter in self.named_parameters(prefix, remove_duplicate=False):
                found.setdefault(id(parameter), (name, parameter))
            yield from found.values()
            return
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
        for name, child in self.children():
            yield from child.named_parameters(f"{prefix}{name}.", remove_duplicate=False)

    def parameters(self) -> list[Parameter]:
        """Return all parameters, in the order of `named_parameters`; a shared one counts once."""
        return [parameter for _, parameter in self.named_parameters()]

    def generators(self) -> list[np.random.Generator]:
        """Return the random generators that forward passes draw from (`Dropout`).

        There is one for each layer that has one; layers that share a generator each list it.
        """
        found = []
        for layer in self.layers():
            rng = vars(layer).get("rng")
            if isinstance(rng, np.random.Generator):
                found.append(rng)
        return found

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, or with False to evaluation mode.

        Parameters
        ----------
        mode : bool
            Evaluation mode also forgets what was saved for backward, training mode what
            `prepare` keeps.

        Returns
        -------
        Layer
            This layer.
        """
        for layer in self.layers():
            layer.training = mode
            if mode:
                layer._prepared = None
            else:
                layer._calls = None
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode.

        Returns
        -------
        Layer
            This layer.
        """
        return self.train(False)

    def prepare(self) -> Self:
        """Keep from now on what each forward pass would make of the weights again.

        The first pass for each size of the input keeps it, with a copy of the weights, until
        `train()` or `load_state_dict`; a change of the weights in another way has no effect.

        Returns
        -------
        Layer
            This layer.

        Raises
        ------
        RuntimeError
            In training mode.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import layers
        >>> layer = layers.Conv2d(64, 64, 3, padding=1, rng=0).eval().prepare()
        >>> layer(np.zeros((1, 64, 14, 14), np.float32)).shape
        (1, 64, 14, 14)
        """
        if any(layer.training for layer in self.layers()):
            raise RuntimeError("prepare() is for evaluation mode: call eval() first")
        for layer in self.layers():
            layer._prepared = {}
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return the parameters' arrays by name; they share memory with the layer.

        A parameter at several places of a network is listed under each of its names.

        Returns
        -------
        dict of str to ndarray
            The keys are those of torch.nn.
        """
        return {name: p.data for name, p in self.named_parameters(remove_duplicate=False)}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy arrays into the parameters; nothing is changed if any of them does not fit.

        Parameters
        ----------
        state : mapping of str to ndarray
            One array for each parameter, as from `state_dict`; float arrays of another precision
            are converted.

        Raises
        ------
        TypeError
            If the state is no mapping, or a value is not an array of floats.
        ValueError
            If keys are missing or unexpected, a shape is wrong, a parameter is read-only, or the
            values under two names of one parameter differ.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping of str to arrays, got {type(state).__name__}")
        own = self.state_dict()
        problems = [f"missing: {key}" for key in own if key not in state]
        problems += [f"unexpected: {key}" for key in state if key not in own]
        for key, data in own.items():
            if key not in state:
                continue
            value = state[key]
            if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
                raise TypeError(f"{key} must be a numpy.ndarray, got {type(value).__name__}")
            if value.dtype.kind != "f":
                raise TypeError(f"{key} must have a float dtype, got {value.dtype}")
            if value.shape != data.shape:
                problems.append(f"{key}: expected shape {data.shape}, got {value.shape}")
            if not data.flags.writeable:
                problems.append(f"{key}: the layer's own array is read-only")
        if problems:
            raise ValueError(f"the state does not fit this layer: {'; '.join(problems)}")
        # The state may hold views of the parameters themselves, so none is written before all
        # are copied.
        copies = {key: state[key].astype(data.dtype) for key, data in own.items()}
        names: dict[int, str] = {}
        for key, data in own.items():
            name = names.setdefault(id(data), key)
            if name != key and not np.array_equal(copies[name], copies[key], equal_nan=True):
                raise ValueError(
                    f"{name} and {key} are names of one parameter, but their values in the state "
                    "differ"
                )
        for key, data in own.items():
            data[...] = copies[key]
        for layer in self.layers():
            layer._prepared = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take over: not the calls that backward would undo."""
        state = {name: value for name, value in vars(self).items() if name != "_calls"}
        if self._prepared is not None:
            # Each copy adds to its own, since its parameters may be replaced by others.
            state["_prepared"] = self._prepared.copy()
        return state

    def __repr__(self) -> str:
        children = list(self.children())
        if not children:
            return f"{type(self).__name__}({self._describe()})"
        lines = [f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in children]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def _describe(self) -> str:
        """Return the arguments for repr."""
        return ""
