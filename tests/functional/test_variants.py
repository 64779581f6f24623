"""The table of variants over thousands of geometries: what explain says runs, and the same bits."""

from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv.engine.base.kernel import recorded
from fastconv.engine.base.operation import contiguous_case
from fastconv.engine.plan import ALGORITHMS, OPERATIONS
from tests._cases import DTYPES, ISAS, Conv, forced, isa_or_skip, normal, run_tests_code
from tests.engine.blocked.test_samples import problem
from tests.functional.test_random import conv, draw

PARTS, COUNT = 8, 130
NAMES = {row.name: row for row in ALGORITHMS}
# Kernels with a depth are not among them (tests/engine/winograd/test_terms.py).
VARIANTS = {variant.name for row in ALGORITHMS for variant in row.variants} - {"winograd planes"}


def draw_kind(rng):
    """Return a case of one of the kinds of layers that a variant is for."""
    kind = rng.integers(10)
    size, few = int(rng.integers(9, 30)), int(rng.integers(1, 17))
    other = int(rng.integers(4, 33))
    if kind == 0:
        # Few channels and many samples.
        return Conv(int(rng.integers(8, 35)), few, size, size + 1, other, 5, 5, 1, 2)
    if kind == 1:
        groups = int(rng.integers(2, 5))
        channels = 8 * int(rng.integers(1, 5))
        return Conv(2, groups * channels, size, size, groups * channels, 3, 3, 1, 1, 1, groups)
    if kind == 2:
        groups = int(rng.integers(16, 40))
        return Conv(2, groups, 7, 9, groups, 3, 3, int(rng.integers(1, 3)), 1, 1, groups)
    if kind == 3:
        line = (3, 1) if rng.random() < 0.5 else (1, 7)
        return Conv(1, 8 * other, size, size, 8 * other, *line)
    if kind == 4:
        return Conv(1, 48 + other, size, size, 64, 3, 3, 1, 1)
    if kind == 5:
        return Conv(2, 512, 7, 6, 128 + 16 * other, 3, 3, int(rng.integers(1, 3)), 1)
    if kind == 6:
        return Conv(1, 1, 5 * size, 5 * size, 1, 37, 35)
    if kind == 7:
        side = int(rng.integers(3, 6))
        return Conv(1, 32 + other, size, size + 1, 64, side, side, 2, 1)
    if kind == 8:
        # Kernels that move by their own size.
        rows, columns = map(int, rng.integers(1, 5, 2))
        return Conv(2, other, rows * few, columns * size, 3 * few, rows, columns, (rows, columns))
    return Conv(3, few, size, size, 4 * other, 1, 1)


def cases(part):
    """Return geometries of all kinds, the same in every run."""
    rng = np.random.default_rng([part, 77])
    found = [conv(draw(rng)) for _ in range(COUNT)]
    found += [draw_kind(rng) for _ in range(COUNT // 3)]
    return [case for case in found if prod(case.input_shape) and prod(case.geometry.output_shape)]


def run(operation, case, dtype, algorithm):
    x, weight = normal(case.input_shape, dtype, 1), normal(case.weight_shape, dtype, 2)
    options = {"algorithm": algorithm}
    if operation == "conv2d":
        return F.conv2d(x, weight, None, *case.options, **options)
    residual = normal(case.geometry.output_shape, dtype, 3)
    if operation == "conv2d_input":
        return F.conv2d_input(x.shape, weight, residual, *case.options, **options)
    return F.conv2d_weight(x, weight.shape, residual, *case.options, **options)


def check_what_runs(part):
    """Compare what is explained with what runs; return the variants that did."""
    rng, seen = np.random.default_rng([part, 78]), set()
    for case in cases(part):
        able = [row.name for row in ALGORITHMS if row.refuses(case.geometry) is None]
        for operation in OPERATIONS:
            dtype = DTYPES[rng.integers(2)]
            algorithm = "auto" if rng.random() < 0.6 else str(rng.choice(able))
            fastconv.set_num_threads(int(rng.integers(1, 4)))
            names = ("stride", "padding", "dilation", "groups")
            found = fastconv.explain(
                operation,
                case.input_shape,
                case.weight_shape,
                dtype=dtype,
                algorithm=algorithm,
                **dict(zip(names, case.options, strict=True)),
            )
            with recorded() as ran:
                run(operation, case, dtype, algorithm)
            again = (case, operation, dtype, algorithm, ran, found)
            assert {name for name, _ in ran} == {found.variant}, again
            tiles = [tile for _, tile in ran if tile is not None]
            assert max(tiles, key=prod, default=None) == found.tile, again
            assert 1 <= found.threads <= fastconv.get_num_threads(), again
            seen.add(found.variant)
    return seen


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_explained_is_what_runs(part):
    check_what_runs(part)


def check_every_variant():
    """Check some parts; return the variants that ran."""
    return sorted(set().union(*(check_what_runs(part) for part in range(3))))


@pytest.mark.parametrize("isa", ISAS)
def test_every_variant_runs_with_every_instruction_set(isa):
    isa_or_skip(isa)
    printed = run_tests_code("functional.test_variants", "check_every_variant()", FASTCONV_ISA=isa)
    missing = VARIANTS - set(eval(printed))
    assert not missing


@pytest.mark.parametrize("part", range(PARTS))
def test_variants_of_one_family_have_the_same_bits(part):
    for case in cases(part)[::3]:
        arrays = {dtype: problem(case, dtype) for dtype in DTYPES}
        for dtype, operation in ((d, o) for d in DTYPES for o in OPERATIONS[:2]):
            plain = contiguous_case(operation, case.geometry, np.dtype(dtype).name)
            for row in ALGORITHMS:
                bits = {}
                if row.name in ("fft", "direct", "im2col") or row.refuses(case.geometry):
                    continue
                for variant in row.variants:
                    if operation in variant.operations and variant.serves(plain):
                        found = forced(operation, case, arrays[dtype], row.name, variant.name)
                        other = bits.setdefault(variant.family, found.tobytes())
                        assert found.tobytes() == other, (case, operation, dtype, variant.name)
