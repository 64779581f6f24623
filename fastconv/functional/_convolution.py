"""Convolutions over one to three axes, transposed or not, and their gradients: what they share.

Each public function names its operation (`OPERATIONS` in `_calls`), and hands over its arrays and
its `arguments`: stride, padding, dilation, groups and algorithm, and the output padding of a
transposed convolution.

    conv            forward           input gradient    weight gradient
    conv_transpose  input gradient    forward           weight gradient, input and residual swapped
"""

from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np

from fastconv import _check
from fastconv._check import Array
from fastconv._geometry import Ints
from fastconv.engine.choice import prepare
from fastconv.engine.ops.sums import sum_maps
from fastconv.functional._calls import OPERATIONS, Call, calls, find_backward, find_call
from fastconv.functional._ending import Activation, check_residual, read_activation
from fastconv.functional._prepared import PreparedWeight

Gradients: TypeAlias = tuple[Array | None, Array | None, Array | None]
Arguments: TypeAlias = tuple[Any, ...]

NOWHERE = (None, None, None)


def convolve(
    name: str,
    input: Array,
    weight: Array | PreparedWeight,
    bias: Array | None,
    arguments: Arguments,
    out: Array | None,
    residual: Array | None = None,
    activation: Activation = None,
) -> Array:
    """Return a convolution or a transposed one, written into `out` if that is given.

    One that is not transposed may have a residual and an activation.
    """
    input = _check.array("input", input)
    ready = None
    if isinstance(weight, PreparedWeight):
        ready, weight = weight, weight.weight
    weight = _check.array("weight", weight)
    dtype = input.dtype
    if weight.dtype is not dtype:
        _check.same_dtype("weight", weight, "input", input)
    call = find_call(name, dtype, input.shape, weight.shape, arguments)
    if bias is not None:
        bias = _check.array("bias", bias)
        if bias.dtype is not dtype:
            _check.same_dtype("bias", bias, "input", input)
        if bias.shape != call.bias_shape:
            transposed = call.operation.transposed
            formula = "(weight.shape[1]*groups,)" if transposed else "(weight.shape[0],)"
            _check.same_shape("bias", bias, call.bias_shape, formula)
    more: tuple[Any, ...] = ()
    if ready is not None:
        ready.check(name, call.plan)
        more = (ready.data,)
    axes = call.operation.axes
    if residual is not None:
        residual = check_residual("residual", residual, call.output_shape, dtype)
    if out is None:
        result = _check.new(call.output_shape, dtype)
    else:
        inputs = [value for value in (input, weight, bias, residual) if value is not None]
        result = _check.output(out, call.output_shape, dtype, *inputs, axes=axes)
    if residual is not None or activation is not None:
        if residual is not None:
            residual, result = _alike(residual, result)
        more = (*(more or (None,)), residual, read_activation(activation))
    if result.size:
        batched = input.ndim == axes + 2
        maps, target = (input, result) if batched else (input[None], result[None])
        if residual is not None and not batched:
            more = (more[0], residual[None], more[2])
        call.compute(maps, weight, bias, target, *more)
    return result if out is None else _check.deliver(result, out)


def _alike(residual: Array, result: Array) -> tuple[Array, Array]:
    """Return a residual and a result that lie in memory in the same way, new ones where needed.

    Kernels find each number of the residual by that of the result.
    """
    if residual.strides != result.strides:
        residual = np.ascontiguousarray(residual)
        if residual.strides != result.strides:
            result = _check.new(result.shape, result.dtype)
    return residual, result


def prepare_for(
    name: str, exactly: int, weight: Array, size: Ints, arguments: Arguments
) -> PreparedWeight:
    """Prepare weights for an operation as inside of `exact`, or as outside of it."""
    call: Call = calls(name, weight.dtype.char, exactly, size, weight.shape, *arguments)
    copy = weight.copy()
    copy.flags.writeable = False
    plan, computed = call.plan, call.operation.computed
    data = prepare(computed, plan.geometry, copy.dtype.name, plan.algorithm, copy)
    # The caller may change a list among the arguments later.
    again = (name, exactly, copy, size, deepcopy(arguments))
    return PreparedWeight(name, copy, plan, data, (prepare_for, again))


def input_gradient(
    name: str,
    input_size: Ints,
    weight: Array,
    grad_output: Array,
    arguments: Arguments,
    out: Array | None,
) -> Array:
    """Return the gradient with respect to the input."""
    axes = OPERATIONS[name].axes
    size = _check.size("input_size", input_size, axes)
    weight = _check.array("weight", weight)
    grad_output = _check.array("grad_output", grad_output)
    _check.same_dtype("grad_output", grad_output, "weight", weight)
    call = find_call(name, weight.dtype, size, weight.shape, arguments)
    call.check_residual(grad_output)
    result = _check.output(out, size, weight.dtype, weight, grad_output, axes=axes)
    _compute_input_gradient(call, grad_output, weight, result)
    return _check.deliver(result, out)


def weight_gradient(
    name: str,
    input: Array,
    weight_size: Ints,
    grad_output: Array,
    arguments: Arguments,
    out: Array | None,
) -> Array:
    """Return the gradient with respect to the weights."""
    operation = OPERATIONS[name]
    input = _check.array("input", input)
    grad_output = _check.array("grad_output", grad_output)
    _check.same_dtype("grad_output", grad_output, "input", input)
    entries = operation.axes + 2
    if not isinstance(weight_size, tuple | list) or len(weight_size) != entries:
        raise ValueError(f"weight_size must be {operation.weight_formula}, got {weight_size!r}")
    size = _check.integers("weight_size", weight_size, entries, 1)
    call = find_call(name, input.dtype, input.shape, size, arguments)
    call.check_residual(grad_output)
    result = _check.output(out, size, input.dtype, input, grad_output, axes=operation.axes)
    _compute_weight_gradient(call, input, grad_output, result)
    return _check.deliver(result, out)


def bias_gradient(axes: int, grad_output: Array, out: Array | None) -> Array:
    """Return the gradient with respect to the bias."""
    grad_output = _check.array("grad_output", grad_output)
    _check.rank("grad_output", grad_output.shape, axes)
    shape = grad_output.shape[-axes - 1 : -axes]
    result = _check.output(out, shape, grad_output.dtype, grad_output)
    if result.size:
        _compute_bias_gradient(axes, grad_output, result)
    return _check.deliver(result, out)


def backward(
    name: str,
    input: Array,
    weight: Array,
    grad_output: Array,
    arguments: Arguments,
    output_mask: tuple[bool, bool, bool],
    out: Gradients | None,
    skip: Array | None,
) -> Gradients:
    """Return the gradients with respect to input, weight and bias; None where masked.

    The first has `skip` added to it.
    """
    input = _check.array("input", input)
    weight = _check.array("weight", weight)
    grad_output = _check.array("grad_output", grad_output)
    dtype = input.dtype
    if weight.dtype is not dtype:
        _check.same_dtype("weight", weight, "input", input)
    if grad_output.dtype is not dtype:
        _check.same_dtype("grad_output", grad_output, "input", input)
    for_input, for_weight, for_bias = mask = _check.output_mask(output_mask)
    outs = NOWHERE if out is None else _check.outputs(out, mask)
    for_x, for_w = find_backward(name, dtype, input.shape, weight.shape, arguments)
    if grad_output.shape != for_w.output_shape:
        for_w.check_residual(grad_output)
    arrays = [input, weight, grad_output]
    axes = for_w.operation.axes
    if skip is not None:
        skip = check_residual("skip", skip, input.shape, dtype, "input.shape")
        arrays.append(skip)

    def result(place: int, shape: Ints, axes: int = 2) -> Array:
        if outs[place] is None:
            return _check.new(shape, dtype)
        return _check.output(outs[place], shape, dtype, *arrays, axes=axes)

    grad_input = grad_weight = grad_bias = None
    if for_input:
        grad_input = result(0, input.shape, axes)
        if skip is not None:
            skip, grad_input = _alike(skip, grad_input)
        _compute_input_gradient(for_x, grad_output, weight, grad_input, skip)
    if for_weight:
        grad_weight = result(1, weight.shape, axes)
        _compute_weight_gradient(for_w, input, grad_output, grad_weight)
    if for_bias:
        grad_bias = result(2, for_w.bias_shape)
        _compute_bias_gradient(axes, grad_output, grad_bias)
    if out is None:
        return grad_input, grad_weight, grad_bias
    # Not before all are computed: they may overlap what was read.
    return _check.deliver_all((grad_input, grad_weight, grad_bias), outs)


def _compute_input_gradient(
    call: Call, grad_output: Array, weight: Array, grad_input: Array, skip: Array | None = None
) -> None:
    if grad_input.size:
        axes = call.operation.axes
        residual, maps = _check.batch(grad_output, axes), _check.batch(grad_input, axes)
        more = () if skip is None else (None, _check.batch(skip, axes))
        call.compute(residual, weight, None, maps, *more)


def _compute_weight_gradient(
    call: Call, input: Array, grad_output: Array, grad_weight: Array
) -> None:
    operation = call.operation
    maps, residual = _check.batch(input, operation.axes), _check.batch(grad_output, operation.axes)
    if operation.transposed:
        maps, residual = residual, maps
    if residual.size:
        call.compute(maps, residual, grad_weight)
    else:
        grad_weight[...] = 0


def _compute_bias_gradient(axes: int, grad_output: Array, grad_bias: Array) -> None:
    residual = _check.batch(grad_output, axes)
    if axes == 1:
        residual = residual[:, :, None]
    elif axes == 3:
        # As planes; where the strides do not allow that it is copied.
        depth, rows, columns = residual.shape[2:]
        residual = residual.reshape(*residual.shape[:2], depth * rows, columns)
    sum_maps(residual, grad_bias)
