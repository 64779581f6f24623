"""Networks written in PyTorch, as users write them; sizes and names are torchvision's."""

import torch
from torch import nn


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, activation=nn.ReLU):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class Residual(nn.Module):
    def __init__(self, inputs, outputs, body, stride):
        super().__init__()
        self.body = body
        self.skip = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.skip = conv_bn(inputs, outputs, 1, stride, activation=None)

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


def basic(inputs, width, stride):
    body = nn.Sequential(
        conv_bn(inputs, width, 3, stride), conv_bn(width, width, 3, activation=None)
    )
    return Residual(inputs, width, body, stride), width


def bottleneck(inputs, width, stride):
    body = nn.Sequential(
        conv_bn(inputs, width, 1),
        conv_bn(width, width, 3, stride),
        conv_bn(width, 4 * width, 1, activation=None),
    )
    return Residual(inputs, 4 * width, body, stride), 4 * width


def resnet(block, counts, width=64, classes=1000):
    layers = [conv_bn(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = width
    for stage, count in enumerate(counts):
        for i in range(count):
            stride = 2 if stage and not i else 1
            layer, channels = block(channels, width << stage, stride)
            layers.append(layer)
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def vgg(counts, classes=1000):
    layers, channels = [], 3
    for count, width in zip(counts, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Dropout(), nn.Linear(4096, classes))


def lenet5(classes=10):
    """Y. LeCun et al., 1998, with tanh and mean pooling."""
    parts = [nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)]
    parts += [nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()]
    for inputs, outputs in ((400, 120), (120, 84)):
        parts += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*parts, nn.Linear(84, classes))


class CifarBlock(nn.Module):
    """A block of the paper's option A: the shortcut is padded with zeros."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, width, 3, stride), conv_bn(width, width, 3, activation=None)
        )
        self.stride, self.more = stride, width - inputs

    def forward(self, x):
        skip = x[:, :, :: self.stride, :: self.stride]
        if self.more:
            skip = nn.functional.pad(skip, (0, 0, 0, 0, 0, self.more))
        return torch.relu(self.body(x) + skip)


def resnet20(classes=10):
    layers, channels = [conv_bn(3, 16, 3)], 16
    for width in (16, 32, 64):
        for i in range(3):
            layers.append(CifarBlock(channels, width, 2 if width > 16 and i == 0 else 1))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        widen = [conv_bn(inputs, hidden, 1, activation=nn.ReLU6)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widen,
            conv_bn(hidden, hidden, 3, stride, hidden, nn.ReLU6),
            conv_bn(hidden, outputs, 1, activation=None),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2(classes=1000):
    layers, channels = [conv_bn(3, 32, 3, 2, activation=nn.ReLU6)], 32
    rows = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    )  # fmt: skip
    for expansion, width, count, stride in rows:
        for i in range(count):
            layers.append(Inverted(channels, width, 1 if i else stride, expansion))
            channels = width
    layers += [conv_bn(channels, 1280, 1, activation=nn.ReLU6), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, classes))


class UNet(nn.Module):
    """O. Ronneberger et al., arXiv 1505.04597, padded, with batch normalisation."""

    def __init__(self, axes, inputs=1, width=32, depth=4, classes=2):
        super().__init__()
        conv, norm, pool, up = (
            getattr(nn, f"{name}{axes}d")
            for name in ("Conv", "BatchNorm", "MaxPool", "ConvTranspose")
        )

        def twice(inputs, outputs):
            layers = []
            for channels in (inputs, outputs):
                layers += [conv(channels, outputs, 3, padding=1, bias=False), norm(outputs)]
                layers += [nn.ReLU(inplace=True)]
            return nn.Sequential(*layers)

        widths = [width << level for level in range(depth)]
        self.down = nn.ModuleList(map(twice, [inputs, *widths[:-1]], widths))
        self.pool = pool(2)
        self.up = nn.ModuleList(up(2 * n, n, 2, 2) for n in widths[-2::-1])
        self.join = nn.ModuleList(twice(2 * n, n) for n in widths[-2::-1])
        self.head = conv(width, classes, 1)

    def forward(self, x):
        kept = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat((skip, up(x)), 1))
        return self.head(x)


def audio(classes=35):
    """Dai et al., "Very deep convolutional neural networks for raw waveforms" (M5), 2016."""
    layers, channels = [], 1
    for kernel, stride, width in ((80, 4, 64), (3, 1, 64), (3, 1, 128), (3, 1, 256)):
        conv = nn.Conv1d(channels, width, kernel, stride, kernel // 2 if stride == 1 else 38)
        layers += [conv, nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(4)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(256, classes))


# What is built, and the shape of a batch.
NETWORKS = {
    "resnet18": (lambda: resnet(basic, (2, 2, 2, 2)), (8, 3, 224, 224)),
    "resnet50": (lambda: resnet(bottleneck, (3, 4, 6, 3)), (8, 3, 224, 224)),
    "vgg16": (lambda: vgg((2, 2, 3, 3, 3)), (4, 3, 224, 224)),
    "vgg19": (lambda: vgg((2, 2, 4, 4, 4)), (4, 3, 224, 224)),
    "lenet5": (lenet5, (64, 1, 28, 28)),
    "resnet20": (resnet20, (128, 3, 32, 32)),
    "mobilenet_v2": (mobilenet_v2, (8, 3, 224, 224)),
    "unet2d": (lambda: UNet(2), (2, 1, 256, 256)),
    "unet3d": (lambda: UNet(3, width=16, depth=3), (1, 1, 48, 48, 48)),
    "audio": (audio, (16, 1, 16000)),
}
