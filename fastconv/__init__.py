"""Convolutions that train a CNN, on the CPU, for NumPy arrays.

The rooms, each imported when it is first used:

functional
    Stateless operations on arrays: convolution and its gradients, pooling, full connection,
    activations, losses.
layers
    Parameters, forward and backward, with the names of torch.nn.
models
    LeNet-5 and its relatives, ready to train.
training
    Optimizers, data sets, the training loop, checkpoints.
reference
    The same operations as slow, readable definitions that import NumPy alone.
benchmark
    Convolutions measured beside a rival, over the layers of well-known networks.
adapters
    Ways from other libraries to fastconv: `fastconv.adapters.openmp`, and so on.
"""

from importlib import import_module
from typing import Any

from fastconv.engine.base.isa import isa
from fastconv.engine.base.threads import get_num_threads, num_threads, set_num_threads
from fastconv.engine.base.workspace import release_workspace

_ROOMS = ("benchmark", "functional", "layers", "models", "reference", "training")

__all__ = [
    "Explanation",
    "Profile",
    "ProfileRecord",
    "__version__",
    "benchmark",
    "exact",
    "explain",
    "functional",
    "get_num_threads",
    "isa",
    "layers",
    "models",
    "num_threads",
    "profile",
    "reference",
    "release_workspace",
    "set_num_threads",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"fastconv.{name}")
    if name in ("Explanation", "explain"):
        return getattr(import_module("fastconv.functional._explain"), name)
    if name in ("Profile", "ProfileRecord", "profile"):
        return getattr(import_module("fastconv.layers.profiling"), name)
    if name == "exact":
        return import_module("fastconv.engine.choice").exact
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("fastconv")
        except PackageNotFoundError:
            return "0+unknown"  # a source tree that is not installed
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
