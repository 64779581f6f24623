"""Which instruction set the kernels use: one choice for the process, when fastconv is imported."""

import os

cdef extern from "base/isa.h" nogil:
    enum:
        ISAS "FASTCONV_ISAS"
    ctypedef struct Isa "fastconv_isa":
        const char* name
        bint (*runs)() noexcept nogil
    const Isa[] isas "fastconv_isas"

cdef int _row = 0


cdef int isa_row() noexcept nogil:
    """Return the row of the tables of kernels that is used."""
    return _row


def isa():
    """Return the name of the instruction set that the kernels use.

    The best that the CPU has, or the one that the environment variable FASTCONV_ISA named when
    fastconv was imported.

    Returns
    -------
    str
        "avx512", "avx2" (with FMA), or "portable", which is what every CPU of the architecture has.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.isa() in ("avx512", "avx2", "portable")
    True
    """
    return isas[_row].name.decode()


def _choose_isa():
    """Set the row that FASTCONV_ISA names, else the first that runs."""
    global _row
    cdef int row
    runs = {isas[row].name.decode(): row for row in range(ISAS) if isas[row].runs()}
    name = os.environ.get("FASTCONV_ISA") or next(iter(runs))
    if name not in runs:
        known = [isas[row].name.decode() for row in range(ISAS)]
        reason = "this CPU cannot run it" if name in known else "there is no such instruction set"
        raise ValueError(
            f"FASTCONV_ISA={name}: {reason}; this CPU runs {', '.join(map(repr, runs))}")
    _row = runs[name]


_choose_isa()
