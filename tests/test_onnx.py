"""The node tests of ONNX: its own arrays, through an adapter that translates words and no numbers.

A row of OPERATORS says which function computes an operator, and what its attributes and inputs
become. The adapter computes nothing: it renames, and puts integers into pairs.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from fastconv import functional as F

onnx = pytest.importorskip("onnx", reason="onnx is not installed, skipped: its node tests")

FLOATS = (np.float32, np.float64)


class Operator(NamedTuple):
    """How a node is computed: of its inputs, its attributes and the number of its outputs."""

    compute: Callable
    dtypes: tuple = FLOATS


@cache
def node_tests():
    """Return the models that ONNX builds, each with its arrays."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def attributes(node):
    """Return a node's attributes; bytes are words."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def spatial(name, x):
    """Return the function for the axes that an input has."""
    return getattr(F, name.format(x.ndim - 2))


def window(given, axes):
    """Return kernel, stride, padding, dilation and ceil_mode, by our names."""
    pads = given.get("pads", [0] * 2 * axes)
    words = {"NOTSET": None, "SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}
    word = words[given.get("auto_pad", "NOTSET")]
    return {
        "kernel_size": tuple(given["kernel_shape"]),
        "stride": tuple(given.get("strides", [1] * axes)),
        "padding": word or tuple(zip(pads[:axes], pads[axes:], strict=True)),
        "dilation": tuple(given.get("dilations", [1] * axes)),
        "ceil_mode": "onnx" if given.get("ceil_mode") else False,
    }


def max_pool(inputs, given, outputs):
    (x,) = inputs
    found = spatial("max_pool{}d", x)(x, **window(given, x.ndim - 2), return_indices=outputs == 2)
    return found if outputs == 2 else (found,)


def average_pool(inputs, given, outputs):
    (x,) = inputs
    include = bool(given.get("count_include_pad", 0))
    pool = spatial("avg_pool{}d", x)
    return (pool(x, **window(given, x.ndim - 2), count_include_pad=include),)


def lp_pool(inputs, given, outputs):
    (x,) = inputs
    return (spatial("lp_pool{}d", x)(x, given.get("p", 2), **window(given, x.ndim - 2)),)


def global_pool(name):
    def compute(inputs, given, outputs):
        (x,) = inputs
        return (spatial(name, x)(x, 1),)

    return compute


def max_unpool(inputs, given, outputs):
    x, indices, *size = inputs
    options = window(given, x.ndim - 2)
    wanted = tuple(size[0].tolist()) if size else None
    return (
        spatial("max_unpool{}d", x)(
            x, indices, options["kernel_size"], options["stride"], output_size=wanted
        ),
    )


OPERATORS = {
    "AveragePool": Operator(average_pool),
    "GlobalAveragePool": Operator(global_pool("adaptive_avg_pool{}d")),
    "GlobalMaxPool": Operator(global_pool("adaptive_max_pool{}d")),
    "LpPool": Operator(lp_pool),
    "MaxPool": Operator(max_pool, (*FLOATS, np.uint8, np.int8)),
    "MaxUnpool": Operator(max_unpool),
}
# Tests that do not hold here, and why.
EXEMPT = {
    "test_maxpool_with_argmax_2d_precomputed_strides": "places in column-major order",
    "test_maxunpool_export_with_output_shape": "places of a map that is smaller than the result",
}


def serves(case):
    nodes = case.model.graph.node
    if len(nodes) != 1 or nodes[0].op_type not in OPERATORS:
        return False
    dtypes = OPERATORS[nodes[0].op_type].dtypes
    return case.data_sets[0][0][0].dtype in dtypes


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_nodes_of(name):
    """Every node test of an operator, but those that are exempt."""
    ran = 0
    for case in node_tests():
        if not serves(case) or case.model.graph.node[0].op_type != name or case.name in EXEMPT:
            continue
        node = case.model.graph.node[0]
        for inputs, expected in case.data_sets:
            found = OPERATORS[name].compute(inputs, attributes(node), len(expected))
            for ours, theirs in zip(found, expected, strict=True):
                assert ours.dtype == theirs.dtype, case.name
                np.testing.assert_allclose(
                    ours, theirs, rtol=case.rtol, atol=case.atol, err_msg=case.name
                )
        ran += 1
    assert ran > 0


def test_exempt_ones_exist():
    names = {case.name for case in node_tests() if serves(case)}
    assert set(EXEMPT) <= names
