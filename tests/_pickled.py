"""Examples of all public classes: objects that can be copied and pickled, and what they do."""

from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

import fastconv
from fastconv import benchmark, functional, layers, models, reference, training
from fastconv import functional as F
from fastconv.layers import HookHandle
from tests._cases import normal

MODULES = (fastconv, benchmark, functional, layers, models, reference, training)

IMAGES, ROWS = (2, 3, 8, 8), (3, 4)


def spread(time, epochs):
    """Return a factor of a user's own schedule."""
    return 1 / (1 + time / epochs)


class Twice(layers.Layer):
    """A layer of a user: another one, two times."""

    def __init__(self, body):
        self.body = body

    def _forward(self, x):
        return self.body(self.body(x)), None

    def _backward(self, saved, grad_output, input_grad):
        return self.body.backward(self.body.backward(grad_output), input_grad=input_grad)


# What is made of an object, to be compared.


def trained(layer, shape):
    """Return what a layer makes of an input, forward and backward, and its gradients."""
    output = layer(normal(shape))
    layer.zero_grad()
    gradient = layer.backward(np.ones_like(output))
    return [output, gradient, *(p.grad for p in layer.parameters())]


def images(layer):
    """Return what a layer makes of images."""
    return trained(layer, IMAGES)


def pooled(layer):
    """Return what a pooling makes of images over as many axes as it has."""
    size = (2, 3, *(4, 6, 6)[-int(type(layer).__name__[-2]) :])
    if "Unpool" not in type(layer).__name__:
        return trained(layer, size)
    maxima = np.ones((2, 3, *(n // 2 for n in size[2:])))
    return layer(maxima, np.zeros(maxima.shape, np.int64))


def rows(layer):
    """Return what a layer makes of rows."""
    return trained(layer, ROWS)


def evaluated(layer):
    """Return what a layer makes of images in evaluation mode."""
    return layer(normal(IMAGES, np.float32))


def scores(loss):
    """Return a loss and its gradient."""
    x = normal(ROWS)
    of_classes = isinstance(loss, layers.CrossEntropyLoss | layers.NLLLoss)
    target = np.array([0, 3, 1]) if of_classes else x**2
    x = F.sigmoid(x) if isinstance(loss, layers.BCELoss) else x
    return [loss(x, target), loss.backward()]


def factors(schedule):
    """Return a schedule's values."""
    return [schedule(time, 10) for time in (0, 0.5, 3, 7.25, 10)]


def stepped(pair):
    """Return a network's parameters after a step of its optimizer."""
    net, optimizer = pair
    trained(net, ROWS)
    optimizer.step()
    return [p.data.copy() for p in net.parameters()]


def convolved(ready):
    """Return what prepared weights make of an input."""
    geometry = ready.plan.geometry
    x = normal((2, *geometry.input_shape[1:]), ready.weight.dtype)
    return F.conv2d(x, ready, padding=geometry.padding, algorithm=ready.plan.algorithm)


def described(data):
    """Return all that is in a data set."""
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return [data.name, *arrays, data.class_names, data.mean, data.std]


def contents(value):
    """Return an object's fields."""
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}


def message(error):
    """Return what an exception says."""
    return [type(error).__name__, str(error)]


@dataclass
class Example:
    """An object, what is made of it, and what its repr must have, or be if that ends in ")"."""

    value: Any
    use: Any
    shown: str


def double(kind, *arguments, **more):
    return kind(*arguments, dtype=np.float64, rng=0, **more)


def network():
    """Return a network with one layer at several places, random numbers and a user's layer."""
    one, drop = double(layers.Linear, 4, 4), layers.Dropout(0.5, rng=4)
    return layers.Sequential(one, drop, Twice(layers.Sequential(one, layers.Tanh())), drop)


def graph():
    """Return a network with a shortcut."""
    return layers.Graph({"net": network(), "add": (layers.Add(), "net", "input")})


def parts(container):
    """Return the parameters of what is not to be called."""
    return [p.data for p in container.parameters()]


def optimized(kind, *arguments):
    """Return a network and its optimizer, after two steps."""
    net = network()
    pair = net, kind(net.parameters(), *arguments)
    for _ in range(2):
        stepped(pair)
    return pair


def used(dataset):
    """Return a data set that has computed what it keeps."""
    assert dataset.std > 0
    return dataset


def prepared():
    """Return a prepared network, of which one size was used inside of `exact`, another outside."""
    conv = layers.Conv2d(3, 64, 3, padding=1, rng=0), layers.Conv2d(64, 64, 3, padding=1, rng=1)
    net = layers.Sequential(*conv).eval().prepare()
    evaluated(net)
    with fastconv.exact():
        evaluated(net)
    # The weights change, but what was made of them does not.
    net.state_dict()["1.weight"][...] = 0
    return net


def prepare_exactly():
    with fastconv.exact():
        return F.prepare_weight(normal((64, 64, 3, 3)), (64, 12, 12), padding=1)


def checkpoint():
    net, adam = optimized(training.Adam)
    return training.Checkpoint(
        net.state_dict(), adam.state_dict(), [], training.history.Progress(3, 7), [], {"seed": 1}
    )


def row():
    sides = benchmark.Side(1e-4, 2e-4, 1e-7), benchmark.Side(2e-4, 3e-4, 1e-7)
    what = ("lenet5", "C1", "5x5 1-6@28", "forward", 8, "float32", 1, "auto", 10**6)
    return benchmark.Row(*what, sides[0], "torch", sides[1])


class Scalars:
    """What has `add_scalar`, and keeps what it gets."""

    def __init__(self):
        self.kept = []

    def __repr__(self):
        return "Scalars()"

    def add_scalar(self, tag, value, step):
        self.kept.append((tag, value, step))


def written(writer):
    """Return what a writer gives of an epoch."""
    scalars = writer._add.__self__
    before = len(scalars.kept)
    writer(training.EpochRecord(1, 0.05, 0.7, 0.8, 0.4, 0.9, 1.5))
    return scalars.kept[before:]


def machine():
    """Return a machine that does not change with the time or the source tree."""
    versions = {"numpy": "2.0.0", "torch": None}
    return benchmark.Machine("a CPU", "avx2", 2, versions, None, "2026-01-02T03:04:05+00:00")


def results():
    return benchmark.Results(machine(), (benchmark.Peak("float32", 1, 9.0),), (row(),))


def threads_inside(limit):
    with limit:
        return fastconv.get_num_threads()


SHAPES = ((2, 64, 12, 12), (64, 64, 3, 3))


def profiled():
    """Return a profile of a layer's pass both ways."""
    layer = layers.Tanh()
    with fastconv.profile(show=False) as profile:
        layer.backward(layer(normal(ROWS)))
    return profile


def calls_of(profile):
    """Return what a profile has counted."""
    return [(record.kind, record.direction, record.calls) for record in profile.records]


# One or more for each public class, and for each kind of object that a public function returns.
EXAMPLES = {
    "num_threads": lambda: Example(fastconv.num_threads(3), threads_inside, "num_threads(3)"),
    "Explanation": lambda: Example(
        fastconv.explain("conv2d", *SHAPES), str, "Explanation(operation='conv2d'"
    ),
    "Profile": lambda: Example(profiled(), calls_of, "Profile(2 records, "),
    "ProfileRecord": lambda: Example(
        fastconv.ProfileRecord("0", "Conv2d", "forward", 2, 0.5, 10**9, "gemm", "", 0.1),
        str,
        "ProfileRecord(name='0', kind='Conv2d'",
    ),
    "winograd": lambda: Example(
        F.prepare_weight(normal((64, 64, 3, 3), np.float32), (64, 12, 12), padding=1),
        convolved,
        "PreparedWeight((64, 64, 3, 3) float32, for inputs of (64, 12, 12), 'winograd')",
    ),
    "exactly prepared": lambda: Example(prepare_exactly(), convolved, "'gemm')"),
    **{
        f"prepared {algorithm}": lambda algorithm=algorithm: Example(
            F.prepare_weight(normal((4, 2, 5, 5)), (2, 9, 9), 1, "same", algorithm=algorithm),
            convolved,
            f"PreparedWeight((4, 2, 5, 5) float64, for inputs of (2, 9, 9), {algorithm!r})",
        )
        for algorithm in ("fft", "winograd", "gemm", "direct", "im2col")
    },
    "Plan": lambda: Example(F.prepare_weight(np.ones((1, 1, 1, 1)), (1, 2, 2)).plan, str, "Plan("),
    "Parameter": lambda: Example(
        network()[0].weight, lambda p: [p.data, p.name], "Parameter('weight', shape=(4, 4)"
    ),
    "Layer": lambda: Example(layers.Layer(), repr, "Layer()"),
    **{
        name: lambda name=name, shape=shape: Example(
            double(getattr(layers, name), 3, 2, 3),
            lambda layer: trained(layer, shape),
            f"{name}(3, 2, kernel_",
        )
        for kind in ("Conv", "ConvTranspose")
        for name, shape in (
            (f"{kind}1d", (2, 3, 8)),
            (f"{kind}2d", (2, 3, 8, 8)),
            (f"{kind}3d", (2, 3, 4, 4, 4)),
        )
    },
    "Linear": lambda: Example(double(layers.Linear, 4, 2), rows, "Linear(4, 2, bias=True)"),
    **{
        f"BatchNorm{axes}d": lambda axes=axes, shape=shape: Example(
            getattr(layers, f"BatchNorm{axes}d")(4, dtype=np.float64),
            lambda layer: trained(layer, shape),
            f"BatchNorm{axes}d(4, eps=1e-05",
        )
        for axes, shape in ((1, (3, 4)), (2, (3, 4, 5, 5)), (3, (3, 4, 2, 3, 3)))
    },
    "GroupNorm": lambda: Example(
        layers.GroupNorm(2, 4, dtype=np.float64), rows, "GroupNorm(2, 4, eps=1e-05"
    ),
    **{
        f"InstanceNorm{axes}d": lambda axes=axes, shape=shape: Example(
            getattr(layers, f"InstanceNorm{axes}d")(4, 1e-5, 0.1, True, True, dtype=np.float64),
            lambda layer: trained(layer, shape),
            f"InstanceNorm{axes}d(4, eps=1e-05",
        )
        for axes, shape in ((1, (3, 4, 5)), (2, (3, 4, 5, 5)), (3, (3, 4, 2, 3, 3)))
    },
    "LayerNorm": lambda: Example(
        layers.LayerNorm(4, dtype=np.float64), rows, "LayerNorm((4,), eps=1e-05"
    ),
    "LocalResponseNorm": lambda: Example(
        layers.LocalResponseNorm(3), rows, "LocalResponseNorm(3, alpha=0.0001"
    ),
    "Flatten": lambda: Example(layers.Flatten(), images, "Flatten(start_dim=1, end_dim=-1)"),
    **{
        f"{kind}{axes}d": lambda name=f"{kind}{axes}d", arguments=arguments: Example(
            getattr(layers, name)(*arguments[0], **arguments[1]), pooled, f"{name}("
        )
        for kind, least, *arguments in (
            ("MaxPool", 1, (2,), {}),
            ("AvgPool", 1, (2,), {}),
            ("AdaptiveAvgPool", 1, (1,), {}),
            ("AdaptiveMaxPool", 1, (2,), {}),
            ("LPPool", 1, (2, 2), {}),
            ("MaxUnpool", 1, (2,), {}),
            ("FractionalMaxPool", 2, (2, 2), {"rng": 0}),
        )
        for axes in range(least, 4)
    },
    "ReLU": lambda: Example(layers.ReLU(), rows, "ReLU()"),
    "LeakyReLU": lambda: Example(layers.LeakyReLU(0.1), rows, "LeakyReLU(negative_slope=0.1)"),
    "Sigmoid": lambda: Example(layers.Sigmoid(), rows, "Sigmoid()"),
    "Tanh": lambda: Example(layers.Tanh(), rows, "Tanh()"),
    "Softmax": lambda: Example(layers.Softmax(1), rows, "Softmax(dim=1)"),
    "LogSoftmax": lambda: Example(layers.LogSoftmax(1), rows, "LogSoftmax(dim=1)"),
    "Dropout": lambda: Example(layers.Dropout(0.5, rng=2), rows, "Dropout(p=0.5)"),
    "CELU": lambda: Example(layers.CELU(), rows, "CELU(alpha=1.0)"),
    "ELU": lambda: Example(layers.ELU(), rows, "ELU(alpha=1.0)"),
    "GELU": lambda: Example(layers.GELU(), rows, "GELU(approximate='none')"),
    "SELU": lambda: Example(layers.SELU(), rows, "SELU()"),
    "Hardsigmoid": lambda: Example(layers.Hardsigmoid(), rows, "Hardsigmoid()"),
    "Hardswish": lambda: Example(layers.Hardswish(), rows, "Hardswish()"),
    "Hardtanh": lambda: Example(layers.Hardtanh(), rows, "Hardtanh(min_val=-1.0, max_val=1.0)"),
    "LogSigmoid": lambda: Example(layers.LogSigmoid(), rows, "LogSigmoid()"),
    "Mish": lambda: Example(layers.Mish(), rows, "Mish()"),
    "ReLU6": lambda: Example(layers.ReLU6(), rows, "ReLU6()"),
    "SiLU": lambda: Example(layers.SiLU(), rows, "SiLU()"),
    "Softplus": lambda: Example(layers.Softplus(), rows, "Softplus(beta=1.0, threshold=20.0)"),
    "Softsign": lambda: Example(layers.Softsign(), rows, "Softsign()"),
    "PReLU": lambda: Example(layers.PReLU(4, dtype=np.float64), rows, "PReLU(num_parameters=4)"),
    "AlphaDropout": lambda: Example(layers.AlphaDropout(0.5, rng=2), rows, "AlphaDropout(p=0.5)"),
    "Dropout1d": lambda: Example(layers.Dropout1d(0.5, rng=2), rows, "Dropout1d(p=0.5)"),
    "Dropout2d": lambda: Example(layers.Dropout2d(0.5, rng=2), images, "Dropout2d(p=0.5)"),
    "Dropout3d": lambda: Example(layers.Dropout3d(0.5, rng=2), images, "Dropout3d(p=0.5)"),
    **{
        f"ZeroPad{axes}d": lambda axes=axes: Example(
            getattr(layers, f"ZeroPad{axes}d")(1), images, f"ZeroPad{axes}d("
        )
        for axes in (1, 2, 3)
    },
    **{
        f"ConstantPad{axes}d": lambda axes=axes: Example(
            getattr(layers, f"ConstantPad{axes}d")(1, 2.0), images, f"ConstantPad{axes}d("
        )
        for axes in (1, 2, 3)
    },
    **{
        f"ReflectionPad{axes}d": lambda axes=axes: Example(
            getattr(layers, f"ReflectionPad{axes}d")(1), images, f"ReflectionPad{axes}d("
        )
        for axes in (1, 2, 3)
    },
    **{
        f"ReplicationPad{axes}d": lambda axes=axes: Example(
            getattr(layers, f"ReplicationPad{axes}d")(1), images, f"ReplicationPad{axes}d("
        )
        for axes in (1, 2, 3)
    },
    **{
        f"CircularPad{axes}d": lambda axes=axes: Example(
            getattr(layers, f"CircularPad{axes}d")(1), images, f"CircularPad{axes}d("
        )
        for axes in (1, 2, 3)
    },
    "PixelShuffle": lambda: Example(layers.PixelShuffle(1), images, "PixelShuffle(upscale_"),
    "PixelUnshuffle": lambda: Example(layers.PixelUnshuffle(2), images, "PixelUnshuffle(down"),
    "Upsample": lambda: Example(layers.Upsample(None, 2), images, "Upsample(scale_factor=2, mode="),
    "Unflatten": lambda: Example(layers.Unflatten(1, (2, 2)), rows, "Unflatten(dim=1, unf"),
    "Identity": lambda: Example(layers.Identity(), rows, "Identity()"),
    "Add": lambda: Example(layers.Add(network(), layers.Identity()), rows, "Add(\n  (0): Sequ"),
    "Concat": lambda: Example(layers.Concat(network(), network()), rows, "Concat(\n  (0): Sequ"),
    "Graph": lambda: Example(graph(), rows, "  (add): Add() <- net, input\n"),
    "Node": lambda: Example(graph().nodes["net"], repr, "Node(layer=Sequential("),
    "ModuleList": lambda: Example(layers.ModuleList(network()), parts, "ModuleList(\n  (0): Lin"),
    "ModuleDict": lambda: Example(
        layers.ModuleDict({"net": network()}), parts, "ModuleDict(\n  (net): Seq"
    ),
    "HookHandle": lambda: Example(HookHandle({}, 1), repr, "HookHandle(removed)"),
    "Sequential": lambda: Example(network(), rows, "Sequential(\n  (0): Linear("),
    "prepared network": lambda: Example(prepared(), evaluated, "Sequential(\n  (0): Conv2d("),
    **{
        name: lambda name=name: Example(getattr(layers, name)(), scores, f"{name}(red")
        for name in (
            "BCELoss",
            "BCEWithLogitsLoss",
            "HuberLoss",
            "KLDivLoss",
            "L1Loss",
            "NLLLoss",
            "SmoothL1Loss",
        )
    },
    "CrossEntropyLoss": lambda: Example(layers.CrossEntropyLoss(), scores, "CrossEntropyLoss(re"),
    "MSELoss": lambda: Example(layers.MSELoss(), scores, "MSELoss(reduction='mean')"),
    "HalfSquaredError": lambda: Example(layers.HalfSquaredError(), scores, "HalfSquaredError(red"),
    "lenet": lambda: Example(
        models.lenet_digits(dtype=np.float64, rng=0),
        lambda net: trained(net, (2, 1, 8, 8)),
        "Sequential(\n  (0): Conv2d(1, 16,",
    ),
    **{
        text: lambda text=text: Example(
            training.parse_schedule(text), factors, f"Schedule(text={text!r})"
        )
        for text in ("constant", "step:3:0.5", "exponential:0.9", "cosine:0.1", "warmup:2,cosine")
    },
    "Schedule": lambda: Example(
        training.Schedule("spread", spread), factors, "Schedule(text='spread')"
    ),
    "SGD": lambda: Example(
        optimized(training.SGD, 0.1, 0.9),
        stepped,
        "SGD(2 parameters, lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False)",
    ),
    "Adam": lambda: Example(
        optimized(training.Adam, 0.1), stepped, "Adam(2 parameters, lr=0.1, beta1=0.9, beta2=0.999,"
    ),
    "AdamW": lambda: Example(optimized(training.AdamW, 0.1), stepped, "AdamW(2 parameters, lr="),
    "RMSprop": lambda: Example(
        optimized(training.RMSprop, 0.1), stepped, "RMSprop(2 parameters, lr=0.1, alpha=0.99,"
    ),
    "ExponentialMovingAverage": lambda: Example(
        training.ExponentialMovingAverage(network().parameters(), 0.9),
        methodcaller("state_dict"),
        "ExponentialMovingAverage(2 parameters, decay=0.9, updates=0)",
    ),
    "Optimizer": lambda: Example(
        training.Optimizer(network().parameters(), 0.1),
        methodcaller("state_dict"),
        "Optimizer(2 parameters, lr=0.1)",
    ),
    "Dataset": lambda: Example(
        used(training.load_digits()),
        described,
        "Dataset('digits', 1442 training and 355 test images of (1, 8, 8) uint8, 10 classes)",
    ),
    "Checkpoint": lambda: Example(
        checkpoint(),
        contents,
        "Checkpoint(epoch=3, step=7, model of 4 arrays, optimizer='Adam', options={})",
    ),
    "Counts": lambda: Example(reference.linear_counts(9, 4), contents, "Counts(connections=36, "),
    "EpochRecord": lambda: Example(
        training.EpochRecord(1, 0.05, 0.7, 0.8, 0.4, 0.9, 1.5), contents, "EpochRecord(epoch=1, "
    ),
    "Augmentation": lambda: Example(
        training.Augmentation(crop=2, flip=True), str, "Augmentation(crop=2, flip=True"
    ),
    "EarlyStopping": lambda: Example(
        training.EarlyStopping(3), contents, "EarlyStopping(patience=3"
    ),
    "Report": lambda: Example(
        training.Report(0.5, np.eye(2, dtype=np.int64), np.array([2, 0]), ("a", "b")),
        str,
        "Report(",
    ),
    "RunFolder": lambda: Example(
        training.RunFolder("run", pictures=False), attrgetter("files"), "RunFolder('run'"
    ),
    "ScalarWriter": lambda: Example(training.ScalarWriter(Scalars()), written, "ScalarWriter("),
    "ImageSource": lambda: Example(training.ImageSource(), repr, "ImageSource("),
    "MappedImages": lambda: Example(
        training.MappedImages([np.ones((2, 1, 2, 2), np.uint8)]), np.asarray, "MappedImages("
    ),
    "Side": lambda: Example(row().ours, contents, "Side(minimum=0.0001, "),
    "Row": lambda: Example(row(), str, "Row(table='lenet5', "),
    "Peak": lambda: Example(benchmark.Peak("float32", 1, 9.0), contents, "Peak(dtype='float32', "),
    "Machine": lambda: Example(machine(), contents, "Machine(cpu="),
    "Results": lambda: Example(results(), repr, "Results(machine="),
    "Change": lambda: Example(benchmark.Change(row(), row()), repr, "Change(old="),
    "Comparison": lambda: Example(
        benchmark.compare(results(), results()), repr, "Comparison(changes="
    ),
    "Layer of a table": lambda: Example(benchmark.load_table("lenet5")[0], str, "Layer(table="),
    "WrongResult": lambda: Example(benchmark.WrongResult("it is"), message, "WrongResult('it is')"),
}
