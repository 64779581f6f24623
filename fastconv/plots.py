"""Pictures as PNG files: a training run's curves and kernels, and the bars of a benchmark.

They need matplotlib. No global state of it is touched, no window is opened.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastconv._files import check_replaceable, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.benchmark.results import Results, Row

# Blue and vermilion of Okabe and Ito's palette: distinct with every kind of colour blindness.
_TRAIN = {"color": "#0072B2", "linestyle": "--", "marker": "o", "label": "training"}
_TEST = {"color": "#D55E00", "linestyle": "-", "marker": "s", "label": "test"}
# The same palette's three colours that differ most in lightness too.
_DIRECTIONS = {
    "forward": ("forward", "#0072B2"),
    "input": ("input gradient", "#D55E00"),
    "weight": ("weight gradient", "#F0E442"),
}
_PER_ROW = 8
_MOST_ROWS = 24


class Epoch(Protocol):
    """What is drawn of an epoch: `fastconv.training.EpochRecord` has it."""

    @property
    def epoch(self) -> int:
        """Its number, from 1."""

    @property
    def train_loss(self) -> float:
        """The mean loss over the training images."""

    @property
    def train_accuracy(self) -> float:
        """The share of the training images that were recognised."""

    @property
    def test_loss(self) -> float:
        """The mean loss over the test images."""

    @property
    def test_accuracy(self) -> float:
        """The share of the test images that were recognised."""


def check_available(*paths: str | os.PathLike[str]) -> None:
    """Make sure that pictures can be drawn and written, before a long run begins.

    Parameters
    ----------
    *paths : path-like
        The files to write later.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError
        If a file could not be written.
    """
    _figure(1, 1)
    for path in paths:
        check_replaceable(path)


def training_curves(history: Sequence[Epoch], path: str | os.PathLike[str]) -> None:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    history : sequence of EpochRecord
        What `fastconv.training.fit` returned; at least one epoch.
    path : path-like
        The PNG file; it is replaced when the picture is complete.

    Raises
    ------
    ValueError
        If there is no epoch to draw.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    if not history:
        raise ValueError("history: empty, expected at least one epoch")
    figure = _figure(10, 4.2)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [record.epoch for record in history]
    size = 4 if len(epochs) <= 40 else 0
    for style, part in ((_TRAIN, "train"), (_TEST, "test")):
        losses = [getattr(record, f"{part}_loss") for record in history]
        percents = [100 * getattr(record, f"{part}_accuracy") for record in history]
        loss.plot(epochs, losses, markersize=size, **style)
        accuracy.plot(epochs, percents, markersize=size, **style)
    _finish_curve(loss, "Loss", "mean loss", len(epochs))
    loss.set_ylim(0, 1.05 * max(max(record.train_loss, record.test_loss) for record in history))
    title = f"Accuracy: {100 * history[-1].test_accuracy:.2f} % of the test images at the end"
    _finish_curve(accuracy, title, "correct [%]", len(epochs))
    low = min(min(record.train_accuracy, record.test_accuracy) for record in history)
    accuracy.set_ylim(max(0.0, 100 * low - 4), 101)
    _save(figure, path)


def kernels_picture(
    weight: np.ndarray[Any, np.dtype[Any]],
    path: str | os.PathLike[str],
    *,
    title: str = "Kernels of the first layer",
) -> None:
    """Draw the kernels of a convolution, on one scale that is symmetric about zero.

    Parameters
    ----------
    weight : ndarray, shape (K, C, R, S)
        K kernels over C channels. Kernels stand side by side, their channels below each other;
        what would need more than 24 rows of pictures is left out, as the title then says.
    path : path-like
        The PNG file; it is replaced when the picture is complete.
    title : str, optional
        What stands above.

    Raises
    ------
    ValueError
        If the weights are not four-dimensional, empty, or not finite.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    if weight.ndim != 4 or weight.size == 0:
        raise ValueError(f"weight: got shape {weight.shape}, expected (K, C, R, S), none of them 0")
    if not np.isfinite(weight).all():
        raise ValueError("weight: holds NaN or infinity")
    channels = min(weight.shape[1], _MOST_ROWS)
    kernels = min(weight.shape[0], max(1, _MOST_ROWS // channels) * _PER_ROW)
    if (kernels, channels) != weight.shape[:2]:
        title += f" ({kernels} of {weight.shape[0]}, {channels} of {weight.shape[1]} channels)"
    mosaic, columns, rows = _mosaic(weight[:kernels, :channels])
    figure = _figure(1.2 + 0.95 * max(len(columns), 4), 1.1 + 0.95 * max(len(rows), 1.5))
    axes: Axes = figure.subplots()
    limit = float(np.abs(weight[:kernels, :channels]).max()) or 1.0
    image = axes.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    _number_tiles(axes, columns, rows, kernels, channels, weight.shape[2:])
    axes.set_title(title, fontsize=11)
    bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.035, 1)))
    bar.set_label("weight")
    _save(figure, path)


def features_picture(
    maps: np.ndarray[Any, np.dtype[Any]],
    path: str | os.PathLike[str],
    *,
    image: np.ndarray[Any, np.dtype[Any]] | None = None,
    title: str = "Feature maps",
) -> None:
    """Draw the feature maps that a convolution makes of an image, on one scale.

    Parameters
    ----------
    maps : ndarray, shape (K, P, Q)
        They stand side by side in rows of eight; what would need more than 24 rows is left out, as
        the title then says.
    path : path-like
        The PNG file; it is replaced when the picture is complete.
    image : ndarray, shape (C, H, W), optional
        What they were made of, with 1 or 3 channels, or of which the mean is shown: drawn at the
        left, from its smallest value to its greatest.
    title : str, optional
        What stands above.

    Raises
    ------
    ValueError
        If an array has another number of axes, is empty, or not finite.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    for name, array in (("maps", maps), ("image", image)):
        if array is None:
            continue
        if array.ndim != 3 or array.size == 0:
            raise ValueError(f"{name}: got shape {array.shape}, expected 3 axes, none of them 0")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: holds NaN or infinity")
    count = min(len(maps), _MOST_ROWS * _PER_ROW)
    if count != len(maps):
        title += f" ({count} of {len(maps)} maps)"
    # Room for the number of a map, as high as a sixth of the map.
    mosaic, columns, rows = _mosaic(maps[:count, np.newaxis], above=-(-maps.shape[1] // 6))
    width, height = 1.2 + 0.95 * max(len(columns), 4), 1.1 + 0.95 * max(len(rows), 1.5)
    side = 0.0 if image is None else 2.2
    figure = _figure(width + side, height)
    if image is None:
        axes: Axes = figure.subplots()
    else:
        left, axes = figure.subplots(1, 2, width_ratios=(side, width))
        shown = image if len(image) == 3 else image.mean(axis=0, keepdims=True)
        low, high = float(shown.min()), float(shown.max())
        shown = (shown - low) / (high - low or 1.0)
        left.imshow(shown.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=1)
        left.set_title("image", fontsize=9)
        left.set_axis_off()
    picture = axes.imshow(mosaic, cmap="viridis", interpolation="nearest")
    _number_tiles(axes, columns, rows, count, 1, maps.shape[1:])
    axes.set_title(title, fontsize=11, pad=10)
    bar = figure.colorbar(picture, cax=axes.inset_axes((1.03, 0, 0.035, 1)))
    bar.set_label("output")
    _save(figure, path)


def benchmark_bars(results: "Results", path: str | os.PathLike[str]) -> None:
    """Draw a group of bars for each layer, one for each direction.

    They show the ratio to the rival, on a logarithmic scale that begins at 1, so that twice as
    fast and half as fast are equally long; where there was no rival, GFLOP/s and the peak.

    Parameters
    ----------
    results : Results
        What `fastconv.benchmark.run` returned, for one batch, dtype and number of threads.
    path : path-like
        The PNG file; it is replaced when the picture is complete.

    Raises
    ------
    ValueError
        If there is no row to draw, or they are of several batches, dtypes, threads or rivals.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    rows = results.rows
    if not rows:
        raise ValueError("results: no rows, expected at least one")
    settings = {(row.batch, row.dtype, row.threads, row.rival) for row in rows}
    if len(settings) > 1:
        raise ValueError(
            f"results: {len(settings)} different (batch, dtype, threads, rival), expected one"
        )
    batch, dtype, threads, rival = settings.pop()
    layers = list(dict.fromkeys((row.table, row.layer, row.shape) for row in rows))
    directions = [name for name in _DIRECTIONS if any(row.direction == name for row in rows)]
    figure = _figure(9, 1.9 + len(layers) * (0.12 + 0.2 * len(directions)))
    axes: Axes = figure.subplots()
    height = 0.8 / len(directions)
    for index, direction in enumerate(directions):
        chosen = [row for row in rows if row.direction == direction]
        places = [
            layers.index((row.table, row.layer, row.shape))
            + (index - (len(directions) - 1) / 2) * height
            for row in chosen
        ]
        _draw_bars(axes, chosen, places, 0.92 * height, direction)
    if rival is None:
        axes.set_xlabel("GFLOP/s")
        axes.margins(x=0.07)
        peak = results.peak(dtype, threads)
        if peak:
            axes.axvline(peak, color="0.2", linestyle="--", linewidth=1, label="measured peak")
    else:
        _ratio_axis(axes, [row.ratio or 1.0 for row in rows], rival)
    axes.set_yticks(
        range(len(layers)), [f"{table} {shape}" for table, _, shape in layers], fontsize=9
    )
    axes.set_ylim(len(layers) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    count = f"{threads} thread{'s' if threads > 1 else ''}"
    figure.suptitle(
        f"Convolutions, {dtype}, batch {batch}, {count}: {results.machine.cpu}", fontsize=11
    )
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def _draw_bars(
    axes: "Axes", rows: list["Row"], places: list[float], height: float, direction: str
) -> None:
    label, color = _DIRECTIONS[direction]
    ratios = [row.ratio for row in rows if row.ratio is not None]
    values = ratios or [row.gflops for row in rows]
    start = 1 if ratios else 0
    widths = [value - start for value in values]
    bars = axes.barh(
        places, widths, height, start, color=color, edgecolor="0.25", linewidth=0.5, label=label
    )
    texts = [f"{value:.2f}" if ratios else f"{value:.3g}" for value in values]
    axes.bar_label(bars, texts, padding=3, fontsize=8)


def _ratio_axis(axes: "Axes", ratios: list[float], rival: str) -> None:
    """Give the bars a logarithmic scale about 1, with plain numbers and room for their labels."""
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = min(1 / 1.3, *ratios), max(1.3, *ratios)
    room = (high / low) ** 0.07
    low, high = low / room, high * room
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)] + [0.7, 1.5]
    shown = sorted(tick for tick in ticks if low <= tick <= high)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in shown])
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xlabel(f"{rival}'s time / fastconv's: right of 1 fastconv is faster")


def _mosaic(
    weight: np.ndarray[Any, np.dtype[Any]], above: int = 1
) -> tuple[Any, list[int], list[int]]:
    """Lay kernels out with gaps of one cell; return the picture and where its tiles begin.

    The gap above a tile may be higher.
    """
    kernels, channels, height, width = weight.shape
    across = min(kernels, _PER_ROW)
    down = -(-kernels // across) * channels
    columns = [1 + index * (width + 1) for index in range(across)]
    rows = [above + index * (height + above) for index in range(down)]
    picture = np.full((rows[-1] + height + 1, columns[-1] + width + 1), np.nan)
    for kernel in range(kernels):
        for channel in range(channels):
            top = rows[kernel // across * channels + channel]
            left = columns[kernel % across]
            picture[top : top + height, left : left + width] = weight[kernel, channel]
    return picture, columns, rows


def _number_tiles(
    axes: "Axes",
    columns: list[int],
    rows: list[int],
    kernels: int,
    channels: int,
    size: tuple[int, ...],
) -> None:
    """Write the kernel's number above each tile of its first channel, channels at the left."""
    for kernel in range(kernels):
        axes.text(
            columns[kernel % len(columns)] + (size[1] - 1) / 2,
            rows[kernel // len(columns) * channels] - 0.55,
            str(kernel),
            ha="center",
            va="bottom",
            fontsize=8,
            color="0.3",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    if channels > 1:
        labels = [f"channel {index % channels}" for index in range(len(rows))]
        axes.set_yticks([row + (size[0] - 1) / 2 for row in rows], labels, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("0.88")


def _finish_curve(axes: "Axes", title: str, label: str, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=11)
    axes.set_xlim(0.5, epochs + 0.5)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'fastconv[cli]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
