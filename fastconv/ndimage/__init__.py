"""Filters of images with the signatures, and the results, of `scipy.ndimage`.

    from fastconv import ndimage
    ndimage.gaussian_filter(image, 3)

Images have any number of axes, any strides, and numbers of any type that SciPy filters: sums are
computed in double precision, in the order of SciPy's loops, and results are the same to the last
bit on x86. One thing is not: a large kernel that is the product of one line for each axis is
applied line by line. Then doubles differ by roundings of the sum, floats in one of many millions,
and integers not at all; `explain` says where, and inside `fastconv.exact()` no kernel is divided
but those of whole numbers, which round nothing that is whole. The work is shared among threads, and
any number of threads gives the same bits, too.

SciPy has no `filter_bank`, which applies many kernels at once, `factors`, `explain` and
`filter_blocks`, for images that are larger than memory.
"""

from fastconv.ndimage.bank import factors, filter_bank
from fastconv.ndimage.blocks import filter_blocks
from fastconv.ndimage.correlation import convolve, convolve1d, correlate, correlate1d
from fastconv.ndimage.derivatives import (
    generic_gradient_magnitude,
    generic_laplace,
    laplace,
    prewitt,
    sobel,
)
from fastconv.ndimage.explaining import explain
from fastconv.ndimage.gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)
from fastconv.ndimage.uniform import uniform_filter, uniform_filter1d

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "explain",
    "factors",
    "filter_bank",
    "filter_blocks",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]
