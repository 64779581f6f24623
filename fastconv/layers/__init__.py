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
from fastconv.layers.base import Layer, Parameter
from fastconv.layers.conv import Conv2d
from fastconv.layers.gradients import check_gradients
from fastconv.layers.linear import Flatten, Linear
from fastconv.layers.losses import CrossEntropyLoss, HalfSquaredError, MSELoss
from fastconv.layers.pooling import AvgPool2d, MaxPool2d
from fastconv.layers.sequential import Sequential

__all__ = [
    "AvgPool2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "HalfSquaredError",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "check_gradients",
]
