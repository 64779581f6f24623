"""Inference of whole networks, prepared, beside PyTorch, onnxruntime and OpenVINO.

    python benches/bench_inference.py [NETWORK ...] [--batch 1] [--threads 2] [--seconds 20]

All compute the same network: PyTorch's eager mode, and its export to ONNX that onnxruntime and
OpenVINO read (those that are not installed are left out; the export needs onnx). The outputs are
compared first. Then they take turns in one process; a turn is some calls after a pause, in which
the threads of the one before go to sleep. The ratios are the rivals' least times over ours. With
`--plain` the network that is not prepared takes turns, too.
"""

import argparse
import importlib.util
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch_networks import NETWORKS

import fastconv
from fastconv import models

PAUSE = 0.1
CALLS = 3
# The largest difference from PyTorch's outputs, over the largest of these.
AGREES = 1e-4


def pytorch(build):
    """Return a network of PyTorch whose batch norms have seen something."""
    torch.manual_seed(0)
    model = build().eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model


def ours(name, model, shape, prepare):
    """Return our network with the values of PyTorch's, which have the same order."""
    net = getattr(models, name)(rng=0).eval()
    state, theirs = net.state_dict(), list(model.state_dict().values())
    net.load_state_dict({key: value.numpy() for key, value in zip(state, theirs, strict=True)})
    return net.prepare(shape[1:], batch_size=shape[0]) if prepare else net


def exported(model, images, folder):
    """Return the file of a network in ONNX."""
    path = Path(folder) / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.from_numpy(images), path, dynamo=False)
    return path


def onnxruntime_way(path, threads):
    """Return onnxruntime's call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def openvino_way(path, threads):
    """Return OpenVINO's call."""
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.compile_model(path, "CPU", options).create_infer_request()
    return lambda images: request.infer([images])[0]


RIVALS = {"onnxruntime": onnxruntime_way, "openvino": openvino_way}


def find_ways(name, shape, threads, plain):
    """Return what each does with images, by its name, and the images."""
    build, _ = NETWORKS[name]
    model = pytorch(build)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    @torch.inference_mode()
    def eager(images):
        return model(torch.from_numpy(images)).numpy()

    ways = {"ours": ours(name, model, shape, True), "torch": eager}
    if plain:
        ways["plain"] = ours(name, model, shape, False)
    rivals = [rival for rival in RIVALS if importlib.util.find_spec(rival)]
    if rivals:
        with tempfile.TemporaryDirectory() as folder:
            path = exported(model, images, folder)
            ways |= {rival: RIVALS[rival](path, threads) for rival in rivals}
    return ways, images


def check(ways, images):
    """Return the largest difference of each from PyTorch's outputs; refuse what is wrong."""
    expected = ways["torch"](images)
    errors = {
        way: float(np.abs(run(images) - expected).max() / np.abs(expected).max())
        for way, run in ways.items()
    }
    for way, error in errors.items():
        if not error < AGREES:
            raise SystemExit(f"{way} differs from PyTorch by {error:.1e}")
    return errors


def measure(name, options):
    """Print one line of the table."""
    _, (_, *size) = NETWORKS[name]
    ways, images = find_ways(name, (options.batch, *size), options.threads, options.plain)
    error = check(ways, images)["ours"]
    found = {way: [] for way in ways}
    begin = time.perf_counter()
    while time.perf_counter() - begin < options.seconds or len(found["ours"]) < 2 * CALLS:
        for way, run in ways.items():
            time.sleep(PAUSE)
            for _ in range(CALLS):
                start = time.perf_counter()
                run(images)
                found[way].append(time.perf_counter() - start)
    mine = min(found.pop("ours"))
    ratios = "  ".join(f"{way} {min(times) / mine:5.2f}" for way, times in found.items())
    mine *= 1e3
    print(f"{name:14} batch {options.batch:2}  ours {mine:8.2f} ms  {ratios}  error {error:.0e}")


def main():
    both = [name for name in NETWORKS if name in models.__all__]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=both)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="for each network")
    parser.add_argument("--plain", action="store_true", help="time the unprepared network, too")
    options = parser.parse_args()
    for name in options.networks:
        if name not in both:
            parser.error(f"{name!r} is none of {', '.join(both)}")
    torch.set_num_threads(options.threads)
    fastconv.set_num_threads(options.threads)
    print(f"{fastconv.isa()}, {options.threads} threads, PyTorch {torch.__version__}")
    for name in options.networks:
        measure(name, options)


if __name__ == "__main__":
    main()
