"""What the machine can do at most: the register tile alone, on data that stay in the cache."""

import time

import numpy as np

from fastconv._check import C_TYPES
from fastconv.engine.gemm.tile import run_peak

# A panel of so many steps stays in a first-level cache of 32 KB beside the tile's other operand.
_STEPS = 128
_BLOCK = 0.01  # seconds of one timed run: long enough that starting the threads does not count
_RUNS = 30


def measured_peak(dtype: str, threads: int) -> float:
    """Return the most GFLOP/s that the arithmetic of this machine reaches.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The type of the numbers.
    threads : int
        How many threads compute, each a tile of its own.

    Returns
    -------
    float
        The best of many short runs.

    Examples
    --------
    >>> measured_peak("float32", 1) > 0  # doctest: +SKIP
    True
    """
    tiles = run_peak[C_TYPES[np.dtype(dtype)]]

    def run(repeats: int) -> tuple[float, float]:
        begin = time.perf_counter()
        flops = tiles(1.0, _STEPS, repeats, threads)
        seconds = time.perf_counter() - begin
        return seconds, flops / seconds / 1e9

    repeats = 1
    while min(run(repeats)[0] for _ in range(3)) < _BLOCK:
        repeats *= 2
    return max(run(repeats)[1] for _ in range(_RUNS))
