"""Training that fails: what is refused beforehand, and what an error on the way leaves behind."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest

from fastconv import layers
from fastconv.training import (
    SGD,
    Adam,
    Dataset,
    constant,
    evaluate,
    fit,
    load_checkpoint,
    save_checkpoint,
)
from fastconv.training.history import Progress
from tests._state import state_of

STEPS = 3  # of an epoch


def dataset(classes=3):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 1, 4, 4)).astype(np.uint8)
    labels = np.arange(12) % 3
    names = tuple("abcdefgh"[:classes])
    return Dataset("small", images, labels, images[:5].copy(), labels[:5].copy(), names)


def network(outputs=3):
    return layers.Sequential(
        layers.Flatten(), layers.Dropout(0.3, rng=1), layers.Linear(16, outputs, rng=2)
    )


def train(model, optimizer, data=None, *, loss=None, **options):
    settings = {"epochs": 3, "batch_size": 4, "seed": 4, **options}
    loss = layers.CrossEntropyLoss() if loss is None else loss
    return fit(model, loss, optimizer, dataset() if data is None else data, **settings)


def started(steps=2):
    """Return a model and its optimizer after some steps, in evaluation mode but for one layer."""
    model = network()
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    stop_after(steps, model, optimizer)
    optimizer.zero_grad()
    model.eval()
    model[1].train()
    return model, optimizer


def stop_after(steps, model, optimizer, **options):
    """Train for some steps, in the first of which no test comes between."""
    asked = itertools.count(1)
    train(model, optimizer, should_stop=lambda: next(asked) >= steps, **options)


def changed_labels(part, label):
    """Return a data set whose arrays were changed after it had checked them."""
    data = dataset()
    getattr(data, f"{part}_labels")[-1] = label
    return data


class Reshaped(layers.Sequential):
    """Scores of another shape."""

    def __init__(self, shape):
        super().__init__(layers.Flatten(), layers.Linear(16, 3, rng=2))
        self.shape = shape

    def forward(self, x):
        return super().forward(x).reshape(self.shape)


# Refused before the first step.


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"epochs": "3"}, ValueError, "epochs: got '3'"),
        ({"batch_size": 2.0}, ValueError, "batch_size: got 2.0"),
        ({"seed": None}, ValueError, "seed: got None"),
        ({"data": (1, 2)}, TypeError, "dataset: got a tuple, expected a Dataset"),
        ({"data": changed_labels("train", 3)}, ValueError, "largest is 3, .* classes, 3"),
        ({"data": changed_labels("test", 3)}, ValueError, "largest is 3, .* classes, 3"),
        ({"data": changed_labels("train", -1)}, ValueError, "train_labels: the smallest is -1"),
        ({"data": changed_labels("test", -1)}, ValueError, "test_labels: the smallest is -1"),
        ({"data": dataset(4), "one_hot": True}, ValueError, r"\(1, 3\) .* classes = 4, as one_hot"),
        ({"schedule": 0.5}, TypeError, "schedule: got 0.5, expected a function"),
        ({"should_stop": True}, TypeError, "should_stop: got True, expected a function"),
        ({"on_epoch": "print"}, TypeError, "on_epoch: got 'print', expected a function"),
        ({"options": {"a": {1, 2}}}, ValueError, "options: cannot be written as JSON .*set"),
        ({"options": {(1, 2): 3}}, ValueError, "options: cannot be written as JSON .*keys"),
        ({"checkpoint": "run.pt"}, ValueError, "expected .npz or .safetensors"),
        ({"checkpoint": "nowhere/run.npz"}, FileNotFoundError, "nowhere"),
    ],
)
def test_what_is_refused_has_changed_nothing(tmp_path, monkeypatch, options, error, text):
    monkeypatch.chdir(tmp_path)
    giver = started(5)
    model, optimizer = started()
    # An argument that is refused must also be so before the checkpoint is loaded.
    train(*giver, epochs=2, checkpoint="saved.npz")
    before = state_of(model, optimizer)
    for resume in (None, "saved.npz"):
        with pytest.raises(error, match=text):
            train(model, optimizer, **{"checkpoint": "run.npz", "resume": resume, **options})
        assert state_of(model, optimizer) == before
        assert not (tmp_path / "run.npz").exists()


@pytest.mark.parametrize("lr", ["0.1", None, np.array(0.1)])
def test_a_learning_rate_that_is_no_number_is_refused(lr):
    model, optimizer = started()
    optimizer.lr = lr
    before = state_of(model, optimizer)
    with pytest.raises(TypeError, match="lr must be a number"):
        train(model, optimizer)
    assert state_of(model, optimizer) == before


@pytest.mark.parametrize("model", [network(2), Reshaped((-1,)), Reshaped((-1, 3, 1))])
def test_labels_without_an_output_are_refused_before_the_first_batch(model):
    # The loss once refused them in the batch in which the first of them came.
    optimizer, calls = SGD(model.parameters(), 0.1), []

    class Loss(layers.CrossEntropyLoss):
        def forward(self, output, target):
            calls.append(target)
            return super().forward(output, target)

    before = state_of(model, optimizer)
    text = r"model: returns \(.*\) for one image, expected \(1, classes\) with classes > 2"
    with pytest.raises(ValueError, match=text):
        train(model, optimizer, loss=Loss())
    for part in ("train", "test"):
        with pytest.raises(ValueError, match=text):
            evaluate(model, Loss(), dataset(), part=part)
    assert calls == []
    assert state_of(model, optimizer) == before


def test_evaluate_looks_at_the_part_it_uses():
    model, loss = network(), layers.CrossEntropyLoss()
    evaluate(model, loss, changed_labels("train", -1))
    data = changed_labels("train", 7)
    evaluate(model, loss, data)
    with pytest.raises(ValueError, match="labels: the largest is 7"):
        evaluate(model, loss, data, part="train")
    with pytest.raises(TypeError, match="dataset: got a dict, expected a Dataset"):
        evaluate(model, loss, vars(data))
    with pytest.raises(ValueError, match="batch_size: got 0"):
        evaluate(model, loss, data, batch_size=0)


def spoil(saved, **parts):
    """Return a checkpoint with other parts; a dict changes entries, None removes one."""
    changed = {}
    for name, value in parts.items():
        if isinstance(value, dict):
            entries = {**getattr(saved, name), **value}
            value = {key: entry for key, entry in entries.items() if entry is not None}
        changed[name] = value
    return dataclasses.replace(saved, **changed)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"settings": {"seed": 5}}, "made with seed = 5, this run has 4"),
        ({"model": {"2.bias": None}}, "missing: 2.bias"),
        ({"model": {"2.bias": np.zeros(4)}}, r"expected shape \(3,\), got \(4,\)"),
        ({"model": {"2.bias": np.zeros(3, int)}}, "2.bias must have a float dtype"),
        ({"optimizer": {"kind": "Adam"}}, "belongs to the optimizer 'Adam'"),
        ({"optimizer": {"lr": math.nan}}, "lr: got nan"),
        ({"optimizer": {"lr": "0.1"}}, "lr: got '0.1'"),
        ({"optimizer": {"1.steps": -1}}, "1.steps must be at least 0"),
        ({"optimizer": {"1.momentum_buffer": np.zeros(4, "f4")}}, "1.momentum_buffer has shape"),
        ({"generators": []}, "the model has 1, the saved state is for 0"),
        ({"generators": [{"bit_generator": "MT19937"}]}, "a saved state does not fit"),
        ({"progress": Progress(epoch=-1)}, "progress: "),
        ({"progress": Progress(step=-1, seen=-4)}, "progress: "),
        ({"progress": Progress(step=STEPS + 1, seen=12)}, "progress: 12 images in 4 steps"),
        ({"progress": Progress(step=1)}, "progress: 0 images in 1 steps"),
        ({"progress": Progress(step="1")}, "not supported between"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path, parts, text):
    # The model had once been loaded when the optimizer or a generator refused.
    path = tmp_path / "run.npz"
    train(*started(5), epochs=2, checkpoint=path)
    model, optimizer = started()
    before = state_of(model, optimizer)
    with pytest.raises(ValueError, match=rf"resume: .*{text}"):
        train(model, optimizer, resume=spoil(load_checkpoint(path), **parts))
    assert state_of(model, optimizer) == before
    train(model, optimizer, resume=spoil(load_checkpoint(path)))


# Errors on the way.


def assert_same_training(one, other):
    """Compare what training has learned; random numbers and gradients may be those of a step."""
    assert state_of(*one[0].state_dict().values()) == state_of(*other[0].state_dict().values())
    kept, twin = one[1].state_dict(), other[1].state_dict()
    assert state_of(*kept, *kept.values()) == state_of(*twin, *twin.values())


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        (math.inf, ValueError),
        (-0.5, ValueError),
        (1e308, ValueError),  # times the learning rate
        ("0.5", TypeError),
        (None, TypeError),
        (True, TypeError),
        (np.array([0.5]), TypeError),
        (1j, TypeError),
        (10**400, TypeError),
    ],
)
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_schedule_that_goes_wrong_ends_the_run_before_the_step(kind, value, error):
    # A NaN once went into all parameters, and a negative rate went uphill.
    runs = []
    for _ in range(2):
        model = network()
        runs.append((model, kind(model.parameters(), 50.0)))
    at = f"{2 / STEPS:g}"
    with pytest.raises(error, match=rf"schedule: returned {re.escape(repr(value))} at {at} epochs"):
        train(*runs[0], schedule=lambda time, _: value if time > 0.5 else 1.0)
    stop_after(2, *runs[1])
    assert_same_training(*runs)
    assert runs[0][1].lr == 50.0


def test_what_a_schedule_returns_may_be_any_number():
    runs = []
    for one in (1, 1.0, np.float32(1), np.int64(1), np.array(1.0)):
        model = network()
        runs.append((model, SGD(model.parameters(), 0.1)))
        train(*runs[-1], schedule=lambda time, epochs: one)  # noqa: B023
        assert_same_training(runs[0], runs[-1])


class Halfway(Exception):
    """An error of the user's."""


def fails(function, at):
    """Return a function that fails in one of its calls."""
    calls = itertools.count(1)

    def wrapped(*args, **options):
        if next(calls) == at:
            raise Halfway
        return function(*args, **options)

    return wrapped


# Of which object, in which of its calls, and after how many steps; the first forward pass shows one
# image to the model, and the test of an epoch is one more.
PLACES = {
    "the first layer": (lambda run: (run["model"][0], "forward"), 6, 3),
    "the last layer": (lambda run: (run["model"][2], "forward"), 4, 2),
    "the last layer, in a test": (lambda run: (run["model"][2], "forward"), 5, 3),
    "backward of the first layer": (lambda run: (run["model"][0], "backward"), 5, 4),
    "backward of the last layer": (lambda run: (run["model"][2], "backward"), 2, 1),
    "the loss": (lambda run: (run["loss"], "forward"), 6, 4),
    "the gradient of the loss": (lambda run: (run["loss"], "backward"), 3, 2),
    "the step": (lambda run: (run["optimizer"], "step"), 5, 4),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_an_error_leaves_what_the_last_step_left(tmp_path, kind, place):
    find, at, steps = PLACES[place]
    path = tmp_path / "run.npz"
    runs = []
    for _ in range(2):
        model = network().eval()
        model[1].train()
        optimizer = kind(model.parameters(), 0.05)
        runs.append({"model": model, "optimizer": optimizer, "loss": layers.CrossEntropyLoss()})
    subject, method = find(runs[0])
    setattr(subject, method, fails(getattr(subject, method), at))
    with pytest.raises(Halfway):
        train(**runs[0], checkpoint=path, schedule=lambda time, epochs: 1 / (1 + time))
    done = runs[1]["optimizer"].state_dict
    train(
        **runs[1],
        schedule=lambda time, epochs: 1 / (1 + time),
        should_stop=lambda: done()["0.steps"] == steps,
    )
    both = [(run["model"], run["optimizer"]) for run in runs]
    assert_same_training(*both)
    assert runs[0]["optimizer"].lr == 0.05
    assert [part.training for part in model.layers()] == [False, False, True, False]
    if steps >= STEPS and "test" not in place:
        assert load_checkpoint(path).progress == Progress(epoch=1)
    else:
        assert not path.exists()


@pytest.mark.parametrize("name", ["should_stop", "on_epoch"])
def test_an_error_of_a_function_that_is_asked_leaves_a_complete_step(tmp_path, name):
    runs = [started(0), started(0)]
    call = fails({"should_stop": lambda: False, "on_epoch": lambda record: None}[name], 1)
    with pytest.raises(Halfway):
        train(*runs[0], **{name: call}, checkpoint=tmp_path / "run.npz")
    if name == "should_stop":
        stop_after(1, *runs[1])
    else:
        train(*runs[1], epochs=1)
        assert load_checkpoint(tmp_path / "run.npz").progress.epoch == 1
    assert_same_training(*runs)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    calls = itertools.count(1)

    def save(path, checkpoint):
        if next(calls) == 2:
            raise OSError("no space left")
        save_checkpoint(path, checkpoint)

    monkeypatch.setattr("fastconv.training.loop.save_checkpoint", save)
    model, optimizer = started(0)
    with pytest.raises(OSError, match="no space"):
        train(model, optimizer, checkpoint=path)
    saved = load_checkpoint(path)
    assert saved.progress.epoch == 1
    twin = started(0)
    train(*twin, epochs=2, schedule=constant())
    assert_same_training((model, optimizer), twin)
    monkeypatch.undo()
    train(model, optimizer, epochs=2, resume=path)
    assert_same_training((model, optimizer), twin)


@pytest.mark.parametrize("mode", [True, False])
def test_every_layer_is_left_in_its_mode(mode):
    # All layers once took over the mode of the whole.
    model = layers.Sequential(network(), layers.Sequential(layers.ReLU(), layers.Dropout()))
    model.train(mode)
    model[0][1].train(not mode)
    model[1].train(not mode)
    before = [part.training for part in model.layers()]
    train(model, SGD(model.parameters(), 0.1), epochs=1)
    assert [part.training for part in model.layers()] == before
    evaluate(model, layers.CrossEntropyLoss(), dataset())
    assert [part.training for part in model.layers()] == before
