"""A pooling in numbers, as the compiled loops want it: see `Plan` in windows.pxd."""

from array import array
from itertools import groupby
from math import prod

from fastconv._geometry import PoolGeometry, Window, pool_windows, three_axes


def _axes(geometry: PoolGeometry) -> tuple[tuple[Window, ...], ...]:
    """Return the windows of depth, row and column."""
    found = pool_windows(geometry)
    return ((Window(0, 1, 1),),) * (3 - len(found)) + found


def _common(axes: list[list[int]]) -> int:
    """Return the cells of all windows, or 0 where they differ, or are too many for the loops."""
    cells = prod(counts[0] for counts in axes)
    return cells if cells < 2**63 and all(len(set(counts)) == 1 for counts in axes) else 0


def window_numbers(geometry: PoolGeometry) -> "array[int]":
    """Return the numbers of a plan, then the windows of each axis.

    Raises
    ------
    ValueError
        If a window would hold no input position.
    """
    axes = _axes(geometry)
    rows = axes[1]
    outs = [len(windows) for windows in axes]
    taps = [max(window.inside for window in windows) for windows in axes]
    dilation = three_axes(geometry.dilation, 1)
    row_stride = rows[1].first - rows[0].first if len(rows) > 1 else taps[1]
    for i, window in enumerate(rows):
        if window.inside < taps[1] or window.first != rows[0].first + i * row_stride:
            row_stride = 0
    common = (
        _common([[window.inside for window in windows] for windows in axes]),
        _common([[window.counted for window in windows] for windows in axes]),
    )
    # Padding may be larger than any memory where it cuts all windows, so that all differ. The
    # stride has no meaning there, nor where there is one window: as long as that, it leaves no
    # positions between windows to be computed.
    cut = taps[2] < geometry.kernel[-1]
    slack = 0 if cut else (taps[2] - 1) * dilation[2]
    stride = slack + 1 if cut or outs[2] == 1 else geometry.stride[-1]
    before = 0 if cut else geometry.padding[-1][0]
    size = geometry.in_size[-1]
    pitch = outs[2] + slack // stride
    width = size if cut else pitch * stride
    line = (stride, before, pitch, width, min(size, width - before), slack, cut)
    numbers = array("q", (*outs, *taps, *dilation, row_stride, *common, *line))
    for windows in axes:
        for window in windows:
            numbers.extend((window.first, window.inside, window.counted))
    return numbers


def reader_numbers(geometry: PoolGeometry) -> "array[int]":
    """Return which windows hold each input position of depth and row.

    The length of a line of each axis, then the lines: the number of windows, how many positions
    from here on lie in the same ones, and they.
    """
    lengths, lines = [], []
    sizes, dilations = three_axes(geometry.in_size, 1), three_axes(geometry.dilation, 1)
    for windows, size, dilation in list(zip(_axes(geometry), sizes, dilations, strict=True))[:2]:
        readers: list[list[int]] = [[] for _ in range(size)]
        for number, window in enumerate(windows):
            for step in range(window.inside):
                readers[window.first + step * dilation].append(number)
        lengths.append(2 + max(map(len, readers)))
        for held, alike in groupby(readers):
            line = [*held, *[0] * (lengths[-1] - 2 - len(held))]
            for left in range(len(list(alike)), 0, -1):
                lines += [len(held), left, *line]
    return array("q", lengths + lines)
