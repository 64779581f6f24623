"""What fit does beside its loop: averages, bounds, parts of batches, early ends; and reports."""

import itertools
import math

import numpy as np
import pytest

from fastconv import layers, models
from fastconv.training import (
    SGD,
    Augmentation,
    EarlyStopping,
    EpochRecord,
    ExponentialMovingAverage,
    Report,
    best_epoch,
    cosine,
    decay_groups,
    evaluate,
    feature_maps,
    fit,
    load_checkpoint,
    load_digits,
    report,
)
from fastconv.training.batching import batches
from tests._cases import torch_or_skip
from tests.training.test_loop import assert_same_run, data, network, train

__all__ = ["data"]  # a fixture


class Watched(SGD):
    """Keeps the gradients that its steps get."""

    def __init__(self, params, lr=0.05):
        super().__init__(params, lr, 0.9)
        self.seen = []

    def step(self):
        self.seen.append([p.grad.copy() for p in self.params if p.grad is not None])
        super().step()


def watched(data, model=None, **options):
    model = network(np.float64) if model is None else model
    sgd = Watched(model.parameters())
    fit(model, layers.CrossEntropyLoss(), sgd, data, epochs=1, batch_size=8, seed=4, **options)
    return sgd.seen


class TestGradients:
    @pytest.mark.parametrize("bound", [0.5, 1e9])
    def test_the_norm_is_bounded(self, data, bound):
        plain, bounded = watched(data), watched(data, clip_norm=bound)
        norm = math.sqrt(sum(float((grad**2).sum()) for grad in plain[0]))
        factor = min(1.0, bound / (norm + 1e-6))
        for one, other in zip(plain[0], bounded[0], strict=True):
            np.testing.assert_allclose(other, factor * one, rtol=1e-12)
        norms = [math.sqrt(sum(float((grad**2).sum()) for grad in step)) for step in bounded]
        assert max(norms) <= bound
        assert (factor < 1) is (bound < 1)

    def test_numbers_are_bounded_before_the_norm(self, data):
        plain, bounded = watched(data), watched(data, clip_value=0.01, clip_norm=0.05)
        cut = [grad.clip(-0.01, 0.01) for grad in plain[0]]
        norm = math.sqrt(sum(float((grad**2).sum()) for grad in cut))
        assert norm > 0.05
        for one, other in zip(cut, bounded[0], strict=True):
            np.testing.assert_allclose(other, one * 0.05 / (norm + 1e-6), rtol=1e-12)

    def test_a_norm_that_is_no_number_ends_the_run(self, data):
        class Broken(layers.CrossEntropyLoss):
            def backward(self):
                return super().backward() * np.float32(np.inf)

        model = network()
        before = [param.data.copy() for param in model.parameters()]
        with pytest.raises(RuntimeError, match="norm"):
            fit(model, Broken(), SGD(model.parameters(), 0.1), data, epochs=1, clip_norm=1.0)
        for param, kept in zip(model.parameters(), before, strict=True):
            np.testing.assert_array_equal(param.data, kept)

    @pytest.mark.parametrize("parts", [2, 3, 8, 100])
    def test_parts_of_a_batch_add_up_to_its_gradient(self, data, parts):
        def still():
            return layers.Sequential(
                layers.Conv2d(1, 3, 3, dtype=np.float64, rng=0), layers.Tanh(), layers.Flatten(),
                layers.Linear(108, 10, dtype=np.float64, rng=1),
            )  # fmt: skip

        whole, split = watched(data, still()), watched(data, still(), accumulate=parts)
        assert len(whole) == len(split) == 6
        for one, other in zip(itertools.chain(*whole), itertools.chain(*split), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)

    def test_records_are_those_of_the_whole_batch(self, data):
        one = train(data, accumulate=1)[2]
        model = layers.Sequential(layers.Flatten(), layers.Linear(64, 10, rng=0))
        twin = layers.Sequential(layers.Flatten(), layers.Linear(64, 10, rng=0))
        one, other = train(data, model=model)[2], train(data, model=twin, accumulate=3)[2]
        assert one[0].train_loss == pytest.approx(other[0].train_loss, rel=1e-6)
        assert one[0].train_accuracy == other[0].train_accuracy

    def test_the_decay_leaves_biases_and_normalisations_alone(self):
        net = models.small_cnn(rng=0)
        weights, others = decay_groups(net, 0.1)
        names = {id(param): name for name, param in net.named_parameters()}
        assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
        assert {names[id(param)] for param in weights["params"]} == {
            "0.weight", "4.weight", "7.weight", "11.weight", "16.weight"
        }  # fmt: skip
        assert len(weights["params"]) + len(others["params"]) == len(net.parameters())
        for param in net.parameters():
            param.add_grad(np.zeros_like(param.data))
            param.data[...] = 1.0
        SGD(decay_groups(net, 0.1), 0.5).step()
        for param in net.parameters():
            np.testing.assert_allclose(param.data, 0.95 if param.data.ndim > 1 else 1.0, rtol=1e-6)
        assert len(decay_groups(layers.BatchNorm2d(3), 0.1)) == 1


class TestAverage:
    def test_it_is_that_of_every_step_and_tests_are_done_with_it(self, data):
        model = network()
        average = ExponentialMovingAverage(model.parameters(), 0.9)
        wanted, tested = [param.data.astype(np.float64) for param in model.parameters()], []
        sgd = SGD(model.parameters(), 0.05, 0.9)
        step, count = sgd.step, itertools.count()

        def stepped():
            step()
            fresh = 0.1 if next(count) else 1.0
            for mean, param in zip(wanted, model.parameters(), strict=True):
                mean += fresh * (param.data - mean)

        sgd.step = stepped
        history = fit(
            model, layers.CrossEntropyLoss(), sgd, data, epochs=2, batch_size=8, average=average,
            on_epoch=lambda record: tested.append(record.test_loss),
        )  # fmt: skip
        for mean, kept in zip(wanted, average.averages, strict=True):
            np.testing.assert_allclose(kept, mean, rtol=1e-4, atol=1e-6)
        plain = evaluate(model, layers.CrossEntropyLoss(), data)[0]
        with average.applied():
            averaged = evaluate(model, layers.CrossEntropyLoss(), data)[0]
        assert history[-1].test_loss == averaged != plain

    def test_a_stopped_run_goes_on_with_the_same_bits(self, data, tmp_path):
        def run(**options):
            model = network()
            average = ExponentialMovingAverage(model.parameters(), 0.8)
            result = train(
                data, model=model, average=average, augmentation=Augmentation(1, True, 2),
                workers=2, accumulate=2, clip_norm=0.5, clip_value=0.1, normalize="channels",
                **options,
            )  # fmt: skip
            return result, average.state_dict()

        whole, kept = run()
        path = tmp_path / "run.npz"
        for calls in (1, 5, 9, 17, 20):
            asked = itertools.count(1)
            run(checkpoint=path, should_stop=lambda: next(asked) >= calls)  # noqa: B023
            assert load_checkpoint(path).average["updates"] > 0
            resumed, twin = run(resume=path)
            assert_same_run(whole, resumed)
            assert kept.keys() == twin.keys()
            for name, value in kept.items():
                np.testing.assert_array_equal(twin[name], value)

    def test_with_and_without_are_other_runs(self, data, tmp_path):
        path = tmp_path / "run.npz"
        train(data, epochs=1, checkpoint=path)
        model = network()
        average = ExponentialMovingAverage(model.parameters())
        with pytest.raises(ValueError, match="has no averaged weights, this run has average"):
            train(data, model=model, average=average, resume=path)
        train(data, model=model, average=average, epochs=1, checkpoint=path)
        with pytest.raises(ValueError, match="has averaged weights, this run has no average"):
            train(data, resume=path)
        with pytest.raises(ValueError, match="does not fit this run"):
            train(data, model=(net := network()), resume=path,
                  average=ExponentialMovingAverage(net.parameters()[:2]))  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [({"augmentation": Augmentation(flip=True)}, {}), ({"accumulate": 2}, {}),
     ({"clip_norm": 0.5}, {"clip_norm": 0.25}), ({"clip_value": 0.5}, {}),
     ({"normalize": (0.0, 1.0)}, {})],
)  # fmt: skip
def test_a_checkpoint_made_otherwise_is_refused(data, tmp_path, one, other):
    train(data, epochs=1, checkpoint=tmp_path / "run.npz", **one)
    name = {"normalize": "mean|std"}.get(next(iter(one)), next(iter(one)))
    with pytest.raises(ValueError, match=f"made with ({name}) = "):
        train(data, resume=tmp_path / "run.npz", **other)
    train(data, resume=tmp_path / "run.npz", workers=3, **one)


def test_a_checkpoint_of_an_earlier_version_goes_on(data, tmp_path):
    """It knew nothing of augmentation, bounds and averages."""
    path = tmp_path / "run.npz"
    whole = train(data)
    train(data, epochs=1, checkpoint=path, schedule=lambda time, _: cosine()(time, 3))
    saved = load_checkpoint(path)
    for name in ("augmentation", "accumulate", "clip_norm", "clip_value"):
        del saved.settings[name]
    assert_same_run(whole, train(data, resume=saved))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"accumulate": 0}, ValueError, "accumulate: got 0"),
        ({"workers": -1}, ValueError, "workers: got -1"),
        ({"clip_norm": 0}, ValueError, "clip_norm: got 0, expected a number above 0"),
        ({"clip_value": math.nan}, ValueError, "clip_value: got nan"),
        ({"clip_norm": "1"}, TypeError, "clip_norm must be a number"),
        ({"augmentation": "flip"}, TypeError, "augmentation: got 'flip', expected one of Augm"),
        ({"average": 0.9}, TypeError, "average: got 0.9, expected one of Exponential"),
        ({"folder": "run"}, TypeError, "folder: got 'run', expected one of RunFolder"),
        ({"stop_early": 3}, TypeError, "stop_early: got 3, expected a function"),
        ({"normalize": "pixels"}, ValueError, "normalize: got 'pixels'"),
        ({"normalize": 1.0}, TypeError, "normalize: got 1.0"),
        ({"normalize": ((1.0, 2.0), 1.0)}, ValueError, "normalize: mean: got 2 numbers"),
        ({"normalize": (0.0, 0.0)}, ValueError, "std: got 0.0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_changes(data, change, error, text):
    with pytest.raises(error, match=text):
        train(data, **change)


def record(epoch, test_loss, test_accuracy=0.5):
    return EpochRecord(epoch, 0.1, 1.0, 0.5, test_loss, test_accuracy, 1.0)


class TestStopping:
    def test_a_run_ends_when_it_has_waited_long_enough(self, data):
        stop = EarlyStopping(2, "train_loss", 10.0)
        assert len(train(data, stop_early=stop, epochs=20)[2]) == 3

    def test_a_resumed_run_ends_where_it_would_have_ended(self, data, tmp_path):
        path, stop = tmp_path / "run.npz", EarlyStopping(3, "test_loss", 0.1)
        whole = train(data, stop_early=stop, epochs=20)
        ended = len(whole[2])
        assert 3 < ended < 20
        for epochs in (1, ended):
            train(data, epochs=epochs, checkpoint=path, schedule=lambda t, _: cosine()(t, 20))
            assert_same_run(whole, train(data, stop_early=stop, epochs=20, resume=path))

    def test_accuracies_are_to_grow_and_losses_to_fall(self):
        accuracies = [0.5, 0.6, 0.6, 0.59]
        history = [record(n, 1.0, value) for n, value in enumerate(accuracies)]
        assert EarlyStopping(2, "test_accuracy")(history)
        assert not EarlyStopping(3, "test_accuracy")(history)
        falling = [record(n, 1.0 - n / 10) for n in range(9)]
        assert not EarlyStopping(1)(falling)
        assert EarlyStopping(1, min_delta=0.11)(falling[:2])
        assert not EarlyStopping(1, min_delta=0.11)(falling[:3])
        assert not EarlyStopping(1)([])

    @pytest.mark.parametrize(
        ("settings", "text"),
        [((0,), "patience: got 0"), ((1, "seconds"), "monitor: got 'seconds', expected one of tr"),
         ((1, "test_loss", -1.0), "min_delta: got -1.0"),
         ((1, "test_loss", math.nan), "min_delta: got nan")],
    )  # fmt: skip
    def test_wrong_settings_are_refused(self, settings, text):
        with pytest.raises(ValueError, match=text):
            EarlyStopping(*settings)

    def test_the_best_epoch(self):
        assert best_epoch([record(1, 0.5, 0.8), record(2, 0.4, 0.8), record(3, 0.1, 0.7)]) == 1
        assert best_epoch([record(1, 0.5, 0.8), record(2, 0.5, 0.8)]) == 0
        with pytest.raises(ValueError, match="history: empty"):
            best_epoch([])


class TestReport:
    def test_it_agrees_with_the_scores(self):
        digits, net = load_digits(), models.lenet_digits(rng=0)
        sgd = SGD(net.parameters(), 0.05, 0.9)
        fit(net, layers.CrossEntropyLoss(), sgd, digits, epochs=1)
        result = report(net, layers.CrossEntropyLoss(), digits, batch_size=50, workers=2)
        ((x, y),) = batches(
            digits.test_images, digits.test_labels, 1000, mean=digits.mean, std=digits.std
        )
        scores = net.eval()(x)
        order = np.argsort(-scores, axis=1, kind="stable")
        for count in (1, 2, 5, 10):
            right = (order[:, :count] == y[:, None]).any(axis=1)
            assert result.top(count) == right.mean()
        assert result.accuracy == result.top(1) == (scores.argmax(1) == y).mean()
        for label in range(10):
            for other in range(10):
                wanted = ((y == label) & (order[:, 0] == other)).sum()
                assert result.confusion[label, other] == wanted
            of_class = order[y == label, 0] == label
            assert result.class_accuracy[label] == of_class.mean()
        again = evaluate(net, layers.CrossEntropyLoss(), digits, batch_size=50)
        assert (result.loss, result.accuracy) == again
        assert result.images == 355
        text = str(result)
        assert f"top-1 {100 * result.accuracy:.2f} %, top-5 {100 * result.top(5):.2f} %" in text
        assert len(text.splitlines()) == 13

    def test_it_is_that_of_torchs_scores(self):
        torch = torch_or_skip("its topk")
        rng = np.random.default_rng(0)
        scores, labels = rng.standard_normal((200, 12)), rng.integers(0, 12, 200)
        found = self.of(scores, labels)
        best = torch.topk(torch.from_numpy(scores), 5).indices.numpy()
        assert found.top(5) == (best == labels[:, None]).any(axis=1).mean()

    def of(self, scores, labels, names=None):
        """The report of a model that returns these scores."""
        from fastconv.training import Dataset

        images = np.arange(len(labels), dtype=np.float64).reshape(-1, 1, 1, 1)

        class Known(layers.Layer):
            def _forward(self, x):
                return scores[x[:, 0, 0, 0].astype(int)], None

        names = names or tuple(f"class {n}" for n in range(scores.shape[1]))
        data = Dataset("known", images, labels, images, labels, names)
        model = Known()
        model.unused = layers.Parameter(np.zeros(1))
        return report(model, layers.CrossEntropyLoss(), data, normalize=(0.0, 1.0), batch_size=7)

    def test_ties_and_nan_count_as_argmax_has_them(self):
        nan = math.nan
        scores = np.array([[1, 1, 0], [1, 1, 0], [0, nan, 2], [0, nan, 2], [nan, nan, nan]], float)
        found = self.of(scores, np.array([0, 1, 1, 2, 2]))
        assert found.accuracy == found.top(1) == (scores.argmax(1) == [0, 1, 1, 2, 2]).mean()
        assert [found.top(count) for count in (2, 3, 9)] == [0.8, 1.0, 1.0]

    def test_a_class_without_images_and_more_outputs_than_classes(self):
        scores = np.eye(4)[[0, 3, 3]]
        found = self.of(scores, np.array([0, 0, 2]), ("a", "b", "c"))
        assert found.confusion.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
        np.testing.assert_array_equal(found.class_accuracy, [0.5, math.nan, 0.0])
        assert str(found).splitlines()[2:] == [
            "class  images  correct  most taken for",
            "a           2   50.00 %  3 (1)",
            "b           0         -",
            "c           1    0.00 %  3 (1)",
        ]
        assert isinstance(found, Report)
        assert repr(found).startswith("Report(loss=")

    def test_top_needs_a_count(self):
        found = self.of(np.eye(2), np.array([0, 1]))
        for wrong in (0, -1, 1.5):
            with pytest.raises(ValueError, match="count: got"):
                found.top(wrong)


class TestFeatures:
    def test_they_are_the_outputs_of_the_convolutions(self):
        net = models.small_cnn(rng=0)
        image = np.random.default_rng(0).standard_normal((1, 12, 12)).astype(np.float32)
        maps = feature_maps(net, image)
        assert list(maps) == ["0", "4", "7", "11"]
        twin, x = dict(net.named_layers()), image[None]
        net.eval()
        for index in range(17):
            layer = twin[str(index)]
            x = layer(x)
            if str(index) in maps:
                np.testing.assert_array_equal(maps[str(index)], x[0])

    def test_modes_and_hooks_are_left_as_they_were(self):
        net = models.lenet_digits(rng=0)
        assert net.training
        feature_maps(net, np.zeros((1, 8, 8), np.float32))
        assert all(layer.training for layer in net.layers())
        assert all(not layer._hooks for layer in net.layers())
        with pytest.raises(ValueError, match=r"image: got shape \(1, 1, 8, 8\)"):
            feature_maps(net, np.zeros((1, 1, 8, 8), np.float32))
        with pytest.raises(ValueError, match="input"):
            feature_maps(net, np.zeros((3, 8, 8), np.float32))
        assert all(not layer._hooks for layer in net.layers())
