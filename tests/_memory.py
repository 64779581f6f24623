"""How much memory a call needs, as Linux tells it."""

from pathlib import Path

import pytest

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

needs_status = pytest.mark.skipif(
    not _RESET.exists(), reason="the system does not say how much memory was used"
)


def growth(call):
    """Return what a call returns, and by how many bytes this process was larger during it."""
    # From now on the most is counted anew: a process begins with that of the one that started it.
    _RESET.write_text("5")
    before = _resident("VmRSS")
    result = call()
    return result, _resident("VmHWM") - before


def _resident(kind):
    """Return the bytes in memory: "VmRSS" now, "VmHWM" the most so far."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024
