"""PyTorch's own sample inputs: values and gradients, as its autograd gives them.

An operation's function and its gradient are called by the names of their parameters, which are
PyTorch's: what a sample gives is passed where a parameter has its name. So a row of the table is
a name, where nothing else is said.
"""

import inspect
import warnings
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from fastconv import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed, skipped: its samples")
pytest.importorskip("expecttest", reason="expecttest is not installed, skipped: torch's samples")

# Of the largest magnitude of an array; sums are short.
BOUNDS = {torch.float32: 5e-6, torch.float64: 1e-13}
# The 1/6 of PyTorch's gradient is rounded to float32 in float64, too.
ROUGH = {"hardsigmoid": 2e-8}
RENAMED = {"dim": "axis"}

# Under torch.nn.functional.
FUNCTIONS = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
    max_unpool1d max_unpool2d max_unpool3d
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear unfold
    batch_norm group_norm instance_norm layer_norm local_response_norm
    celu elu gelu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu relu6
    selu silu softplus softsign
    binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss kl_div l1_loss
    mse_loss nll_loss smooth_l1_loss
    interpolate pad pixel_shuffle pixel_unshuffle
"""
OPERATIONS = [
    *("sigmoid", "tanh", "softmax", "log_softmax"),
    *(f"nn.functional.{name}" for name in FUNCTIONS.split()),
]

# Shapes of what a forward pass saves.
STATISTICS = {
    "batch_norm": lambda given: (2, *given["input"].shape[1:2]),
    "group_norm": lambda given: (2, len(given["input"]), given["num_groups"]),
    "instance_norm": lambda given: (
        (2, *given["input"].shape[:2]) if given["use_input_stats"] else (2, given["input"].shape[1])
    ),
    "layer_norm": lambda given: (
        (2, *given["input"].shape[: given["input"].ndim - len(given["normalized_shape"])])
    ),
}
# Gradients that are other functions.
GRADIENTS = {
    "pixel_shuffle": lambda d, given: F.pixel_unshuffle(d, given["upscale_factor"]),
    "pixel_unshuffle": lambda d, given: F.pixel_shuffle(d, given["downscale_factor"]),
    "unfold": lambda d, given: F.fold(
        d,
        given["input"].shape[2:],
        **{k: given[k] for k in ("kernel_size", "dilation", "padding", "stride")},
    ),
}


class Exempt(NamedTuple):
    """Samples that are not compared: of which functions, which of them, why, and our message."""

    names: tuple
    holds: Callable
    reason: str
    message: str = ""


EXEMPT = [
    Exempt(
        ("avg_pool2d", "avg_pool3d"),
        lambda given: (given["divisor_override"] or 1) < 1,
        "a divisor is at least 1",
        "divisor_override must be at least 1",
    ),
    Exempt(
        ("batch_norm",),
        lambda given: given["input"].ndim < 2,
        "a map has channels",
        "input must",
    ),
    Exempt(
        ("layer_norm",),
        lambda given: np.prod(given["normalized_shape"]) == 1,
        "the gradient is 0, and PyTorch's is a rounding times 1 / sqrt(eps)",
    ),
    Exempt(
        ("max_pool2d", "max_pool3d"),
        lambda given: (
            given["ceil_mode"] and np.any(given["padding"]) and np.max(given["dilation"]) > 1
        ),
        "PyTorch may read and write outside of its arrays",
    ),
    Exempt(
        ("log_softmax", "softmax"),
        lambda given: given["input"].ndim == 0,
        "a number has no axis 0",
        "axis must be from 0 to -1",
    ),
]
# Variants that are not compared, and why.
EXEMPT_VARIANTS = {
    ("log_softmax", "with_dtype"): "no function converts its input",
    ("softmax", "with_dtype"): "no function converts its input",
}


@cache
def operations():
    """Return PyTorch's descriptions of an operation and its variants, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    found = {}
    for operation in op_db:
        found.setdefault(operation.name, []).append(operation)
    return found


def plain(value):
    """Return a copy without PyTorch: arrays, and tuples for its sizes."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, tuple | list):
        return tuple(value) or None  # no stride is the kernel's
    return value


def arguments(function, sample, convert=plain):
    """Return a sample's arguments by our names, with our defaults."""
    options = {RENAMED.get(name, name): value for name, value in sample.kwargs.items()}
    bound = inspect.signature(function).bind(sample.input, *sample.args, **options)
    bound.apply_defaults()
    return {name: convert(value) for name, value in bound.arguments.items()}


def computed(name, given):
    """Return what our function gives, and all that its gradient may ask for."""
    function = getattr(F, name)
    saved = dict(given)
    if name in STATISTICS:
        saved["statistics"] = np.empty(STATISTICS[name](given))
    asked = {k: v for k, v in saved.items() if k != "out"}
    if "return_indices" in asked:
        asked["return_indices"] = True
    result = function(**asked)
    values = result if isinstance(result, tuple) else (result,)
    saved |= {"output": values[0], "input_size": given["input"].shape}
    if len(values) == 2:
        saved["indices"] = values[1]
    return values, saved


def gradients(name, residual, saved):
    """Return our gradients, by the name of the argument."""
    if name in GRADIENTS:
        return {"input": GRADIENTS[name](residual, saved)}
    function = getattr(F, f"{name}_backward")
    saved = {**saved, "grad_output": residual}
    wanted = inspect.signature(function).parameters
    found = function(**{k: saved[k] for k in wanted if k in saved and k != "out"})
    if not isinstance(found, tuple):
        found = (found,)
    return dict(zip(("input", "weight", "bias"), found, strict=False))


def close(ours, theirs, name):
    """Compare to a bound, of the largest magnitude; integers exactly."""
    theirs = theirs.detach()
    ours = np.asarray(ours)
    assert ours.shape == tuple(theirs.shape)
    assert ours.dtype == theirs.numpy().dtype
    if not theirs.is_floating_point():
        np.testing.assert_array_equal(ours, theirs.numpy())
        return
    finite = theirs[torch.isfinite(theirs)]
    size = max(1.0, finite.abs().max().item() if finite.numel() else 0.0)
    bound = size * max(BOUNDS[theirs.dtype], ROUGH.get(name, 0))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=bound)


def check(name, operation, sample):
    """Compare one sample's values, running statistics and gradients."""
    function = getattr(F, name)
    tensors = arguments(function, sample, lambda value: value)
    given = arguments(function, sample)
    values, saved = computed(name, given)
    theirs = operation.op(sample.input, *sample.args, **sample.kwargs)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for a, b in zip(values, theirs, strict=False):
        close(a, b, name)
    for running in ("running_mean", "running_var"):
        if given.get(running) is not None:
            close(given[running], tensors[running], name)
    residual = torch.randn_like(theirs[0])
    found = gradients(name, plain(residual), saved)
    asked = {
        argument: tensor
        for argument, tensor in tensors.items()
        if argument in found and isinstance(tensor, torch.Tensor) and tensor.requires_grad
    }
    assert asked
    expected = torch.autograd.grad(theirs[0], asked.values(), residual)
    for argument, gradient in zip(asked, expected, strict=True):
        close(found[argument], gradient, name)


def samples(operation, dtype):
    """Yield (name of our function, description, sample) of an operation and its variants."""
    name = operation.rpartition(".")[2]
    torch.manual_seed(0)
    for variant in operations()[operation]:
        if (name, variant.variant_test_name) not in EXEMPT_VARIANTS and dtype in variant.dtypes:
            for sample in variant.sample_inputs("cpu", dtype, requires_grad=True):
                yield name, variant, sample


def exemption(name, sample):
    """Return the row of a sample that is not compared, or None."""
    given = arguments(getattr(F, name), sample)
    return next((row for row in EXEMPT if name in row.names and row.holds(given)), None)


@pytest.fixture(autouse=True)
def _alone():
    """Begin with one thread: teams of several test processes would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_samples_of(operation, dtype):
    """Every sample of an operation, but those that are exempt."""
    count = 0
    for name, variant, sample in samples(operation, dtype):
        if not exemption(name, sample):
            try:
                check(name, variant, sample)
            except Exception as error:
                error.add_note(f"{name}: {arguments(getattr(F, name), sample)}")
                raise
            count += 1
    assert count > 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", EXEMPT, ids=lambda row: row.reason)
def test_exempt_samples_are_refused(row):
    """An exemption that no sample needs goes."""
    count = 0
    for operation in OPERATIONS:
        if operation.rpartition(".")[2] in row.names:
            for name, variant, sample in samples(operation, torch.float64):
                if exemption(name, sample) is row:
                    count += 1
                    if row.message:
                        with pytest.raises(ValueError, match=row.message):
                            check(name, variant, sample)
    assert count > 0


def test_exempt_variants_exist():
    for name, variant in EXEMPT_VARIANTS:
        found = [o for o in OPERATIONS if o.rpartition(".")[2] == name]
        assert variant in [row.variant_test_name for row in operations()[found[0]]]
