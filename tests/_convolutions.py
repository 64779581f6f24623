"""Convolutions over one to three axes, transposed or not: a table, and what they should give.

Those of two axes that are not transposed have a table of their own, in `_cases`.
"""

from functools import cache
from typing import Any, NamedTuple

from fastconv import _check, reference
from fastconv import functional as F
from fastconv._geometry import conv_geometry, transposed_geometry
from tests._cases import integers

RESULTS = ("output", "input gradient", "weight gradient", "bias gradient")


class Case(NamedTuple):
    """A convolution: batch, channels, size, output channels, kernel, and its options."""

    n: int
    c: int
    size: tuple
    k: int
    kernel: tuple
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    # None where it is not transposed.
    output_padding: Any = None

    def __str__(self):
        sizes = "x".join(map(str, (self.n, self.c, *self.size)))
        kernels = "x".join(map(str, (self.k, *self.kernel)))
        options = zip("spdgo", self[5:], (1, 0, 1, 1, None), strict=True)
        words = [f"{letter}{value}" for letter, value, default in options if value != default]
        return "-".join([sizes, kernels, *words]).replace(" ", "")

    @property
    def axes(self):
        return len(self.size)

    @property
    def transposed(self):
        return self.output_padding is not None

    @property
    def name(self):
        """The function's name."""
        return f"conv_transpose{self.axes}d" if self.transposed else f"conv{self.axes}d"

    @property
    def input_shape(self):
        return self.n, self.c, *self.size

    @property
    def weight_shape(self):
        if self.transposed:
            return self.c, self.k // self.groups, *self.kernel
        return self.k, self.c // self.groups, *self.kernel

    @property
    def options(self):
        """The arguments from stride on, in the function's order."""
        steps = self.stride, self.padding
        if self.transposed:
            return *steps, self.output_padding, self.groups, self.dilation
        return *steps, self.dilation, self.groups

    @property
    def keywords(self):
        """The same by name, for functions that take any convolution."""
        names = ("stride", "padding", "dilation", "groups", "output_padding")
        found = dict(zip(names, self[5:], strict=True))
        return found if self.transposed else {name: found[name] for name in names[:4]}

    @property
    def geometry(self):
        """What the package makes of it."""
        axes = self.axes
        steps = _check.integers("stride", self.stride, axes, 1)
        pads = _check.padding("padding", self.padding, axes)
        dilation = _check.integers("dilation", self.dilation, axes, 1)
        shapes = self.input_shape, self.weight_shape
        if self.transposed:
            added = _check.integers("output_padding", self.output_padding, axes, 0)
            return transposed_geometry(*shapes, steps, pads, added, dilation, self.groups)
        return conv_geometry(*shapes, steps, pads, dilation, self.groups)


CONVOLUTIONS = (
    Case(1, 1, (1,), 1, (1,)),
    Case(2, 5, (33,), 7, (3,), 1, 1),
    Case(1, 3, (200,), 13, (7,), 3, ((2, 4),), 2),
    Case(2, 6, (31,), 6, (4,), 4, ((6, 0),), 6, 3),
    Case(1, 2, (12,), 4, (2,), 5, 3, 1, 2),
    Case(1, 33, (700,), 7, (5,), 1, 2),
    Case(2, 1, (1000,), 20, (100,), 40),
    Case(1, 20, (90,), 20, (31,), 1, "same", 1, 20),
    Case(9, 3, (40,), 6, (5,), 1, "full"),
    Case(2, 17, (30,), 34, (3,), 2, "same_lower"),
    Case(1, 64, (130,), 96, (3,), 1, 1),
    Case(1, 1, (1, 1, 1), 1, (1, 1, 1)),
    Case(2, 3, (4, 5, 6), 7, (2, 3, 2)),
    Case(1, 2, (7, 6, 5), 3, (3, 2, 3), (2, 3, 1), ((1, 1), (2, 0), (0, 3)), (1, 2, 1)),
    Case(1, 2, (9, 5, 5), 3, (3, 1, 2), (2, 1, 2), ((2, 3), (0, 0), (1, 1)), (3, 1, 2)),
    Case(2, 6, (5, 4, 7), 9, (3, 3, 3), (3, 2, 2), ((4, 4), (3, 0), (0, 5)), (2, 1, 1), 3),
    Case(1, 4, (6, 3, 3), 4, (2, 2, 2), (4, 1, 1), 0, (4, 1, 1), 4),
    Case(1, 2, (3, 4, 5), 3, (2, 2, 2), (1, 2, 2), "full", (1, 1, 2)),
    Case(1, 2, (5, 6, 7), 3, (2, 3, 4), (2, 2, 3), "same"),
    Case(0, 2, (3, 4, 5), 3, (2, 2, 2), 1, "valid"),
    Case(2, 16, (5, 21, 33), 9, (3, 3, 3), 1, 1),
    Case(1, 3, (6, 20, 21), 16, (3, 7, 7), (1, 2, 2), (1, 3, 3)),
    Case(1, 32, (4, 12, 13), 48, (1, 3, 3), 1, (0, 1, 1)),
    Case(1, 40, (9, 6, 7), 20, (3, 1, 1), 1, (1, 0, 0)),
    Case(1, 18, (3, 9, 10), 18, (3, 3, 3), 1, 1, 1, 18),
    Case(9, 3, (4, 5, 6), 5, (1, 3, 2), 1, (0, 1, 0)),
)
TRANSPOSED = (
    Case(1, 1, (1,), 1, (1,), output_padding=0),
    Case(2, 5, (17,), 7, (4,), 2, 1, output_padding=0),
    Case(1, 6, (20,), 9, (3,), 3, ((0, 2),), 2, 3, output_padding=2),
    Case(2, 3, (9,), 5, (2,), 3, "valid", output_padding=1),
    Case(1, 20, (33,), 40, (5,), 1, 2, output_padding=0),
    # A dilation larger than the stride, and the output padding larger, too.
    Case(2, 2, (5,), 3, (3,), 1, 0, 4, output_padding=3),
    Case(1, 4, (6,), 4, (8,), 4, ((2, 1),), 1, 4, output_padding=3),
    Case(1, 1, (1, 1), 1, (1, 1), output_padding=0),
    Case(2, 8, (6, 7), 5, (2, 2), 2, output_padding=0),
    Case(1, 13, (4, 5), 17, (4, 4), 2, 1, output_padding=0),
    Case(3, 6, (5, 4), 6, (3, 3), 2, 1, output_padding=1),
    Case(2, 5, (7, 9), 6, (3, 3), 1, 1, output_padding=0),
    Case(1, 6, (4, 6), 9, (3, 2), (3, 2), ((0, 2), (1, 0)), (1, 2), 3, output_padding=(2, 1)),
    # Rows and columns that no tap reaches: they are the bias.
    Case(2, 4, (3, 4), 3, (2, 1), (3, 4), 0, output_padding=(2, 3)),
    Case(2, 4, (3, 4), 4, (1, 2), (3, 4), 0, 1, 4, output_padding=(2, 3)),
    Case(1, 2, (5, 5), 2, (3, 3), (1, 2), ((4, 1), (6, 0)), output_padding=(0, 1)),
    Case(2, 7, (6, 5), 14, (3, 3), 2, 1, 1, 7, output_padding=1),
    Case(1, 3, (8, 8), 3, (5, 5), 1, 2, 1, 3, output_padding=0),
    Case(17, 3, (6, 5), 4, (3, 3), 2, 1, output_padding=1),
    Case(9, 16, (7, 6), 16, (3, 3), 1, 1, 1, 2, output_padding=0),
    Case(1, 70, (4, 4), 40, (4, 4), 2, 1, output_padding=0),
    Case(2, 512, (4, 3), 130, (4, 4), 2, 1, output_padding=0),
    Case(0, 3, (4, 5), 2, (2, 2), 2, output_padding=0),
    Case(2, 1, (1, 1), 3, (3, 2), 5, 0, output_padding=4),
    Case(1, 1, (1, 1, 1), 1, (1, 1, 1), output_padding=0),
    Case(2, 3, (3, 4, 5), 4, (2, 2, 2), 2, output_padding=0),
    Case(1, 4, (3, 4, 3), 6, (3, 3, 3), (2, 1, 2), 1, 1, 2, output_padding=(1, 0, 1)),
    Case(
        1, 3, (2, 3, 4), 3, (1, 2, 3), (2, 3, 1), ((0, 1), (0, 0), (2, 0)), output_padding=(1, 2, 0)
    ),
    Case(2, 5, (3, 3, 4), 5, (3, 2, 3), (4, 2, 3), 1, 1, 5, output_padding=(3, 0, 2)),
)
CASES = CONVOLUTIONS + TRANSPOSED


class Problem(NamedTuple):
    """The arrays of a convolution, and what they give: output and three gradients."""

    x: Any
    weight: Any
    bias: Any
    residual: Any
    y: Any
    dx: Any
    dweight: Any
    dbias: Any

    @property
    def arrays(self):
        return self[:4]

    @property
    def results(self):
        return self[4:]

    def astype(self, dtype):
        return Problem(*(array.astype(dtype) for array in self))


def gradients(module, case, x, weight, residual, **options):
    """Return the three gradients of a case by the functions of a module."""
    name = case.name
    return (
        getattr(module, f"{name}_input")(x.shape, weight, residual, *case.options, **options),
        getattr(module, f"{name}_weight")(x, weight.shape, residual, *case.options, **options),
        getattr(module, f"{name}_bias")(residual),
    )


def forward(module, case, x, weight, bias, **options):
    """Return the output of a case by the function of a module."""
    return getattr(module, case.name)(x, weight, bias, *case.options, **options)


def draw_arrays(case, draw):
    """Return input, weight, bias and residual of a case; `draw` is called with shape and seed."""
    geometry = case.geometry
    shape = geometry.input_shape if case.transposed else geometry.output_shape
    shapes = case.input_shape, case.weight_shape, (case.k,), shape
    return [draw(shape, seed) for seed, shape in enumerate(shapes, 1)]


@cache
def problem(case):
    """Return the arrays of a case, integers in float64, and the reference's results."""
    x, weight, bias, residual = draw_arrays(case, lambda shape, seed: integers(shape, seed=seed))
    y = forward(reference, case, x, weight, bias)
    solved = Problem(x, weight, bias, residual, y, *gradients(reference, case, x, weight, residual))
    for array in solved:
        array.flags.writeable = False
    return solved


def compute(case, arrays, algorithm="auto"):
    """Return the fast results in the order of `RESULTS`."""
    x, weight, bias, residual = arrays
    return (
        forward(F, case, x, weight, bias, algorithm=algorithm),
        *gradients(F, case, x, weight, residual, algorithm=algorithm),
    )
