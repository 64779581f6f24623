"""The training loop: its arithmetic, its records, and runs that are stopped, killed and resumed."""

import dataclasses
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import layers
from fastconv.training import (
    SGD,
    Adam,
    AdamW,
    Dataset,
    RMSprop,
    batches,
    constant,
    cosine,
    epoch_order,
    evaluate,
    fit,
    load_checkpoint,
    load_digits,
    warmup,
)
from tests._cases import PATIENCE
from tests._layers import Tracked

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, 0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda params: Adam(params, 3e-3),
    "AdamW": lambda params: AdamW(params, 3e-3, weight_decay=0.1, amsgrad=True),
    "RMSprop": lambda params: RMSprop(params, 1e-3, momentum=0.9, centered=True),
    "groups": lambda params: SGD(
        [{"params": params[:2], "lr": 0.01}, {"params": params[2:], "momentum": 0.5}], 0.05, 0.9
    ),
}


@pytest.fixture(scope="module")
def data():
    digits = load_digits()
    return Dataset(
        "few digits",
        digits.train_images[:44],
        digits.train_labels[:44],
        digits.test_images[:12],
        digits.test_labels[:12],
        digits.class_names,
    )


def network(dtype=np.float32):
    rng = np.random.default_rng(8)
    return layers.Sequential(
        layers.Conv2d(1, 3, 3, dtype=dtype, rng=rng),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Flatten(),
        Tracked(27, dtype),
        layers.Dropout(0.4, rng=9),
        layers.Linear(27, 10, dtype=dtype, rng=rng),
    )


def train(data, optimizer="SGD", *, model=None, **options):
    model = network() if model is None else model
    made = OPTIMIZERS[optimizer](model.parameters())
    settings = {"epochs": 3, "batch_size": 8, "schedule": cosine(), "seed": 4, **options}
    history = fit(model, layers.CrossEntropyLoss(), made, data, **settings)
    return model, made, history


def timeless(history):
    return [dataclasses.replace(record, seconds=0.0) for record in history]


def assert_same_run(one, other):
    """Compare weights, optimizer, random state and history, bit for bit."""
    for mine, theirs in zip(one[:2], other[:2], strict=True):
        state, twin = mine.state_dict(), theirs.state_dict()
        assert set(state) == set(twin)
        for key, value in state.items():
            np.testing.assert_array_equal(value, twin[key], err_msg=key)
    for mine, theirs in zip(one[0].generators(), other[0].generators(), strict=True):
        assert mine.bit_generator.state == theirs.bit_generator.state
    assert timeless(one[2]) == timeless(other[2])


class TestArithmetic:
    def test_the_same_bits_as_the_loop_written_out(self, data):
        model, optimizer, history = train(data, schedule=warmup(1, cosine()))
        twin, loss = network(), layers.CrossEntropyLoss()
        sgd = OPTIMIZERS["SGD"](twin.parameters())
        schedule = warmup(1, cosine())
        for epoch in range(3):
            order = epoch_order(44, 4, epoch)
            sums, correct, first_lr = 0.0, 0, None
            for step in range(6):
                chosen = order[8 * step : 8 * step + 8]
                x = data.train_images[chosen].astype(np.float32)
                x -= np.float32(data.mean)
                x *= np.float32(1 / data.std)
                sgd.lr = 0.05 * schedule(epoch + step / 6, 3)
                first_lr = sgd.lr if first_lr is None else first_lr
                output = twin(x)
                value = float(loss(output, data.train_labels[chosen]))
                twin.zero_grad()
                twin.backward(loss.backward())
                sgd.step()
                sums += value * len(chosen)
                correct += int((output.argmax(axis=1) == data.train_labels[chosen]).sum())
            assert history[epoch].train_loss == sums / 44
            assert history[epoch].train_accuracy == correct / 44
            assert history[epoch].lr == first_lr
            assert history[epoch].epoch == epoch + 1
        sgd.lr = 0.05
        assert_same_run((model, optimizer, history), (twin, sgd, history))

    def test_the_test_results_are_those_of_the_model_after_the_epoch(self, data):
        model, _, history = train(data, epochs=1)
        wanted = evaluate(model, layers.CrossEntropyLoss(), data)
        assert (history[0].test_loss, history[0].test_accuracy) == wanted

    def test_evaluate_is_the_mean_over_images_whatever_the_batches(self, data):
        model = network(np.float64)
        results = [
            evaluate(model, layers.CrossEntropyLoss(), data, part="train", batch_size=size)
            for size in (1, 7, 44, 1000)
        ]
        model.eval()
        (x, y), *_ = batches(
            data.train_images, data.train_labels, 44, dtype=np.float64, mean=data.mean, std=data.std
        )
        scores = model(x)
        shifted = scores - scores.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        for loss, accuracy in results:
            assert loss == pytest.approx(-logs[np.arange(44), y].mean(), rel=1e-12)
            assert accuracy == (scores.argmax(axis=1) == y).mean()

    def test_it_learns_the_digits(self):
        _, _, history = train(load_digits(), epochs=4, batch_size=32)
        assert history[-1].test_accuracy > 0.9
        assert history[-1].train_loss < history[0].train_loss

    def test_one_hot_targets_for_squared_errors(self, data):
        model = network()
        sgd = SGD(model.parameters(), 0.02)
        history = fit(model, layers.HalfSquaredError(), sgd, data, epochs=5, one_hot=True)
        assert history[-1].train_loss < history[0].train_loss
        loss, _ = evaluate(model, layers.HalfSquaredError(), data, one_hot=True)
        assert loss == history[-1].test_loss

    def test_float64_models_get_float64_batches(self, data):
        model = network(np.float64)
        _, _, history = train(data, model=model, epochs=1)
        assert model.parameters()[0].data.dtype == np.float64
        assert math.isfinite(history[0].test_loss)

    def test_the_first_layer_is_spared_its_input_gradient(self, data):
        asked = []

        class Spy(layers.Sequential):
            def backward(self, grad_output, *, input_grad=True):
                asked.append(input_grad)
                return super().backward(grad_output, input_grad=input_grad)

        train(data, model=Spy(layers.Flatten(), layers.Linear(64, 10, rng=0)), epochs=1)
        assert asked == [False] * 6


class TestSurroundings:
    @pytest.mark.parametrize("mode", [True, False])
    def test_mode_and_learning_rate_are_left_as_they_were(self, data, mode):
        model = network().train(mode)
        _, optimizer, _ = train(data, model=model, epochs=1)
        assert model.training is mode
        assert optimizer.lr == 0.05
        evaluate(model, layers.CrossEntropyLoss(), data)
        assert model.training is mode

    def test_on_epoch_comes_after_the_checkpoint(self, data, tmp_path):
        path = tmp_path / "run.npz"
        seen = []

        def on_epoch(record):
            seen.append((record.epoch, load_checkpoint(path).progress.epoch))

        _, _, history = train(data, checkpoint=path, on_epoch=on_epoch)
        assert seen == [(1, 1), (2, 2), (3, 3)]
        assert load_checkpoint(path).history == history

    def test_options_are_kept_for_the_caller(self, data, tmp_path):
        train(data, epochs=1, checkpoint=tmp_path / "run.npz", options={"model": "mine"})
        assert load_checkpoint(tmp_path / "run.npz").options == {"model": "mine"}

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_loss_that_is_no_number_stops_the_run(self, data, tmp_path, value):
        class Exploding(layers.CrossEntropyLoss):
            calls = itertools.count()

            def __call__(self, output, target):
                good = super().__call__(output, target)
                sgd.lr = 0.01  # the loop puts it right again
                return value if next(self.calls) == 9 else good

        model, path = network(), tmp_path / "run.npz"
        sgd = OPTIMIZERS["SGD"](model.parameters())
        text = rf"became {value} in epoch 2, step 3; a smaller learning rate than 0.01 may help"
        with pytest.raises(RuntimeError, match=text):
            fit(model, Exploding(), sgd, data, epochs=3, batch_size=8, checkpoint=path)
        assert load_checkpoint(path).progress.epoch == 1
        assert sgd.lr == 0.05

    def test_a_progress_bar_counts_the_steps(self, data, capsys):
        pytest.importorskip("tqdm")
        train(data, epochs=1, progress=True)
        shown = capsys.readouterr().err
        assert "epoch 1/1" in shown
        assert "/6 " in shown

    def test_without_tqdm_the_sentence_says_what_to_install(self, data, monkeypatch):
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with pytest.raises(ImportError, match=r"pip install 'fastconv\[cli\]'"):
            train(data, progress=True)

    def test_the_room_needs_numpy_alone(self):
        code = (
            "import sys, fastconv.training\n"
            "print([m for m in ('tqdm', 'click', 'matplotlib', 'safetensors') if m in sys.modules])"
        )
        assert run_python(code).stdout.strip() == "[]"

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"epochs": 0}, "epochs: got 0"),
            ({"epochs": 1.5}, "epochs: got 1.5"),
            ({"batch_size": 0}, "batch_size: got 0"),
            ({"batch_size": True}, "batch_size: got True"),
            ({"seed": -1}, "seed: got -1"),
            ({"checkpoint": "run.pt"}, "expected .npz"),
        ],
    )
    def test_bad_arguments(self, data, change, text):
        with pytest.raises(ValueError, match=text):
            train(data, **change)
        with pytest.raises(ValueError, match="part: got 'all'"):
            evaluate(network(), layers.CrossEntropyLoss(), data, part="all")


class TestResume:
    @pytest.mark.parametrize("suffix", ["npz", "safetensors"])
    @pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
    def test_a_run_stopped_anywhere_goes_on_with_the_same_bits(
        self, data, tmp_path, optimizer, suffix
    ):
        """Each epoch asks 8 times: after 6 steps, in the test, at its end."""
        if suffix == "safetensors":
            pytest.importorskip("safetensors")
        whole = train(data, optimizer)
        path = tmp_path / f"run.{suffix}"
        for calls in range(1, 24):
            asked = itertools.count(1)
            stopped = train(
                data,
                optimizer,
                checkpoint=path,
                should_stop=lambda: next(asked) >= calls,  # noqa: B023
            )
            assert len(stopped[2]) == calls // 8
            assert load_checkpoint(path).progress.step == min(calls % 8, 6)
            assert_same_run(whole, train(data, optimizer, resume=path))

    def test_several_stops_in_one_run(self, data, tmp_path):
        path, whole = tmp_path / "run.npz", train(data)
        for resume in (None, *[path] * 6):
            asked = itertools.count(1)
            train(data, checkpoint=path, resume=resume, should_stop=lambda: next(asked) >= 3)  # noqa: B023
        assert load_checkpoint(path).progress.epoch == 2
        assert_same_run(whole, train(data, resume=load_checkpoint(path)))

    def test_the_sums_of_a_stopped_epoch_are_in_the_checkpoint(self, data, tmp_path):
        asked = itertools.count(1)
        train(data, checkpoint=tmp_path / "run.npz", should_stop=lambda: next(asked) >= 4)
        progress = load_checkpoint(tmp_path / "run.npz").progress
        assert (progress.step, progress.seen) == (4, 32)
        assert progress.loss_sum > 0

    def test_a_finished_run_can_be_made_longer(self, data, tmp_path):
        path = tmp_path / "run.npz"
        whole = train(data, epochs=5, schedule=constant())
        train(data, epochs=2, schedule=constant(), checkpoint=path)
        assert_same_run(whole, train(data, epochs=5, schedule=constant(), resume=path))
        finished = train(data, epochs=2, schedule=constant(), resume=path)
        assert len(finished[2]) == 2

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"seed": 5}, "made with seed = 4, this run has 5"),
            ({"batch_size": 9}, "made with batch_size = 8, this run has 9"),
            ({"model": network(np.float64)}, "made with dtype = 'float32'"),
            ({"optimizer": "Adam"}, "belongs to the optimizer 'SGD'"),
            (
                {"model": layers.Sequential(layers.Flatten(), layers.Linear(64, 10))},
                "the checkpoint does not fit this run",
            ),
        ],
    )
    def test_a_checkpoint_of_another_run_is_refused(self, data, tmp_path, change, text):
        train(data, epochs=1, checkpoint=tmp_path / "run.npz")
        with pytest.raises(ValueError, match=text):
            train(data, **{"resume": tmp_path / "run.npz", **change})

    def test_other_data_are_refused(self, data, tmp_path):
        train(data, epochs=1, checkpoint=tmp_path / "run.npz")
        with pytest.raises(ValueError, match="made with "):
            train(load_digits(), resume=tmp_path / "run.npz")


def run_python(code, *arguments):
    """Run code in a fresh interpreter that finds the same fastconv."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done


def environment():
    root = str(Path(fastconv.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


LONG_RUN = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    import numpy as np
    from fastconv import layers, training

    kind, checkpoint, result, resume, seconds = sys.argv[1:]

    def pause(record):
        # A run that is to be killed does not end before, however late that is.
        last = record.epoch == 24 and float(seconds)
        time.sleep(1800 if last else float(seconds))

    model = layers.Sequential(
        layers.Flatten(), layers.Linear(64, 20, rng=1), layers.ReLU(),
        layers.Dropout(0.3, rng=2), layers.Linear(20, 10, rng=3),
    )
    if kind == "SGD":
        optimizer = training.SGD(model.parameters(), 0.05, momentum=0.9)
    else:
        optimizer = training.Adam(model.parameters())
    history = training.fit(
        model, layers.CrossEntropyLoss(), optimizer, training.load_digits(), epochs=25,
        batch_size=128, schedule=training.cosine(), seed=6, checkpoint=checkpoint,
        resume=checkpoint if resume == "yes" else None,
        on_epoch=pause,
    )
    arrays = {key: np.asarray(value) for key, value in optimizer.state_dict().items()}
    arrays |= {"model." + key: value for key, value in model.state_dict().items()}
    arrays["rng"] = np.array(repr(model.generators()[0].bit_generator.state))
    arrays["history"] = np.array(
        [(r.epoch, r.lr, r.train_loss, r.train_accuracy, r.test_loss, r.test_accuracy)
         for r in history]
    )
    training.save_state(result, arrays)
    """
)


@pytest.mark.parametrize("kind", sorted(OPTIMIZERS))
def test_a_killed_run_goes_on_with_the_same_bits(tmp_path, kind):
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    run_python(LONG_RUN, kind, tmp_path / "a.npz", whole, "no", 0)

    checkpoint = tmp_path / "b.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, kind, checkpoint, resumed, "no", "0.02"],
        env=environment(),
    )
    try:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.001)
        delay = random.uniform(0, 0.25)
        time.sleep(delay)
    finally:
        process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait(PATIENCE)
    assert not resumed.exists(), "the run ended before it was killed"
    done = load_checkpoint(checkpoint).progress.epoch
    assert 1 <= done < 25

    run_python(LONG_RUN, kind, checkpoint, resumed, "yes", 0)
    with np.load(whole) as wanted, np.load(resumed) as found:
        assert set(wanted.files) == set(found.files)
        for key in wanted.files:
            note = f"{key}, killed after {done} epochs, {delay:.4f} s"
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=note)


def test_a_schedule_scales_the_rates_of_all_groups(data):
    net = network()
    first, *rest = net.parameters()
    sgd = SGD([{"params": first, "lr": 0.02}, {"params": rest}], 0.05)
    seen = []
    step = sgd.step

    def watched():
        seen.append(sgd.learning_rates())
        step()

    sgd.step = watched
    history = fit(net, layers.CrossEntropyLoss(), sgd, data, epochs=2, batch_size=22,
                  schedule=cosine())  # fmt: skip
    factors = [cosine()(time, 2) for time in (0, 0.5, 1, 1.5)]
    np.testing.assert_allclose(seen, [[0.05 * f, 0.02 * f] for f in factors], rtol=1e-15)
    assert sgd.learning_rates() == [0.05, 0.02]
    assert [record.lr for record in history] == [0.05, 0.05 * cosine()(1, 2)]
