"""Networks again, written down in torch's functions: parameters come by name."""


class Twin:
    """The parameters and buffers of a network, and torch's functions of them.

    Parameters
    ----------
    torch : module
    net : Layer
        Where names and values come from.
    """

    def __init__(self, torch, net):
        self.torch = torch
        self.F = torch.nn.functional
        names = [name for name, _ in net.named_parameters()]
        self.state = {key: torch.tensor(value) for key, value in net.state_dict().items()}
        self.parameters = [self.state[name].requires_grad_() for name in names]

    def conv(self, x, name, **more):
        """Convolve with the weights, and perhaps the bias, of a name."""
        bias = self.state.get(f"{name}.bias")
        return self.F.conv2d(x, self.state[f"{name}.weight"], bias, **more)

    def norm(self, x, name, eps=1e-5):
        """Normalise by the batch, and move the running statistics."""
        state = [self.state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        affine = [self.state[f"{name}.{part}"] for part in ("weight", "bias")]
        self.state[f"{name}.num_batches_tracked"] += 1
        return self.F.batch_norm(x, *state, *affine, True, 0.1, eps)

    def linear(self, x, name):
        """Return the full connection of a name."""
        return self.F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def head(self, x, name):
        """Return the full connection of the means of maps."""
        return self.linear(x.mean((2, 3)), name)


def resnet18(t, x):
    """ResNet-18 and, with more convolutions in a block, its relatives."""

    def block(x, name, stride):
        y = t.norm(t.conv(x, f"{name}.conv1", stride=stride, padding=1), f"{name}.bn1").relu()
        y = t.norm(t.conv(y, f"{name}.conv2", padding=1), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in t.state:
            x = t.conv(x, f"{name}.downsample.0", stride=stride)
            x = t.norm(x, f"{name}.downsample.1")
        return (y + x).relu()

    x = t.norm(t.conv(x, "conv1", stride=2, padding=3), "bn1").relu()
    x = t.F.max_pool2d(x, 3, 2, 1)
    for stage, stride in ((1, 1), (2, 2), (3, 2), (4, 2)):
        x = block(block(x, f"layer{stage}.0", stride), f"layer{stage}.1", 1)
    return (t.head(x, "fc"),)


def resnet50(t, x, first=1):
    """ResNet-50 with the stride in the 3x3, or (first=2) in the first 1x1."""

    def block(x, name, stride):
        strides = (stride, 1) if first == 2 else (1, stride)
        y = t.norm(t.conv(x, f"{name}.conv1", stride=strides[0]), f"{name}.bn1").relu()
        y = t.conv(y, f"{name}.conv2", stride=strides[1], padding=1)
        y = t.norm(y, f"{name}.bn2").relu()
        y = t.norm(t.conv(y, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in t.state:
            x = t.conv(x, f"{name}.downsample.0", stride=stride)
            x = t.norm(x, f"{name}.downsample.1")
        return (y + x).relu()

    x = t.norm(t.conv(x, "conv1", stride=2, padding=3), "bn1").relu()
    x = t.F.max_pool2d(x, 3, 2, 1)
    for stage, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for i in range(count):
            x = block(x, f"layer{stage}.{i}", 2 if i == 0 and stage > 1 else 1)
    return (t.head(x, "fc"),)


def resnet20(t, x):
    """ResNet-20 for images of 32 x 32, with shortcuts of the paper's option A."""

    def block(x, name, stride):
        y = t.norm(t.conv(x, f"{name}.conv1", stride=stride, padding=1), f"{name}.bn1").relu()
        y = t.norm(t.conv(y, f"{name}.conv2", padding=1), f"{name}.bn2")
        if stride == 2:
            x = x[:, :, ::2, ::2]
            x = t.torch.cat([x, t.torch.zeros_like(x)], 1)
        return (y + x).relu()

    x = t.norm(t.conv(x, "conv1", padding=1), "bn1").relu()
    for stage in (1, 2, 3):
        for i in range(3):
            x = block(x, f"layer{stage}.{i}", 2 if i == 0 and stage > 1 else 1)
    return (t.head(x, "fc"),)


def googlenet(t, x):
    """GoogLeNet as in torchvision, with the auxiliary classifiers."""

    def conv(x, name, **more):
        return t.norm(t.conv(x, f"{name}.conv", **more), f"{name}.bn", eps=0.001).relu()

    def pool(x, size):
        return t.F.max_pool2d(x, size, 2, ceil_mode=True)

    def module(x, name):
        name = f"inception{name}"
        pooled = t.F.max_pool2d(x, 3, 1, 1)
        branches = [
            conv(x, f"{name}.branch1"),
            conv(conv(x, f"{name}.branch2.0"), f"{name}.branch2.1", padding=1),
            conv(conv(x, f"{name}.branch3.0"), f"{name}.branch3.1", padding=1),
            conv(pooled, f"{name}.branch4.1"),
        ]
        return t.torch.cat(branches, 1)

    def auxiliary(x, name):
        x = conv(t.F.adaptive_avg_pool2d(x, 4), f"{name}.conv").flatten(1)
        return t.linear(t.linear(x, f"{name}.fc1").relu(), f"{name}.fc2")

    x = pool(conv(x, "conv1", stride=2, padding=3), 3)
    x = pool(conv(conv(x, "conv2"), "conv3", padding=1), 3)
    x = pool(module(module(x, "3a"), "3b"), 3)
    first = x = module(x, "4a")
    second = x = module(module(module(x, "4b"), "4c"), "4d")
    x = pool(module(x, "4e"), 2)
    x = module(module(x, "5a"), "5b")
    return t.head(x, "fc"), auxiliary(second, "aux2"), auxiliary(first, "aux1")


def mobilenet_v2(t, x):
    """MobileNetV2."""

    def conv(x, name, **more):
        return t.F.relu6(t.norm(t.conv(x, f"{name}.0", **more), f"{name}.1"))

    def block(x, name, expansion, stride):
        y, place = x, 0
        if expansion > 1:
            y, place = conv(y, f"{name}.0"), 1
        y = conv(y, f"{name}.{place}", stride=stride, padding=1, groups=y.shape[1])
        y = t.norm(t.conv(y, f"{name}.{place + 1}"), f"{name}.{place + 2}")
        return x + y if x.shape == y.shape else y

    x = conv(x, "features.0", stride=2, padding=1)
    number = 0
    stages = [(1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)]
    for expansion, count, stride in stages:
        for i in range(count):
            number += 1
            x = block(x, f"features.{number}.conv", expansion, stride if i == 0 else 1)
    return (t.head(conv(x, "features.18"), "classifier.1"),)


def unet(t, x):
    """U-Net of depth 3."""

    def double(x, name):
        x = t.norm(t.conv(x, f"{name}.0", padding=1), f"{name}.1").relu()
        return t.norm(t.conv(x, f"{name}.3", padding=1), f"{name}.4").relu()

    maps = [double(x, "encode0")]
    for i in (1, 2, 3):
        maps.append(double(t.F.max_pool2d(maps[-1], 2), f"encode{i}"))
    x = maps[3]
    for i in (2, 1, 0):
        weights = t.state[f"up{i}.weight"], t.state[f"up{i}.bias"]
        x = t.F.conv_transpose2d(x, *weights, stride=2)
        x = double(t.torch.cat([maps[i], x], 1), f"decode{i}")
    return (t.conv(x, "classify"),)


def alexnet_lrn(t, x):
    """AlexNet as in the paper."""
    x = t.conv(x, "features.0", stride=4).relu()
    # torch divides by the number of channels, the paper does not.
    x = t.F.max_pool2d(t.F.local_response_norm(x, 5, 5e-4, 0.75, 2.0), 3, 2)
    x = t.conv(x, "features.4", padding=2, groups=2).relu()
    x = t.F.max_pool2d(t.F.local_response_norm(x, 5, 5e-4, 0.75, 2.0), 3, 2)
    x = t.conv(x, "features.8", padding=1).relu()
    x = t.conv(x, "features.10", padding=1, groups=2).relu()
    x = t.F.max_pool2d(t.conv(x, "features.12", padding=1, groups=2).relu(), 3, 2)
    x = t.F.adaptive_avg_pool2d(x, 6).flatten(1)
    x = t.linear(x, "classifier.1").relu()
    return (t.linear(t.linear(x, "classifier.4").relu(), "classifier.6"),)
