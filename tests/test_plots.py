"""The pictures: written completely or not at all, and showing what they should."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from fastconv import plots
from fastconv.benchmark import Machine, Peak, Results, Row, Side
from fastconv.training import EpochRecord

pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"


def history(epochs):
    return [
        EpochRecord(n + 1, 0.1, 2 * 0.8**n, 1 - 0.5 * 0.8**n, 2.1 * 0.8**n, 0.9 - 0.4 * 0.8**n, 1.0)
        for n in range(epochs)
    ]


def measured(ratios, rival="torch"):
    """Rows whose ratio is that of the table {(layer, direction): ratio}, at 1 GFLOP/s."""
    rows = tuple(
        Row("lenet5", layer, "5x5 1-6@28", direction, 8, "float32", 2, "auto", 10**6,
            Side(1e-3, 1e-3, 0.0), rival, Side(1e-3 * ratio, 1e-3 * ratio, 0.0) if rival else None)
        for (layer, direction), ratio in ratios.items()
    )  # fmt: skip
    return Results(Machine(), (Peak("float32", 2, 3.0),), rows)


def pixels(path):
    from matplotlib.image import imread

    return imread(path)


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are drawn."""
    kept, make = [], plots._figure
    monkeypatch.setattr(plots, "_figure", lambda *size: kept.append(make(*size)) or kept[-1])
    return kept


@pytest.mark.parametrize("epochs", [1, 2, 20, 100])
def test_curves_hold_the_records(tmp_path, figures, epochs):
    records = history(epochs)
    plots.training_curves(records, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)
    assert os.listdir(tmp_path) == ["curves.png"]
    loss, accuracy = figures[0].axes
    for axes, scale, name in ((loss, 1, "loss"), (accuracy, 100, "accuracy")):
        lines = {line.get_label(): line for line in axes.get_lines()}
        for part, label in (("train", "training"), ("test", "test")):
            wanted = [scale * getattr(record, f"{part}_{name}") for record in records]
            np.testing.assert_allclose(lines[label].get_ydata(), wanted)
            np.testing.assert_array_equal(lines[label].get_xdata(), np.arange(1, epochs + 1))
            low, high = axes.get_ylim()
            assert low <= min(wanted)
            assert max(wanted) <= high
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
    assert f"{100 * records[-1].test_accuracy:.2f} %" in accuracy.get_title()


def test_the_two_curves_differ_in_more_than_colour():
    assert plots._TRAIN["linestyle"] != plots._TEST["linestyle"]
    assert plots._TRAIN["marker"] != plots._TEST["marker"]


def test_no_epoch_no_curve(tmp_path):
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.training_curves([], tmp_path / "curves.png")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (1, 1, 3, 3), (20, 3, 3, 3), (9, 2, 1, 7)])
def test_every_kernel_is_in_the_picture(tmp_path, figures, shape):
    weight = np.random.default_rng(0).standard_normal(shape)
    plots.kernels_picture(weight, tmp_path / "kernels.png")
    (image,) = figures[0].axes[0].get_images()
    shown = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_allclose(np.sort(shown[~np.isnan(shown)]), np.sort(weight, axis=None))
    mosaic, columns, rows = plots._mosaic(weight)
    np.testing.assert_array_equal(shown, mosaic)
    kernel, channel = shape[0] - 1, shape[1] - 1
    top = rows[kernel // len(columns) * shape[1] + channel]
    left = columns[kernel % len(columns)]
    tile = shown[top : top + shape[2], left : left + shape[3]]
    np.testing.assert_array_equal(tile, weight[-1, -1])
    numbers = [text.get_text() for text in figures[0].axes[0].texts]
    assert numbers == [str(number) for number in range(shape[0])]


def test_the_scale_is_symmetric_about_zero(tmp_path, figures):
    plots.kernels_picture(np.array([[[[-0.5, 2.0]]]]), tmp_path / "kernels.png")
    (image,) = figures[0].axes[0].get_images()
    assert image.get_clim() == (-2, 2)
    low, middle, high = (image.to_rgba(value) for value in (-2.0, 0.0, 2.0))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert min(middle[:3]) > 0.9


def test_too_many_kernels_are_left_out_and_the_title_says_so(tmp_path, figures):
    plots.kernels_picture(np.zeros((512, 30, 3, 3), np.float32), tmp_path / "kernels.png")
    assert "(8 of 512, 24 of 30 channels)" in figures[0].axes[0].get_title()
    assert max(pixels(tmp_path / "kernels.png").shape[:2]) < 3000


@pytest.mark.parametrize(
    "weight", [np.zeros((3, 3)), np.zeros((0, 1, 3, 3)), np.full((1, 1, 2, 2), np.nan)]
)
def test_other_weights_are_refused(tmp_path, weight):
    with pytest.raises(ValueError, match="weight: "):
        plots.kernels_picture(weight, tmp_path / "kernels.png")


RATIOS = {("a", "forward"): 4.0, ("a", "weight"): 1.0, ("b", "forward"): 0.25, ("b", "weight"): 9.0}


def test_a_bar_for_each_layer_and_direction(tmp_path, figures):
    plots.benchmark_bars(measured(RATIOS), tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(PNG)
    (axes,) = figures[0].axes
    forward, weight = axes.containers
    assert [container.get_label() for container in (forward, weight)] == [
        "forward", "weight gradient"
    ]  # fmt: skip
    for bars, values in ((forward, (4, 0.25)), (weight, (1, 9))):
        assert [bar.get_x() for bar in bars] == [1, 1]
        np.testing.assert_allclose([1 + bar.get_width() for bar in bars], values)
    assert [text.get_text() for text in axes.texts] == ["4.00", "0.25", "1.00", "9.00"]
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < 0.25 < 9 < high
    # Layers from the top, the bars of a layer beside each other and apart from the next one's.
    tops = [bar.get_y() for pair in zip(forward, weight, strict=True) for bar in pair]
    assert tops == sorted(tops)
    assert axes.yaxis_inverted()
    assert len(axes.get_yticklabels()) == 2


def test_without_a_rival_the_bars_are_gflops_up_to_the_peak(tmp_path, figures):
    plots.benchmark_bars(measured(RATIOS, rival=None), tmp_path / "bars.png")
    (axes,) = figures[0].axes
    widths = [bar.get_width() for bars in axes.containers for bar in bars]
    np.testing.assert_allclose(widths, 1)
    assert axes.get_xlabel() == "GFLOP/s"
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [3]
    assert axes.get_xlim()[1] > 3


def test_bars_are_of_one_setting(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        plots.benchmark_bars(measured({}), tmp_path / "bars.png")
    mixed = measured(RATIOS)
    mixed = replace(mixed, rows=(*mixed.rows, replace(mixed.rows[0], batch=1)))
    with pytest.raises(ValueError, match="2 different"):
        plots.benchmark_bars(mixed, tmp_path / "bars.png")
    assert os.listdir(tmp_path) == []


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        plots.training_curves(history(3), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_global_state_of_matplotlib_is_untouched(tmp_path):
    plots.training_curves(history(3), tmp_path / "curves.png")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_without_matplotlib_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (
        lambda: plots.check_available(),
        lambda: plots.training_curves(history(1), tmp_path / "a.png"),
        lambda: plots.kernels_picture(np.ones((1, 1, 2, 2)), tmp_path / "a.png"),
        lambda: plots.benchmark_bars(measured(RATIOS), tmp_path / "a.png"),
    ):
        with pytest.raises(ImportError, match=r"pip install 'fastconv\[cli\]'"):
            call()


def test_a_path_that_cannot_be_written_is_found_early(tmp_path):
    plots.check_available(tmp_path / "a.png")
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        plots.check_available(tmp_path / "missing" / "a.png")


@pytest.mark.parametrize("channels", [0, 1, 3, 5])
@pytest.mark.parametrize("count", [1, 6, 8, 30, 300])
def test_feature_maps_stand_in_rows_of_eight(tmp_path, figures, count, channels):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((count, 9, 14))
    image = rng.standard_normal((channels, 9, 9)) if channels else None
    plots.features_picture(maps, tmp_path / "features.png", image=image, title="Maps")
    assert (tmp_path / "features.png").read_bytes().startswith(PNG)
    *left, axes = figures[0].axes[: 1 + bool(channels)]
    picture = np.ma.filled(axes.get_images()[0].get_array(), np.nan)
    shown = min(count, 24 * 8)
    across = min(count, 8)
    assert picture.shape == (1 + 11 * -(-shown // across), 1 + 15 * across)
    np.testing.assert_array_equal(picture[2:11, 1:15], maps[0])
    last = shown - 1
    top, side = 2 + 11 * (last // across), 1 + 15 * (last % across)
    np.testing.assert_array_equal(picture[top : top + 9, side : side + 14], maps[last])
    assert axes.get_title() == ("Maps" if count < 192 else "Maps (192 of 300 maps)")
    if channels:
        found = left[0].get_images()[0].get_array()
        assert found.shape == ((9, 9, 3) if channels == 3 else (9, 9))
        assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize(
    ("maps", "image", "text"),
    [
        (np.zeros((2, 3)), None, r"maps: got shape \(2, 3\)"),
        (np.zeros((0, 3, 3)), None, "maps: got shape"),
        (np.full((2, 3, 3), np.nan), None, "maps: holds NaN"),
        (np.zeros((2, 3, 3)), np.zeros((3, 3)), r"image: got shape \(3, 3\)"),
        (np.zeros((2, 3, 3)), np.full((1, 3, 3), np.inf), "image: holds NaN or infinity"),
    ],
)
def test_what_is_no_feature_map_is_refused(tmp_path, maps, image, text):
    with pytest.raises(ValueError, match=text):
        plots.features_picture(maps, tmp_path / "features.png", image=image)
    assert os.listdir(tmp_path) == []


def test_a_constant_image_is_drawn(tmp_path):
    plots.features_picture(np.zeros((2, 3, 3)), tmp_path / "a.png", image=np.ones((1, 3, 3)))
    assert os.listdir(tmp_path) == ["a.png"]
