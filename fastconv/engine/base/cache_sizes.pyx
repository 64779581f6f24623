"""The sizes of a core's caches, by which kernels size their blocks: read once, at import.

They decide how much is packed at a time, and in which order blocks are computed. Nothing that
orders a sum follows them: results have the same bits on every machine of an instruction set.
"""

import os
import re

cdef extern from "base/cache_sizes.h" nogil:
    Py_ssize_t cache_bytes "fastconv_cache_bytes"(int level)

# Where nothing can be found out: what even small processors have.
_DEFAULTS = (32 << 10, 512 << 10, 8 << 20)
# Below, blocks would hold less than a tile; above, it is no size of a cache.
_LEAST, _MOST = 4 << 10, 1 << 40
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

cdef Py_ssize_t _first = 0, _second = 0, _third = 0


cdef Py_ssize_t first_cache() noexcept nogil:
    """Return the bytes of a core's first-level data cache."""
    return _first


cdef Py_ssize_t second_cache() noexcept nogil:
    """Return the bytes of the second-level cache that a core has for itself."""
    return _second


def cache_sizes():
    """Return the bytes of the data caches of a core, by which kernels size their blocks.

    What the system or the processor says, or what the environment variable FASTCONV_CACHE said
    when fastconv was imported, as in "32K,512K,16M".

    Returns
    -------
    tuple of three int
        First level; second level, a core's share where several cores have one; third level, whole.

    Examples
    --------
    >>> from fastconv.engine.base.cache_sizes import cache_sizes
    >>> first, second, third = cache_sizes()
    >>> 4096 <= first <= second <= third
    True
    """
    return _first, _second, _third


def _number(str text):
    """Return the bytes of a size such as 32K, or None."""
    found = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text.strip())
    return int(found[1]) * _UNITS[found[2]] if found else None


def _asked(str text):
    """Return the sizes that FASTCONV_CACHE names."""
    sizes = [_number(part) for part in text.split(",")]
    if len(sizes) != 3 or None in sizes:
        reason = "expected the sizes of three levels, as in 32K,512K,16M"
    elif not _LEAST <= sizes[0] <= sizes[1] <= sizes[2] <= _MOST:
        reason = "expected at least 4K, and no level smaller than the one before"
    else:
        return sizes
    raise ValueError(f"FASTCONV_CACHE={text}: {reason}")


def _sharers(str text):
    """Return how many processors a list such as 0-3,8 names."""
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return sum(end[-1] - end[0] + 1 for end in ends)


def _from_files(str folder):
    """Return {level: bytes of a core} as Linux tells them for one processor."""
    sizes, sharers = {}, {}
    try:
        for name in os.listdir(folder):
            if not name.startswith("index"):
                continue
            texts = []
            for entry in ("type", "level", "size", "shared_cpu_list"):
                with open(f"{folder}/{name}/{entry}", encoding="ascii") as file:
                    texts.append(file.read().strip())
            if texts[0] != "Instruction":
                sizes[int(texts[1])] = _number(texts[2])
                sharers[int(texts[1])] = _sharers(texts[3])
    except (OSError, ValueError):
        return {}
    # Threads of a core share its first level, too; cores that share the second have a part each.
    if sizes.get(2) and sharers.get(1):
        sizes[2] //= max(sharers[2] // sharers[1], 1)
    return sizes


def _found(str folder="/sys/devices/system/cpu/cpu0/cache"):
    """Return the sizes that the system or the processor says, or that all have."""
    files, sizes = _from_files(folder), []
    for level, default in enumerate(_DEFAULTS, 1):
        size = files.get(level) or cache_bytes(level) or default
        # A machine without a third level has a second one.
        sizes.append(min(max(size, _LEAST, *sizes), _MOST))
    return sizes


def _read():
    """Set the sizes."""
    global _first, _second, _third
    text = os.environ.get("FASTCONV_CACHE")
    _first, _second, _third = _asked(text) if text else _found()


_read()
