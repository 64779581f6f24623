"""Threads: the same bits for every number of them, fork and spawn, denormals, environment."""

import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import (
    DTYPES,
    LAYOUTS,
    RESULTS,
    Conv,
    Problem,
    convolve,
    layouts,
    normal,
    run_python,
)

# Large enough for several threads: each of many samples or groups, few units that are cut by rows,
# by columns or by output channels, and weight gradients of many and of few chunks.
CONVS = [
    Conv(5, 12, 33, 31, 12, 3, 3, 1, 1),
    Conv(4, 12, 33, 31, 12, 3, 3, 1, 1, 2, 4),
    Conv(1, 33, 65, 33, 7, 3, 3, 1, 1),
    Conv(1, 16, 1, 3000, 8, 1, 5),
    Conv(1, 64, 7, 7, 96, 3, 3, 1, 1),
    Conv(1, 300, 4, 4, 200, 1, 1),
    Conv(3, 20, 30, 31, 33, 3, 3, 2, 1),
    Conv(2, 16, 40, 41, 16, 5, 5, 2, 2, 1, 16),
]
THREADS = range(1, 9)


@pytest.fixture(autouse=True)
def _threads():
    before = fastconv.get_num_threads()
    yield
    fastconv.set_num_threads(before)


def problem(case, dtype):
    x, weight = normal(case.input_shape, dtype, 1), normal(case.weight_shape, dtype, 2)
    bias = normal((case.k,), dtype, 3)
    residual = normal(F.conv2d(x, weight, None, *case.options).shape, dtype, 4)
    return Problem(x, weight, bias, residual, None, None, None, None)


def assert_same_bits(results, expected, what):
    for result, other, name in zip(results, expected, RESULTS, strict=False):
        assert result.tobytes() == other.tobytes(), f"{name}, {what}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolution_has_the_same_bits_for_every_number_of_threads(case, dtype):
    arrays = problem(case, dtype)
    fastconv.set_num_threads(1)
    expected = convolve(case, arrays)
    for threads in (*THREADS, 64):
        fastconv.set_num_threads(threads)
        assert_same_bits(convolve(case, arrays), expected, f"{threads} threads")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [case for case in CONVS if case.n > 1], ids=str)
def test_a_sample_has_the_same_bits_alone_and_in_a_batch(case, dtype):
    x, weight, bias, residual, *_ = problem(case, dtype)
    for threads in (1, 3):
        fastconv.set_num_threads(threads)
        y = F.conv2d(x, weight, bias, *case.options)
        dx = F.conv2d_input(x.shape, weight, residual, *case.options)
        for part in (slice(0, 1), slice(1, 3), slice(-1, None)):
            alone = (
                F.conv2d(x[part], weight, bias, *case.options),
                F.conv2d_input(x[part].shape, weight, residual[part], *case.options),
            )
            assert_same_bits(alone, (y[part], dx[part]), f"samples {part}, {threads} threads")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_convolution_has_the_same_bits_in_every_memory_layout(layout):
    case = CONVS[1]
    arrays = problem(case, np.float32)
    expected = convolve(case, arrays)
    strange = [layouts(array).get(layout, array) for array in arrays[:4]]
    results = convolve(case, Problem(*strange, None, None, None, None))
    assert_same_bits(results[:3], expected[:3], layout)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pooling_has_the_same_bits_for_every_number_of_threads(dtype):
    x = normal((3, 7, 65, 66), dtype)
    options = (3, 2, ((1, 0), (0, 1)))
    residual = normal(F.max_pool2d(x, *options).shape, dtype, 1)

    def results():
        maxima, indices = F.max_pool2d(x, *options, return_indices=True)
        return (
            maxima,
            indices,
            F.max_pool2d_backward(residual, indices, x.shape),
            F.avg_pool2d(x, *options, count_include_pad=False),
            F.avg_pool2d_backward(residual, x.shape, *options),
        )

    fastconv.set_num_threads(1)
    expected = [result.tobytes() for result in results()]
    for threads in THREADS:
        fastconv.set_num_threads(threads)
        assert [result.tobytes() for result in results()] == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("samples", [7, 65, 700])
def test_linear_has_the_same_bits_for_every_number_of_threads_and_samples(samples, dtype):
    x, weight, bias = (
        normal((samples, 300), dtype),
        normal((130, 300), dtype),
        normal((130,), dtype),
    )
    residual = normal((samples, 130), dtype, 1)

    def results():
        return F.linear(x, weight, bias), *F.linear_backward(residual, x, weight)

    fastconv.set_num_threads(1)
    y, dx, *_ = expected = results()
    for threads in THREADS:
        fastconv.set_num_threads(threads)
        for result, other in zip(results(), expected, strict=True):
            assert result.tobytes() == other.tobytes()
        for row in (0, samples - 1):
            one = slice(row, row + 1)
            assert F.linear(x[one], weight, bias).tobytes() == y[one].tobytes()
            alone, *_ = F.linear_backward(residual[one], x[one], weight)
            assert alone.tobytes() == dx[one].tobytes()


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid"])
def test_activations_have_the_same_bits_for_every_number_of_threads(name):
    residual, y = normal((300, 1001), np.float32), normal((300, 1001), np.float32, 1)
    backward = getattr(F, f"{name}_backward")
    fastconv.set_num_threads(1)
    expected = backward(residual, y).tobytes()
    for threads in THREADS:
        fastconv.set_num_threads(threads)
        assert backward(residual, y).tobytes() == expected


def test_set_and_get():
    for count in (1, 2, 1024, np.int64(3)):
        fastconv.set_num_threads(count)
        assert fastconv.get_num_threads() == count
        assert type(fastconv.get_num_threads()) is int
    with pytest.raises(ValueError, match="n must be between 1 and 1024, got 1025"):
        fastconv.set_num_threads(1025)
    assert fastconv.get_num_threads() == 3, "a refused number has changed the setting"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FASTCONV_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "6,2"}, 6),
        ({"FASTCONV_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"FASTCONV_NUM_THREADS": "", "OMP_NUM_THREADS": " 4 "}, 4),
        ({}, None),
    ],
    ids=str,
)
def test_the_environment_sets_the_default(variables, expected):
    count = int(run_python("import fastconv; print(fastconv.get_num_threads())", **variables))
    if expected is not None:
        assert count == expected
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert 1 <= count <= cores


@pytest.mark.parametrize("text", ["0", "-2", "1.5", "100000", "2x", "many"])
def test_a_wrong_number_in_the_environment_is_refused(text):
    code = """
        try:
            import fastconv
        except ValueError as error:
            print(error)
    """
    message = f"FASTCONV_NUM_THREADS must be from 1 to 1024, got {text!r}"
    assert run_python(code, FASTCONV_NUM_THREADS=text) == message


DIGEST = """
    import hashlib
    import numpy as np
    from fastconv import functional as F

    def digest():
        rng = np.random.default_rng(0)
        x, w = rng.standard_normal((3, 20, 30, 31)), rng.standard_normal((33, 20, 3, 3))
        y = F.conv2d(x, w, None, 2, 1)
        results = [y, F.conv2d_input(x.shape, w, y, 2, 1), F.conv2d_weight(x, w.shape, y, 2, 1)]
        return hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest()
"""


def test_fewer_threads_than_asked_for_compute_the_same():
    # OMP_THREAD_LIMIT makes a team smaller than the kernels planned for.
    code = DIGEST + "\n    print(digest())"
    expected = run_python(code, FASTCONV_NUM_THREADS="1")
    for limit in ("1", "2"):
        environment = {"OMP_THREAD_LIMIT": limit, "FASTCONV_NUM_THREADS": "6"}
        assert run_python(code, **environment) == expected


def test_python_threads_at_once():
    # Each has a team of OpenMP threads of its own, and nothing that is shared.
    cases = [CONVS[i] for i in (1, 2, 4, 6)]
    arrays = [problem(case, np.float32) for case in cases]
    fastconv.set_num_threads(2)
    expected = [convolve(*pair) for pair in zip(cases, arrays, strict=True)]
    pooled = F.max_pool2d(arrays[0].x, 3, 2)
    start = threading.Barrier(8)

    def work(number):
        start.wait(timeout=60)
        for turn in range(6):
            which = (number + turn) % len(cases)
            assert_same_bits(convolve(cases[which], arrays[which]), expected[which], "at once")
            assert F.max_pool2d(arrays[0].x, 3, 2).tobytes() == pooled.tobytes()
            # Another thread may change the number at any time.
            fastconv.set_num_threads(1 + (number + turn) % 4)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8), timeout=120))


FORK = (
    DIGEST
    + """
    import os, signal, sys, time, warnings
    import fastconv

    fastconv.set_num_threads(4)
    expected = digest()
    # From Python 3.12 on a fork in a process with threads warns; that it works is the point here.
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            same = digest() == expected
            fastconv.set_num_threads(3)
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if digest() == expected else 1)
            below = os.waitpid(grandchild, 0)[1]
            status = 0 if same and below == 0 and digest() == expected else 2
        finally:
            os._exit(status)
    end = time.monotonic() + 60
    done, status = 0, None
    while not done and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit("the forked child hangs")
    # The parent keeps its threads.
    print(os.waitstatus_to_exitcode(status), digest() == expected, fastconv.get_num_threads())
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here, skipped: its children")
def test_a_forked_child_computes():
    # GCC's OpenMP threads do not survive a fork, and a child that waits for them waits for ever.
    assert run_python(FORK) == "0 True 4"


POOLS = """
    import multiprocessing, sys, warnings
    import numpy as np
    import fastconv
    from fastconv import functional as F

    fastconv.set_num_threads(4)
    rng = np.random.default_rng(0)
    shapes = [(3, 20, 30, 31), (33, 20, 3, 3)]
    tasks = [tuple(map(rng.standard_normal, shapes)) for _ in range(4)]
    expected = [F.conv2d(*task).tobytes() for task in tasks]
    warnings.simplefilter("ignore", DeprecationWarning)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        results = pool.starmap_async(F.conv2d, tasks).get(60)
    print([result.tobytes() for result in results] == expected)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_computes(method):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"processes cannot be started by {method} here")
    assert run_python(POOLS, method) == "True"


FLUSHES = platform.machine() in ("x86_64", "AMD64", "aarch64", "arm64")


def denormals_work():
    """Tell whether this thread computes with denormal numbers."""
    small = np.array([1e-40], np.float32) * np.array([0.5], np.float32)
    tiny = np.array([1e-310]) * np.array([0.5])
    return bool(small[0] > 0 and tiny[0] > 0)


def compiled_calls(dtype, value):
    """Return calls of every compiled kernel, over large arrays of one number."""
    x, weight = np.full((4, 8, 40, 40), value, dtype), np.ones((8, 8, 3, 3), dtype)
    residual = np.full((4, 8, 38, 38), value, dtype)
    indices = F.max_pool2d(x, 2, return_indices=True)[1]
    flat = np.full((400, 400), value, dtype)
    ones = np.ones_like(x)
    return {
        "conv2d": lambda: F.conv2d(x, weight),
        "conv2d_input": lambda: F.conv2d_input(x.shape, weight, residual),
        "conv2d_weight": lambda: F.conv2d_weight(ones, weight.shape, residual),
        "avg_pool2d": lambda: F.avg_pool2d(x, 2, divisor_override=1),
        "avg_pool2d_backward": lambda: F.avg_pool2d_backward(x[..., :20, :20], x.shape, 2),
        "max_pool2d_backward": lambda: F.max_pool2d_backward(x[..., :20, :20], indices, x.shape),
        "linear": lambda: F.linear(flat, np.ones_like(flat)),
        "tanh_backward": lambda: F.tanh_backward(x, 0 * ones),
        "sigmoid_backward": lambda: F.sigmoid_backward(x, ones / 2),
    }


@pytest.mark.skipif(not FLUSHES, reason="no flag for denormals here, skipped: flushing them")
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", compiled_calls(np.float32, 0))
def test_kernels_flush_denormals_on_every_thread(name, dtype, threads):
    # A decaying net is full of denormals, which cost a CPU ten times the time of other numbers.
    fastconv.set_num_threads(threads)
    value = 1e-40 if dtype == np.float32 else 1e-310
    result = compiled_calls(dtype, value)[name]()
    assert not result.any()
    assert denormals_work(), "the caller's setting is not restored"


@pytest.mark.parametrize("threads", [1, 4])
def test_the_setting_is_restored_after_an_error(threads):
    fastconv.set_num_threads(threads)
    residual = np.ones((4, 8, 64, 64))
    with pytest.raises(ValueError, match="indices"):
        F.max_pool2d_backward(residual, np.full(residual.shape, -1), (4, 8, 128, 128))
    assert denormals_work()
    with pytest.raises(MemoryError, match="does not fit in memory"):
        F.conv2d(np.ones((1, 1, 1, 1)), np.ones((1, 1, 3, 3)), dilation=2**40, padding=2**40)
    assert denormals_work()


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_of_denormal_inputs_are_small_and_finite(dtype):
    info = np.finfo(dtype)
    for value in (info.smallest_subnormal, -info.tiny / 2, info.tiny):
        for name, call in compiled_calls(dtype, value).items():
            result = call()
            assert np.isfinite(result).all(), name
            # At most 4*38*38 numbers are added up.
            assert np.abs(result).max() <= 6000 * info.tiny, name


@pytest.mark.skipif(not FLUSHES, reason="no flag for denormals here, skipped: flushing them")
def test_the_sum_of_the_weight_gradients_chunks_flushes_denormals():
    # The chunks are added behind the parallel loop, where the flag used to be restored already.
    residual = np.array([1.5e-38, -1.4e-38], np.float32).reshape(2, 1, 1, 1)
    assert F.conv2d_weight(np.ones((2, 1, 1, 1), np.float32), (1, 1, 1, 1), residual) == 0
