"""How a convolution by Fourier transforms is cut into blocks, and what that costs.

The overlap-save method: blocks of the output, each from a block of the input that is larger by the
reach of the kernel, transformed at a length that has only small factors (J. Stockham, "High-speed
convolution and correlation", 1966; A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing",
section 8.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import log2, prod

from fastconv._geometry import ConvGeometry, Ints, three_axes

# The most numbers in a vector: the blocks are the same on every instruction set.
_LANES = 16
# A step of a transform takes the time of so many numbers read and written, and what is around the
# steps that of so many steps: measured with lines of 96 to 2048 cells, AVX-512, one thread.
_STEP, _AROUND = 0.7, 8


@dataclass(frozen=True, slots=True)
class Blocks:
    """The transforms of one sample.

    Attributes
    ----------
    lengths : tuple of int
        The length of the transform on each of three axes.
    sizes : tuple of int
        The positions of the output in one block.
    count : int
        The blocks of one sample.
    cost : float
        Time, in numbers read and written by the steps of all transforms and products.
    axes : tuple of int
        The order of the axes in which they are transformed: those along which nothing happens go
        first. If that are two, the third is a line, and cut into rows.
    """

    lengths: Ints
    sizes: Ints
    count: int
    cost: float
    axes: Ints

    def ordered(self, numbers: Sequence[int]) -> Ints:
        """Return numbers of the three axes in the order of the transforms."""
        return tuple(numbers[axis] for axis in self.axes)


def fast_length(n: int) -> int:
    """Return the smallest length from `n` on whose prime factors are 2, 3 and 5.

    Examples
    --------
    >>> [fast_length(n) for n in (1, 7, 11, 31, 241)]
    [1, 8, 12, 32, 243]
    """
    best = 1 << (n - 1).bit_length()
    fives = 1
    while fives < best:
        odd = fives
        while odd < best:
            best = min(best, odd << (-(-n // odd) - 1).bit_length())
            odd *= 3
        fives *= 5
    return best


def _lengths(out: int, reach: int, unit: int) -> set[int]:
    """Return the lengths worth a try: from twice the kernel to the whole axis at once."""
    whole = out + reach
    wanted = [whole]
    length = 2 * reach + 1
    while reach and length < whole:
        wanted.append(length)
        length = length * 3 // 2
    # Whole vectors, and fewer numbers.
    return {n * fast_length(-(-length // n)) for n in (unit, _LANES * unit) for length in wanted}


@lru_cache(maxsize=4096)
def fft_blocks(out: Ints, reach: Ints, kernels: int, maps: int) -> Blocks:
    """Return the cheapest blocks for outputs of this size.

    Parameters
    ----------
    out, reach : tuple of int
        Positions of the output on three axes, and dilation*(kernel - 1).
    kernels, maps : int
        How many planes are transformed once, and how many in each block.
    """
    axes = tuple(sorted(range(3), key=lambda axis: out[axis] > 1 or reach[axis] > 0))
    line = all(out[axis] == 1 and reach[axis] == 0 for axis in axes[:2])
    # The rows, of which two are a complex one; the columns; or both, of a line.
    units = (0, 0, 2 * _LANES**2) if line else (1, 2, 1)
    tried = [{1}] * 3
    for axis, unit in zip(axes, units, strict=True):
        if unit:
            tried[axis] = _lengths(out[axis], reach[axis], unit)
    best = None
    for lengths in product(*map(sorted, tried)):
        # A map without cells has a plan, too.
        sizes = tuple(
            max(min(o, length - r), 1) for o, length, r in zip(out, lengths, reach, strict=True)
        )
        count = prod(-(-o // size) for o, size in zip(out, sizes, strict=True))
        numbers = prod(lengths)
        if not line:
            # Vectors are computed whole.
            for axis, unit in zip(axes, units, strict=True):
                whole = _LANES * unit if axis != axes[0] else 1
                numbers = numbers // lengths[axis] * (-(-lengths[axis] // whole) * whole)
        steps = _STEP * (_AROUND + log2(numbers))
        cost = numbers * ((kernels + maps * count) * steps + 2 * kernels * count)
        if best is None or cost < best.cost:
            best = Blocks(lengths, sizes, count, cost, axes)
    assert best is not None
    return best


def conv_blocks(geometry: ConvGeometry, operation: str) -> Blocks:
    """Return the blocks of an operation of stride 1."""
    out = geometry.in_size if operation == "conv2d_input" else geometry.out_size
    kernels = prod(geometry.weight_shape[:2])
    reach = (d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True))
    return fft_blocks(
        three_axes(out, 1),
        three_axes(tuple(reach), 0),
        kernels,
        geometry.in_channels + geometry.out_channels,
    )


def gain(geometry: ConvGeometry, operation: str) -> float:
    """Return the products of the formula for each number that the transforms touch."""
    products = geometry.out_channels * prod(geometry.out_size) * prod(geometry.weight_shape[1:])
    return products / conv_blocks(geometry, operation).cost
