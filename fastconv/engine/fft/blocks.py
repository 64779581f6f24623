"""How a convolution by Fourier transforms is cut into blocks, and what that costs.

The overlap-save method: blocks of the output, each from a block of the input that is larger by the
reach of the kernel, transformed at a length that has only small factors (J. Stockham, "High-speed
convolution and correlation", 1966; A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing",
section 8.7).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import log2, prod

from fastconv._geometry import ConvGeometry, Ints, three_axes


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
    """

    lengths: Ints
    sizes: Ints
    count: int
    cost: float


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


def _lengths(out: int, reach: int) -> list[int]:
    """Return the lengths worth a try: from twice the kernel to the whole axis at once."""
    whole = fast_length(out + reach)
    lengths = {whole}
    length = 2 * reach + 1
    while reach and length < whole:
        lengths.add(fast_length(length))
        length = length * 3 // 2
    return sorted(lengths)


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
    best = None
    for lengths in product(*map(_lengths, out, reach)):
        # A map without cells has a plan, too.
        sizes = tuple(
            max(min(o, length - r), 1) for o, length, r in zip(out, lengths, reach, strict=True)
        )
        count = prod(-(-o // size) for o, size in zip(out, sizes, strict=True))
        numbers = prod(lengths)
        cost = numbers * ((kernels + maps * count) * log2(max(numbers, 2)) + 2 * kernels * count)
        if best is None or cost < best.cost:
            best = Blocks(lengths, sizes, count, cost)
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
