"""The harness: turns, and the pauses between them."""

import re

from fastconv.benchmark import harness


def test_the_sides_take_turns(monkeypatch):
    called, waited = [], []
    monkeypatch.setattr(harness, "wait_awake", waited.append)
    times = harness.interleaved([lambda: called.append("a"), lambda: called.append("b")], 0.0)
    assert [len(samples) for samples in times] == [3, 3]
    assert waited == [harness.PAUSE] * 6
    blocks = re.sub(r"(.)\1+", r"\1", "".join(called))
    assert blocks == "ab" * 4  # one turn to see how long a call takes


def test_a_pause_does_not_sleep(monkeypatch):
    clock = iter([5.0, 5.0, 5.5, 6.0])
    monkeypatch.setattr(harness.time, "perf_counter", clock.__next__)
    monkeypatch.delattr(harness.time, "sleep")
    harness.wait_awake(1.0)
    assert next(clock, None) is None
