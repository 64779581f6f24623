"""Padding by constants or by the array's own cells, one element at a time.

Each axis is a line of numbered cells, and padding writes the numbers of the cells that the new
ones are copied from in front of the line and behind it. So the line of an axis of four cells, with
two cells padded on either side, is::

    constant     -  -  0 1 2 3  -  -
    reflect      2  1  0 1 2 3  2  1
    replicate    0  0  0 1 2 3  3  3
    circular     2  3  0 1 2 3  0  1
    symmetric    1  0  0 1 2 3  3  2

Where cells are taken away from one end, they are taken from the line that the other end has been
padded to; a circle is closed only then.
"""

from collections.abc import Sequence
from itertools import product
from operator import index

import numpy as np

from fastconv.reference._arguments import Array, expect_shape, float_dtype

Line = list[int | None]


def pad(input: Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """Put cells before and after the last axes of an array.

    Parameters
    ----------
    input : numpy.ndarray
        What is padded, float32 or float64.
    pad : sequence of int
        Cells before and after the last axis, then the one before it, and so on; negative numbers
        take cells away.
    mode : {"constant", "reflect", "replicate", "circular", "symmetric"}
        Where the new cells come from.
    value : float, default 0
        What they hold in mode "constant".

    Returns
    -------
    numpy.ndarray
        The padded array.

    Raises
    ------
    ValueError
        If the padding does not fit the input.
    TypeError
        If the input is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import pad
    >>> pad(np.array([[0.0, 1, 2, 3]]), (2, 2), "circular")
    array([[2., 3., 0., 1., 2., 3., 0., 1.]])
    """
    dtype = float_dtype(input=input)
    if mode != "constant" and value != 0:
        raise ValueError(f"value is {value}, expected 0 in mode {mode!r}")
    lines = _lines(input.shape, pad, mode)
    padded = np.full([len(line) for line in lines], value, dtype)
    for place in np.ndindex(padded.shape):
        source = [line[p] for line, p in zip(lines, place, strict=True)]
        if None not in source:
            padded[place] = input[tuple(source)]
    return padded


def pad_backward(
    grad_output: Array, input_size: Sequence[int], pad: Sequence[int], mode: str = "constant"
) -> Array:
    """Add the residual of every padded cell to the cell it was copied from.

    Parameters
    ----------
    grad_output : numpy.ndarray
        Gradient with respect to the padded array, float32 or float64.
    input_size : sequence of int
        Shape of the input.
    pad, mode
        As in `pad`.

    Returns
    -------
    numpy.ndarray of shape `input_size`
        Gradient with respect to the input.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    TypeError
        If the residual is not an array of float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reference import pad_backward
    >>> pad_backward(np.array([1.0, 2, 4, 8, 16]), (3,), (2, 0), "replicate")
    array([ 7.,  8., 16.])
    """
    dtype = float_dtype(grad_output=grad_output)
    lines = _lines(input_size, pad, mode)
    expect_shape("grad_output", grad_output, [len(line) for line in lines])
    gradient = np.zeros(tuple(input_size))
    for place, source in zip(np.ndindex(grad_output.shape), product(*lines), strict=True):
        if None not in source:
            gradient[source] += grad_output[place]
    return gradient.astype(dtype)


def _lines(size: Sequence[int], pad: Sequence[int], mode: str) -> list[Line]:
    """Write down, for every axis, the number of the cell that each padded cell is copied from."""
    numbers = [index(number) for number in pad]
    if len(numbers) % 2 or len(numbers) > 2 * len(size):
        raise ValueError(f"pad is {pad}, expected two numbers for each of at most {len(size)} axes")
    lines: list[Line] = [list(range(n)) for n in size]
    for axis in range(len(numbers) // 2):
        before, after = numbers[2 * axis : 2 * axis + 2]
        lines[-1 - axis] = _line(size[-1 - axis], before, after, mode)
    return lines


def _line(n: int, before: int, after: int, mode: str) -> Line:
    line: Line = list(range(n))
    first, last = max(-before, 0), max(-after, 0)
    before, after = max(before, 0), max(after, 0)
    if mode == "constant":
        if first + last > n:
            raise ValueError(f"pad takes away {first + last} cells, expected at most {n}")
        blank: Line = [None]
        return blank * before + line[first : n - last] + blank * after
    if mode == "circular":
        line = line[first : n - last]
        _expect_most(max(before, after), n - first - last, mode)
        return line[len(line) - before :] + line + line[:after]
    if mode == "reflect":
        _expect_most(max(before, after), n - 1, mode)
        backwards = line[::-1]
        line = backwards[n - 1 - before : n - 1] + line + backwards[1 : after + 1]
    elif mode == "symmetric":
        _expect_most(max(before, after), n, mode)
        line = line[:before][::-1] + line + line[n - after :][::-1]
    elif mode == "replicate":
        line = line[:1] * before + line + line[-1:] * after
    else:
        raise ValueError(f"mode is {mode!r}, expected one of those above")
    # A mirror or a border cell needs one to show.
    _expect_most(first + last, len(line) - (mode != "symmetric"), mode)
    return line[first : len(line) - last]


def _expect_most(cells: int, most: int, mode: str) -> None:
    if cells > most:
        raise ValueError(f"pad has {cells} cells, expected at most {most} in mode {mode!r}")
