"""Convolutions and correlations with the signatures of `scipy.signal`, and `explain`."""

from fastconv.signal.convolution import (
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    explain,
    fftconvolve,
    oaconvolve,
)

__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "explain",
    "fftconvolve",
    "oaconvolve",
]
