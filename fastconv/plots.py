"""Pictures of a training run as PNG files: its curves, and the kernels that it learned.

They need matplotlib. No global state of it is touched, no window is opened.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._files import check_replaceable, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.training.history import EpochRecord

# Blue and vermilion of Okabe and Ito's palette: distinct with every kind of colour blindness.
_TRAIN = {"color": "#0072B2", "linestyle": "--", "marker": "o", "label": "training"}
_TEST = {"color": "#D55E00", "linestyle": "-", "marker": "s", "label": "test"}
_PER_ROW = 8
_MOST_ROWS = 24


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


def training_curves(history: Sequence["EpochRecord"], path: str | os.PathLike[str]) -> None:
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


def _mosaic(weight: np.ndarray[Any, np.dtype[Any]]) -> tuple[Any, list[int], list[int]]:
    """Lay kernels out with gaps of one cell; return the picture and where its tiles begin."""
    kernels, channels, height, width = weight.shape
    across = min(kernels, _PER_ROW)
    down = -(-kernels // across) * channels
    columns = [1 + index * (width + 1) for index in range(across)]
    rows = [1 + index * (height + 1) for index in range(down)]
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
