"""The sizes of the caches: where they come from, and that no result depends on them."""

import hashlib

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from fastconv.engine.base import cache_sizes as module
from fastconv.engine.base.cache_sizes import cache_sizes
from tests._cases import ISAS, isa_or_skip, normal, run_python, run_tests_code

SIZES = "from fastconv.engine.base.cache_sizes import cache_sizes as s; print(*s())"
REFUSED = """
    try:
        from fastconv.engine.base import cache_sizes
    except ValueError as error:
        print(error)
"""
THREE = "expected the sizes of three levels, as in 32K,512K,16M"
ORDER = "expected at least 4K, and no level smaller than the one before"
# Tiny caches make many blocks of what follows, the largest make one.
OVERRIDES = ("4K,4K,4K", "32K,512K,16M", "512K,64M,64M")
# Batch, channels, outputs, size, kernel, stride, padding, groups: one and several taps, strides,
# maps so small beside the weights that the input gradient computes products first, taps and pixels
# in the lanes of a weight gradient, groups.
LAYERS = (
    (3, 64, 96, 20, 1, 1, 0, 1),
    (2, 80, 40, 21, 1, 2, 0, 1),
    (2, 24, 72, 19, 3, 2, 1, 1),
    (2, 3, 24, 40, 7, 2, 3, 1),
    (1, 256, 256, 9, 3, 2, 1, 1),
    (3, 48, 6, 18, 3, 1, 1, 1),
    (2, 80, 160, 7, 3, 1, 1, 2),
)


def compute(layer, dtype):
    """Return the digest of all three convolutions of a layer, and what workspace they take."""
    n, c, k, size, kernel, stride, padding, groups = layer
    x, w = normal((n, c, size, size), dtype, 1), normal((k, c // groups, kernel, kernel), dtype, 2)
    options = {"stride": stride, "padding": padding, "groups": groups}
    y = F.conv2d(x, w, algorithm="gemm", **options)
    dx = F.conv2d_input(x.shape, w, y, algorithm="gemm", **options)
    dw = F.conv2d_weight(x, w.shape, y, algorithm="gemm", **options)
    total = hashlib.sha256(y.tobytes() + dx.tobytes() + dw.tobytes())
    names = ("conv2d", "conv2d_input", "conv2d_weight")
    plans = (
        fastconv.explain(name, x.shape, w.shape, dtype=dtype, algorithm="gemm", **options)
        for name in names
    )
    return total.hexdigest(), [plan.workspace_bytes for plan in plans]


def all_layers():
    """Print the digests in a line, and the workspaces in another."""
    results = [compute(layer, dtype) for layer in LAYERS for dtype in (np.float32, np.float64)]
    return "\n".join((" ".join(d for d, _ in results), str([w for _, w in results])))


@pytest.mark.parametrize("isa", ISAS)
def test_the_bits_do_not_depend_on_the_caches(isa):
    isa_or_skip(isa)
    found = [
        run_tests_code(
            "engine.base.test_cache_sizes", "all_layers()", FASTCONV_ISA=isa, FASTCONV_CACHE=sizes
        ).splitlines()
        for sizes in OVERRIDES
    ]
    # The blocks differ, as what they take shows; the results do not.
    assert len({workspaces for _, workspaces in found}) == len(OVERRIDES)
    assert len({digests for digests, _ in found}) == 1


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("32K,512K,16M", (32 << 10, 512 << 10, 16 << 20)),
        ("49152, 2M ,1G", (49152, 2 << 20, 1 << 30)),
        ("4K,4096,4K", (4096, 4096, 4096)),
    ],
)
def test_the_environment_says_them(text, sizes):
    assert run_python(SIZES, FASTCONV_CACHE=text) == " ".join(map(str, sizes))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("32K", THREE),
        ("32K,512K", THREE),
        ("32K,512K,16M,1G", THREE),
        ("32k,512k,16m", THREE),
        ("32K,,16M", THREE),
        ("32K,0.5M,16M", THREE),
        ("-32K,512K,16M", THREE),
        ("0,512K,16M", ORDER),
        ("32K,16K,16M", ORDER),
        ("32K,512K,999999999999G", ORDER),
    ],
)
def test_what_is_no_size_is_refused(text, reason):
    assert run_python(REFUSED, FASTCONV_CACHE=text) == f"FASTCONV_CACHE={text}: {reason}"


def test_without_it_the_machine_says_them():
    first, second, third = cache_sizes()
    assert 4096 <= first <= second <= third
    assert run_python(SIZES) == run_python(SIZES, FASTCONV_CACHE="")


def write_files(folder, *caches):
    for number, (kind, level, size, sharers) in enumerate(caches):
        index = folder / f"index{number}"
        index.mkdir()
        for name, text in zip(
            ("type", "level", "size", "shared_cpu_list"), (kind, level, size, sharers), strict=True
        ):
            (index / name).write_text(f"{text}\n")
    (folder / "uevent").write_text("")


@pytest.mark.parametrize(
    ("sharers", "second"),
    [
        # One thread a core; two; four cores of one thread around a second level.
        (("0", "0"), 2048),
        (("0-1", "0,1"), 2048),
        (("2", "0-3"), 512),
    ],
)
def test_linux_says_them_in_files(tmp_path, sharers, second):
    write_files(
        tmp_path,
        ("Data", 1, "32K", sharers[0]),
        ("Instruction", 1, "64K", sharers[0]),
        ("Unified", 2, "2048K", sharers[1]),
        ("Unified", 3, "24M", "0-7"),
    )
    assert module._found(str(tmp_path)) == [32 << 10, second << 10, 24 << 20]


def test_a_machine_without_a_third_level_has_the_second(tmp_path):
    write_files(tmp_path, ("Data", 1, "64K", "0"), ("Unified", 2, "12288K", "0"))
    # What the processor itself says of a third level is another machine's here.
    assert module._found(str(tmp_path))[2] >= 12 << 20


def test_without_files_the_processor_or_the_defaults_say_them(tmp_path):
    first, second, third = module._found(str(tmp_path / "none"))
    assert 4096 <= first <= second <= third
    (tmp_path / "index0").mkdir()
    assert module._found(str(tmp_path)) == [first, second, third]
