"""PyTorch's operations other than convolutions with and without `fastconv.adapters.torch`.

    python benches/bench_torch_operations.py [OPERATION ...] [--dtype float32] [--threads 2] [--all]
    python benches/bench_torch_operations.py --overhead

The two ways take turns in one process; results are compared before. Times are the least of many, in
microseconds; the ratios are PyTorch's time over that with the adapter. Of a layer stand forward
(without recording) and the gradient; of a full connection the products of forward and of both
gradients. `--all` serves also the calls at which PyTorch was measured to be faster. `--overhead`
times tiny calls by four ways: PyTorch's own kernel, fastconv from NumPy, through the adapter,
and through the adapter to PyTorch.
"""

import argparse
import time
from dataclasses import replace

import torch

import fastconv
from fastconv import functional as F
from fastconv.adapters import torch as adapter
from fastconv.adapters.torch import _operations, _routes

SHAPES = (
    (8, 64, 112, 112), (8, 256, 56, 56), (8, 512, 28, 28), (8, 2048, 7, 7), (1, 64, 56, 56),
    (8, 16, 32, 32), (8, 16, 16, 16), (2, 8, 16, 16),
)  # fmt: skip
LAYERS = {
    "batch norm": torch.nn.BatchNorm2d,
    "the same, eval": lambda channels: torch.nn.BatchNorm2d(channels).eval(),
    "max 3x3/2": lambda channels: torch.nn.MaxPool2d(3, 2, 1),
    "max 2x2/2": lambda channels: torch.nn.MaxPool2d(2),
    "mean 2x2/2": lambda channels: torch.nn.AvgPool2d(2),
    "mean 3x3/1": lambda channels: torch.nn.AvgPool2d(3, 1, 1),
    "adaptive, 7x7": lambda channels: torch.nn.AdaptiveAvgPool2d(7),
}
# Rows, inputs and outputs.
CONNECTIONS = (
    *((rows, *size) for size in ((25088, 4096), (4096, 4096)) for rows in (2, 4, 32)),
    *((rows, *size) for size in ((2048, 1000), (512, 512), (256, 256), (128, 64))
      for rows in (2, 4, 8, 32, 256)),
    (8, 64, 10), (64, 400, 120), (64, 84, 10), (1024, 1024, 1024),
)  # fmt: skip
OPS = ("batch_norm", "pool", "linear")
# Seconds for each of the two ways of a line.
BUDGET = 0.1


def least(call, calls=1):
    """Return the least time of a call in seconds, of so many in a row."""
    call()
    found, end = [], time.perf_counter() + BUDGET
    while time.perf_counter() < end or len(found) < 5:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - begin) / calls)
    return min(found)


def layer_calls(layer, x):
    """Return what is timed of a layer."""
    x.requires_grad_()
    recorded = []

    def forward():
        with torch.no_grad():
            return layer(x)

    def gradient():
        if not recorded:
            recorded.append(layer(x))
        y = recorded[0]
        return torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0]

    return {"forward": forward, "gradient": gradient}


def connection_calls(rows, inputs, outputs, dtype):
    """Return the three products of a full connection, as PyTorch's autograd calls them."""
    x, w = torch.randn(rows, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
    b, y = torch.randn(outputs, dtype=dtype), torch.randn(rows, outputs, dtype=dtype)
    return {
        "forward": lambda: torch.addmm(b, x, w.t()),
        "input": lambda: torch.mm(y, w),
        "weight": lambda: torch.mm(y.t(), x),
    }


def measure(name, calls):
    """Print the times of calls, without and with the adapter."""
    cells = []
    for direction, call in calls.items():
        times, results = [], []
        for ops in ((), OPS):
            with adapter.enabled(ops):
                results.append(call())
                times.append(least(call))
        bound = 1e-4 * results[0].abs().max().item()
        torch.testing.assert_close(*results, rtol=1e-4, atol=bound)
        theirs, ours = times
        cells.append(f"{direction:<8} {1e6 * theirs:8.0f} {1e6 * ours:8.0f} {theirs / ours:6.2f}")
    print(f"{name:<31} {'   '.join(cells)}", flush=True)


def serve_all():
    _routes.slower = lambda *case: ""
    for ways in _operations.WAYS.values():
        for name, way in ways.items():
            ways[name] = replace(way, pays=lambda *tensors: True)


def overhead():
    """Print what tiny calls take."""
    x, w = torch.randn(1, 1, 5, 5), torch.randn(1, 1, 3, 3)
    maps, ones = torch.randn(2, 3, 4, 4), torch.ones(3)
    b, rows, weights = torch.randn(6), torch.randn(4, 8), torch.randn(6, 8)
    nx, nw, nmaps, nones, nb, nrows, nweights = (
        tensor.numpy() for tensor in (x, w, maps, ones, b, rows, weights)
    )
    arguments = (1, 1), (0, 0), (1, 1), False, (0, 0), 1
    calls = {
        "convolution": (
            lambda: torch.convolution(x, w, None, *arguments),
            lambda: F.conv2d(nx, nw),
        ),
        "batch norm": (
            lambda: torch.native_batch_norm(maps, ones, ones, None, None, True, 0.1, 1e-5),
            lambda: F.batch_norm(nmaps, None, None, nones, nones, True, 0.1, 1e-5),
        ),
        "max 2x2/2": (
            lambda: torch._C._nn.max_pool2d_with_indices(maps, (2, 2)),
            lambda: F.max_pool2d(nmaps, 2, return_indices=True),
        ),
        "mean 2x2/2": (
            lambda: torch._C._nn.avg_pool2d(maps, (2, 2)),
            lambda: F.avg_pool2d(nmaps, 2),
        ),
        "full connection": (
            lambda: torch.addmm(b, rows, weights.t()),
            lambda: F.linear(nrows, nweights, nb),
        ),
    }
    plain = [least(theirs, 100) for theirs, _ in calls.values()]
    print("us               PyTorch  fastconv  adapter  on top  passed on  by")
    serve_all()
    adapter.enable(("convolution", *OPS))
    served = [least(theirs, 100) for theirs, _ in calls.values()]
    assert not adapter.stats().passed_on
    _operations.Operation.refuse = lambda *call: "it is small"
    _routes.slower = lambda *case: "it is small"
    adapter.disable()
    adapter.enable(("convolution", *OPS))
    passed = [least(theirs, 100) for theirs, _ in calls.values()]
    assert not adapter.stats().served
    adapter.disable()
    for (name, (_, own)), alone, ours, theirs in zip(
        calls.items(), plain, served, passed, strict=True
    ):
        numpy = least(own, 100)
        cells = 1e6 * alone, 1e6 * numpy, 1e6 * ours, 1e6 * (ours - numpy), 1e6 * theirs
        text = "".join(f"{value:9.1f}" for value in cells)
        print(f"{name:<15}{text}{1e6 * (theirs - alone):9.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*LAYERS, "linear"]
    parser.add_argument("operations", nargs="*", metavar="OPERATION", default=names,
                        help=", ".join(names))  # fmt: skip
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="serve all calls")
    parser.add_argument("--overhead", action="store_true", help="what tiny calls take")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads, {fastconv.isa()}, {given.dtype}")
    if given.overhead:
        return overhead()
    if given.all:
        serve_all()
    dtype = getattr(torch, given.dtype)
    for name in given.operations:
        if name == "linear":
            for rows, inputs, outputs in CONNECTIONS:
                calls = connection_calls(rows, inputs, outputs, dtype)
                measure(f"linear {rows}x{inputs}-{outputs}", calls)
            continue
        for shape in SHAPES:
            if name == "adaptive, 7x7" and min(shape[2:]) < 7:
                continue
            layer = LAYERS[name](shape[1]).to(dtype)
            calls = layer_calls(layer, torch.randn(shape, dtype=dtype))
            measure(f"{name:<15} {'x'.join(map(str, shape))}", calls)
    return None


if __name__ == "__main__":
    main()
