"""Functions of a user that a layer calls before and after its passes."""

from collections.abc import Callable
from typing import Any, Self

Hook = Callable[..., Any]


class Hooks:
    """The hooks of one layer, in the order in which they were registered."""

    def __init__(self) -> None:
        self.before_forward: dict[int, Hook] = {}
        self.after_forward: dict[int, Hook] = {}
        self.after_backward: dict[int, Hook] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.before_forward) + len(self.after_forward) + len(self.after_backward)

    def add(self, to: dict[int, Hook], hook: Hook) -> "HookHandle":
        """Register a hook in one of the three.

        Raises
        ------
        TypeError
            If it cannot be called.
        """
        if not callable(hook):
            raise TypeError(f"hook must be a function, got {type(hook).__name__}")
        self._count += 1
        to[self._count] = hook
        return HookHandle(to, self._count)

    def inputs(self, layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what forward shall compute with."""
        for hook in list(self.before_forward.values()):
            changed = hook(layer, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        return inputs

    def output(self, layer: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Return what forward shall return."""
        for hook in list(self.after_forward.values()):
            changed = hook(layer, inputs, output)
            output = output if changed is None else changed
        return output

    def gradient(self, layer: Any, gradient: Any, grad_output: Any) -> Any:
        """Return what backward shall return."""
        for hook in list(self.after_backward.values()):
            several = isinstance(gradient, tuple)
            changed = hook(layer, _as_tuple(gradient), _as_tuple(grad_output))
            if changed is not None:
                changed = _as_tuple(changed)
                gradient = changed if several else changed[0]
        return gradient


class HookHandle:
    """What registering a hook returns, to take the hook away again.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import layers
    >>> layer = layers.ReLU()
    >>> with layer.register_forward_hook(lambda layer, args, output: print(output.shape)):
    ...     y = layer(np.zeros((2, 3)))
    (2, 3)
    >>> y = layer(np.zeros((2, 3)))
    """

    def __init__(self, hooks: dict[int, Hook], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; doing so again changes nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"HookHandle({'active' if self._key in self._hooks else 'removed'})"


class Hooked:
    """What can have hooks. There is no cost without any, and copies and pickles have none."""

    # None until the first hook.
    _hooks: Hooks | None = None

    def register_forward_pre_hook(self, hook: Hook) -> HookHandle:
        """Have a function called before each forward pass.

        Parameters
        ----------
        hook : callable
            ``hook(layer, inputs)``, with the inputs as a tuple. Unless it returns None, what it
            returns, an input or a tuple of them, goes into the layer instead.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook away; as a context manager it does so at the end.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import layers
        >>> layer = layers.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda layer, inputs: -inputs[0])
        >>> layer(np.array([-1.0, 2.0]))
        array([1., 0.])
        >>> handle.remove()
        """
        return self._hook(lambda hooks: hooks.before_forward, hook)

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Have a function called after each forward pass.

        Parameters
        ----------
        hook : callable
            ``hook(layer, inputs, output)``. Unless it returns None, what it returns is the output.

        Returns
        -------
        HookHandle
            As of `register_forward_pre_hook`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import layers
        >>> net = layers.Sequential(layers.Flatten(), layers.Linear(4, 2, rng=0))
        >>> shapes = {}
        >>> for name, layer in net.named_layers():
        ...     handle = layer.register_forward_hook(
        ...         lambda layer, inputs, output, name=name: shapes.update({name: output.shape}))
        >>> y = net(np.zeros((3, 1, 2, 2), np.float32))
        >>> shapes
        {'0': (3, 4), '1': (3, 2), '': (3, 2)}
        """
        return self._hook(lambda hooks: hooks.after_forward, hook)

    def register_full_backward_hook(self, hook: Hook) -> HookHandle:
        """Have a function called after each backward pass.

        Parameters
        ----------
        hook : callable
            ``hook(layer, grad_input, grad_output)``, with tuples of gradients; with
            `input_grad=False` the first one is (None,). Unless it returns None, what it returns, a
            gradient or a tuple of them, is the gradient with respect to the input.

        Returns
        -------
        HookHandle
            As of `register_forward_pre_hook`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import layers
        >>> layer = layers.ReLU()
        >>> handle = layer.register_full_backward_hook(lambda layer, dx, dy: print(dx, dy))
        >>> y = layer(np.array([-1.0, 2.0]))
        >>> dx = layer.backward(np.ones(2))
        (array([0., 1.]),) (array([1., 1.]),)
        """
        return self._hook(lambda hooks: hooks.after_backward, hook)

    def _hook(self, where: Callable[[Hooks], dict[int, Hook]], hook: Hook) -> HookHandle:
        hooks = Hooks() if self._hooks is None else self._hooks
        handle = hooks.add(where(hooks), hook)
        self._hooks = hooks
        return handle


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
