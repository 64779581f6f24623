"""What all adapters share that send another library's calls to fastconv: a switch, and a count.

An adapter names its operations, says how each is connected, and has one function that decides
whether a call is served: it returns the reason why not, or "" to serve it. A `Switch` connects and
disconnects, and counts what was decided.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock

__all__ = ["Connection", "Count", "Row", "Stats", "Switch"]


@dataclass(frozen=True, slots=True)
class Connection:
    """How one operation of the other library is led to fastconv, and back."""

    connect: Callable[[], None]
    disconnect: Callable[[], None]


class Count:
    """How often one thing was decided, and what it cost; each call adds to it.

    Nothing locks: under Python's lock, no other thread runs between reading and writing an
    attribute, and a lock could be held while the process forks.
    """

    __slots__ = ("calls", "saved", "seconds")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.calls = 0
        self.seconds = 0.0
        self.saved = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What was counted of one operation and one reason.

    Attributes
    ----------
    operation : str
        The other library's name of it.
    reason : str
        Why it was passed on; empty where it was served.
    calls : int
        How many calls.
    seconds : float
        What they took, while profiled.
    saved : float
        An estimate of what the other library would have taken longer, while profiled.
    """

    operation: str
    reason: str
    calls: int
    seconds: float
    saved: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What was served by fastconv, and what was passed on, and why; str() gives it as a table.

    Attributes
    ----------
    rows : tuple of Row
        By operation and reason, most calls first.
    """

    rows: tuple[Row, ...]

    @property
    def served(self) -> int:
        """Number of calls that fastconv computed."""
        return sum(row.calls for row in self.rows if not row.reason)

    @property
    def passed_on(self) -> int:
        """Number of calls that the other library computed."""
        return sum(row.calls for row in self.rows if row.reason)

    @property
    def saved(self) -> float:
        """Estimate of the seconds that were saved while profiled."""
        return sum(row.saved for row in self.rows)

    @property
    def share(self) -> float:
        """Of the other library's estimated time for all calls, the part that was served.

        It is known for the calls that were profiled; NaN without any.
        """
        times = [(row.seconds + row.saved, not row.reason) for row in self.rows]
        total = sum(seconds for seconds, _ in times)
        return (
            sum(seconds for seconds, served in times if served) / total if total else float("nan")
        )

    def __str__(self) -> str:
        if not self.rows:
            return "no calls"
        lines = [("operation", "calls", "seconds", "saved", "")]
        lines += [
            (
                row.operation,
                f"{row.calls:,}",
                f"{row.seconds:.3f}" if row.seconds else "-",
                f"{row.saved:.3f}" if row.saved else "-",
                f"passed on: {row.reason}" if row.reason else "served",
            )
            for row in self.rows
        ]
        first, *others = (max(map(len, column)) for column in list(zip(*lines, strict=True))[:4])
        return "\n".join(
            "  ".join(
                [line[0].ljust(first)]
                + [text.rjust(n) for text, n in zip(line[1:4], others, strict=True)]
                + [line[4]]
            ).rstrip()
            for line in lines
        )


class Switch:
    """What sends the calls of some operations to fastconv while it is on.

    It is on between `enable` and `disable`, however often it was enabled, and inside `enabled`,
    which any number of threads may enter at once. All of it holds for the whole process.

    Parameters
    ----------
    connections : dict
        For each operation how it is connected.
    decide : callable, optional
        Called with an operation and the arguments of a call; returns the reason why the call is
        not served, or "".
    changed : callable, optional
        Called with the switch after each change.
    """

    def __init__(
        self,
        connections: Mapping[str, Connection],
        *,
        decide: Callable[..., str] | None = None,
        changed: Callable[["Switch"], None] = lambda switch: None,
    ) -> None:
        self._connections = dict(connections)
        self._decide = decide
        self._changed = changed
        self._lock = RLock()
        self._connected: set[str] = set()
        # What asks for it: `enable`, under the key None, and each `with` statement that is open.
        self._holders: dict[object, tuple[frozenset[str], bool]] = {}
        self._counts: dict[tuple[str, str], Count] = {}
        self.profile = False
        # Another thread may hold the lock while the process forks: the child gets its own.
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = RLock()

    @property
    def operations(self) -> frozenset[str]:
        """Those that are connected."""
        return frozenset(self._connected)

    def enable(self, ops: Iterable[str], profile: bool = False) -> None:
        """Connect these operations, and no others."""
        self._hold(None, self._checked(ops), profile)

    def disable(self) -> None:
        """Disconnect all operations, also where a `with` statement is still open."""
        with self._lock:
            self._holders.clear()
            self._settle()

    @contextmanager
    def enabled(self, ops: Iterable[str], profile: bool = False) -> Iterator[None]:
        """Connect these operations, too, inside a `with` statement."""
        holder = object()
        self._hold(holder, self._checked(ops), profile)
        try:
            yield
        finally:
            with self._lock:
                # `disable` has forgotten it already, or it ends here.
                if self._holders.pop(holder, None):
                    self._settle()

    def decide(self, operation: str, *call: object) -> str:
        """Return the reason why a call is not served, or "", and count it."""
        assert self._decide is not None
        reason = self._decide(operation, *call)
        self.count(operation, reason).calls += 1
        return reason

    def count(self, operation: str, reason: str) -> Count:
        """Return what counts the calls of an operation that were decided so."""
        return self._counts.setdefault((operation, reason), Count())

    def stats(self) -> Stats:
        """Return what was counted since the switch was last turned on."""
        rows = [
            Row(operation, reason, count.calls, count.seconds, count.saved)
            for (operation, reason), count in list(self._counts.items())
            if count.calls
        ]
        return Stats(tuple(sorted(rows, key=lambda row: (-row.calls, row.operation, row.reason))))

    def _checked(self, ops: Iterable[str]) -> frozenset[str]:
        names = (ops,) if isinstance(ops, str) else tuple(ops)
        for name in names:
            if name not in self._connections:
                known = ", ".join(map(repr, self._connections))
                raise ValueError(f"ops may hold {known}, got {name!r}")
        return frozenset(names)

    def _hold(self, holder: object, ops: frozenset[str], profile: bool) -> None:
        with self._lock:
            before = dict(self._holders)
            self._holders[holder] = ops, profile
            try:
                self._settle()
            except BaseException:
                self._holders = before
                self._settle()
                raise

    def _settle(self) -> None:
        """Connect what somebody asks for, and nothing else."""
        wanted = frozenset[str]().union(*(ops for ops, _ in self._holders.values()))
        if wanted and not self._connected:
            # Those who count hold on to their counts.
            for count in self._counts.values():
                count.clear()
        for name in sorted(self._connected - wanted):
            self._connections[name].disconnect()
            self._connected.discard(name)
        for name in sorted(wanted - self._connected):
            self._connections[name].connect()
            self._connected.add(name)
        self.profile = any(profile for _, profile in self._holders.values())
        self._changed(self)
