"""The pool of threads: stress without Python, callers, forks, exits, signals, starved workers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv
from tests._cases import PATIENCE, run_python

HEADERS = Path(fastconv.__file__).resolve().parent / "engine"
SOURCE = Path(__file__).with_name("pool_stress.c")
COMPILER = shutil.which((os.environ.get("CC") or "cc").split()[0]) or shutil.which("gcc")
# For the sanitizers of `make tsan`; there the million jobs of a long run are asked for, too.
FLAGS = os.environ.get("FASTCONV_POOL_FLAGS", "-O2").split()
JOBS = int(os.environ.get("FASTCONV_POOL_JOBS", "60000"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, skipped: lists of threads")


# How threads sleep on Linux, and what other systems do, which works here, too.
@pytest.fixture(scope="module", params=[[], ["-U__linux__"]], ids=["futex", "condition"])
def stress(request, tmp_path_factory):
    """Return a function that runs the stress program in a mode."""
    if COMPILER is None or not (HEADERS / "base" / "pool.h").exists():
        pytest.skip("no compiler or no headers here, skipped: the pool by itself")
    program = tmp_path_factory.mktemp("pool") / "pool_stress"
    command = [
        COMPILER,
        *FLAGS,
        *request.param,
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        f"-I{HEADERS}",
    ]
    subprocess.run([*command, str(SOURCE), "-o", str(program)], check=True)

    def run(*words):
        done = subprocess.run(
            [program, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE
        )
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-4000:]

    return run


# A job that wakes many more threads than there are cores takes long: fewer of these.
@pytest.mark.parametrize(
    ("callers", "most", "share"), [(1, 2, 1), (1, 32, 10), (3, 4, 1), (8, 32, 2), (40, 3, 1)]
)
def test_every_task_runs_once(stress, callers, most, share):
    stress("jobs", callers, JOBS // share, most)


@pytest.mark.skipif("-fsanitize=thread" in FLAGS, reason="forks have a run of their own")
def test_forks_while_others_compute(stress):
    stress("forks", 4, JOBS // 2, 8)


def test_nobody_waits_for_a_worker_that_has_not_begun(stress):
    stress("blocked")


@pytest.mark.skipif(any("sanitize" in flag for flag in FLAGS), reason="sanitizers need memory")
@linux
def test_without_threads_the_caller_computes(stress):
    stress("refused")


def test_all_workers_come_to_a_job_awake_or_asleep(stress):
    stress("widest")


CALL = """
    import os, signal, sys, threading, time
    import numpy as np
    import fastconv
    from fastconv import functional as F

    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((8, 16, 40, 40)), rng.standard_normal((16, 16, 3, 3))

    def call():
        return F.conv2d(x, weight, algorithm="gemm")

    def workers(count=None):
        '''The identifiers of the pool's threads; wait until so many have begun.'''
        while True:
            found = []
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/comm") as file:
                    if file.read().strip() == "fastconv":
                        found.append(int(task))
            if count is None or len(found) >= count:
                return found
            time.sleep(0.01)
"""


@linux
def test_import_starts_no_thread_and_a_call_as_many_as_it_needs():
    code = (
        CALL
        + """
    time.sleep(0.1)
    before = len(workers())
    fastconv.set_num_threads(4)
    for _ in range(3):
        call()
    workers(3)
    fastconv.set_num_threads(2)
    call()
    time.sleep(0.1)
    print(before, len(workers()))
    """
    )
    assert run_python(code) == "0 3"


@linux
def test_signals_stay_with_pythons_threads():
    code = (
        CALL
        + """
    fastconv.set_num_threads(3)
    call()
    masks = []
    for task in workers(2):
        with open(f"/proc/self/task/{task}/status") as file:
            masks += [line.split()[1] for line in file if line.startswith("SigBlk")]
    # Numbered from 1: interrupt, terminate, alarm, child.
    asked = [signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD]
    print(len(masks), all(int(mask, 16) >> (n - 1) & 1 for mask in masks for n in asked))
    """
    )
    assert run_python(code) == "2 True"


@pytest.mark.skipif(sys.platform == "win32", reason="no signals here, skipped: Ctrl-C")
def test_ctrl_c_ends_a_loop_of_calls():
    code = (
        CALL
        + """
    # Who runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    fastconv.set_num_threads(3)
    call()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        while True:
            call()
    except KeyboardInterrupt:
        expected = call().tobytes()
        print(call().tobytes() == expected)
    """
    )
    assert run_python(code) == "True"


@pytest.mark.parametrize("turn", range(5))
def test_the_interpreter_ends_while_daemon_threads_compute(turn):
    code = (
        CALL
        + """
    fastconv.set_num_threads(3)

    def loop():
        while True:
            call()

    for _ in range(4):
        threading.Thread(target=loop, daemon=True).start()
    time.sleep(0.02 * int(sys.argv[1]))
    print("end")
    """
    )
    assert run_python(code, turn) == "end"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here, skipped: its children")
@linux
def test_a_child_has_all_its_threads_also_if_the_parent_computes():
    code = (
        CALL
        + """
    import warnings

    warnings.simplefilter("ignore", DeprecationWarning)
    fastconv.set_num_threads(4)
    expected = call().tobytes()
    stop = False

    def loop():
        while not stop:
            call()

    others = [threading.Thread(target=loop) for _ in range(3)]
    for other in others:
        other.start()
    statuses = []
    for _ in range(20):
        child = os.fork()
        if not child:
            none = len(workers())
            # A worker begins with its first call, and may be late.
            same = all(call().tobytes() == expected for _ in range(5))
            os._exit(0 if same and not none and len(workers(3)) == 3 else 1)
        statuses.append(os.waitpid(child, 0)[1])
    stop = True
    for other in others:
        other.join()
    print(set(statuses), len(workers(3)))
    """
    )
    assert run_python(code) == "{0} 3"


@linux
def test_starved_workers_are_not_waited_for():
    # The workers get a core only when nobody else wants it, and somebody always does. A caller
    # that waited for them would take a thousand slices of the scheduler's time.
    code = (
        CALL
        + """
    import subprocess

    cores = sorted(os.sched_getaffinity(0))
    fastconv.set_num_threads(2)
    call()
    (worker,) = workers(1)
    os.sched_setaffinity(worker, {cores[-1]})
    os.sched_setscheduler(worker, os.SCHED_IDLE, os.sched_param(0))
    greedy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(greedy.pid, {cores[-1]})
    try:
        os.sched_setaffinity(0, {cores[0]})
        expected = call().tobytes()
        print(all(call().tobytes() == expected for _ in range(1000)))
    finally:
        greedy.kill()
        greedy.wait()
    """
    )
    assert run_python(code) == "True"


def test_a_number_of_threads_for_one_thread_or_task():
    code = """
    import asyncio, threading
    import fastconv
    from fastconv import num_threads

    seen = []

    def note():
        seen.append(fastconv.get_num_threads())

    fastconv.set_num_threads(2)
    with num_threads(5):
        note()
        with num_threads(3):
            note()
            fastconv.set_num_threads(4)
            note()
        note()
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
    note()

    @num_threads(7)
    def decorated():
        note()

    decorated()
    decorated()

    async def task(n):
        with num_threads(n):
            await asyncio.sleep(0)
            note()
            await asyncio.sleep(0)

    async def tasks():
        await asyncio.gather(task(8), task(9))

    asyncio.run(tasks())
    try:
        with num_threads(6):
            raise KeyError
    except KeyError:
        note()
    print(seen)
    """
    assert run_python(code) == "[5, 3, 3, 5, 4, 4, 7, 7, 8, 9, 4]"


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_a_wrong_number_for_one_thread_is_refused(value, error):
    with pytest.raises(error, match="n must be"):
        fastconv.num_threads(value)


@linux
def test_a_number_for_one_thread_limits_what_computes():
    code = (
        CALL
        + """
    fastconv.set_num_threads(4)
    with fastconv.num_threads(1):
        expected = call().tobytes()
    time.sleep(0.1)
    none = len(workers())
    with fastconv.num_threads(6):
        same = call().tobytes() == expected
    print(none, len(workers(5)), same)
    """
    )
    assert run_python(code) == "0 5 True"


@pytest.mark.parametrize("text", ["-1", "1.5", "soon", "1000001"])
def test_a_wrong_time_to_spin_is_refused(text):
    code = """
    try:
        import fastconv
    except ValueError as error:
        print(error)
    """
    message = f"FASTCONV_SPIN must be from 0 to 1000000 microseconds, got {text!r}"
    assert run_python(code, FASTCONV_SPIN=text) == message


@pytest.mark.parametrize("spin", ["0", "1", "1000000"])
def test_the_same_result_for_any_time_to_spin(spin):
    code = CALL + "\n    import hashlib; print(hashlib.sha256(call().tobytes()).hexdigest())"
    alone = run_python(code, FASTCONV_NUM_THREADS="1")
    assert run_python(code, FASTCONV_NUM_THREADS="3", FASTCONV_SPIN=spin) == alone


@linux
def test_workers_sleep_when_there_is_nothing_to_do():
    code = (
        CALL
        + """
    def used():
        total = 0
        for task in workers(2):
            with open(f"/proc/self/task/{task}/stat") as file:
                total += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        return total

    fastconv.set_num_threads(3)
    call()
    time.sleep(0.1)
    before = used()
    time.sleep(0.5)
    print(len(workers()), used() - before)
    """
    )
    # In hundredths of a second: awake, two workers would take about a hundred.
    count, used = map(int, run_python(code).split())
    assert count == 2
    assert used <= 10


def test_the_program_is_told_of_by_a_signal(stress):
    # The stress program can fail: what it runs with must not hide it.
    with pytest.raises(AssertionError):
        stress("nonsense")
