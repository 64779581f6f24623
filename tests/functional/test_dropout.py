"""Dropout: of elements and of channels, its masks, its generators."""

import numpy as np
import pytest

from fastconv import functional as F
from fastconv import reference
from tests._cases import DTYPES, assert_exact, layouts, normal


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_keeps_and_scales(dtype):
    x = normal((50, 60), dtype)
    for p in (0.0, 0.25, 0.5, 0.9, 1.0, 0, 1):
        output, mask = F.dropout(x, p, rng=3)
        assert mask.dtype == np.bool_
        # Four standard deviations of a binomial distribution.
        assert abs(mask.mean() - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / x.size)
        scale = dtype(1 / (1 - p) if p < 1 else 0)
        assert_exact(output, np.where(mask, x * scale, dtype(0)))
        residual = normal((50, 60), dtype, 1)
        gradient = F.dropout_backward(residual, mask, p)
        assert_exact(gradient, np.where(mask, residual * scale, dtype(0)))
        np.testing.assert_allclose(
            gradient, reference.dropout_backward(residual, mask, p), rtol=np.finfo(dtype).eps
        )
        theirs, their_mask = reference.dropout(x, p, rng=3)
        assert_exact(mask, their_mask)
        np.testing.assert_allclose(output, theirs, rtol=np.finfo(dtype).eps)


def test_dropout_without_training_keeps_everything():
    x = normal((3, 4))
    output, mask = F.dropout(x, 0.5, False)
    assert_exact(output, x)
    assert output is not x
    assert mask.all()
    assert_exact(F.dropout(x, 0.5, False, rng=np.random.default_rng(1))[0], x)


def test_dropout_follows_its_generator():
    x = np.ones(1000)
    generator = np.random.default_rng(5)
    first, second = F.dropout(x, rng=generator)[1], F.dropout(x, rng=generator)[1]
    assert_exact(F.dropout(x, rng=5)[1], first)
    assert (first != second).any()
    assert (F.dropout(x)[1] != F.dropout(x)[1]).any()


def test_dropout_drops_infinity_and_nan():
    # 0 * inf is NaN: what is dropped must be chosen, not multiplied away.
    x = np.array([np.inf, np.nan, -np.inf] * 20)
    for p in (0.5, 1):
        output, mask = F.dropout(x, p, rng=1)
        assert (output[~mask] == 0).all()
        np.testing.assert_array_equal(output[mask], x[mask])
        gradient = F.dropout_backward(x, mask, p)
        np.testing.assert_array_equal(gradient, output)


def test_dropout_out():
    x = normal((3, 4))
    expected, mask = F.dropout(x, rng=1)
    for out in (np.empty((3, 4)), np.empty((4, 3)).T):
        output, again = F.dropout(x, rng=1, out=out)
        assert output is out
        np.testing.assert_array_equal(output, expected)
        assert_exact(again, mask)
        assert F.dropout_backward(x, mask, out=out) is out
    same = x.copy()
    F.dropout_backward(same, mask, out=same)
    np.testing.assert_array_equal(same, F.dropout_backward(x, mask))


CHANNELS = [
    ("dropout1d", (3, 4, 5)),
    ("dropout1d", (4, 5)),
    ("dropout2d", (3, 4, 5, 6)),
    ("dropout2d", (4, 50, 90)),
    ("dropout3d", (3, 4, 2, 3, 4)),
    ("dropout2d", (0, 4, 5, 6)),
    ("dropout2d", (3, 4, 0, 6)),
    ("alpha_dropout", (3, 4, 5)),
    ("alpha_dropout", ()),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0, 0.3, 1])
@pytest.mark.parametrize(("name", "shape"), CHANNELS)
def test_channels_and_alpha_equal_the_reference(name, shape, p, dtype):
    x, residual = normal(shape, dtype, 1), normal(shape, dtype, 2)
    output, mask = getattr(F, name)(x, p, rng=3)
    expected, their_mask = getattr(reference, name)(x, p, rng=3)
    assert_exact(mask, their_mask)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(output, expected, rtol=8 * eps, atol=8 * eps)
    gradient = getattr(F, f"{name}_backward")(residual, mask, p)
    expected = getattr(reference, f"{name}_backward")(residual, mask, p)
    np.testing.assert_allclose(gradient, expected, rtol=4 * eps)
    assert gradient.dtype == output.dtype == dtype
    for layout, strange in layouts(x).items() if x.ndim else ():
        assert_exact(getattr(F, name)(strange, p, rng=3)[0], output, layout)
    kept = x.copy()
    assert getattr(F, name)(kept, p, rng=3, out=kept)[0] is kept
    np.testing.assert_array_equal(kept, output)
    output, mask = getattr(F, name)(x, p, False)
    assert_exact(output, x)
    assert mask.all()


def test_whole_channels_are_dropped():
    output, mask = F.dropout2d(np.ones((40, 30, 7, 9)), 0.25, rng=1)
    assert mask.shape == (40, 30, 1, 1)
    np.testing.assert_array_equal(output, np.broadcast_to(mask / 0.75, output.shape))


def test_alpha_dropout_keeps_mean_and_variance():
    x = normal((300, 1000), np.float64, 1)
    for p in (0.1, 0.5):
        output, _ = F.alpha_dropout(x, p, rng=2)
        assert abs(output.mean()) < 0.01
        assert abs(output.var() - 1) < 0.02


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d"])
def test_other_numbers_of_axes_are_refused(name):
    axes = int(name[-2])
    for ndim in {0, 1, 2, 3, 4, 5, 6} - {axes + 1, axes + 2}:
        with pytest.raises(ValueError, match=r"input must be \(N, C"):
            getattr(F, name)(np.ones((2,) * ndim))
    x = np.ones((2,) * (axes + 2))
    with pytest.raises(ValueError, match=r"mask must have shape \(N, C, 1"):
        getattr(F, f"{name}_backward")(x, np.ones(x.shape, bool))
    with pytest.raises(TypeError, match="bool"):
        getattr(F, f"{name}_backward")(x, np.ones(x.shape))
