"""GoogLeNet: networks of Inception modules.

C. Szegedy et al., "Going deeper with convolutions", arXiv 1409.4842.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._check import Random
from fastconv.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Concat,
    Flatten,
    Graph,
    Layer,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Sequential,
)
from fastconv.models._build import Builder

# Channels of the modules: 1x1; 1x1 before 3x3, 3x3; 1x1 before 5x5, 5x5; behind the pooling.
# Table 1 of the paper.
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
# What stands behind which module, and the channels there.
_AUXILIARY = {"inception4a": ("aux1", 512), "inception4d": ("aux2", 528)}

_Conv = Callable[..., Sequential]


def _normalized(build: Builder) -> _Conv:
    """Return what makes a convolution with batch norm and ReLU, as torchvision's."""

    def make(inputs: int, outputs: int, kernel_size: int, **more: Any) -> Sequential:
        return Sequential(
            {
                "conv": build.conv(inputs, outputs, kernel_size, bias=False, **more),
                "bn": build.norm(outputs, eps=0.001),
                "relu": ReLU(inplace=True),
            }
        )

    return make


def _plain(build: Builder) -> _Conv:
    """Return what makes a convolution with a bias and ReLU, as the paper's."""

    def make(inputs: int, outputs: int, kernel_size: int, **more: Any) -> Sequential:
        conv = build.conv(inputs, outputs, kernel_size, **more)
        return Sequential({"conv": conv, "relu": ReLU(inplace=True)})

    return make


def _inception(conv: _Conv, inputs: int, channels: tuple[int, ...], five: int) -> Concat:
    """Return an Inception module: figure 2b of the paper; `five` is the size of its 5x5."""
    one, before_three, three, before_five, of_five, pooled = channels
    return Concat(
        {
            "branch1": conv(inputs, one, 1),
            "branch2": Sequential(
                conv(inputs, before_three, 1), conv(before_three, three, 3, padding=1)
            ),
            "branch3": Sequential(
                conv(inputs, before_five, 1), conv(before_five, of_five, five, padding=five // 2)
            ),
            "branch4": Sequential(MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, pooled, 1)),
        }
    )


def _head(
    build: Builder, conv: _Conv, pool: Layer, inputs: int, num_classes: int, dropout: float
) -> Sequential:
    """Return an auxiliary classifier."""
    return Sequential(
        {
            "pool": pool,
            "conv": conv(inputs, 128, 1),
            "flatten": Flatten(),
            "fc1": build.linear(2048, 1024),
            "relu": ReLU(inplace=True),
            "dropout": build.dropout(dropout),
            "fc2": build.linear(1024, num_classes, last=True),
        }
    )


def googlenet(
    num_classes: int = 1000,
    *,
    aux_logits: bool = False,
    paper: bool = False,
    dropout: float | None = None,
    dropout_aux: float = 0.7,
    dtype: DTypeLike = np.float32,
    rng: Random = None,
) -> Graph:
    """Return GoogLeNet: 6,624,904 parameters, 1.5 x 10^9 multiply-adds for 224 x 224.

    Parameters
    ----------
    num_classes : int
        Number of outputs.
    aux_logits : bool, keyword-only
        Have the two auxiliary classifiers of the paper, which are computed in training mode only
        (torchvision's default is True).
    paper : bool, keyword-only
        Build the network of the paper: a bias in place of batch norm, local response normalisation
        and kernels of 5x5 where torchvision's have 3x3 (6,998,552 parameters).
    dropout, dropout_aux : float, keyword-only
        The probabilities of dropout before the last layer (0.2 as in torchvision by default, in
        the paper 0.4) and in the auxiliary classifiers.
    dtype : dtype, keyword-only
        Float32 or float64.
    rng : int or numpy.random.Generator, optional, keyword-only
        Where dropout's masks and the initial values come from (He's scheme; torch's for the last
        layers); an int is a seed.

    Returns
    -------
    Graph
        Takes (N, 3, H, W) of 15 x 15 or more (the auxiliary classifiers of the paper: 224 x 224),
        gives (N, num_classes): scores, not probabilities; in training with `aux_logits` a tuple of
        these and those of the second and the first auxiliary classifier. Names and shapes of
        parameters and buffers are those of torchvision, if not those of the paper.

    Notes
    -----
    The weights that torchvision publishes have those of the auxiliary classifiers, under names that
    begin with "aux": load them with ``aux_logits=True``, or leave these names out. Of images they
    expect values v of 0 to 1 as (v - 0.5) / 0.5.

    The paper adds 0.3 times the losses of the auxiliary classifiers to the loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> net = models.googlenet(10, aux_logits=True, rng=0)
    >>> [scores.shape for scores in net(np.zeros((2, 3, 64, 64), np.float32))]
    [(2, 10), (2, 10), (2, 10)]
    >>> net.eval()(np.zeros((2, 3, 64, 64), np.float32)).shape
    (2, 10)
    >>> main = {name for name in net.state_dict() if not name.startswith("aux")}
    >>> main == set(models.googlenet(10).state_dict())
    True
    """
    build = Builder(dtype, rng)
    conv = _plain(build) if paper else _normalized(build)
    if dropout is None:
        dropout = 0.4 if paper else 0.2

    def pool(number: int) -> MaxPool2d:
        # Torchvision's fourth pooling is smaller than the paper's.
        return MaxPool2d(2 if number == 4 and not paper else 3, 2, ceil_mode=True)

    def response_norm(name: str) -> dict[str, Layer]:
        return {name: LocalResponseNorm(5)} if paper else {}

    nodes: dict[str, Any] = {
        "conv1": conv(3, 64, 7, stride=2, padding=3),
        "maxpool1": pool(1),
        **response_norm("norm1"),
        "conv2": conv(64, 64, 1),
        "conv3": conv(64, 192, 3, padding=1),
        **response_norm("norm2"),
        "maxpool2": pool(2),
    }
    inputs = 192
    for name, channels in _MODULES.items():
        nodes[name] = _inception(conv, inputs, channels, 5 if paper else 3)
        inputs = sum(channels[place] for place in (0, 2, 4, 5))
        if name in ("inception3b", "inception4e"):
            number = int(name[-2])
            nodes[f"maxpool{number}"] = pool(number)
    heads = _AUXILIARY if aux_logits else {}
    for module, (name, width) in heads.items():
        pooling: Layer = AvgPool2d(5, 3) if paper else AdaptiveAvgPool2d(4)
        nodes[name] = (_head(build, conv, pooling, width, num_classes, dropout_aux), module)
    nodes |= {
        "avgpool": (AdaptiveAvgPool2d(1), "inception5b"),
        "flatten": Flatten(),
        "dropout": build.dropout(dropout),
        "fc": build.linear(inputs, num_classes, last=True),
    }
    return Graph(nodes, "fc", training_outputs=("aux2", "aux1") if aux_logits else ())
