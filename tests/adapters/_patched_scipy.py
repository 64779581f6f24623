"""A plugin of pytest: SciPy's own tests run with the patch on, and say what was served."""

import json
import os

import scipy.ndimage
import scipy.signal

from fastconv.adapters import scipy as adapter


def pytest_configure(config):
    config.addinivalue_line("markers", "array_api_backends: as in SciPy's own settings")
    if os.environ["FASTCONV_PATCHED"] == "yes":
        adapter.patch()
        introduce()


def introduce():
    """Tell SciPy's tests what the new functions can do: what SciPy's can."""
    try:
        from scipy._lib._array_api import xp_capabilities_table as table
    except ImportError:
        # Its tests ask no such table.
        return
    for module in (scipy.ndimage, scipy.signal):
        for function in vars(module).values():
            original = getattr(function, "__wrapped__", None)
            if original in table:
                table[function] = table[original]


def pytest_sessionfinish(session):
    rows = [(row.operation, row.reason, row.calls) for row in adapter.stats().rows]
    with open(os.environ["FASTCONV_STATS"], "w") as file:
        json.dump(rows, file)
