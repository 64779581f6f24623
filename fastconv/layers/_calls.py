"""What forward passes leave for backward passes: the tree of calls."""

from threading import local
from typing import Any, TypeAlias

# A forward pass in training mode leaves a call: what the layer saved, and the calls of other layers
# that it made. They form a tree, so that a layer, or a sequence of layers, may stand at several
# places of a network: backward goes down the same tree, and takes a layer's last call first.
# Layers are found by identity, since they need not be hashable; the layer itself stands beside its
# calls, since the number of one that is gone may be given to another.
Call: TypeAlias = tuple[Any, "Calls"]
Calls: TypeAlias = dict[int, tuple[Any, list[Call]]]


class State:
    """Where a thread is: looked up once in a pass, since that takes longer than all it holds."""

    __slots__ = ("calls", "handed")

    def __init__(self) -> None:
        # The calls within the forward or backward pass that the thread is in; None outside of any.
        self.calls: Calls | None = None
        # The array that goes into a layer, or comes out of one, and its recipe: see recomputing.py.
        self.handed: tuple[Any, Any] | None = None


class Thread(local):
    """The state of this thread."""

    def __init__(self) -> None:
        self.state = State()


thread = Thread()


def leave(layer: Any, saved: Any) -> None:
    """Leave backward a call of a layer that another one made in its place."""
    calls = thread.state.calls
    assert calls is not None
    calls.setdefault(id(layer), (layer, []))[1].append((saved, {}))


def last(layer: Any) -> Any:
    """Return what a layer's last call within the pass of this thread saved; None without any."""
    own = _own(layer)
    return own[-1][0] if own else None


def drop(layer: Any) -> None:
    """Forget a layer's last call within the pass of this thread, if there is one."""
    own = _own(layer)
    if own:
        forget(own.pop()[1])


def _own(layer: Any) -> list[Call]:
    calls = thread.state.calls
    return [] if calls is None else calls.get(id(layer), (layer, []))[1]


def count(calls: Calls) -> int:
    """Return how many calls backward has to undo."""
    return sum(len(own) for _, own in calls.values())


def forget(calls: Calls) -> None:
    """Leave backward nothing to undo."""
    for _, own in calls.values():
        for _, within in own:
            forget(within)
        own.clear()
