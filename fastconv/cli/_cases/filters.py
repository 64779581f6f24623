"""Cases of the filters of `fastconv.ndimage`, and of the convolutions of `fastconv.signal`."""

from functools import partial
from math import prod
from typing import Any

from fastconv.cli._cases.calls import Array, Call, Source, Subject
from fastconv.reference.ndimage import prewitt

# Roundings of a filter that is made of others, or of transforms: a few for each axis and sum.
_TERMS = 60
_MODES = ("reflect", "mirror", "nearest", "wrap", "constant")
_BOUNDARIES = ("fill", "wrap", "symm")
_PARTS = ("full", "same", "valid")


def _image(source: Source) -> Array:
    """Draw an image: of one to three axes, or, of the maps that are timed, one beside the other."""
    n, c, height, width = source.maps(2)
    if source.plain:
        return source.array(c * height, n * width)
    return source.array(*source.each(source.pick(1, 3), 1, 9))


def _sizes(source: Source, axes: int, most: int = 4) -> tuple[int, ...]:
    return (3,) * axes if source.plain else source.each(axes, 1, most)


def _borders(source: Source) -> dict[str, Any]:
    mode = source.choose(_MODES)
    return {"mode": mode, "cval": 2.0} if mode == "constant" else {"mode": mode}


def _kernel(source: Source) -> Call:
    x = _image(source)
    weights = source.array(*_sizes(source, x.ndim))
    origins = [source.pick(-(n // 2), (n - 1) // 2) for n in weights.shape]
    return Call((x, weights), {**_borders(source), "origin": origins}, weights.size)


def _line(source: Source) -> Call:
    x = _image(source)
    weights = source.array(9 if source.plain else source.pick(1, 9))
    options = {"axis": source.pick(-x.ndim, x.ndim - 1), **_borders(source)}
    # Pairs are added before they are weighed.
    return Call((x, weights), options, 2 * len(weights))


def _bank(source: Source) -> Call:
    x = _image(source)
    kernels = source.array(source.pick(1, 4), *_sizes(source, x.ndim))
    return Call((x, kernels), _borders(source), kernels[0].size)


def _gaussian(source: Source) -> Call:
    x = _image(source)
    sigma = source.choose((0.6, 1.0, 1.7))
    return Call((x, sigma), {"order": source.pick(0, 2), **_borders(source)}, _TERMS)


def _gaussian_line(source: Source) -> Call:
    x, sigma = _gaussian(source).arguments
    return Call((x, sigma), {"axis": source.pick(-x.ndim, x.ndim - 1), **_borders(source)}, _TERMS)


def _of_gaussian(source: Source) -> Call:
    x, sigma = _gaussian(source).arguments
    return Call((x, sigma), _borders(source), _TERMS)


def _uniform(source: Source) -> Call:
    x = _image(source)
    return Call((x, 3 if source.plain else source.pick(1, 5)), _borders(source), _TERMS)


def _uniform_line(source: Source) -> Call:
    x, size = _uniform(source).arguments
    options = {"axis": source.pick(-x.ndim, x.ndim - 1), **_borders(source)}
    return Call((x, size), options, _TERMS)


def _edges(source: Source) -> Call:
    x = _image(source)
    return Call((x, source.pick(-x.ndim, x.ndim - 1)), _borders(source), _TERMS)


def _laplace(source: Source) -> Call:
    return Call((_image(source),), _borders(source), _TERMS)


def _generic(source: Source) -> Call:
    return Call((_image(source), prewitt), _borders(source), _TERMS)


def _pair(source: Source, axes: int) -> tuple[Array, Array]:
    """Draw two arrays, the first of which is the larger on all axes."""
    if source.plain:
        return _image(source), source.array(3, 3)
    one = source.each(axes, 1, 9)
    return source.array(*one), source.array(*(source.pick(1, n) for n in one))


def _convolution(source: Source) -> Call:
    one, two = _pair(source, source.pick(1, 3))
    return Call((one, two, source.choose(_PARTS)), {}, two.size)


def _plane(source: Source) -> Call:
    one, two = _pair(source, 2)
    boundary = source.choose(_BOUNDARIES)
    options = {"boundary": boundary, "fillvalue": 2} if boundary == "fill" else {}
    return Call((one, two, source.choose(_PARTS)), options, two.size)


def _transform(source: Source) -> Call:
    one, two = _pair(source, source.pick(1, 3))
    arguments = (one, two, source.choose(_PARTS))
    return Call(arguments, {}, _TERMS + prod(two.shape))


_ROUNDED = partial(Subject, exact=False, linear=False)
# Their sums are of differences, whose absolute values are not those of the image.
_WHOLE = partial(Subject, linear=False)

SUBJECTS = (
    Subject("ndimage.correlate", _kernel),
    Subject("ndimage.convolve", _kernel),
    Subject("ndimage.correlate1d", _line),
    Subject("ndimage.convolve1d", _line),
    Subject("ndimage.filter_bank", _bank),
    _ROUNDED("ndimage.gaussian_filter", _gaussian),
    _ROUNDED("ndimage.gaussian_filter1d", _gaussian_line),
    _ROUNDED("ndimage.gaussian_laplace", _of_gaussian),
    _ROUNDED("ndimage.gaussian_gradient_magnitude", _of_gaussian),
    _ROUNDED("ndimage.uniform_filter", _uniform),
    _ROUNDED("ndimage.uniform_filter1d", _uniform_line),
    _WHOLE("ndimage.sobel", _edges),
    _WHOLE("ndimage.prewitt", _edges),
    _WHOLE("ndimage.laplace", _laplace),
    _WHOLE("ndimage.generic_laplace", _generic),
    _ROUNDED("ndimage.generic_gradient_magnitude", _generic),
    Subject("signal.convolve", _convolution),
    Subject("signal.correlate", _convolution),
    Subject("signal.convolve2d", _plane),
    Subject("signal.correlate2d", _plane),
    _ROUNDED("signal.fftconvolve", _transform),
    _ROUNDED("signal.oaconvolve", _transform),
)
