"""A pooling in numbers, as the compiled loops want it: see `Plan` in windows.pxd.

The windows of an axis are a table of `_geometry`: first position, positions inside, cells counted.
"""

import numpy as np

from fastconv._geometry import Ints, three_axes
from fastconv._pool_geometry import Table


def window_numbers(
    tables: tuple[Table, ...],
    dilation: Ints,
    columns: int,
    kernel: int = 0,
    stride: int = 1,
    before: int = 0,
    planes: int = 1,
) -> Table:
    """Return the numbers of a plan, then the windows of each axis.

    The last axis has so many `columns`; where its windows lie evenly, `kernel`, `stride` and the
    padding `before` it say how. Where planes have windows of their own, a table holds those of all,
    one plane after the other.
    """
    tables = _three(tables, planes)
    dilation = three_axes(dilation, 1)
    outs = [len(windows) // planes for windows in tables]
    taps = [int(windows[:, 1].max()) for windows in tables]
    common = [_common([windows[:, column] for windows in tables]) for column in (1, 2)]
    # Padding may be larger than any memory where it cuts all windows, so that all differ. The
    # stride has no meaning there, nor where there is one window: as long as that, it leaves no
    # positions between windows to be computed.
    cut = taps[2] != kernel
    slack = 0 if cut else (taps[2] - 1) * dilation[2]
    stride = slack + 1 if cut or outs[2] == 1 else stride
    before = 0 if cut else before
    pitch = outs[2] + slack // stride
    width = columns if cut else pitch * stride
    line = (stride, before, pitch, width, min(columns, width - before), slack, cut)
    row_stride = 0 if planes > 1 else _row_stride(tables[1])
    head = (*outs, *taps, *dilation, row_stride, *common, *line, planes)
    return np.concatenate([np.array(head, np.int64), *(windows.ravel() for windows in tables)])


def _three(tables: tuple[Table, ...], planes: int = 1) -> tuple[Table, ...]:
    """Put windows of one position in front for the axes that are missing."""
    one = np.tile(np.array([[0, 1, 1]], np.int64), (planes, 1))
    return (one,) * (3 - len(tables)) + tables


def _row_stride(rows: Table) -> int:
    """Return the distance of windows that hold as many positions and lie evenly, or 0."""
    first, inside = rows[:, 0], rows[:, 1]
    if (inside != inside[0]).any():
        return 0
    if len(rows) == 1:
        return int(inside[0])
    steps = np.diff(first)
    return int(steps[0]) if (steps == steps[0]).all() else 0


def _common(axes: list[Table]) -> int:
    """Return the cells of all windows, or 0 where they differ, or are too many for the loops."""
    cells = 1
    for counts in axes:
        if (counts != counts[0]).any():
            return 0
        cells *= int(counts[0])
    return cells if cells < 2**63 else 0


def reader_numbers(tables: tuple[Table, ...], in_size: Ints, dilation: Ints) -> Table:
    """Return which windows hold each input position of depth and row.

    The length of a line of each axis, then the lines: the number of windows, how many positions
    from here on lie in the same ones, and they.
    """
    lengths, lines = [], []
    sizes, dilations = three_axes(in_size, 1), three_axes(dilation, 1)
    for windows, size, step in list(zip(_three(tables), sizes, dilations, strict=True))[:2]:
        counts = windows[:, 1]
        numbers = np.repeat(np.arange(len(windows)), counts)
        taps = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = windows[numbers, 0] + taps * step
        # By place, and of one place by number.
        order = np.argsort(places, kind="stable")
        held = np.bincount(places, minlength=size)
        table = np.zeros((size, 2 + held.max(initial=0)), np.int64)
        begin = np.cumsum(held) - held
        column = np.arange(len(places)) - np.repeat(begin, held)
        table[places[order], 2 + column] = numbers[order]
        table[:, 0] = held
        # Where the next position lies in other windows, and from there back.
        changes = np.append((table[1:] != table[:-1]).any(axis=1), True).nonzero()[0]
        table[:, 1] = changes[np.searchsorted(changes, np.arange(size))] + 1 - np.arange(size)
        lengths.append(table.shape[1])
        lines.append(table.ravel())
    return np.concatenate([np.array(lengths, np.int64), *lines])
