"""What a convolution would do: which algorithm, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _check
from fastconv._check import PaddingLike, PerAxis
from fastconv._geometry import ConvGeometry
from fastconv.engine.base.isa import isa
from fastconv.engine.base.operation import placeless
from fastconv.engine.choice import only_exact, refusals
from fastconv.engine.errors import Magnitude
from fastconv.engine.plan import ALGORITHMS, Algorithm
from fastconv.functional._calls import OPERATIONS, find_call


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a convolution is computed; str() gives it as a table.

    Attributes
    ----------
    operation : str
        "conv2d", "conv2d_input" or "conv2d_weight"; or that of another convolution.
    algorithm : str
        The one that computes it.
    variant : str
        Which of its loops, for contiguous arrays.
    isa : str
        The instruction set of the kernels.
    tile : tuple of int, or None
        Rows and columns of the largest register tile, in numbers, if the loops have one.
    threads : int
        At most so many share the work.
    workspace_bytes : int
        Memory of one call beside its result, with so many threads.
    flops : int
        Floating-point operations of the formula: two for each product.
    connections : int
        Pairs of an input and an output with a weight between them: the formula's products, but for
        those with cells of the padding.
    error_bound : float
        The error of each element of the result is at most this times the sum of its products'
        absolute values; of "winograd" and "fft" times something larger, see `error_measure`.
    error_measure : str
        What that is: norms of what moves as the input does (x) and as the weights do (w).
    magnitude_limits : tuple of three float
        Nothing overflows, without a bias, while the largest absolute values in x and in w, and the
        product of these two, are at most so large: x is the input, or `grad_output` in
        "conv2d_input"; w is the weights, or `grad_output` in "conv2d_weight". In
        "conv_transpose2d_weight" x is `grad_output` and w the input. Beyond, intermediate results
        may, and make results infinite or NaN, even those that are small.
    reason, variant_reason : str
        Why this algorithm, and why this variant of it.
    refused : dict of str
        The other algorithms, each with the reason why not.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.explain("conv2d", (1, 3, 9, 9), (8, 3, 3, 3), algorithm="direct").workspace_bytes
    0

    Before it multiplies, "winograd" transforms each array into larger numbers:

    >>> found = fastconv.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> print(*(f"{limit:.1e}" for limit in found.magnitude_limits))
    9.5e+36 1.8e+38 9.4e+33
    """

    operation: str
    algorithm: str
    variant: str
    isa: str
    tile: tuple[int, int] | None
    threads: int
    workspace_bytes: int
    flops: int
    connections: int
    error_bound: float
    error_measure: str
    magnitude_limits: Magnitude
    reason: str
    variant_reason: str
    refused: dict[str, str]

    def __str__(self) -> str:
        tile = "-" if self.tile is None else f"{self.tile[0]} x {self.tile[1]}"
        x, w, both = self.magnitude_limits
        lines = [
            ("operation", self.operation),
            ("algorithm", f"{self.algorithm}: {self.reason}"),
            ("variant", f"{self.variant}: {self.variant_reason}"),
            ("isa", self.isa),
            ("tile", tile),
            ("threads", f"at most {self.threads}"),
            ("workspace", f"{self.workspace_bytes:,} bytes"),
            ("flops", f"{self.flops:,}"),
            ("connections", f"{self.connections:,}"),
            ("error", f"at most {self.error_bound:.1e} * {self.error_measure}"),
            (
                "overflow",
                f"none up to about |x| = {x:.1e}, |w| = {w:.1e}, max |x| max |w| = {both:.1e}",
            ),
            *((f"not {name}", reason) for name, reason in self.refused.items()),
        ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:{width}}  {text}" for name, text in lines)


def explain(
    operation: str,
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    *,
    dtype: DTypeLike = np.float32,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    output_padding: PerAxis = 0,
) -> Explanation:
    """Say how a convolution of these shapes is computed, and why; nothing is computed.

    Parameters
    ----------
    operation : {"conv2d", "conv2d_input", "conv2d_weight"} or another
        The convolution, or its gradient with respect to the input or the weights: over one to three
        axes, and transposed, as in "conv_transpose3d".
    input_shape : tuple of int, (N, C, H, W) or (C, H, W)
        Shape of the input.
    weight_shape : tuple of int, (K, C/groups, R, S)
        Shape of the weights; (C, K/groups, R, S) of a transposed convolution.
    dtype : dtype
        float32 or float64.
    stride, padding, dilation, groups, padding_mode, algorithm
        As in `fastconv.functional.conv2d`.
    output_padding : int or tuple of int
        As in `fastconv.functional.conv_transpose2d`.

    Returns
    -------
    Explanation
        The algorithm, its reason, workspace, cost, error bound and limits of magnitude, and why no
        other.

    Raises
    ------
    TypeError, ValueError
        As the operation itself; also if there is no such operation.

    Examples
    --------
    >>> import fastconv
    >>> found = fastconv.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> found.algorithm, found.flops
    ('winograd', 1849688064)
    >>> found.refused["depthwise"]
    'it needs one input channel in each group, here are 64'
    """
    if operation not in OPERATIONS:
        known = ", ".join(map(repr, OPERATIONS))
        raise ValueError(f"operation must be one of {known}, got {operation!r}")
    kind = np.dtype(dtype)
    if kind not in _check.C_TYPES:
        raise TypeError(f"dtype must be float32 or float64, got {kind}")
    wanted = OPERATIONS[operation]
    size = _check.size("input_size", tuple(input_shape), wanted.axes)
    weights = _check.integers("weight_shape", tuple(weight_shape), wanted.axes + 2, 1)
    if not wanted.transposed and output_padding != 0:
        raise ValueError(f"output_padding is for transposed convolutions, got {output_padding!r}")
    if wanted.transposed and padding_mode != "zeros":
        raise ValueError(f"transposed convolutions have no padding_mode, got {padding_mode!r}")
    arguments = (stride, padding, dilation, groups, algorithm, output_padding, padding_mode)
    call = find_call(operation, kind, size, weights, arguments)
    plan, geometry, computed = call.plan, call.plan.geometry, wanted.computed
    chosen = next(row for row in ALGORITHMS if row.name == plan.algorithm)
    if prod(geometry.output_shape) * prod(geometry.input_shape):
        shapes = geometry.input_shape, geometry.weight_shape, geometry.output_shape
        choice = call.choice(*(placeless(shape, kind) for shape in shapes))
        row, tile, threads, workspace = choice.row, choice.tile, choice.threads, choice.workspace
    else:
        # Nothing is computed.
        row = next(row for row in reversed(chosen.variants) if computed in row.operations)
        tile, threads, workspace = None, 1, 0
    if call.boundary is not None:
        workspace += call.boundary.maps_bytes
    bounds = row.bounds
    return Explanation(
        operation,
        plan.algorithm,
        row.name,
        isa(),
        tile,
        threads,
        workspace,
        2 * prod(geometry.output_shape) * prod(geometry.weight_shape[1:]),
        geometry.connections,
        bounds.error(geometry, computed) * float(np.finfo(kind).eps),
        bounds.measure,
        bounds.magnitude_limits(geometry, computed, kind.name),
        chosen.why if algorithm == "auto" else "asked for",
        row.why,
        _refused(geometry, chosen, algorithm == "auto"),
    )


def _refused(geometry: ConvGeometry, chosen: Algorithm, auto: bool) -> dict[str, str]:
    """Return why each other algorithm was not chosen."""
    place = ALGORITHMS.index(chosen)
    reasons = refusals(geometry, bool(only_exact()))
    refused = {}
    for row in ALGORITHMS[:place] + ALGORITHMS[place + 1 :]:
        if not auto:
            why = "another was asked for"
        elif row in ALGORITHMS[:place]:
            why = "it would be slower here"
        else:
            why = f"{chosen.name} comes before it"
        refused[row.name] = reasons[row.name] or why
    return refused
