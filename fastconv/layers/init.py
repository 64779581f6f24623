"""Initial values of weights, by name.

torch
    U(-b, b) with b = 1/sqrt(fan_in) for weights and biases, torch's default (Kaiming's uniform
    scheme with a = sqrt(5)).
he
    N(0, 2/fan_in) for weights, 0 for biases: K. He et al., "Delving deep into rectifiers",
    arXiv 1502.01852; for ReLU.
xavier
    U(-b, b) with b = sqrt(6/(fan_in + fan_out)) for weights, 0 for biases: X. Glorot and
    Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010;
    for tanh and sigmoid.
"""

from math import prod, sqrt

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Array, Random, float_dtype

SCHEMES = ("torch", "he", "xavier")


def weights_and_bias(
    scheme: str,
    shape: tuple[int, ...],
    groups: int,
    bias: bool,
    dtype: DTypeLike,
    rng: Random,
    biases: int | None = None,
) -> tuple[Array, Array | None]:
    """Draw the initial weights (out, in, *kernel), and the bias if there is one.

    Those of a transposed convolution, (in, out, *kernel), are seen as torch sees them: as the
    weights of the convolution that it is the transpose of.

    Parameters
    ----------
    scheme : {"torch", "he", "xavier"}
        See the module's text.
    shape : tuple of int
        Shape of the weights.
    groups : int
        Groups of a convolution: fan_out counts the outputs of one.
    bias : bool
        Whether there is a bias.
    dtype : dtype
        Float32 or float64.
    rng : int or numpy.random.Generator, optional
        Where the random numbers come from; an int is a seed.
    biases : int, optional
        Numbers of the bias, if not as many as the weights' first axis is long.

    Returns
    -------
    weight : ndarray
    bias : ndarray or None

    Raises
    ------
    ValueError
        If there is no such scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"init must be one of {', '.join(map(repr, SCHEMES))}, got {scheme!r}")
    found = float_dtype(dtype)
    generator = np.random.default_rng(rng)
    fan_in = prod(shape[1:])
    fan_out = shape[0] // groups * prod(shape[2:])
    if scheme == "he":
        weight = generator.standard_normal(shape) * sqrt(2 / fan_in)
    else:
        bound = 1 / sqrt(fan_in) if scheme == "torch" else sqrt(6 / (fan_in + fan_out))
        weight = generator.uniform(-bound, bound, shape)
    if not bias:
        return weight.astype(found), None
    number = shape[0] if biases is None else biases
    if scheme == "torch":
        bound = 1 / sqrt(fan_in)
        return weight.astype(found), generator.uniform(-bound, bound, number).astype(found)
    return weight.astype(found), np.zeros(number, found)
