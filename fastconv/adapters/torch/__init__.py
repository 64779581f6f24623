"""PyTorch's convolutions on the CPU, and what goes with them, computed by fastconv.

    import fastconv.adapters.torch
    fastconv.adapters.torch.enable()

From then on the convolutions, batch normalisation and pooling of float32 or float64 on the CPU that
fastconv computes faster than PyTorch are computed by fastconv, forward and backward, in models that
know nothing of it; full connections, too, if asked for. The others PyTorch computes as before;
`stats` says which, and why. Nothing else changes: results have the formats that PyTorch would give
them, and errors are PyTorch's own.
"""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from torch import library as registry

from fastconv.adapters import openmp
from fastconv.adapters._switch import Connection, Stats, Switch
from fastconv.adapters.torch._calls import Override, Route
from fastconv.adapters.torch._convert import state_dict, to_fastconv
from fastconv.adapters.torch._operations import WAYS, Operation
from fastconv.adapters.torch._optimize import optimize
from fastconv.adapters.torch._routes import BACKWARD, FORWARD, Planner

__all__ = [
    "disable",
    "enable",
    "enabled",
    "optimize",
    "state_dict",
    "stats",
    "to_fastconv",
]

_NEEDS = "fastconv.adapters.torch needs PyTorch 2.9 or newer"

# By default without "linear": matrix products are more than networks, see `enable`.
OPS = ("convolution", "batch_norm", "pool")
# What the dispatcher calls for each group, once it is there: it stays. Another thread may be on its
# way into it, and the dispatcher would let it go.
_overrides: dict[str, list[Override]] = {}
_libraries: list[registry.Library] = []


def _plans(group: str) -> dict[str, Callable[..., Route]]:
    """Return what makes the routes of each operation of a group."""
    if group == "convolution":
        planner = Planner(_switch.count)
        return {FORWARD: planner.forward, BACKWARD: planner.backward}
    return {name: Operation(name, way, _switch.count) for name, way in WAYS[group].items()}


def _override(group: str) -> list[Override]:
    """Put the operations of a group into the dispatcher.

    PyTorch warns at the first kernel that takes the place of another: that is what is wanted here.
    """
    library = registry.Library("aten", "IMPL")
    overrides = []
    for name, plan in _plans(group).items():
        override = Override(registry.get_kernel(f"aten::{name}", "CPU"), plan)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*verriding a previously registered")
            library.impl(name, override, "CPU", with_keyset=True)
        overrides.append(override)
    _libraries.append(library)
    return overrides


def _connect(group: str) -> None:
    if group not in _overrides:
        if not hasattr(registry, "get_kernel"):
            raise ImportError(f"{_NEEDS}, here is {torch.__version__}")
        _overrides[group] = _override(group)
    for one in _overrides[group]:
        one.on = True


def _disconnect(group: str) -> None:
    for one in _overrides[group]:
        one.on = False
        one.clear()


def _borrow_team() -> None:
    """Compute with the threads of PyTorch's OpenMP library, if there is one, and it is known."""
    own = Path(torch.__file__).parent
    found = openmp.loaded()
    ours = [path for path in found if Path(path).is_relative_to(own)]
    if len(ours or found) == 1:
        openmp.borrow((ours or found)[0])


def _follow(switch: Switch) -> None:
    """Make the rest as the switch is: whether calls are timed, and whose threads compute."""
    for one in (one for group in _overrides.values() for one in group):
        one.profile = switch.profile
    if switch.operations:
        _borrow_team()
    else:
        openmp.give_back()


_switch = Switch(
    {
        group: Connection(partial(_connect, group), partial(_disconnect, group))
        for group in (*OPS, "linear")
    },
    changed=_follow,
)


def enable(ops: Iterable[str] = OPS, *, profile: bool = False) -> None:
    """Have fastconv compute the operations of PyTorch that it is faster at, until `disable`.

    It holds for the whole process, and its children. Threads may be computing meanwhile. To enable
    what is enabled changes nothing but `profile`.

    Parameters
    ----------
    ops : iterable of str
        Of "convolution", which stands for all of one to three axes, transposed or not;
        "batch_norm", in training; "pool": maxima and means over two and three axes; and "linear":
        full connections. Each with its gradients, as far as fastconv is faster at them. By default
        all but "linear": to PyTorch, full connections are products of matrices (`torch.mm` and
        `torch.addmm`) like any other, so that all of these are served, whoever calls them.
    profile : bool
        Time each call, and the first two calls of each kind with PyTorch's own function, too, so
        that `stats` has seconds and an estimate of those that were saved.

    Raises
    ------
    ImportError
        If PyTorch is older than 2.9.
    ValueError
        If there is no such operation.

    Examples
    --------
    >>> import torch                                            # doctest: +SKIP
    >>> import fastconv.adapters.torch
    >>> fastconv.adapters.torch.enable()                        # doctest: +SKIP
    """
    _switch.enable(ops, profile)


def disable() -> None:
    """Have PyTorch compute everything again, also where an `enabled` is still open."""
    _switch.disable()


def enabled(ops: Iterable[str] = OPS, *, profile: bool = False) -> AbstractContextManager[None]:
    """Enable inside a `with` statement, for the whole process.

    Parameters
    ----------
    ops, profile
        As in `enable`.

    Returns
    -------
    context manager
        Any number may be open at once, also in several threads: it is off when the last one ends,
        unless `enable` was called.
    """
    return _switch.enabled(ops, profile)


def stats() -> Stats:
    """Return what was served, and what was passed on to PyTorch and why, since it was turned on.

    Returns
    -------
    Stats
        Rows by operation and reason; str() of it is a table.
    """
    return _switch.stats()
