"""Layers with the names, arguments and state of torch.nn; their arithmetic is `functional`'s."""

from fastconv.layers.activations import (
    Dropout,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastconv.layers.base import Layer
from fastconv.layers.branches import Add, Concat
from fastconv.layers.containers import ModuleDict, ModuleList
from fastconv.layers.conv import Conv2d
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
    "Add",
    "AvgPool2d",
    "Concat",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Graph",
    "HalfSquaredError",
    "HookHandle",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "ModuleDict",
    "ModuleList",
    "Node",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Unflatten",
    "check_gradients",
]
