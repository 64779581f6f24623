"""The arguments of the layers' constructors: torch.nn's names and order, errors, repr."""

import inspect

import numpy as np
import pytest

from fastconv import layers
from tests._cases import torch_or_skip

POOL = "kernel_size, stride=None, padding=0"
CONV = (
    "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, "
    "padding_mode='zeros'"
)
TRANSPOSED = (
    "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, "
    "bias=True, dilation=1, padding_mode='zeros'"
)
FRACTIONAL = (
    "kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None"
)
BATCH_NORM = (
    "num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, bias=True"
)
INSTANCE_NORM = (
    "num_features, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False, bias=True"
)
SIGNATURES = {
    **{
        f"{kind}{axes}d": "padding, value" if kind == "ConstantPad" else "padding"
        for kind in ("ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad")
        for axes in (1, 2, 3)
    },
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
    "Upsample": "size=None, scale_factor=None, mode='nearest', align_corners=None, "
    "recompute_scale_factor=None",
    "AlphaDropout": "p=0.5, inplace=False",
    "CELU": "alpha=1.0, inplace=False",
    "Dropout1d": "p=0.5, inplace=False",
    "Dropout2d": "p=0.5, inplace=False",
    "Dropout3d": "p=0.5, inplace=False",
    "ELU": "alpha=1.0, inplace=False",
    "GELU": "approximate='none'",
    "Hardsigmoid": "inplace=False",
    "Hardswish": "inplace=False",
    "Hardtanh": "min_val=-1.0, max_val=1.0, inplace=False",
    "LogSigmoid": "",
    "Mish": "inplace=False",
    "PReLU": "num_parameters=1, init=0.25",
    "ReLU6": "inplace=False",
    "SELU": "inplace=False",
    "SiLU": "inplace=False",
    "Softplus": "beta=1.0, threshold=20.0",
    "Softsign": "",
    "AdaptiveAvgPool1d": "output_size",
    "AdaptiveAvgPool2d": "output_size",
    "AdaptiveAvgPool3d": "output_size",
    "AdaptiveMaxPool1d": "output_size, return_indices=False",
    "AdaptiveMaxPool2d": "output_size, return_indices=False",
    "AdaptiveMaxPool3d": "output_size, return_indices=False",
    "AvgPool1d": POOL + ", ceil_mode=False, count_include_pad=True",
    "AvgPool2d": POOL + ", ceil_mode=False, count_include_pad=True, divisor_override=None",
    **{f"Conv{axes}d": CONV for axes in (1, 2, 3)},
    **{f"ConvTranspose{axes}d": TRANSPOSED for axes in (1, 2, 3)},
    "AvgPool3d": POOL + ", ceil_mode=False, count_include_pad=True, divisor_override=None",
    "FractionalMaxPool2d": FRACTIONAL,
    "FractionalMaxPool3d": FRACTIONAL,
    "LPPool1d": "norm_type, kernel_size, stride=None, ceil_mode=False",
    "LPPool2d": "norm_type, kernel_size, stride=None, ceil_mode=False",
    "LPPool3d": "norm_type, kernel_size, stride=None, ceil_mode=False",
    "MaxPool1d": POOL + ", dilation=1, return_indices=False, ceil_mode=False",
    "MaxPool2d": POOL + ", dilation=1, return_indices=False, ceil_mode=False",
    "MaxPool3d": POOL + ", dilation=1, return_indices=False, ceil_mode=False",
    "MaxUnpool1d": POOL,
    "MaxUnpool2d": POOL,
    "MaxUnpool3d": POOL,
    **{f"BatchNorm{axes}d": BATCH_NORM for axes in (1, 2, 3)},
    "Dropout": "p=0.5, inplace=False",
    "GroupNorm": "num_groups, num_channels, eps=1e-05, affine=True, bias=True",
    **{f"InstanceNorm{axes}d": INSTANCE_NORM for axes in (1, 2, 3)},
    "LayerNorm": "normalized_shape, eps=1e-05, elementwise_affine=True, bias=True",
    "LocalResponseNorm": "size, alpha=0.0001, beta=0.75, k=1.0",
    "Identity": "",
    "ModuleDict": "modules=None",
    "ModuleList": "modules=None",
    "Unflatten": "dim, unflattened_size",
    "Flatten": "start_dim=1, end_dim=-1",
    "LeakyReLU": "negative_slope=0.01, inplace=False",
    "Linear": "in_features, out_features, bias=True",
    "LogSoftmax": "dim=-1",
    "ReLU": "inplace=False",
    "Sigmoid": "",
    "Softmax": "dim=-1",
    "Tanh": "",
}
EXTRAS = {
    **{f"BatchNorm{axes}d": {"dtype"} for axes in (1, 2, 3)},
    "GroupNorm": {"dtype"},
    **{f"InstanceNorm{axes}d": {"dtype"} for axes in (1, 2, 3)},
    "LayerNorm": {"dtype"},
    "LocalResponseNorm": {"divide_by_size"},
    "AlphaDropout": {"rng"},
    "Dropout1d": {"rng"},
    "Dropout2d": {"rng"},
    "Dropout3d": {"rng"},
    "PReLU": {"dtype"},
    **{f"Conv{axes}d": {"dtype", "rng", "init"} for axes in (1, 2, 3)},
    **{f"ConvTranspose{axes}d": {"dtype", "rng", "init"} for axes in (1, 2, 3)},
    "Linear": {"dtype", "rng", "init"},
    "Upsample": {"coordinates", "rounding"},
    "Dropout": {"rng"},
    "FractionalMaxPool2d": {"rng"},
    "FractionalMaxPool3d": {"rng"},
}


def written(parameters):
    plain = [p.replace(annotation=p.empty) for p in parameters]
    return ", ".join(map(str, plain))


def test_the_table_of_signatures_is_complete():
    classes = [getattr(layers, name) for name in layers.__all__]
    found = {c for c in classes if isinstance(c, type) and issubclass(c, layers.Layer)}
    own = {layers.Layer, layers.Sequential, layers.Add, layers.Concat, layers.Graph}
    assert {c.__name__ for c in found - own} == set(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_constructors_have_torchs_arguments(name):
    parameters = inspect.signature(getattr(layers, name)).parameters.values()
    extras = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert extras == EXTRAS.get(name, set())
    named = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert written(named) == SIGNATURES[name]


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_table_of_signatures_is_torchs(name):
    nn = torch_or_skip("names and order of constructor arguments").nn
    parameters = inspect.signature(getattr(nn, name)).parameters
    if parameters and next(iter(parameters)) == "args":
        parameters = {}
    # Hardtanh's last two are deprecated.
    others = ("device", "dtype", "min_value", "max_value")
    theirs = written(p for p in parameters.values() if p.name not in others)
    # torch guesses an axis where none is given, and warns.
    assert theirs.replace("dim=None", "dim=-1") == SIGNATURES[name]


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "error", "message"),
    [
        ("Conv2d", (0, 1, 1), {}, ValueError, "in_channels must be at least 1, got 0"),
        ("Conv2d", (1, 1.5, 1), {}, TypeError, "out_channels must be an integer"),
        ("Conv2d", (1, 1, (1, 2, 3)), {}, ValueError, "kernel_size"),
        ("Conv2d", (1, 1, 0), {}, ValueError, "kernel_size"),
        ("Conv2d", (1, 1, 1, 0), {}, ValueError, "stride"),
        ("Conv2d", (1, 1, 1, 1, -1), {}, ValueError, "padding"),
        ("Conv2d", (1, 1, 1, 1, "half"), {}, ValueError, "padding must be one of"),
        ("Conv2d", (1, 1, 1, 1, 0, 0), {}, ValueError, "dilation"),
        ("Conv2d", (4, 6, 1), {"groups": 4}, ValueError, "groups must divide"),
        ("Conv2d", (6, 4, 1), {"groups": 4}, ValueError, "groups must divide"),
        ("Conv2d", (1, 1, 1), {"groups": 0}, ValueError, "groups must be at least 1"),
        ("Conv2d", (1, 1, 1), {"padding_mode": "mirror"}, ValueError, "one of 'zeros', .*'mirror'"),
        ("Conv2d", (1, 1, 1), {"dtype": np.float16}, TypeError, "float32 or float64, got float16"),
        ("Conv2d", (1, 1, 1), {"device": "cpu"}, TypeError, "device"),
        ("Conv1d", (1, 1, (1, 2)), {}, ValueError, "kernel_size"),
        ("Conv3d", (1, 1, 1, (1, 2)), {}, ValueError, "stride"),
        ("ConvTranspose2d", (1, 1, 1, 1, "same"), {}, ValueError, "padding must be one of 'valid'"),
        ("ConvTranspose1d", (1, 1, 1, 1, 0, -1), {}, ValueError, "output_padding must be at least"),
        ("ConvTranspose2d", (4, 6, 1), {"groups": 4}, ValueError, "groups must divide"),
        ("ConvTranspose3d", (1, 1, 1), {"padding_mode": "reflect"}, ValueError, "must be 'zeros'"),
        ("Linear", (0, 1), {}, ValueError, "in_features"),
        ("Linear", (1, True), {}, TypeError, "out_features"),
        ("MaxPool2d", (0,), {}, ValueError, "kernel_size"),
        ("MaxPool2d", (2, 0), {}, ValueError, "stride"),
        ("MaxPool2d", (2, 2, "full"), {}, ValueError, "padding must be one of"),
        ("MaxPool2d", (2,), {"dilation": 0}, ValueError, "dilation"),
        ("AvgPool2d", (2.0,), {}, TypeError, "kernel_size"),
        ("AvgPool1d", ((2, 2),), {}, ValueError, "kernel_size"),
        ("MaxPool3d", (2, 2, (1, 1)), {}, ValueError, "padding"),
        ("MaxPool1d", (2,), {"ceil_mode": "torch"}, ValueError, "ceil_mode"),
        ("AdaptiveAvgPool2d", (0,), {}, ValueError, "output_size"),
        ("AdaptiveMaxPool2d", ((1, 2, 3),), {}, ValueError, "output_size"),
        ("AdaptiveMaxPool1d", (2.5,), {}, TypeError, "output_size"),
        ("LPPool2d", (0, 2), {}, ValueError, "norm_type"),
        ("LPPool1d", ("2", 2), {}, TypeError, "norm_type"),
        ("MaxUnpool2d", (2, 2, -1), {}, ValueError, "padding"),
        ("FractionalMaxPool2d", (2,), {}, ValueError, "output_size and output_ratio"),
        ("FractionalMaxPool3d", (2, (3, 3)), {}, ValueError, "output_size"),
        ("AvgPool2d", (2, (1, 1, 1)), {}, ValueError, "stride"),
        ("AvgPool2d", (2, 2, -1), {}, ValueError, "padding"),
        ("AvgPool2d", (2,), {"divisor_override": 0}, ValueError, "divisor_override"),
        ("Dropout", (1.5,), {}, ValueError, "p must be from 0 to 1, got 1.5"),
        ("Dropout", (float("nan"),), {}, ValueError, "p must be from 0 to 1"),
        ("Flatten", (0.5,), {}, TypeError, "start_dim"),
        ("Unflatten", (0.5, (2, 2)), {}, TypeError, "dim must be an integer"),
        ("Unflatten", (1, 4), {}, TypeError, "unflattened_size must be a tuple"),
        ("Unflatten", (1, ()), {}, TypeError, "unflattened_size must be a tuple"),
        ("Unflatten", (1, (2, -2)), {}, ValueError, r"unflattened_size\[1\] must be at least -1"),
        ("Unflatten", (1, (-1, -1)), {}, ValueError, "may have one -1"),
        ("Concat", (), {"dim": 1.5}, TypeError, "dim must be an integer"),
    ],
)
def test_wrong_arguments_are_refused(name, args, kwargs, error, message):
    with pytest.raises(error, match=message):
        getattr(layers, name)(*args, **kwargs)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            layers.Conv2d(2, 4, 3, 2, "same"),
            "Conv2d(2, 4, kernel_size=(3, 3), stride=(2, 2), padding='same')",
        ),
        (
            layers.ConvTranspose1d(2, 4, 3, 2, 1, 1),
            "ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), padding=((1, 1),), "
            "output_padding=(1,))",
        ),
        (
            layers.Conv2d(2, 4, 3, 1, 1, (2, 1), 2, False, "reflect"),
            "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1)), "
            "dilation=(2, 1), groups=2, bias=False, padding_mode='reflect')",
        ),
        (layers.Linear(3, 2), "Linear(3, 2, bias=True)"),
        (layers.MaxPool2d(2), "MaxPool2d((2, 2), stride=(2, 2), padding=((0, 0), (0, 0)))"),
        (layers.AvgPool2d(3, 1), "AvgPool2d((3, 3), stride=(1, 1), padding=((0, 0), (0, 0)))"),
        (layers.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (layers.Unflatten(1, (2, -1)), "Unflatten(dim=1, unflattened_size=(2, -1))"),
        (layers.Identity(54, unused=True), "Identity()"),
        (layers.Add(), "Add()"),
        (layers.Concat(dim=-1), "Concat(dim=-1)"),
        (layers.Concat(layers.Tanh(), dim=2), "Concat(dim=2\n  (0): Tanh()\n)"),
        (layers.ModuleList([layers.Tanh()]), "ModuleList(\n  (0): Tanh()\n)"),
        (layers.ModuleDict(), "ModuleDict()"),
        (
            layers.Graph({"a": layers.Tanh(), "b": layers.ReLU(), "c": (layers.Add(), "b", "a")}),
            "Graph(\n  (a): Tanh()\n  (b): ReLU()\n  (c): Add() <- b, a\n)",
        ),
        (
            layers.Graph({"a": (layers.Add(), "x", "y"), "b": layers.Tanh()}, ("b",), ("x", "y")),
            "Graph(inputs=('x', 'y'), output=('b',)\n  (a): Add() <- x, y\n  (b): Tanh()\n)",
        ),
        (layers.ReLU(), "ReLU()"),
        (layers.ReLU(inplace=True), "ReLU(inplace=True)"),
        (layers.LeakyReLU(0.5, True), "LeakyReLU(negative_slope=0.5, inplace=True)"),
        (layers.Dropout(0.25), "Dropout(p=0.25)"),
        (layers.Softmax(1), "Softmax(dim=1)"),
        (layers.LogSoftmax(), "LogSoftmax(dim=-1)"),
        (layers.Parameter(np.zeros(3), "bias"), "Parameter('bias', shape=(3,), dtype=float64)"),
        (
            layers.Sequential(layers.Tanh(), layers.Sequential({"act": layers.Sigmoid()})),
            "Sequential(\n  (0): Tanh()\n  (1): Sequential(\n    (act): Sigmoid()\n  )\n)",
        ),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text
