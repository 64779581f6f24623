"""The layers that are measured: one CSV file for each network.

A row is a distinct convolution of the network at its published input size (224 x 224; LeNet-5's
28 x 28), named after the first layer of that shape; `count` layers have it. `size` is the layer's
input. A cell holds one number for both axes, or two as in "1x7".

resnet50     K. He et al., arXiv 1512.03385, with the stride in the 3x3 (names of torchvision)
vgg16        K. Simonyan and A. Zisserman, arXiv 1409.1556, configuration D
alexnet      A. Krizhevsky, arXiv 1404.5997: one tower
googlenet    C. Szegedy et al., arXiv 1409.4842, table 1, with its 5x5 kernels
lenet5       Y. LeCun et al., 1998, C1 padded to 28 x 28 and C3 fully connected
mobilenet    A. Howard et al., arXiv 1704.04861: the depthwise layers
resnext50    S. Xie et al., arXiv 1611.05431, 32x4d: the grouped layers
"""

import csv
import re
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

from fastconv._geometry import ConvGeometry, Pair, Pairs, conv_geometry

TABLES = ("lenet5", "alexnet", "vgg16", "googlenet", "resnet50", "mobilenet", "resnext50")

# What `fastconv bench` measures when no table is named: each kind of layer once.
_SHORT = {
    "lenet5": ("C1", "C3"),
    "alexnet": ("conv2",),
    "resnet50": ("conv1", "layer1.0.conv2", "layer1.0.conv3", "layer3.0.conv2", "layer4.1.conv2"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of a network.

    Parameters
    ----------
    table, name : str
        The network, and its first layer of this shape.
    in_channels, out_channels : int
        Channels C and K.
    size, kernel, stride, padding, dilation : tuple of two int
        Height and width of the input and of the kernel; padding is the same before and after.
    groups : int
        Groups of channels.
    count : int
        How many layers of the network have this shape.

    Examples
    --------
    >>> layer = load_table("resnet50")[6]
    >>> layer.name, str(layer), layer.count
    ('layer2.0.conv2', '3x3/2 128-128@56', 1)
    >>> layer.geometry(8).output_shape
    (8, 128, 28, 28)
    >>> layer.flops(1)
    231211008
    """

    table: str
    name: str
    in_channels: int
    out_channels: int
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    count: int

    @property
    def pairs(self) -> Pairs:
        """The padding as (before, after) pairs."""
        return tuple((p, p) for p in self.padding)

    def geometry(self, batch: int) -> ConvGeometry:
        """Return all sizes of the convolution of `batch` images."""
        return conv_geometry(
            (batch, self.in_channels, *self.size),
            (self.out_channels, self.in_channels // self.groups, *self.kernel),
            self.stride,
            self.pairs,
            self.dilation,
            self.groups,
        )

    def flops(self, batch: int) -> int:
        """Return the multiplications and additions of the formula, padding included.

        2 N K OH OW (C/groups) R S, for the forward pass and for either gradient.
        """
        _, *taps = self.geometry(batch).weight_shape
        _, *outputs = self.geometry(batch).output_shape
        total = 2 * batch
        for factor in (*taps, *outputs):
            total *= factor
        return total

    def __str__(self) -> str:
        """Return a short form: 3x3/2 128-128@56, then dilation (d2) and groups (g32) if any."""
        parts = [f"{self.kernel[0]}x{self.kernel[1]}"]
        if self.stride != (1, 1):
            parts.append(f"/{_short(self.stride)}")
        parts.append(f" {self.in_channels}-{self.out_channels}@{_short(self.size)}")
        if self.dilation != (1, 1):
            parts.append(f" d{_short(self.dilation)}")
        if self.groups != 1:
            parts.append(f" g{self.groups}")
        return "".join(parts)


def load_table(name: str) -> tuple[Layer, ...]:
    """Return the layers of a network.

    Parameters
    ----------
    name : str
        One of `TABLES`, or the path of a CSV file with the same columns, which ends in .csv.

    Returns
    -------
    tuple of Layer

    Raises
    ------
    ValueError
        If there is no such table, or a file is not such a table; the text names the line.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> [str(layer) for layer in load_table("lenet5")]
    ['5x5 1-6@28', '5x5 6-16@14']
    """
    if name in TABLES:
        text = (files("fastconv.benchmark") / "shapes" / f"{name}.csv").read_text("utf-8")
        return _parse(text, name, f"{name}.csv")
    if not name.endswith(".csv"):
        raise ValueError(f"table {name!r} does not exist; there are {', '.join(TABLES)}, or a .csv")
    try:
        text = Path(name).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not a text file ({error})") from error
    return _parse(text, Path(name).stem, name)


def short_table() -> tuple[Layer, ...]:
    """Return a few layers of several networks, each kind once.

    Returns
    -------
    tuple of Layer

    Examples
    --------
    >>> print(*short_table()[:4], sep=", ")
    5x5 1-6@28, 5x5 6-16@14, 5x5 64-192@27, 7x7/2 3-64@224
    """
    return tuple(
        layer
        for table, names in _SHORT.items()
        for layer in load_table(table)
        if layer.name in names
    )


def _parse(text: str, table: str, source: str) -> tuple[Layer, ...]:
    columns = ["layer", *(field.name for field in fields(Layer)[2:])]
    try:
        header, *lines = list(csv.reader(text.splitlines())) or [[]]
    except csv.Error as error:
        raise ValueError(f"{source}: not a readable table ({error})") from error
    if header != columns:
        raise ValueError(
            f"{source}: its columns are {','.join(header)!r}, expected {','.join(columns)!r}"
        )
    layers = []
    for number, cells in enumerate(lines, 2):
        try:
            layers.append(_layer(table, cells, columns))
        except ValueError as error:
            raise ValueError(f"{source}, line {number}: {error}") from error
    if not layers:
        raise ValueError(f"{source}: has no layer")
    if len({layer.name for layer in layers}) != len(layers):
        raise ValueError(f"{source}: two layers have the same name")
    return tuple(layers)


def _layer(table: str, cells: list[str], columns: list[str]) -> Layer:
    if len(cells) != len(columns):
        raise ValueError(f"has {len(cells)} cells, expected {len(columns)}")
    row = dict(zip(columns, cells, strict=True))
    layer = Layer(
        table,
        row["layer"],
        _number("in_channels", row["in_channels"]),
        _number("out_channels", row["out_channels"]),
        _pair("size", row["size"]),
        _pair("kernel", row["kernel"]),
        _pair("stride", row["stride"]),
        _pair("padding", row["padding"], minimum=0),
        _pair("dilation", row["dilation"]),
        _number("groups", row["groups"]),
        _number("count", row["count"]),
    )
    if layer.in_channels % layer.groups:
        raise ValueError(f"{layer.in_channels} input channels in {layer.groups} groups")
    layer.geometry(1)
    return layer


def _number(column: str, cell: str, minimum: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", cell) or int(cell) < minimum:
        raise ValueError(f"{column} is {cell!r}, expected a number of at least {minimum}")
    return int(cell)


def _pair(column: str, cell: str, minimum: int = 1) -> Pair:
    first, times, second = cell.partition("x")
    one = _number(column, first, minimum)
    return one, _number(column, second, minimum) if times else one


def _short(pair: Pair) -> str:
    """Return both numbers of a pair, or one that stands for both."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
