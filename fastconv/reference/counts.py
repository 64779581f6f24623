"""How many connections and parameters a layer has: why a convolution, and not a full connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from fastconv.reference._arguments import PerAxis, expect_axes
from fastconv.reference._windows import Geometry, Padding


@dataclass(frozen=True)
class Counts:
    """The connections and parameters of a layer.

    Parameters
    ----------
    connections : int
        Pairs of an input and an output with a weight between them.
    parameters : int
        Different weights, and biases where there are any.

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.linear_counts(9, 4)
    Counts(connections=36, parameters=36)
    """

    connections: int
    parameters: int


def conv_counts(
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    bias: bool = False,
) -> Counts:
    r"""Count the connections and parameters of a convolution for one sample.

    Parameters
    ----------
    input_size : sequence of int
        Shape of one sample, (C, \*size); a batch size before it is ignored.
    weight_size : sequence of int
        Shape of the kernels, (K, C / groups, \*kernel), over one to three axes.
    stride, padding, dilation, groups
        As in `conv2d`.
    bias : bool, keyword-only
        Count a bias for each kernel among the parameters.

    Returns
    -------
    Counts
        Connections to cells of the padding do not count. They are the entries of `conv2d_matrix`
        that can differ from zero.

    Raises
    ------
    ValueError
        If shapes do not fit together.

    Examples
    --------
    A kernel of 2x2 on a map of 3x3 shares 4 weights among 16 connections, where a full connection
    to the same 4 outputs has 36 of each. A kernel of 5x5 on an image of three channels has 76
    parameters, however large the image; a full connection to 25 outputs has millions.

    >>> from fastconv import reference
    >>> reference.conv_counts((1, 3, 3), (1, 1, 2, 2))
    Counts(connections=16, parameters=4)
    >>> reference.conv_counts((3, 300, 300), (1, 3, 5, 5), bias=True).parameters
    76
    >>> reference.linear_counts(300 * 300 * 3, 25).parameters
    6750000
    """
    axes = len(weight_size) - 2
    expect_axes("weight_size", len(weight_size), (3, 4, 5))
    expect_axes("input_size", len(input_size), (axes + 1, axes + 2))
    size, kernel = tuple(input_size[-axes:]), tuple(weight_size[2:])
    sample = (1, *input_size[-axes - 1 :])
    place = Geometry(sample, weight_size, stride, padding, dilation, groups)
    connections = prod(weight_size[:2])
    for axis in range(axes):
        cells = [
            start + tap * place.dilation[axis] - place.pairs[axis][0]
            for start in place.starts[axis]
            for tap in range(kernel[axis])
        ]
        connections *= sum(0 <= cell < size[axis] for cell in cells)
    return Counts(connections, prod(weight_size) + (weight_size[0] if bias else 0))


def linear_counts(in_features: int, out_features: int, *, bias: bool = False) -> Counts:
    """Count the connections and parameters of a full connection for one sample.

    Parameters
    ----------
    in_features, out_features : int
        Inputs and outputs.
    bias : bool, keyword-only
        Count a bias for each output among the parameters.

    Returns
    -------
    Counts

    Examples
    --------
    >>> from fastconv import reference
    >>> reference.linear_counts(9, 4, bias=True)
    Counts(connections=36, parameters=40)
    """
    connections = in_features * out_features
    return Counts(connections, connections + (out_features if bias else 0))
