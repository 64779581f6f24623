"""Full connection.

y = x W^T + b, with a factor for each term if wanted. All three products of a full connection run on
the engine (`gemm.matmul`), with a fixed order of summation. Their sums may have any length; at most
65,536 products are added at once, and the results in double precision, so that the error does not
grow with it.
"""

from functools import partial
from itertools import chain, pairwise, repeat

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.base.memory import empty
from fastconv.engine.errors import PIECE_TERMS
from fastconv.engine.gemm.matmul import full_connection, full_gradients, multiply
from fastconv.engine.ops.sums import sum_rows
from fastconv.functional._pieces import add_pieces

NOWHERE = (None, None, None)


def linear(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Multiply the input with the weights of a full connection and add the bias.

    Parameters
    ----------
    input : ndarray, shape (..., in_features)
        Float32 or float64.
    weight : ndarray, shape (out_features, in_features)
        Of the input's dtype.
    bias : ndarray, shape (out_features,), optional
        Added to each row of the result.
    alpha, beta : float
        Factors of the product and of the bias, as in BLAS's gemm and in ONNX's Gemm.
    out : ndarray, optional
        Where to write the result.

    Returns
    -------
    ndarray, shape (..., out_features)
        alpha * input @ weight.T + beta * bias.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the sizes do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0]]), np.array([0.5, 0.0]))
    array([[3.5, 6. ]])
    """
    if out is None and alpha == 1 and beta == 1:
        # Nearly every call ends here.
        plain: Array | None = full_connection(input, weight, bias, PIECE_TERMS)
        if plain is not None:
            return plain
    input, weight = _operands(input, weight)
    shape = (*input.shape[:-1], weight.shape[0])
    if bias is not None:
        bias = _check.array("bias", bias)
        if bias.dtype is not input.dtype:
            _check.same_dtype("bias", bias, "input", input)
        if bias.shape != shape[-1:]:
            _check.same_shape("bias", bias, shape[-1:], "(weight.shape[0],)")
    if alpha != 1 or beta != 1:
        weight = weight if alpha == 1 else _scaled(weight, "alpha", alpha)
        bias = bias if bias is None or beta == 1 else _scaled(bias, "beta", beta)
    if out is None:
        result = _check.new(shape, input.dtype)
        _multiply(_rows(input), weight.T, bias, _rows(result))
        return result
    result = _output_rows(out, shape, input, weight, *(() if bias is None else (bias,)))
    _multiply(_rows(input), weight.T, bias, _rows(result))
    return _check.deliver(result, out)


def linear_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    output_mask: tuple[bool, bool, bool] = (True, True, True),
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of a full connection with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : ndarray, shape (..., out_features)
        Gradient with respect to the output of `linear`.
    input : ndarray, shape (..., in_features)
        The input of `linear`.
    weight : ndarray, shape (out_features, in_features)
        The weights.
    alpha, beta : float
        As in `linear`.
    output_mask : tuple of three bool
        Which of the three to compute.
    out : tuple of three ndarray or None, optional
        Where to write each of them; None for a new array, and where `output_mask` is False. They
        may overlap the three arguments, but not each other.

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        alpha * grad_output @ weight, alpha * grad_output^T @ input, and beta times the sum of
        grad_output over all but the last axis; None where masked. In float32 the error of grad_bias
        is at most 64 eps times the sum of ``|grad_output|``, below 1e-6 of it in practice.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the sizes do not fit together, or `out` has an array for
        a gradient that is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0]])
    >>> F.linear_backward(np.array([[1.0, 10.0]]), x, w)
    (array([[ 1., 31.]]), array([[ 1.,  2.], [10., 20.]]), array([ 1., 10.]))
    """
    for_input, for_weight, for_bias = mask = _check.output_mask(output_mask)
    if out is None and alpha == 1 and beta == 1:
        # Nearly every call ends here.
        found = full_gradients(grad_output, input, weight, for_input, for_weight, PIECE_TERMS)
        if found is not None:
            grad_input, grad_weight = found
            grad_bias = None
            if for_bias:
                grad_bias = _check.new(weight.shape[:1], weight.dtype)
                sum_rows(grad_output, grad_bias)
            return grad_input, grad_weight, grad_bias
    input, weight = _operands(input, weight)
    grad_output = _check.array("grad_output", grad_output)
    dtype = input.dtype
    if grad_output.dtype is not dtype:
        _check.same_dtype("grad_output", grad_output, "input", input)
    shape = (*input.shape[:-1], weight.shape[0])
    if grad_output.shape != shape:
        formula = "(*input.shape[:-1], weight.shape[0])"
        _check.same_shape("grad_output", grad_output, shape, formula)
    outs = NOWHERE if out is None else _check.outputs(out, mask)
    arrays = input, weight, grad_output

    def result(place: int, shape: Ints) -> Array:
        if outs[place] is None:
            return _check.new(shape, dtype)
        return _output_rows(outs[place], shape, *arrays)

    residual = _rows(grad_output)
    grad_input = grad_weight = grad_bias = None
    if for_input:
        grad_input = result(0, input.shape)
        factors = weight if alpha == 1 else _scaled(weight, "alpha", alpha)
        _multiply(residual, factors, None, _rows(grad_input))
    if for_weight:
        grad_weight = result(1, weight.shape)
        _multiply(residual.T, _rows(input), None, grad_weight)
        if alpha != 1:
            _scale(grad_weight, "alpha", alpha)
    if for_bias:
        grad_bias = result(2, weight.shape[:1])
        if residual.size:
            sum_rows(residual, grad_bias)
        else:
            grad_bias[...] = 0
        if beta != 1:
            _scale(grad_bias, "beta", beta)
    if out is None:
        return grad_input, grad_weight, grad_bias
    # Not before all are computed: they may overlap what was read.
    return _check.deliver_all((grad_input, grad_weight, grad_bias), outs)


def _operands(input: Array, weight: Array) -> tuple[Array, Array]:
    input, weight = _check.array("input", input), _check.array("weight", weight)
    if weight.dtype is not input.dtype:
        _check.same_dtype("weight", weight, "input", input)
    shape = weight.shape
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"weight must be (out_features, in_features), none of them 0, got shape {shape}"
        )
    if input.shape[-1:] != shape[1:]:
        raise ValueError(
            f"input must be (..., in_features) with in_features = weight.shape[1] = {shape[1]}, "
            f"got shape {input.shape}"
        )
    return input, weight


def _scaled(values: Array, name: str, factor: float) -> Array:
    """Return an array times a factor."""
    return _scale(values.copy(), name, factor)


def _scale(values: Array, name: str, factor: float) -> Array:
    """Multiply an array by a factor in place."""
    with np.errstate(all="ignore"):
        values *= _check.number(name, factor)
    return values


def _output_rows(out: object, shape: Ints, *inputs: Array) -> Array:
    """Return an array for a result, `out` or a stand-in for it, whose rows are a matrix."""
    dtype = inputs[0].dtype
    result = _check.output(out, shape, dtype, *inputs)
    if result.ndim != 2 and not result.flags.c_contiguous:
        # Its rows are no matrix with one stride.
        result = empty(shape, dtype)
    return result


def _multiply(left: Array, right: Array, bias: Array | None, result: Array) -> None:
    """Write left @ right, plus a bias for each column, into `result`."""
    rows, steps = left.shape
    if not (rows and steps):
        # No sample: nothing to write, or (where samples are summed over) a sum of nothing.
        result[...] = 0
    elif steps <= PIECE_TERMS:
        multiply(left, right, bias, result)
    else:
        parts = -(-steps // PIECE_TERMS)
        borders = [part * steps // parts for part in range(parts + 1)]
        # The bias is added in the first piece.
        shifts = chain((bias,), repeat(None))
        add_pieces(
            (
                partial(multiply, left[:, first:past], right[first:past], shift)
                for (first, past), shift in zip(pairwise(borders), shifts, strict=False)
            ),
            result,
        )


def _rows(values: Array) -> Array:
    """Return (..., features) as a matrix."""
    return values if values.ndim == 2 else values.reshape(-1, values.shape[-1])
