"""The node tests of ONNX: its own arrays and expected values, for the operators of a CNN.

A test named "..._expanded" holds the arrays of the node test before that name, of which it writes
the operator as a graph of smaller ones: the operator itself is computed, by that node's attributes.
"""

import warnings
from functools import cache

import numpy as np
import pytest

from tests._onnx_nodes import OPERATORS

onnx = pytest.importorskip("onnx", reason="onnx is not installed, skipped: its node tests")

# Operators of which only the first outputs are compared: ONNX's running variance is that of the
# batch, ours the unbiased estimate, as in PyTorch.
COMPARED = {"BatchNormalization": 2}
# Tests that do not hold here, and why; so for what they are expanded to.
RATIO = "interpolate has no ratio to keep"
CUBIC = "bicubic is torch's: a = -0.75, and cells outside are the border's"
EXEMPT = {
    "edge_pad": "integers",
    "reflect_pad": "integers",
    "wrap_pad": "integers",
    "resize_downsample_scales_cubic_antialias": "no antialias",
    "resize_downsample_scales_cubic_A_n0p5_exclude_outside": CUBIC,
    "resize_downsample_scales_linear_antialias": "no antialias",
    "resize_downsample_sizes_cubic_antialias": "no antialias",
    "resize_downsample_sizes_linear_antialias": "no antialias",
    "resize_downsample_sizes_nearest_not_larger": RATIO,
    "resize_downsample_sizes_nearest_not_smaller": RATIO,
    "resize_tf_crop_and_resize": "no crop",
    "resize_tf_crop_and_resize_axes_2_3": "no crop",
    "resize_tf_crop_and_resize_axes_3_2": "no crop",
    "resize_tf_crop_and_resize_extrapolation_value": "no crop",
    "resize_upsample_scales_cubic_A_n0p5_exclude_outside": CUBIC,
    "resize_upsample_sizes_nearest_not_larger": RATIO,
    "resize_upsample_sizes_nearest_not_smaller": RATIO,
}


@cache
def node_tests():
    """Return (name, node, case) of each test of an operator; ONNX builds them in memory."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    named = {case.name.removeprefix("test_"): case for case in cases}
    found = []
    for name, case in named.items():
        nodes = named.get(name.partition("_expanded")[0], case).model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS:
            found.append((name, nodes[0], case))
    return found


def attributes(node):
    """Return a node's attributes; bytes are words."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def check(name, node, case):
    """Compute a node and compare what it must give, to the tolerance that the test names."""
    for given, expected in case.data_sets:
        arrays = iter(given)
        inputs = [next(arrays) if word else None for word in node.input]
        found = OPERATORS[node.op_type](inputs, attributes(node), len(expected))
        compared = COMPARED.get(node.op_type, len(expected))
        for ours, theirs in zip(found[:compared], expected[:compared], strict=True):
            assert ours.dtype == theirs.dtype, name
            np.testing.assert_allclose(
                ours, theirs, rtol=case.rtol, atol=case.atol, err_msg=f"{name}, {given}"
            )


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_nodes_of(operator):
    """Every test of an operator, but those that are exempt."""
    tests = [test for test in node_tests() if test[1].op_type == operator]
    assert tests
    for name, node, case in tests:
        if name.partition("_expanded")[0] not in EXEMPT:
            check(name, node, case)


@pytest.mark.parametrize("exempt", sorted(EXEMPT))
def test_exempt_ones_do_not_hold(exempt):
    """An exemption that is no longer needed goes."""
    tests = [test for test in node_tests() if test[0].partition("_expanded")[0] == exempt]
    assert tests
    for test in tests:
        with pytest.raises((AssertionError, TypeError, ValueError)):
            check(*test)
