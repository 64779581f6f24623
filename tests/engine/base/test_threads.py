"""Threads: the same bits for every number of them, fork and spawn, environment."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
import pytest

import fastconv
from fastconv import functional as F
from tests._cases import (
    DTYPES,
    LAYOUTS,
    PATIENCE,
    RESULTS,
    Conv,
    Problem,
    able,
    convolve,
    layouts,
    normal,
    run_python,
    served,
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
    Conv(4, 16, 40, 41, 16, 5, 5, 2, 2, 1, 16),
    # One pixel a map; more samples than threads, of an odd number of tiles; depthwise: one map's
    # rows, and with two kernels a map; the kernel of Winograd's 5x5.
    Conv(9, 200, 1, 1, 300, 1, 1),
    Conv(13, 8, 7, 7, 24, 3, 3, 1, 1),
    Conv(1, 3, 150, 151, 3, 3, 3, 1, 1, 1, 3),
    Conv(3, 20, 33, 31, 40, 3, 3, 1, 1, 1, 20),
    Conv(2, 10, 27, 26, 17, 5, 5, 1, 2),
    # Samples in the lanes: alone, with bands of rows, and with one input channel.
    Conv(17, 6, 14, 14, 16, 5, 5),
    Conv(8, 16, 17, 18, 16, 3, 3, 2, 1, 1, 2),
    Conv(16, 1, 20, 21, 6, 5, 5, 1, 2),
    # Depthwise: many small planes, in tasks that do not end with a sample.
    Conv(3, 401, 7, 7, 401, 3, 3, 1, 1, 1, 401),
    Conv(3, 203, 14, 13, 406, 3, 3, 2, 1, 1, 203),
]
# The engine packs these weights for all three samples, and reads them in place for one.
PACKED = Conv(3, 300, 20, 20, 130, 1, 1)
SERVED = served(CONVS)
THREADS = range(1, 9)


def problem(case, dtype):
    x, weight = normal(case.input_shape, dtype, 1), normal(case.weight_shape, dtype, 2)
    bias = normal((case.k,), dtype, 3)
    residual = normal(F.conv2d(x, weight, None, *case.options).shape, dtype, 4)
    return Problem(x, weight, bias, residual, None, None, None, None)


def assert_same_bits(results, expected, what):
    for result, other, name in zip(results, expected, RESULTS, strict=False):
        assert result.tobytes() == other.tobytes(), f"{name}, {what}"


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_the_cases_are_large_enough_for_every_thread(case):
    # GRAIN of base/threads.pyx.
    multiply_adds = prod(case.geometry.output_shape) * prod(case.weight_shape[1:])
    assert multiply_adds >= max(THREADS) * 65536


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "algorithm"), SERVED)
def test_convolution_has_the_same_bits_for_every_number_of_threads(case, algorithm, dtype):
    arrays = problem(case, dtype)
    fastconv.set_num_threads(1)
    expected = convolve(case, arrays, algorithm)
    for threads in (*THREADS, 64):
        fastconv.set_num_threads(threads)
        assert_same_bits(convolve(case, arrays, algorithm), expected, f"{threads} threads")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("case", "algorithm"),
    [*served([case for case in CONVS if case.n > 1]), (PACKED, "gemm")],
)
def test_a_sample_has_the_same_bits_alone_and_in_a_batch(case, algorithm, dtype):
    x, weight, bias, residual, *_ = problem(case, dtype)
    rest = {"algorithm": algorithm}
    for threads in (1, 3):
        fastconv.set_num_threads(threads)
        y = F.conv2d(x, weight, bias, *case.options, **rest)
        dx = F.conv2d_input(x.shape, weight, residual, *case.options, **rest)
        for part in (*(slice(i, i + 1) for i in range(case.n)), slice(1, 3)):
            alone = (
                F.conv2d(x[part], weight, bias, *case.options, **rest),
                F.conv2d_input(x[part].shape, weight, residual[part], *case.options, **rest),
            )
            assert_same_bits(alone, (y[part], dx[part]), f"samples {part}, {threads} threads")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [CONVS[1], CONVS[-1]], ids=str)
def test_convolution_has_the_same_bits_in_every_memory_layout(case, layout):
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


# Every algorithm with a geometry or two that it can compute, strided and depthwise.
CALLS = [
    (name, case.input_shape, case.weight_shape, *case.options)
    for case in (CONVS[6], CONVS[11])
    for name in able(case.geometry)
]
DIGEST = (
    f"\n    CALLS = {CALLS}\n"
    + """
    import hashlib
    import numpy as np
    from fastconv import functional as F

    def arrays(shape, weight_shape, *options):
        rng = np.random.default_rng(0)
        x, w = rng.standard_normal(shape), rng.standard_normal(weight_shape)
        return x, w, F.conv2d(x, w, None, *options, algorithm="direct")

    def compute(name, x, w, y, *options):
        return (
            F.conv2d(x, w, None, *options, algorithm=name),
            F.conv2d_input(x.shape, w, y, *options, algorithm=name),
            F.conv2d_weight(x, w.shape, y, *options, algorithm=name),
        )

    def digest():
        results = [result for task in TASKS for result in compute(*task)]
        return hashlib.sha256(b"".join(result.tobytes() for result in results)).hexdigest()

    TASKS = [(name, *arrays(*call), *call[2:]) for name, *call in CALLS]
"""
)


def test_python_threads_at_once():
    # They share the workers of the pool, and change their number all the time.
    cases = served([CONVS[i] for i in (1, 2, 4, 6, 9, 11, 12)])
    tasks = [(case, problem(case, np.float32), name) for case, name in (p.values for p in cases)]
    fastconv.set_num_threads(1)
    expected = [convolve(*task) for task in tasks]
    pooled = F.max_pool2d(tasks[0][1].x, 3, 2)
    start = threading.Barrier(8)

    def work(number):
        start.wait(timeout=PATIENCE)
        for turn in range(2 * len(tasks)):
            which = (number + turn) % len(tasks)
            assert_same_bits(convolve(*tasks[which]), expected[which], f"{cases[which].id} at once")
            assert F.max_pool2d(tasks[0][1].x, 3, 2).tobytes() == pooled.tobytes()
            # Another thread may change the number at any time.
            fastconv.set_num_threads(1 + (number + turn) % 4)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8), timeout=PATIENCE))


FORK = (
    DIGEST
    + """
    import os, signal, sys, time, warnings
    import fastconv

    def status_of(child):
        end = time.monotonic() + 1500
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit("the forked child hangs")

    def forked(work):
        child = os.fork()
        if child:
            return status_of(child)
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)

    def same():
        return digest() == expected

    def same_below():
        fastconv.set_num_threads(3)
        return same() and forked(same) == 0 and same()

    # From Python 3.12 on a fork in a process with threads warns; that it works is the point here.
    warnings.simplefilter("ignore", DeprecationWarning)
    fastconv.set_num_threads(4)
    expected = digest()
    # The parent keeps its threads, and uses them between the forks.
    print([(forked(same_below), same(), fastconv.get_num_threads()) for _ in range(5)])
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here, skipped: its children")
def test_a_forked_child_computes():
    # No thread but the one that forks survives a fork.
    assert run_python(FORK) == str([(0, True, 4)] * 5)


POOLS = (
    DIGEST
    + """
    import functools, multiprocessing, sys, warnings
    import fastconv

    # What a process that is spawned can find by name.
    calls = []
    for name, x, w, y, *options in TASKS:
        calls.append(functools.partial(F.conv2d, x, w, None, *options, algorithm=name))
        calls.append(functools.partial(F.conv2d_input, x.shape, w, y, *options, algorithm=name))
        calls.append(functools.partial(F.conv2d_weight, x, w.shape, y, *options, algorithm=name))
    fastconv.set_num_threads(4)
    expected = [call().tobytes() for call in calls]
    warnings.simplefilter("ignore", DeprecationWarning)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        results = [pool.apply_async(call) for call in calls]
        print([result.get(1500).tobytes() for result in results] == expected)
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_computes(method):
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"processes cannot be started by {method} here")
    assert run_python(POOLS, method) == "True"
