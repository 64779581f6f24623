"""What goes into layers: arrays of floats of the right shape; what does not; empty batches."""

import numpy as np
import pytest

from fastconv import layers
from tests.layers._cases import CASES


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_arrays_of_floats_go_in(case, training):
    layer = case.build().train(training)
    x = case.input
    for wrong in (x.tolist(), np.ma.array(x), x.astype(int), x.astype(np.float16)):
        with pytest.raises(TypeError):
            layer(wrong)
    if layer.parameters():
        with pytest.raises(TypeError, match="dtype"):
            layer(x.astype(np.float32))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (layers.Conv2d(2, 1, 3), (1, 3, 5, 5), "channels"),
        (layers.Conv2d(2, 1, 3), (5, 5), r"\(N, C, H, W\)"),
        (layers.Conv2d(2, 1, 3), (1, 2, 2, 5), "larger than the padded input"),
        (layers.Conv2d(2, 1, 3, padding=2, padding_mode="reflect"), (1, 2, 2, 5), "reflect"),
        (layers.Conv2d(2, 1, 3, 1, 1, padding_mode="circular"), (5, 5), r"with shape \(5, 5\)"),
        (layers.Conv2d(2, 1, 3, 1, 1, padding_mode="circular"), (5,), r"\(N, C, H, W\)"),
        (layers.Linear(4, 2), (3, 5), "in_features"),
        (layers.MaxPool2d(2), (3, 3), r"\(N, C, H, W\)"),
        (layers.AvgPool2d(4), (1, 1, 3, 3), "larger"),
        (layers.Flatten(1, 4), (2, 3, 4), "cannot join"),
        (layers.Flatten(2, 1), (2, 3, 4), "cannot join"),
        (layers.Unflatten(1, (2, 2)), (2, 3, 4), r"cannot split axis 1, of length 3"),
        (layers.Unflatten(-2, (2, -1)), (2, 3, 4), r"cannot split axis 1, of length 3"),
        (layers.Unflatten(3, (2, 2)), (2, 3, 4), "cannot split an axis"),
        (layers.Softmax(4), (2, 3), "axis"),
    ],
)
def test_wrong_shapes_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_residual_of_another_shape_or_dtype_is_refused(case):
    layer = case.build()
    output = layer(case.input)
    with pytest.raises(ValueError, match="shape"):
        layer.backward(np.ones((*output.shape[:-1], output.shape[-1] + 1)))
    layer(case.input)
    with pytest.raises(ValueError, match="shape"):
        layer.backward(np.ones((1, output.size)))
    passing = ("Flatten", "Identity", "Unflatten", "MaxPool", "AvgPool", "Adaptive", "Dropout")
    if not case.name.startswith(passing):
        layer(case.input)
        with pytest.raises(TypeError, match="dtype"):
            layer.backward(np.ones(output.shape, np.float32))


def has_a_batch(case):
    """Tell whether an input has an axis for the batch, in front."""
    if "Conv" in case.name:
        return len(case.shape) == int(case.name[-2]) + 2
    return len(case.shape) in (2, 4)


@pytest.mark.parametrize("case", [case for case in CASES if has_a_batch(case)], ids=str)
def test_an_empty_batch_goes_through(case):
    layer = case.build()
    output = layer(np.zeros((0, *case.shape[1:])))
    assert output.size == 0
    gradient = layer.backward(output.copy())
    assert gradient.shape == (0, *case.shape[1:])
    for parameter in layer.parameters():
        np.testing.assert_array_equal(parameter.grad, np.zeros_like(parameter.data))
