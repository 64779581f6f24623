"""Where the time of networks goes, layer by layer and direction by direction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import Lock, local
from time import perf_counter
from typing import Any, TypeAlias

from fastconv import _check
from fastconv._check import Array
from fastconv.engine.base.kernel import recorded
from fastconv.layers._table import Table

Mask: TypeAlias = tuple[bool, bool, bool]
Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]

# What a profile may be sorted by, the largest first.
ORDERS = ("calls", "seconds", "share", "gflops")


@dataclass(frozen=True)
class ProfileRecord:
    """What a layer took in one direction: a row of a `Profile`.

    Attributes
    ----------
    name : str
        The layer's name in the network that was called, as in `Layer.named_layers`; "" for the
        network itself, a loss or an optimizer.
    kind : str
        Its class; of layers that are computed as one, all of them.
    direction : str
        "forward" or "backward", in place of the latter "input gradient" and "weight gradient" of
        convolutions and full connections; "step" of an optimizer.
    calls : int
    seconds : float
        In all calls, without those of layers within it.
    flops : int
        Floating-point operations of the formulas of convolutions and full connections: two for each
        product.
    algorithm, variant : str
        What `fastconv.explain` calls the algorithm, and the loops that really ran.
    share : float
        The part of the profile's time.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.ProfileRecord("0", "Conv2d", "forward", 2, 0.5, 10**9, "gemm", "", 0.1).gflops
    2.0
    """

    name: str
    kind: str
    direction: str
    calls: int
    seconds: float
    flops: int
    algorithm: str
    variant: str
    share: float

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations in a second; 0 where `flops` is."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0


@dataclass
class _Sum:
    """What is added up for a layer in a direction."""

    # Kept, so that its number is given to no other.
    layer: Any
    name: str
    kind: str
    direction: str
    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    # In the order in which they were seen.
    algorithms: dict[str, None] = field(default_factory=dict)
    variants: dict[str, None] = field(default_factory=dict)


class Profile:
    """Times of the layers that were called while it was open: what `fastconv.profile` gives.

    str() gives a table, and a notebook shows it.

    Attributes
    ----------
    seconds : float
        From the begin to the end, or until now, without what the profile itself took.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> net = fastconv.models.lenet5(rng=0).eval()
    >>> with fastconv.profile(show=False) as p:
    ...     y = net(np.zeros((8, 1, 28, 28), np.float32))
    >>> max(p.records, key=lambda record: record.flops).kind
    'Conv2d'
    """

    def __init__(self) -> None:
        self._outer = _open.get()
        self._sums: dict[Any, _Sum] = {}
        # By the number of what was called from outside of any layer: it, and the names in it.
        self._names: dict[int, tuple[Any, dict[int, str]]] = {}
        # What calls do, by layer, direction and shapes.
        self._operations: dict[Any, tuple[int, str] | None] = {}
        self._lock = Lock()
        self._aside = 0.0
        self._begin = perf_counter()
        self._end: float | None = None

    @property
    def seconds(self) -> float:
        """The time of the profile, without its own work."""
        end = perf_counter() if self._end is None else self._end
        return max(end - self._begin - self._aside, sum(s.seconds for s in self._sums.values()))

    @property
    def records(self) -> list[ProfileRecord]:
        """What was measured, in the order of the first calls."""
        whole = self.seconds or 1.0
        with self._lock:
            return [
                ProfileRecord(
                    each.name,
                    each.kind,
                    each.direction,
                    each.calls,
                    each.seconds,
                    each.flops,
                    ", ".join(each.algorithms),
                    ", ".join(each.variants),
                    each.seconds / whole,
                )
                for each in self._sums.values()
                if each.calls
            ]

    def by_kind(self) -> list[ProfileRecord]:
        """Return the records of layers of one kind added up, without names.

        Returns
        -------
        list of ProfileRecord
        """
        found: dict[Any, ProfileRecord] = {}
        for each in self.records:
            key = each.kind, each.direction, each.algorithm, each.variant
            total = found.get(key, replace(each, name="", calls=0, seconds=0.0, flops=0, share=0.0))
            found[key] = replace(
                total,
                calls=total.calls + each.calls,
                seconds=total.seconds + each.seconds,
                flops=total.flops + each.flops,
                share=total.share + each.share,
            )
        return list(found.values())

    def table(
        self, sort: str | None = None, limit: int | None = None, *, by_kind: bool = False
    ) -> str:
        """Return the records as a table.

        Parameters
        ----------
        sort : {"calls", "seconds", "share", "gflops"}, optional
            The largest come first; in the order of the first calls by default.
        limit : int, optional
            Show so many at most.
        by_kind : bool, keyword-only
            Add up the layers of one kind: `Profile.by_kind`.

        Returns
        -------
        str

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or value.
        """
        return self._table(sort, limit, by_kind).text()

    def _table(
        self, sort: str | None = None, limit: int | None = None, by_kind: bool = False
    ) -> Table:
        check_order(sort, limit)
        records = self.by_kind() if by_kind else self.records
        if sort is not None:
            records.sort(key=lambda record: getattr(record, sort), reverse=True)
        seconds = self.seconds
        rest = max(seconds - sum(record.seconds for record in records), 0.0)
        rows = [_cells(record) for record in records[:limit]]
        rows.append(
            ("", "", "outside of layers", "", *_times(rest, rest / (seconds or 1.0)), "", "")
        )
        flops = sum(record.flops for record in records)
        total = ("total", "", "", "", *_times(seconds, 1.0), _rate(flops, seconds), "")
        left = len(records) - len(rows) + 1
        note = "times without those of layers within" + f"; {left} rows are not shown" * (left > 0)
        return Table(_HEADINGS, rows, total, note, range(3, 7))

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles take over: the times until now, of no layer any more."""
        with self._lock:
            sums = {key: replace(each, layer=None) for key, each in self._sums.items()}
        end = perf_counter() if self._end is None else self._end
        state = {**vars(self), "_sums": sums, "_end": end, "_outer": None}
        return {**state, "_names": {}, "_operations": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_lock": Lock()})

    def __repr__(self) -> str:
        return f"Profile({len(self.records)} records, {self.seconds:.3g} s)"

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        return self._table().html()

    def _sum(self, root: Any, layer: Any, kind: str, direction: str) -> _Sum:
        """Return where the times of a layer in a direction are added up."""
        key = id(root), id(layer), kind, direction
        with self._lock:
            found = self._sums.get(key)
            if found is None:
                found = _Sum(layer, self._name(root, layer), kind, direction)
                self._sums[key] = found
            return found

    def _name(self, root: Any, layer: Any) -> str:
        if root is layer:
            return ""
        known, names = self._names.get(id(root), (root, {}))
        if id(layer) not in names:
            names = {id(each): name for name, each in root.named_layers()}
            # One that is no attribute of another has no name.
            names.setdefault(id(layer), "?")
            self._names[id(root)] = known, names
        return names[id(layer)]

    def _work(self, layer: Any, direction: str, inputs: tuple[Any, ...]) -> tuple[int, str] | None:
        """Return the floating-point operations of a call, and the algorithm, if it has any."""
        key = id(layer), direction, tuple(getattr(value, "shape", None) for value in inputs)
        if key not in self._operations:
            self._operations[key] = layer._operations(inputs, direction)
        return self._operations[key]


_HEADINGS = ("layer", "kind", "direction", "calls", "ms", "share", "GFLOP/s", "computed by")


def _cells(record: ProfileRecord) -> tuple[str, ...]:
    return (
        record.name,
        record.kind,
        record.direction,
        f"{record.calls:,}",
        *_times(record.seconds, record.share),
        _rate(record.flops, record.seconds),
        ": ".join(filter(None, (record.algorithm, record.variant))),
    )


def _times(seconds: float, share: float) -> tuple[str, str]:
    return f"{1e3 * seconds:,.3f}", f"{share:.1%}"


def _rate(flops: int, seconds: float) -> str:
    return f"{flops / seconds / 1e9:,.1f}" if flops and seconds else ""


def check_order(sort: str | None, limit: int | None) -> None:
    """Refuse what no table can be made by.

    Raises
    ------
    TypeError, ValueError
        If it is none of `ORDERS`, or no number of rows.
    """
    if sort is not None and sort not in ORDERS:
        raise ValueError(f"sort must be one of {', '.join(map(repr, ORDERS))}, got {sort!r}")
    if limit is not None:
        _check.integer("limit", limit, 0)


# The profile of this thread or task, or None; `_outer` leads to those around it.
_open: ContextVar[Profile | None] = ContextVar("fastconv.profile", default=None)

# Returns the innermost profile that is open, or None.
current = _open.get


class _Stack(local):
    """The innermost call that is being measured on this thread."""

    frame: "_Frame | None" = None


_stack = _Stack()


class _Frame:
    """A call that is being measured, from `with` to its end.

    What the profile does beside it, and what calls within it take, is not its own time. A call that
    raises is not counted.
    """

    def __init__(
        self,
        profile: Profile,
        layer: Any,
        direction: str,
        inputs: tuple[Any, ...] | None,
        kind: str,
    ) -> None:
        self.profile, self.layer, self.direction = profile, layer, direction
        self.inputs, self.kind = inputs, kind
        self.within = 0.0
        # The last of the calls for the same layer that are parts of this one.
        self.part: _Frame | None = None

    def __enter__(self) -> None:
        self.entered = perf_counter()
        self.outer = _stack.frame
        self.root: Any = self.layer if self.outer is None else self.outer.root
        self.sums: list[tuple[Profile, _Sum]] = []
        profile: Profile | None = self.profile
        while profile is not None:
            to = profile._sum(self.root, self.layer, self.kind, self.direction)
            self.sums.append((profile, to))
            profile = profile._outer
        if self.outer is None:
            self.recording = recorded()
            self.ran = self.recording.__enter__()
        else:
            self.ran = self.outer.ran
        self.first = len(self.ran)
        _stack.frame = self
        self.start = perf_counter()

    def __exit__(self, kind: object, *error: object) -> None:
        end = perf_counter()
        _stack.frame = outer = self.outer
        own = end - self.start - self.within
        variants = [variant for variant, _ in self.ran[self.first :]]
        del self.ran[self.first :]
        if outer is None:
            self.recording.__exit__(None, None, None)
        work = None
        if kind is None and self.inputs is not None:
            work = self.profile._work(self.layer, self.direction, self.inputs)
        if outer is not None and outer.layer is self.layer and outer.direction == "backward":
            outer.part = self
        whole = perf_counter() - self.entered
        if outer is not None:
            outer.within += whole
        # Its parts are what was called; what is left goes with the last of them.
        calls, sums = (1, self.sums) if self.part is None else (0, self.part.sums)
        for profile, to in sums:
            with profile._lock:
                profile._aside += whole - (end - self.start)
                if kind is None:
                    to.calls += calls
                    to.seconds += own
                    to.variants.update(dict.fromkeys(variants))
                    if work is not None:
                        to.flops += work[0]
                        to.algorithms[work[1]] = None


def measured(
    profile: Profile,
    layer: Any,
    direction: str,
    inputs: tuple[Any, ...] | None = None,
    kind: str | None = None,
) -> _Frame:
    """Return the context manager in which a call is measured.

    With `inputs` the layer is asked afterwards what it computed (`Layer._operations`); `kind` is
    its class by default.
    """
    return _Frame(profile, layer, direction, inputs, kind or type(layer).__name__)


def in_parts(layer: Any, x: Any, mask: Mask, compute: Callable[[Mask], Gradients]) -> Gradients:
    """Return the gradients of a mask; in a profile, that of the input is computed by itself."""
    profile = current()
    if profile is None:
        return compute(mask)
    for_input, for_weight, for_bias = mask
    grad_input = grad_weight = grad_bias = None
    if for_input:
        with measured(profile, layer, "input gradient", (x,)):
            grad_input, _, _ = compute((True, False, False))
    if for_weight or for_bias:
        with measured(profile, layer, "weight gradient", (x,)):
            _, grad_weight, grad_bias = compute((False, for_weight, for_bias))
    return grad_input, grad_weight, grad_bias


@contextmanager
def profile(
    *, sort: str | None = None, limit: int | None = None, show: bool = True
) -> Iterator[Profile]:
    """Measure where the time of networks goes, and print it as a table at the end.

    Calls of layers, losses and optimizers by this thread, or this asyncio task, are measured, each
    direction by itself. Profiles may stand within each other; those outside have what those inside
    have, too. Without one, a call takes some 50 ns longer than if there were none.

    Parameters
    ----------
    sort, limit
        Of the table that is printed, as in `Profile.table`.
    show : bool
        False prints nothing.

    Returns
    -------
    context manager
        For a `with` statement, which gives the `Profile`: it can be asked and shown inside, and
        afterwards.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> net = fastconv.models.lenet5(rng=0)
    >>> x = np.zeros((8, 1, 28, 28), np.float32)
    >>> with fastconv.profile(show=False) as p:
    ...     for _ in range(3):
    ...         gradient = net.backward(net(x))
    >>> for record in p.records[:3]:
    ...     print(repr(record.name), record.kind, record.direction, record.calls, record.flops)
    '' Sequential forward 3 0
    '0' Conv2d forward 3 5644800
    '1' Tanh forward 3 0
    >>> [record.direction for record in p.records if record.name == "0"]
    ['forward', 'input gradient', 'weight gradient']
    """
    check_order(sort, limit)
    opened = Profile()
    token = _open.set(opened)
    try:
        yield opened
    finally:
        opened._end = perf_counter()
        _open.reset(token)
    if show:
        print(opened.table(sort, limit))
