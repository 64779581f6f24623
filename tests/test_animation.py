"""The animated arithmetic: every number drawn is right, and the file is an animation."""

from itertools import product

import numpy as np
import pytest

from fastconv import animation, reference
from fastconv.animation import scenes

GEOMETRIES = [
    {"input_size": size, "kernel_size": kernel, "stride": stride, "padding": padding,
     "dilation": dilation}
    for size, kernel, stride, padding, dilation in product(
        [(5, 6)], [(3, 3), (2, 3)], [1, 2, (3, 1)],
        [0, 1, "same", "full", ((0, 2), (1, 0))], [1, 2, (1, 2)],
    )
    if dilation == 1 or padding != 0
]  # fmt: skip


def sums(scene):
    """Return what the drawn numbers give."""
    found = np.zeros(scene.result.values.shape, int)
    for cell in np.ndindex(*found.shape):
        for place, tap in scene.terms(*cell):
            found[cell] += scene.map.values[place] * scene.taps.values[tap]
    return found


@pytest.mark.parametrize("given", GEOMETRIES, ids=str)
def test_the_numbers_under_the_taps_give_the_result(given):
    forward, residual, weight = scenes(**given, seed=3)
    for scene in (forward, residual, weight):
        np.testing.assert_array_equal(sums(scene), scene.result.values)
        assert ((scene.map.values == 0) | (scene.map.kinds == 0)).all()
    # And the results are those of the reference.
    cells = forward.map.values[forward.map.kinds == 0].reshape(1, 1, *given["input_size"])
    x, w, delta = (
        array.astype(float) for array in (
            cells, forward.taps.values[None, None], weight.taps.values[None, None],
        )
    )  # fmt: skip
    options = {name: given[name] for name in ("stride", "padding", "dilation")}
    z = reference.conv2d(x, w, None, **options)
    np.testing.assert_array_equal(forward.result.values, z[0, 0])
    gradient = reference.conv2d_input(x.shape, w, delta, **options)
    np.testing.assert_array_equal(residual.result.values, gradient[0, 0])
    gradient = reference.conv2d_weight(x, w.shape, delta, **options)
    np.testing.assert_array_equal(weight.result.values, gradient[0, 0])


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), ((2, 3), 0, 2)])
def test_transposed_arithmetic(stride, padding, dilation):
    (scene,) = scenes((3, 4), (3, 2), stride, padding, dilation, transposed=True)
    np.testing.assert_array_equal(sums(scene), scene.result.values)
    x = scene.map.values[scene.map.kinds == 0].reshape(1, 1, 3, 4).astype(float)
    w = scene.taps.values[None, None, ::-1, ::-1].astype(float)
    z = reference.conv_transpose2d(x, w, None, stride, padding, dilation=dilation)
    np.testing.assert_array_equal(scene.result.values, z[0, 0])


def test_zeros_stand_between_and_around():
    _, residual, _ = scenes((5, 5), (3, 3), 2)
    kinds = np.full((7, 7), 1)
    kinds[2:5, 2:5] = 2
    kinds[2:5:2, 2:5:2] = 0
    np.testing.assert_array_equal(residual.map.kinds, kinds)
    assert residual.title.endswith('conv2(δ with zeros between, w, "full")')


def test_the_file_is_an_animation_of_every_step(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.gif"
    shown = scenes((4, 4), (3, 3), directions=("forward", "weight"))
    assert animation.arithmetic_animation(path, shown, seconds=0.5) == 4 + 9
    with image.open(path) as gif:
        assert gif.n_frames == 13
        assert gif.info["loop"] == 0
        durations = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            durations.append(gif.info["duration"])
    assert durations == [500] * 3 + [1500] + [500] * 8 + [1500]


def test_a_frame_shows_what_is_done(tmp_path):
    pytest.importorskip("PIL.Image")
    (scene,) = scenes((4, 4), (3, 3), directions=("forward",))
    drawn = [np.asarray(frame) for frame in animation.frames(scene)]
    green = [(frame == (0, 0x9E, 0x73)).all(axis=2) for frame in drawn]
    places = [tuple(np.argwhere(mask).mean(axis=0).round().astype(int)) for mask in green]
    assert len(set(places)) == 4
    # Once computed, a cell stays tinted.
    tinted = [(frame == (0xCD, 0xEB, 0xDD)).all(axis=2).sum() for frame in drawn]
    assert tinted == sorted(tinted)
    assert tinted[0] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_size": (25, 3)}, "input_size must be at most 24"),
        ({"input_size": (20, 20), "padding": 5}, "30 x 30 cells, zeros counted, is too large"),
        ({"input_size": (2, 2)}, "larger than the padded input"),
        ({"directions": ("sideways",)}, "directions must be of forward, input, weight"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        scenes(**given)


def test_without_pillow_there_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'fastconv\[cli\]'"):
        animation.arithmetic_animation(tmp_path / "a.gif", scenes())
    assert list(tmp_path.iterdir()) == []
