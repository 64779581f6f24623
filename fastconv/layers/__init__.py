"""Layers with the names, arguments and state of torch.nn; their arithmetic is `functional`'s."""

from fastconv.layers.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from fastconv.layers.base import Layer
from fastconv.layers.branches import Add, Concat
from fastconv.layers.containers import ModuleDict, ModuleList
from fastconv.layers.conv import Conv1d, Conv2d, Conv3d
from fastconv.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.layers.dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
)
from fastconv.layers.gradients import check_gradients
from fastconv.layers.graph import Graph, Node
from fastconv.layers.hooks import HookHandle
from fastconv.layers.linear import Linear
from fastconv.layers.losses import CrossEntropyLoss, HalfSquaredError, MSELoss
from fastconv.layers.parameter import Parameter
from fastconv.layers.pooling import AvgPool2d, MaxPool2d
from fastconv.layers.reshaping import Flatten, Identity, Unflatten
from fastconv.layers.sequential import Sequential

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Add",
    "AlphaDropout",
    "AvgPool2d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Flatten",
    "Graph",
    "HalfSquaredError",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HookHandle",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "ModuleDict",
    "ModuleList",
    "Node",
    "PReLU",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Unflatten",
    "check_gradients",
]
