"""SciPy's functions replaced: what is served, what is passed on; SciPy's tests, and astropy's."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fastconv import ndimage, signal

pytest.importorskip("scipy", reason="SciPy is not installed")

import scipy.ndimage
import scipy.signal

from fastconv.adapters import scipy as adapter
from tests._cases import run_python

IMAGE = np.random.default_rng(0).standard_normal((20, 30))


@pytest.fixture(autouse=True)
def _unpatched():
    yield
    adapter.unpatch()


def reasons():
    return {(row.operation, row.reason): row.calls for row in adapter.stats().rows}


def test_functions_are_replaced_and_put_back():
    before = scipy.ndimage.sobel, scipy.signal.convolve2d
    adapter.patch()
    assert scipy.ndimage.sobel is not before[0]
    np.testing.assert_array_equal(scipy.ndimage.sobel(IMAGE), ndimage.sobel(IMAGE))
    np.testing.assert_array_equal(
        scipy.signal.convolve2d(IMAGE, IMAGE[:3, :3]), signal.convolve2d(IMAGE, IMAGE[:3, :3])
    )
    assert reasons() == {("ndimage.sobel", ""): 1, ("signal.convolve2d", ""): 1}
    adapter.unpatch()
    assert (scipy.ndimage.sobel, scipy.signal.convolve2d) == before


def test_every_function_that_fastconv_has_is_replaced():
    rooms = ((scipy.ndimage, ndimage), (scipy.signal, signal))

    def functions():
        names = [(theirs, name) for theirs, ours in rooms for name in ours.__all__]
        return [getattr(theirs, name) for theirs, name in names if hasattr(theirs, name)]

    before = functions()
    with adapter.patched():
        during = functions()
    after = functions()
    assert after == before
    assert not set(during) & set(before)
    for old, new in zip(before, during, strict=True):
        assert (new.__name__, new.__doc__) == (old.__name__, old.__doc__)


def test_some_functions_alone():
    with adapter.patched(["ndimage.laplace"]):
        scipy.ndimage.laplace(IMAGE)
        scipy.ndimage.sobel(IMAGE)
    assert reasons() == {("ndimage.laplace", ""): 1}
    with pytest.raises(ValueError, match=r"ops may hold 'ndimage\.convolve'"):
        adapter.patch(["ndimage.median_filter"])


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (IMAGE.astype(np.float16), "dtype float16"),
        (IMAGE.astype(np.longdouble), f"dtype {np.dtype(np.longdouble)}"),
        (IMAGE.astype(object), "dtype object"),
        (np.ma.masked_array(IMAGE, IMAGE > 2), "a masked array"),
    ],
)
def test_what_is_not_served_goes_to_scipy(array, reason):
    def outcome():
        try:
            return scipy.signal.convolve(array, array[:2, :2], method="direct")
        except Exception as error:
            return repr(error)

    expected = outcome()
    with adapter.patched():
        np.testing.assert_array_equal(outcome(), expected)
    assert reasons() == {("signal.convolve", reason): 1}


@pytest.mark.parametrize(
    ("adapter", "missing", "extra"),
    [("scipy", "scipy.ndimage", "scipy"), ("dask", "dask_image.dispatch", "dask")],
)
def test_what_is_missing_is_said_with_its_remedy(adapter, missing, extra):
    code = f"""
        import sys
        sys.modules[{missing!r}] = None
        try:
            import fastconv.adapters.{adapter}
        except ImportError as error:
            print(error)
    """
    assert run_python(code).endswith(f"pip install 'fastconv[{extra}]'")


def test_wrong_arguments_get_the_words_of_scipy():
    def words():
        with pytest.raises(RuntimeError) as error:
            scipy.ndimage.gaussian_filter(IMAGE, [1, 2, 3])
        return str(error.value)

    expected = words()
    with adapter.patched():
        assert words() == expected
    assert reasons() == {("ndimage.gaussian_filter", "the arguments are wrong"): 1}


def test_arrays_by_name():
    with adapter.patched():
        scipy.ndimage.convolve(weights=np.ones((2, 2)), input=IMAGE.astype(np.float32))
        scipy.signal.fftconvolve(in1=IMAGE, in2=IMAGE.astype(np.longdouble))
    assert reasons() == {
        ("ndimage.convolve", ""): 1,
        ("signal.fftconvolve", f"dtype {np.dtype(np.longdouble)}"): 1,
    }


# ---- the tests of SciPy and astropy --------------------------------------------------------------

# A module of tests, those of its tests that concern other functions, and how many calls of ours
# there are at least.
SUITES = {
    "ndimage": (
        "scipy.ndimage.tests.test_filters",
        "rank or median or percentile or vectorized or minimum or maximum",
        1000,
    ),
    "signal": (
        "scipy.signal.tests.test_signaltools",
        "filt or wiener or hilbert or Hilbert or deconvolve or Decimate or residue or Detrend or "
        "resample or Envelope or Partial or unique_roots or VectorstrengthTest",
        1000,
    ),
    # Its convolutions are its own: what is SciPy's in its tests is served.
    "astropy": ("astropy.convolution", "wcs", 20),
}
# Of a test that differs with the patch on, a part of its name, and why.
EXEMPT = {
    "TestFFTConvolve::test_fft_nan": "a NaN is seen where it counts, and needs no warning",
}


def run_suite(suite, patched, folder):
    """Run SciPy's tests; return the names of those that failed, how many passed, and the counts."""
    module, others, _ = SUITES[suite]
    counts = folder / "counts.json"
    root = Path(__file__).resolve().parent.parent.parent
    # Nothing of our own settings.
    (folder / "pytest.ini").write_text("[pytest]\n")
    variables = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-rfE",
        "-c",
        "pytest.ini",
    ]
    command += ["-p", "tests.adapters._patched_scipy", "-W", "ignore", "--pyargs", module]
    command += ["-k", f"not ({others})"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            **variables,
            "PYTHONPATH": os.pathsep.join([str(root), variables.get("PYTHONPATH", "")]),
            "FASTCONV_PATCHED": patched,
            "FASTCONV_STATS": str(counts),
        },
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    return failed, lines[-1], json.loads(counts.read_text())


@pytest.mark.parametrize("suite", SUITES)
def test_suites_pass_as_they_do_without_the_patch(suite, tmp_path):
    module, _, least = SUITES[suite]
    if find_spec(module.partition(".")[0]) is None or find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    failed, summary, counts = run_suite(suite, "yes", tmp_path)
    failed = [name for name in failed if not any(part in name for part in EXEMPT)]
    assert " passed" in summary, summary
    if failed:
        # They may fail without it, too.
        without, _, _ = run_suite(suite, "no", tmp_path)
        assert not set(failed) - set(without)
    served = sum(calls for _, reason, calls in counts if not reason)
    within = sum(calls for _, reason, calls in counts if within_the_domain(reason))
    print(f"{module}: {served} calls served, {within} of {served + within} within the domain not")
    assert served >= least
    assert within <= 0.05 * served, counts


def within_the_domain(reason):
    """Tell whether a call that was passed on should have been served."""
    return reason and reason != "the arguments are wrong" and not reason.startswith("dtype ")
