"""The adapter among threads, processes and compilers; and switched a thousand times."""

import subprocess
import sys
import threading
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastconv.adapters.torch")

import torch.nn.functional as TF  # noqa: E402

from fastconv.adapters import torch as adapter  # noqa: E402


@pytest.fixture(autouse=True)
def _off():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    adapter.disable()


OPS = ("convolution", "batch_norm", "pool", "linear")


def test_threads_may_compute_while_it_is_switched():
    torch.manual_seed(0)
    x, w, v = torch.randn(4, 8, 64, 64), torch.randn(8, 8, 3, 3), torch.randn(1000, 1024)

    def compute(*weights):
        w, v = (weight.clone().requires_grad_() for weight in weights)
        y = TF.max_pool2d(TF.batch_norm(TF.conv2d(x, w), None, None, training=True), 2)
        z = TF.linear(y.flatten()[: 8 * 1024].view(8, 1024), v)
        z.square().mean().backward()
        return z.detach(), w.grad, v.grad

    expected = compute(w, v)
    with adapter.enabled(OPS):
        compute(w, v)
        served = {row.operation for row in adapter.stats().rows if not row.reason}
    assert {"convolution", "native_batch_norm", "max_pool2d_with_indices", "mm"} <= served
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            for found, right in zip(compute(w, v), expected, strict=True):
                if not torch.allclose(
                    found, right, rtol=1e-3, atol=1e-3 * float(right.abs().max())
                ):
                    wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        adapter.enable(OPS)
        adapter.disable()
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


PREAMBLE = """
import torch, torch.nn.functional as TF
from fastconv.adapters import torch as adapter
adapter.enable()
x, w = torch.randn(4, 16, 32, 32), torch.randn(16, 16, 3, 3)
y = TF.conv2d(x, w)
"""


def run(code):
    """Run code in a process of its own, and return what it prints."""
    found = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_a_thousand_switches_leave_nothing_behind():
    code = """
import gc
adapter.disable()
torch.set_num_threads(1)
w.requires_grad_()
maps, rows, columns = torch.randn(4, 16, 32, 32), torch.randn(8, 512), torch.randn(512, 512)
def cycle(times):
    for _ in range(times):
        adapter.enable(("convolution", "batch_norm", "pool", "linear"))
        TF.conv2d(x[:1, :, :8, :8], w).sum().backward()
        TF.avg_pool2d(TF.batch_norm(maps, None, None, training=True), 2)
        rows.mm(columns)
        # A call that is passed on, and one that fails.
        rows[:2].mm(columns)
        try:
            rows.mm(rows)
        except RuntimeError:
            pass
        assert adapter.stats().served == 5
        adapter.disable()
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]), len(gc.get_objects())
cycle(500)
pages, objects = cycle(500)
after = cycle(1000)
print(after[0] - pages < 256, after[1] - objects < 50)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    assert run(code) == ["True", "True"]


def test_a_child_after_a_fork_is_served():
    code = """
import os
child = os.fork()
if not child:
    found = TF.conv2d(x, w)
    # PyTorch's own loops cannot have a team in a child.
    torch.set_num_threads(1)
    same = torch.equal(found, y)
    os._exit(0 if same and adapter.stats().served == 2 else 1)
print(os.waitpid(child, 0)[1], torch.equal(TF.conv2d(x, w), y))
"""
    assert run(code) == ["0", "True"]


def test_workers_of_a_data_loader_are_served():
    code = """
class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        before = adapter.stats().served
        same = torch.equal(TF.conv2d(x, w), y)
        served = adapter.stats().served - before == 1
        with listed_phases() as phases:
            TF.conv2d(x, w)
        # PyTorch gives a worker one thread.
        threads = max(phase[0] for phase in phases)
        return same, served, threads == torch.get_num_threads() == 1
torch.set_num_threads(2)
found = list(torch.utils.data.DataLoader(Images(), num_workers=2, batch_size=2))
print(len(found), all(bool(t.all()) for pair in found for t in pair))
"""
    assert run("from fastconv.engine.base.threads import listed_phases" + code) == ["4", "True"]


def test_the_team_is_pytorchs_while_it_is_on():
    code = """
import os
if torch.get_num_threads() < 2:
    torch.set_num_threads(2)
before = len(os.listdir("/proc/self/task"))
for _ in range(50):
    TF.conv2d(x, w)
print(len(os.listdir("/proc/self/task")) - before)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    # PyTorch's own threads may begin here; a second pool would be more.
    assert int(run(code)[0]) <= max(torch.get_num_threads(), 2)


def test_two_ranks_train_alike():
    code = """
import os, tempfile
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
folder = tempfile.mkdtemp()
def rank(n):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=n, world_size=2)
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Conv2d(16, 4, 3))
    torch.manual_seed(n)
    model(torch.randn(2, 16, 12, 12)).square().sum().backward()
    grad = model.module.weight.grad
    both = [torch.empty_like(grad) for _ in range(2)]
    dist.all_gather(both, grad)
    good = torch.equal(*both) and adapter.stats().served >= 3
    dist.destroy_process_group()
    os._exit(0 if good else 1)
children = []
for n in range(2):
    child = os.fork()
    if not child:
        rank(n)
    children.append(child)
print(*(os.waitpid(child, 0)[1] for child in children))
"""
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    # Gloo of some versions prints, too.
    assert run(code)[-2:] == ["0", "0"]


def test_compiled_code_is_served():
    """By "aot_eager" here; inductor calls the same operation, with channels_last tensors."""
    code = """
import warnings
warnings.simplefilter("ignore")
f = torch.compile(lambda x, w: TF.conv2d(x, w).relu(), backend="aot_eager")
before = adapter.stats().served
print(torch.equal(f(x, w), y.relu()), adapter.stats().served - before)
"""
    same, calls = run(code)[:2]
    assert same == "True"
    assert int(calls) >= 1
