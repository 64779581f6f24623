"""How tasks are shared on paper: cases made by hand, and what ResNet-50 must reach."""

from random import Random

import numpy as np
import pytest

from benches import balance
from fastconv import benchmark
from fastconv.benchmark.report import geometric_mean


@pytest.mark.parametrize(
    ("costs", "threads", "longest"),
    [
        ([3], 8, 3),
        ([1, 1, 1, 1], 1, 4),
        ([1, 1, 1, 1], 2, 2),
        ([1, 1, 1, 1, 1], 2, 3),
        # The second thread has three tasks of 1, and then the last of the first.
        ([4, 1, 1, 1, 1], 2, 4),
        # The first is done at 2, while the other has begun the first 4.
        ([1, 1, 4, 4], 2, 6),
        # Three shares of two; the third thread is done first and takes the second's last.
        ([2, 2, 3, 3, 1, 1], 3, 5),
        # A task is never cut.
        ([7, 1, 1], 3, 7),
    ],
)
def test_makespan(costs, threads, longest):
    assert balance.makespan(costs, threads) == longest


def test_equal_tasks_take_whole_rounds():
    for count in range(1, 40):
        for threads in range(1, 20):
            assert balance.makespan([2.0] * count, threads) == 2 * -(-count // threads)


def test_makespan_lies_between_an_even_share_and_all_of_it():
    random = Random(1)
    for _ in range(300):
        costs = [random.choice((0, 1, 2, 5, 9)) for _ in range(random.randint(1, 30))]
        threads = random.randint(1, 12)
        longest = balance.makespan(costs, threads)
        assert max(max(costs), sum(costs) / threads) <= longest <= sum(costs)
        # Nobody waits while there is a task.
        assert longest <= sum(costs) / threads + max(costs)


def test_balance_adds_up_phase_by_phase():
    assert balance.balance([(2, [1, 1])], 2) == 1
    assert balance.balance([(2, [1, 1]), (2, [1])], 2) == 0.75
    # A team of one, of two threads.
    assert balance.balance([(1, [1, 1])], 2) == 0.5


@pytest.mark.parametrize("direction", benchmark.DIRECTIONS)
@pytest.mark.parametrize(("batch", "least"), [(1, 0.8), (8, 0.9)])
def test_sixteen_threads_share_resnet50(direction, batch, least):
    rows = [
        balance.Row(layer, direction, batch, [16], np.dtype("f"))
        for layer in benchmark.load_table("resnet50")
    ]
    assert geometric_mean(row.balance[16] for row in rows) >= least
    assert geometric_mean(row.speed[16] for row in rows) >= 0.8


def test_one_thread_is_always_busy():
    layer = benchmark.load_table("resnet50")[2]
    row = balance.Row(layer, "forward", 2, [1], np.dtype("f"))
    assert row.balance[1] == row.speed[1] == pytest.approx(1)


def test_the_table_and_the_worst(capsys, monkeypatch):
    # So few products are worth a thread or two.
    words = "--table lenet5 --batch 1 --direction forward --threads 1 64 --layers --worst 2"
    monkeypatch.setattr("sys.argv", ["balance.py", *words.split()])
    balance.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["5x5", "1-6@28"],
        ["5x5", "6-16@14"],
        ["lenet5", "forward"],
    ]
    assert all(line.split()[-4:-2] == ["1.00", "1.00"] for line in lines[1:4])
    assert lines[-3] == "the worst 2:"
    assert all("on  64 threads: balance 0.0" in line for line in lines[-2:])
