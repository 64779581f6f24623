"""The switch that adapters share."""

import math
import threading

import pytest

from fastconv.adapters._switch import Connection, Switch


class Library:
    """Notes which of its operations are led elsewhere; one of them can fail."""

    def __init__(self):
        self.led, self.fails, self.changes = set(), set(), []

    def switch(self, decide=None):
        def connection(name):
            def connect():
                if name in self.fails:
                    raise OSError(name)
                assert name not in self.led
                self.led.add(name)

            return Connection(connect, lambda: self.led.remove(name))

        connections = {name: connection(name) for name in ("add", "mul", "sub")}
        return Switch(connections, decide=decide, changed=lambda s: self.changes.append(s.profile))


def test_enabled_twice_is_enabled_once():
    library = Library()
    switch = library.switch()
    switch.enable(("add",))
    switch.enable(("add",))
    assert library.led == {"add"} == switch.operations
    switch.enable(["mul", "sub"], profile=True)
    assert library.led == {"mul", "sub"}
    assert switch.profile
    switch.disable()
    assert not library.led
    assert not switch.profile
    switch.disable()


def test_with_statements_add_up():
    library = Library()
    switch = library.switch()
    with switch.enabled(("add",)):
        with switch.enabled(("mul",), profile=True):
            assert library.led == {"add", "mul"}
            assert switch.profile
        assert library.led == {"add"}
        assert not switch.profile
        switch.enable(("sub",))
    assert library.led == {"sub"}
    with pytest.raises(KeyError), switch.enabled(("add",)):
        raise KeyError
    assert library.led == {"sub"}
    switch.disable()


def test_disable_ends_what_is_open():
    library = Library()
    switch = library.switch()
    with switch.enabled(("add",)):
        switch.disable()
        assert not library.led
    assert not library.led


def test_what_fails_changes_nothing():
    library = Library()
    switch = library.switch()
    switch.enable(("add",))
    library.fails.add("sub")
    with pytest.raises(OSError, match="sub"):
        switch.enable(("mul", "sub"))
    assert library.led == {"add"} == switch.operations
    with pytest.raises(OSError, match="sub"), switch.enabled(("sub",)):
        pass
    assert library.led == {"add"}
    with pytest.raises(ValueError, match="ops may hold 'add', 'mul', 'sub', got 'div'"):
        switch.enable(("add", "div"))
    with pytest.raises(ValueError, match="got 'div'"):
        switch.enable("div")
    switch.disable()


def test_it_decides_counts_and_begins_anew():
    switch = Library().switch(decide=lambda operation, size: "" if size > 3 else "too small")
    switch.enable(("add",))
    assert [switch.decide("add", size) for size in (1, 2, 5)] == ["too small", "too small", ""]
    count = switch.count("add", "")
    count.seconds, count.saved = 1.0, 0.5
    switch.count("add", "too small").seconds = 0.5
    stats = switch.stats()
    assert (stats.served, stats.passed_on, stats.saved) == (1, 2, 0.5)
    assert stats.share == 0.75
    assert str(stats).splitlines() == [
        "operation  calls  seconds  saved",
        "add            2    0.500      -  passed on: too small",
        "add            1    1.000  0.500  served",
    ]
    switch.enable(("add", "mul"))
    assert switch.stats() == stats
    switch.disable()
    assert switch.stats() == stats
    switch.enable(("add",))
    assert str(switch.stats()) == "no calls"
    assert math.isnan(switch.stats().share)
    count.calls += 1
    assert switch.stats().served == 1
    switch.disable()


def test_many_threads_may_switch():
    library = Library()
    switch = library.switch()

    def work():
        for _ in range(300):
            with switch.enabled(("add",)):
                assert "add" in library.led

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not library.led
    assert len(library.changes) == 2 * 4 * 300
