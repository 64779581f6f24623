"""Networks, as compositions of layers.

Parameters and buffers of those that torchvision has, too, are named as there. What it publishes is
saved once, with torch and torchvision, and loaded without them::

    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2.get_state_dict()
    np.savez("resnet50.npz", **{name: array.numpy() for name, array in weights.items()})

    net = fastconv.models.resnet50()
    net.load_state_dict(fastconv.training.load_state("resnet50.npz"))
"""

from fastconv.models.alexnet import alexnet, alexnet_lrn
from fastconv.models.googlenet import googlenet
from fastconv.models.lenet import lenet5, lenet5_relu, lenet_digits
from fastconv.models.mobilenet import mobilenet_v2
from fastconv.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from fastconv.models.resnet_cifar import resnet20, resnet32, resnet56
from fastconv.models.small import small_cnn
from fastconv.models.unet import unet
from fastconv.models.vgg import (
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)

__all__ = [
    "alexnet",
    "alexnet_lrn",
    "googlenet",
    "lenet5",
    "lenet5_relu",
    "lenet_digits",
    "mobilenet_v2",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "small_cnn",
    "unet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
