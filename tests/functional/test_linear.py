"""Full connection and its gradients: reference, layouts, out=, NaN, torch."""

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv import reference
from tests._cases import (
    DTYPES,
    LAYOUTS,
    assert_exact,
    assert_gradient,
    integers,
    layouts,
    normal,
    torch_or_skip,
)

# Leading axes, features in, features out: round the tile's 6 rows and 4 to 32 lanes.
CASES = [
    ((), 1, 1),
    ((), 7, 5),
    ((1,), 1, 33),
    ((5,), 6, 7),
    ((6,), 13, 31),
    ((7,), 32, 6),
    ((31,), 33, 13),
    ((33,), 5, 32),
    ((65,), 400, 120),
    # Several blocks of steps; the transposed product; a left operand that is packed.
    ((17,), 700, 90),
    # Few rows: whole vectors of columns and what is left of one, several blocks of steps.
    *(((rows,), 1200, 77) for rows in range(1, 10)),
    ((1,), 577, 131),
    ((2,), 571, 64),
    ((4,), 16, 200),
    ((3,), 200, 16),
    ((300,), 7, 40),
    ((2, 3), 7, 4),
    ((2, 1, 4), 5, 33),
    ((0,), 4, 3),
    ((2, 0), 4, 3),
]


def problem(lead, inputs, outputs, dtype=np.float64, values=integers):
    x, weight = values((*lead, inputs), dtype, 1), values((outputs, inputs), dtype, 2)
    return x, weight, values((outputs,), dtype, 3), values((*lead, outputs), dtype, 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fast_equals_reference_exactly_on_integers(case, dtype):
    x, weight, bias, residual = problem(*case, dtype)
    assert_exact(F.linear(x, weight, bias), reference.linear(x, weight, bias))
    assert_exact(F.linear(x, weight), reference.linear(x, weight))
    expected = reference.linear_backward(residual, x, weight)
    for mask in np.ndindex(2, 2, 2):
        chosen = tuple(map(bool, mask))
        results = F.linear_backward(residual, x, weight, output_mask=chosen)
        for wanted, actual, gradient in zip(chosen, results, expected, strict=True):
            if wanted:
                assert_exact(actual, gradient)
            else:
                assert actual is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_numbers_stay_within_the_rounding_bound(dtype):
    # The bound is that of test_conv.error_bounds.
    x, weight, bias, residual = problem((33,), 400, 65, dtype, normal)
    wide = [array.astype(np.float64) for array in (x, weight, bias, residual)]
    eps = np.finfo(dtype).eps
    sizes = list(map(np.abs, wide))
    difference = F.linear(x, weight, bias) - reference.linear(*wide[:3])
    assert (np.abs(difference) <= (400 + 2) * eps * reference.linear(*sizes[:3])).all()
    for length, actual, expected, size in zip(
        (65, 33, 33),
        F.linear_backward(residual, x, weight),
        reference.linear_backward(wide[3], *wide[:2]),
        reference.linear_backward(sizes[3], *sizes[:2]),
        strict=True,
    ):
        assert (np.abs(actual - expected) <= (length + 2) * eps * size).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1), (1, -2.0), (0.25, 3), (0, 0.0)])
@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_the_terms_have_factors(case, alpha, beta, dtype):
    x, weight, bias, residual = problem(*case, dtype)
    kept = [array.copy() for array in (x, weight, bias, residual)]
    factors = {"alpha": alpha, "beta": beta}
    assert_exact(F.linear(x, weight, bias, **factors), reference.linear(x, weight, bias, **factors))
    assert_exact(F.linear(x, weight, **factors), reference.linear(x, weight, **factors))
    expected = reference.linear_backward(residual, x, weight, **factors)
    found = F.linear_backward(residual, x, weight, **factors)
    for actual, gradient in zip(found, expected, strict=True):
        assert_exact(actual, gradient)
    over = weight.copy()
    F.linear_backward(residual, x, over, **factors, out=(None, over, None))
    np.testing.assert_array_equal(over, expected[1])
    for array, before in zip((x, weight, bias, residual), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_gradients_with_factors_are_the_numerical_ones():
    x, weight, bias, residual = problem((3,), 4, 5, np.float64, normal)
    factors = {"alpha": 0.3, "beta": -1.7}
    dx, dweight, dbias = F.linear_backward(residual, x, weight, **factors)
    y = F.linear(x, weight, bias, **factors)
    np.testing.assert_allclose(y, 0.3 * x @ weight.T - 1.7 * bias, rtol=1e-13)
    assert_gradient(lambda x: F.linear(x, weight, **factors), dx, x, residual, linear=True)
    assert_gradient(lambda w: F.linear(x, w, **factors), dweight, weight, residual, linear=True)
    biased = dbias, bias, residual
    assert_gradient(lambda b: F.linear(x, weight, b, **factors), *biased, linear=True)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_factors_are_numbers(name):
    x, weight, bias, residual = problem((3,), 4, 5)
    for wrong in ("2", None, 1j):
        with pytest.raises(TypeError, match=f"{name} must be a number"):
            F.linear(x, weight, bias, **{name: wrong})
        with pytest.raises(TypeError, match=f"{name} must be a number"):
            F.linear_backward(residual, x, weight, **{name: wrong})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("lead", [(7,), (2, 3)])
def test_memory_layouts(lead, layout):
    plain = problem(lead, 5, 33, np.float32)
    y = F.linear(*plain[:3])
    gradients = F.linear_backward(plain[3], *plain[:2])
    strange = [layouts(array).get(layout, array) for array in plain]
    for chosen in (*({i} for i in range(4)), set(range(4))):
        x, weight, bias, residual = (strange[i] if i in chosen else plain[i] for i in range(4))
        assert_exact(F.linear(x, weight, bias), y)
        results = F.linear_backward(residual, x, weight)
        for actual, expected in zip(results, gradients, strict=True):
            assert_exact(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_matrices_have_the_bits_of_other_arrays(rows, dtype):
    """Plain matrices go a shorter way than higher ranks, misaligned arrays, and `out=`."""
    arrays = problem((rows,), 300, 70, dtype, normal)
    x, weight, bias, residual = arrays
    y, gradients = F.linear(x, weight, bias), F.linear_backward(residual, x, weight)
    assert_exact(F.linear(x[None], weight, bias)[0], y)
    assert_exact(F.linear(x, weight, bias, out=np.empty_like(y)), y)
    odd = [layouts(array)["misaligned"] for array in arrays]
    assert_exact(F.linear(*odd[:3]), y)
    for found in (
        F.linear_backward(residual[None], x[None], weight),
        F.linear_backward(odd[3], *odd[:2]),
        F.linear_backward(residual, x, weight, out=(None, None, None)),
    ):
        for actual, expected in zip(found, gradients, strict=True):
            assert_exact(actual.reshape(expected.shape), expected)


def test_broadcast_inputs():
    x, weight, bias, residual = problem((7,), 5, 6)
    same = [np.broadcast_to(array[:1], array.shape) for array in (x, weight, bias, residual)]
    copies = [array.copy() for array in same]
    assert_exact(F.linear(*same[:3]), F.linear(*copies[:3]))
    for actual, expected in zip(
        F.linear_backward(same[3], *same[:2]),
        F.linear_backward(copies[3], *copies[:2]),
        strict=True,
    ):
        assert_exact(actual, expected)


@pytest.mark.parametrize("lead", [(), (3,), (4, 3), (2, 4, 3)])
def test_out_in_a_larger_array(lead):
    x, weight, bias, _ = problem(lead, 5, 6)
    expected = F.linear(x, weight, bias)
    base = np.full((9, *lead, 6), np.nan)
    out = base[4]
    assert F.linear(x, weight, bias, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert np.isnan(base[[0, 1, 2, 3, 5, 6, 7, 8]]).all()
    if len(lead) == 2:
        # Every second matrix: rows that are no matrix with one stride.
        base = np.full((9, *lead[1:], 6), np.nan)
        out = base[1::2]
        assert F.linear(x, weight, bias, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert np.isnan(base[::2]).all()


def test_out_that_overlaps_an_input_behaves_as_if_copied():
    x, weight, bias, _ = problem((6,), 6, 6)
    expected = F.linear(x, weight, bias)
    for position in range(2):
        arrays = [x.copy(), weight.copy()]
        F.linear(*arrays, bias, out=arrays[position])
        np.testing.assert_array_equal(arrays[position], expected)


@pytest.mark.parametrize("rows", [*range(1, 10), 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_has_the_bits_of_many_rows_however_its_weights_lie(rows, dtype):
    # Weights that begin inside of a cache line, end inside of a vector, or are transposed; 40 rows
    # go through tiles.
    for inputs, outputs in ((1200, 77), (577, 131), (128, 64)):
        x, weight, bias, residual = problem((40,), inputs, outputs, dtype, normal)
        y, (dx, *_) = F.linear(x, weight, bias), F.linear_backward(residual, x, weight)
        shifted = np.empty(weight.size + 3, dtype)[3:].reshape(weight.shape)
        shifted[...] = weight
        some = slice(5, 5 + rows)
        for same in (weight, shifted, np.asfortranarray(weight), weight[::-1].copy()[::-1]):
            assert F.linear(x[some], same, bias).tobytes() == y[some].tobytes()
            mine, *_ = F.linear_backward(residual[some], x[some], same)
            assert mine.tobytes() == dx[some].tobytes()


@pytest.mark.parametrize("rows", range(1, 10))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_gradient_of_few_rows_has_the_bits_of_the_tiles(rows, dtype):
    # 20 rows go through tiles; those that are zero change no sum.
    for inputs, outputs in ((16, 7), (33, 64), (257, 101)):
        x, weight, _, residual = problem((20,), inputs, outputs, dtype, normal)
        x[rows:] = residual[rows:] = 0
        _, expected, _ = F.linear_backward(residual, x, weight)
        _, mine, _ = F.linear_backward(residual[:rows], x[:rows], weight)
        assert np.array_equal(mine, expected)


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_gradients_in_given_arrays(rows):
    x, weight, _, residual = problem((rows,), 70, 33, np.float32, normal)
    expected = F.linear_backward(residual, x, weight)
    bases = [np.full((len(g) + 2, *g.shape[1:]), np.nan, g.dtype) for g in expected]
    outs = tuple(base[1:-1] for base in bases)
    results = F.linear_backward(residual, x, weight, out=outs)
    for result, out, base, gradient in zip(results, outs, bases, expected, strict=True):
        assert result is out
        assert_exact(out.copy(), gradient)
        assert np.isnan(base[[0, -1]]).all()
    # Over what is read: as if it were copied before.
    arrays = x.copy(), weight.copy(), residual.copy()
    outs = arrays[0], arrays[1], arrays[2][0]
    F.linear_backward(arrays[2], *arrays[:2], out=outs)
    for out, gradient in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(out, gradient)
    with pytest.raises(ValueError, match=r"^out\[1\] must be None where output_mask\[1\] is False"):
        F.linear_backward(residual, x, weight, output_mask=(True, False, True), out=outs)
    with pytest.raises(ValueError, match=r"^out must hold three arrays or None, got ndarray"):
        F.linear_backward(residual, x, weight, out=x)


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_gradients_are_the_numerical_ones(lead):
    x, weight, bias, residual = problem(lead, 4, 3, np.float64, normal)
    dx, dweight, dbias = F.linear_backward(residual, x, weight)
    assert_gradient(lambda x: F.linear(x, weight, bias), dx, x, residual, linear=True)
    assert_gradient(lambda w: F.linear(x, w, bias), dweight, weight, residual, linear=True)
    assert_gradient(lambda b: F.linear(x, weight, b), dbias, bias, residual, linear=True)


def test_nan_stays_in_its_own_sample():
    x, weight, bias, _ = problem((7,), 5, 9)
    weight[weight == 0] = 1
    clean = F.linear(x, weight, bias)
    for value in (np.nan, np.inf):
        broken = x.copy()
        broken[3, 2] = value
        result = F.linear(broken, weight, bias)
        assert not np.isfinite(result[3]).any()
        others = np.arange(7) != 3
        np.testing.assert_array_equal(result[others], clean[others])


def test_the_same_bits_in_every_batch_and_for_any_number_of_threads():
    # Batches on both sides of where the product is transposed.
    x, weight, bias, residual = problem((70,), 700, 90, np.float32, normal)
    fastconv.set_num_threads(1)
    y = F.linear(x, weight, bias)
    gradients = F.linear_backward(residual, x, weight)
    fastconv.set_num_threads(3)
    for count in (1, 2, 17, 69, 70):
        np.testing.assert_array_equal(F.linear(x[:count], weight, bias), y[:count])
        parts = F.linear_backward(residual[:count], x[:count], weight)
        np.testing.assert_array_equal(parts[0], gradients[0][:count])
    np.testing.assert_array_equal(parts[1], gradients[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_torch(case, dtype):
    torch = torch_or_skip("full connections against torch")
    arrays = problem(*case, dtype)
    x, weight, bias = (torch.from_numpy(array).requires_grad_() for array in arrays[:3])
    y = torch.nn.functional.linear(x, weight, bias)
    y.backward(torch.from_numpy(arrays[3]))
    assert_exact(F.linear(*arrays[:3]), y.detach().numpy())
    gradients = F.linear_backward(arrays[3], *arrays[:2])
    for actual, theirs in zip(gradients, (x, weight, bias), strict=True):
        assert_exact(actual, theirs.grad.numpy())
