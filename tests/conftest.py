"""What every test gets."""

import pytest

import fastconv


@pytest.fixture(autouse=True)
def _threads():
    """Restore the number of threads, which a test may change."""
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)
