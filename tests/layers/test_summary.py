"""Summaries of networks: exact counts, what is shown, and that nothing is changed."""

import numpy as np
import pytest

import fastconv
from fastconv import layers
from tests._state import state_of


def small():
    shared = layers.Conv2d(4, 4, 3, padding=1, rng=0)
    return layers.Sequential(
        {
            "conv": layers.Conv2d(3, 4, 3, stride=2, padding=1, rng=0),
            "twice": layers.Sequential(shared, layers.ReLU(inplace=True), shared),
            "up": layers.ConvTranspose2d(4, 2, 2, stride=2, rng=0),
            "flat": layers.Flatten(),
            "full": layers.Linear(2 * 8 * 8, 5, rng=0),
        }
    )


def test_each_layer_is_counted():
    net = small()
    found = net.summary((3, 8, 8), batch_size=3)
    assert found.input_shapes == ((3, 3, 8, 8),)
    rows = [(row.name, row.kind, row.output_shape) for row in found.layers]
    assert rows == [
        ("conv", "Conv2d", (3, 4, 4, 4)),
        ("twice.0", "Conv2d", (3, 4, 4, 4)),
        ("twice.1", "ReLU", (3, 4, 4, 4)),
        ("twice.0", "Conv2d", (3, 4, 4, 4)),
        ("up", "ConvTranspose2d", (3, 2, 8, 8)),
        ("flat", "Flatten", (3, 128)),
        ("full", "Linear", (3, 5)),
    ]
    # What is shared counts once, what is computed twice counts twice.
    assert [row.parameters for row in found.layers] == [112, 148, 0, 0, 34, 0, 645]
    assert found.parameters == 939 == sum(parameter.data.size for parameter in net.parameters())
    assert found.parameter_bytes == 4 * 939
    products = [16 * 108, 16 * 144, 0, 16 * 144, 16 * 4 * 2 * 4, 0, 640]
    assert [row.cost.multiply_adds for row in found.layers] == products
    assert found.multiply_adds == sum(products)
    # Both edges of an axis of 4 lose a third of three places: 10 pairs of 12.
    assert [row.cost.connections for row in found.layers][1] == 16 * 10 * 10
    assert [row.output_bytes for row in found.layers] == [768, 768, 0, 768, 1536, 0, 60]
    assert found.output_bytes == 768 * 3 + 1536 + 60


def test_algorithms_are_those_that_explain_tells_of():
    wide = layers.Conv2d(64, 128, 3, padding=1, rng=0)
    net = layers.Sequential(layers.Conv2d(3, 64, 3, stride=2, padding=1, rng=0), wide)
    found = net.summary((3, 64, 64), batch_size=2)
    told = fastconv.explain("conv2d", (2, 64, 32, 32), (128, 64, 3, 3), padding=1)
    cost = found.layers[1].cost
    assert (cost.algorithm, cost.variant) == (told.algorithm, told.variant)
    assert cost.workspace_bytes == told.workspace_bytes
    assert cost.multiply_adds == told.flops // 4
    assert cost.connections == told.connections // 2
    assert found.workspace_bytes == max(row.cost.workspace_bytes for row in found.layers)
    assert f"{told.algorithm}: {told.variant}" in str(found)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_layers_with_other_paddings_are_counted(mode):
    layer = layers.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode, rng=0)
    cost = layer.summary((2, 6, 5)).layers[0].cost
    assert cost.multiply_adds == 3 * 6 * 7 * 18
    assert cost.connections == (3 * 6 * 7 * 18 if mode == "reflect" else 3 * 2 * 16 * 15)


def test_nothing_is_changed():
    net = layers.Sequential(small(), layers.Dropout(0.5, rng=0), layers.Linear(5, 2, rng=0))
    net[2].eval()
    x = np.ones((2, 3, 8, 8), np.float32)
    y = net[0](x)
    before = state_of(net)
    text = repr(net[0].summary((3, 8, 8)))
    net.summary((3, 8, 8))
    assert state_of(net) == before
    assert all(layer._hooks is None or not layer._hooks.after_forward for layer in net.layers())
    net[0].backward(y)
    with pytest.raises(ValueError, match="channels"):
        net.summary((4, 8, 8))
    assert repr(net[0].summary((3, 8, 8))) == text
    assert not net[2].training


def test_a_layer_that_is_not_called_is_listed():
    graph = layers.Graph(
        {
            "a": layers.Linear(3, 2, rng=0),
            "b": layers.Linear(2, 2, rng=1),
            "c": (layers.Linear(2, 4, rng=2), "a"),
        },
        output="b",
        training_outputs="c",
    )
    found = graph.summary((3,))
    assert [(row.name, row.output_shape) for row in found.layers] == [
        ("a", (1, 2)),
        ("b", (1, 2)),
        ("c", None),
    ]
    assert found.parameters == sum(row.parameters for row in found.layers) == 8 + 6 + 12
    assert "not called" in str(found)


def test_networks_of_several_inputs():
    graph = layers.Graph(
        {"join": (layers.Concat(), "a", "b"), "full": layers.Linear(5, 1, rng=0)},
        inputs=("a", "b"),
    )
    found = graph.summary((2,), (3,), batch_size=4)
    assert found.input_shapes == ((4, 2), (4, 3))
    assert "input 4 x 2, 4 x 3;" in str(found)


def test_users_layers_with_parameters_have_a_row():
    class Scaled(layers.Layer):
        def __init__(self):
            self.scale = layers.Parameter(np.ones(1, np.float32), "scale")
            self.inner = layers.Linear(2, 2, rng=0)

        def _forward(self, x):
            return self.inner(x) * self.scale.data, None

    found = layers.Sequential(Scaled()).summary((2,))
    assert [(row.name, row.parameters) for row in found.layers] == [("0.inner", 6), ("0", 1)]


def test_the_table():
    lines = str(small().summary((3, 8, 8))).splitlines()
    assert lines[0].split() == [
        *("layer", "kind", "output", "parameters", "connections", "multiply-adds"),
        *("output", "bytes", "computed", "by"),
    ]
    assert lines[2].split()[:9] == ["conv", "Conv2d", "1", "x", "4", "x", "4", "x", "4"]
    assert lines[-2].split()[:2] == ["total", "939"]
    assert lines[-1].startswith("input 1 x 3 x 8 x 8; parameters 0.0 MiB, outputs 0.0 MiB")


def test_the_table_for_notebooks():
    layer = layers.Sequential({"<b>": layers.Linear(2, 3, rng=0)})
    text = layer.summary((2,))._repr_html_()
    assert text.count("<tr>") == 3
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count("<td") == 8


def test_wrong_arguments():
    net = layers.Linear(2, 3, rng=0)
    with pytest.raises(TypeError, match="shape of a sample"):
        net.summary()
    with pytest.raises(TypeError, match="input_shapes"):
        net.summary(2)
    with pytest.raises(ValueError, match="input_shapes"):
        net.summary((0,))
    with pytest.raises(ValueError, match="batch_size"):
        net.summary((2,), batch_size=0)
