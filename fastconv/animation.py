"""The arithmetic of a convolution, step by step, as an animated GIF with numbers in the cells.

All of it is one arithmetic: taps slide over a map, and what lies under them is multiplied and
added up. In the forward pass the taps are the kernel; for the residual they are the kernel turned
by 180 degrees, over the residual with zeros around and, for a stride, between its cells; for the
weights they are the residual itself, over the input.

It needs Pillow and a font, both of which matplotlib brings.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv import _check
from fastconv import functional as F
from fastconv._check import PaddingLike
from fastconv._files import replacing
from fastconv._geometry import Pairs, resolve_padding

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Numbers: TypeAlias = NDArray[np.int64]
Size: TypeAlias = tuple[int, int]

DIRECTIONS = ("forward", "input", "weight")
# Rows and columns of a map with its border that can still be read.
MOST_CELLS = 24

# What a cell of a map is.
_VALUE, _BORDER, _BETWEEN = range(3)
# Drawn twice as large, then made smaller, so that edges are smooth.
_SHARP = 2
_CELL, _GAP, _EDGE = 38, 58, 28
# Okabe and Ito's palette: fill and strong colour of what is slid over, slides, and comes out.
_COLORS = {
    "map": ("#D6EAF8", "#0072B2"),
    "taps": ("#FDE3C4", "#D55E00"),
    "result": ("#CDEBDD", "#009E73"),
}
_INK, _PALE, _LINE, _BETWEEN_FILL = "#222222", "#9AA0A6", "#B8BEC4", "#F4F5F6"


@dataclass(frozen=True)
class Map:
    """Numbers in cells, of which some are zeros around or between."""

    values: Numbers
    kinds: NDArray[np.int8]
    label: str


@dataclass(frozen=True)
class Scene:
    """Taps that slide over a map: `move` cells at a time, `spread` cells apart.

    Examples
    --------
    >>> scene = scenes((4, 4), (3, 3), directions=("forward",))[0]
    >>> scene.result.values.shape
    (2, 2)
    """

    title: str
    map: Map
    taps: Map
    result: Map
    move: Size
    spread: Size

    def terms(self, row: int, column: int) -> Iterator[tuple[Size, Size]]:
        """Yield the cells of map and taps that a cell of the result is the sum of products of."""
        for tap in np.ndindex(*self.taps.values.shape):
            place = (
                row * self.move[0] + tap[0] * self.spread[0],
                column * self.move[1] + tap[1] * self.spread[1],
            )
            yield place, (tap[0], tap[1])


def scenes(
    input_size: Size = (4, 4),
    kernel_size: Size = (3, 3),
    stride: int | Size = 1,
    padding: PaddingLike = 0,
    dilation: int | Size = 1,
    *,
    transposed: bool = False,
    directions: Sequence[str] = DIRECTIONS,
    seed: int = 0,
) -> list[Scene]:
    """Return what is to be drawn of a convolution of one channel, of small random integers.

    Parameters
    ----------
    input_size, kernel_size : tuple of int
        Rows and columns.
    stride, padding, dilation
        As in `functional.conv2d`, every form of padding; if transposed, as in
        `functional.conv_transpose2d`.
    transposed : bool
        Show the transposed convolution, which is a forward pass alone.
    directions : sequence of str
        Of "forward", "input" (the residual of the input) and "weight" (the weight gradient).
    seed : int
        Of the numbers.

    Returns
    -------
    list of Scene

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, the sizes do not fit together, or maps are too large.

    Examples
    --------
    >>> [scene.title for scene in scenes(stride=1, directions=("input",))]
    ['Residual of the input:  conv2(δ, w, "full")']
    """
    for name, size in (("input_size", input_size), ("kernel_size", kernel_size)):
        if max(size) > MOST_CELLS:
            raise ValueError(f"{name} must be at most {MOST_CELLS} to be read, got {size}")
    unknown = set(directions) - set(DIRECTIONS)
    if unknown:
        raise ValueError(f"directions must be of {', '.join(DIRECTIONS)}, got {sorted(unknown)}")
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, input_size)
    w = _nonzero(rng, kernel_size)
    steps = _two(stride), padding, _two(dilation)
    found = [_transposed(x, w, *steps)] if transposed else _convolution(rng, x, w, *steps)
    if not transposed:
        found = [found[DIRECTIONS.index(direction)] for direction in directions]
    for scene in found:
        if max(scene.map.values.shape) > MOST_CELLS:
            raise ValueError(
                f"a map of {' x '.join(map(str, scene.map.values.shape))} cells, zeros counted, is "
                f"too large to be read: at most {MOST_CELLS}"
            )
    return found


def arithmetic_animation(
    path: str | os.PathLike[str], scenes: Sequence[Scene], *, seconds: float = 0.9
) -> int:
    """Draw scenes one after the other, a frame for each cell that comes out.

    Parameters
    ----------
    path : path-like
        The GIF file; it is replaced when the animation is complete.
    scenes : sequence of Scene
        From `scenes`.
    seconds : float
        How long a frame is shown; the last of a scene three times as long.

    Returns
    -------
    int
        The number of frames.

    Raises
    ------
    ImportError
        If Pillow or matplotlib is not installed.
    OSError
        If the file cannot be written.
    """
    drawn = [list(frames(scene)) for scene in scenes]
    width = max(frame.width for part in drawn for frame in part)
    height = max(frame.height for part in drawn for frame in part)
    image, _, _ = _pillow()
    pictures, durations = [], []
    for part in drawn:
        for frame in part:
            page = image.new("RGB", (width, height), "white")
            page.paste(frame, ((width - frame.width) // 2, (height - frame.height) // 2))
            pictures.append(page)
            durations.append(int(1000 * seconds))
        durations[-1] *= 3
    palette = _palette(image)
    small = [page.quantize(palette=palette, dither=image.Dither.NONE) for page in pictures]
    with replacing(path) as file:
        small[0].save(
            file, "GIF", save_all=True, append_images=small[1:], duration=durations, loop=0
        )
    return len(small)


def _palette(image: Any) -> "Image":
    """Return the colours of all frames: inks on grounds, and the steps between at the edges."""
    grounds = ["#FFFFFF", _BETWEEN_FILL, *(fill for fill, _ in _COLORS.values())]
    grounds.append(_COLORS["result"][1])
    inks = [_INK, _PALE, _LINE, *(strong for _, strong in _COLORS.values()), "#FFFFFF"]
    colors = dict.fromkeys(
        tuple(round(g + (i - g) * step / 5) for g, i in zip(ground, ink, strict=True))
        for step in (0, 5, 1, 2, 3, 4)
        for ground in map(_rgb, grounds)
        for ink in map(_rgb, inks)
    )
    found: Image = image.new("P", (1, 1))
    found.putpalette([part for color in list(colors)[:256] for part in color])
    return found


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def frames(scene: Scene) -> Iterator["Image"]:
    """Yield the pictures of a scene, one for each cell of the result in order.

    Examples
    --------
    >>> len(list(frames(scenes(directions=("weight",))[0])))  # doctest: +SKIP
    9
    """
    canvas = _Canvas(scene)
    for row, column in np.ndindex(*scene.result.values.shape):
        yield canvas.frame(row, column)


def _convolution(
    rng: np.random.Generator,
    x: Numbers,
    w: Numbers,
    stride: Size,
    padding: PaddingLike,
    dilation: Size,
) -> list[Scene]:
    """Return the forward pass and both gradients."""
    pairs = _pairs(padding, x, w, stride, dilation)
    options: Any = {"stride": stride, "padding": pairs, "dilation": dilation}
    z = _whole(F.conv2d(_maps(x), _maps(w), **options))
    delta = _nonzero(rng, z.shape)
    gradient = _whole(F.conv2d_input(_maps(x).shape, _maps(w), _maps(delta), **options))
    weights = _whole(F.conv2d_weight(_maps(x), _maps(w).shape, _maps(delta), **options))
    words = _described(stride, pairs, dilation)
    padded = _surrounded(x, pairs, f"input a, {_size(x)}")
    turned = _plain(w[::-1, ::-1], "rot180(w)")
    # The zeros of the padding have residuals, too, which nobody needs.
    spaced = _spaced(delta, stride, pairs, dilation, x.shape, w.shape)
    return [
        Scene(
            f"Forward pass:  z = correlate2(a, w){words}",
            padded, _plain(w, "kernel w"), _plain(z, f"output z, {_size(z)}"), stride, dilation,
        ),
        Scene(
            f"Residual of the input:  {_full('δ', stride, pairs, dilation)}",
            spaced, turned, _plain(gradient, f"residual of a, {_size(x)}"), (1, 1), dilation,
        ),
        Scene(
            f"Weight gradient:  correlate2(a, δ){words}",
            padded, _plain(delta, "residual δ of z"), _plain(weights, "gradient of w"), dilation,
            stride,
        ),
    ]  # fmt: skip


def _transposed(
    x: Numbers, w: Numbers, stride: Size, padding: PaddingLike, dilation: Size
) -> Scene:
    """Return the forward pass of a transposed convolution."""
    z = _whole(F.conv_transpose2d(_maps(x), _maps(w), None, stride, padding, dilation=dilation))
    pairs = _pairs(padding, x, w, stride, dilation)
    return Scene(
        f"Transposed convolution:  {_full('a', stride, pairs, dilation)}",
        _spaced(x, stride, pairs, dilation, z.shape, w.shape, "input a"),
        _plain(w[::-1, ::-1], "rot180(w)"),
        _plain(z, f"output z, {_size(z)}"),
        (1, 1),
        dilation,
    )


def _pairs(padding: PaddingLike, x: Numbers, w: Numbers, stride: Size, dilation: Size) -> Pairs:
    """Return the cells before and after each axis."""
    checked = _check.padding("padding", padding, 2)
    return resolve_padding(checked, x.shape, w.shape, stride, dilation)


def _plain(values: Numbers, label: str) -> Map:
    return Map(values, np.full(values.shape, _VALUE, np.int8), label)


def _surrounded(values: Numbers, pairs: Pairs, label: str) -> Map:
    """Return a map with zeros around it."""
    kinds = np.pad(np.full(values.shape, _VALUE, np.int8), pairs, constant_values=_BORDER)
    return Map(np.pad(values, pairs), kinds, label)


def _spaced(
    values: Numbers,
    stride: Size,
    pairs: Pairs,
    dilation: Size,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    label: str = "residual δ of z",
) -> Map:
    """Return a map with zeros around and between, over which the turned kernel gives `size`."""
    extents = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    shape = [n + extent for n, extent in zip(size, extents, strict=True)]
    spaced = np.zeros(shape, np.int64)
    kinds = np.full(shape, _BORDER, np.int8)
    firsts = [extent - before for extent, (before, _) in zip(extents, pairs, strict=True)]
    ends = [f + (n - 1) * s for f, n, s in zip(firsts, values.shape, stride, strict=True)]
    kinds[max(firsts[0], 0) : ends[0] + 1, max(firsts[1], 0) : ends[1] + 1] = _BETWEEN
    for row, column in np.ndindex(*values.shape):
        place = firsts[0] + row * stride[0], firsts[1] + column * stride[1]
        # What saw nothing but zeros has no place here.
        if all(0 <= at < n for at, n in zip(place, shape, strict=True)):
            spaced[place], kinds[place] = values[row, column], _VALUE
    between = ", zeros between" if max(stride) > 1 else ""
    return Map(spaced, kinds, f"{label}, {_size(values)}{between}")


def _full(name: str, stride: Size, pairs: Pairs, dilation: Size) -> str:
    """Return the formula of a full-mode convolution with the kernel."""
    first, second = (
        word + " with zeros between" * (max(steps) > 1)
        for word, steps in ((name, stride), ("w", dilation))
    )
    return f'conv2({first}, {second}, "full")' + ", without the padding" * bool(np.any(pairs))


def _described(stride: Size, pairs: Pairs, dilation: Size) -> str:
    """Return what is not the default, in words."""
    words = ""
    if max(stride) > 1:
        words += f", stride {_short(stride)}"
    if np.any(pairs):
        alike = all(before == after for before, after in pairs)
        words += f", padding {_short(tuple(b for b, _ in pairs)) if alike else pairs}"
    if max(dilation) > 1:
        words += f", dilation {_short(dilation)}"
    return words


def _short(numbers: tuple[int, ...]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else " x ".join(map(str, numbers))


def _nonzero(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """Return numbers from -2 to 2 without 0, the positive ones more often."""
    return rng.choice(np.array([-2, -1, 1, 1, 2, 2]), shape)


def _size(values: Numbers) -> str:
    return " x ".join(map(str, values.shape))


def _two(value: int | Size) -> Size:
    return value if isinstance(value, tuple) else (value, value)


def _maps(values: Numbers) -> NDArray[np.float64]:
    return values[None, None].astype(np.float64)


def _whole(maps: NDArray[Any]) -> Numbers:
    whole: Numbers = np.rint(maps[0, 0]).astype(np.int64)
    return whole


class _Canvas:
    """Where everything of a scene stands, and how it is drawn."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        image, draw, font = _pillow()
        self.new_image, self.new_draw = image, draw
        self.fonts = {size: font(_SHARP * size, False) for size in (9, 13, 15, 26)}
        self.bold = font(_SHARP * 17, True)
        parts = {"map": scene.map, "taps": scene.taps, "result": scene.result}
        tallest = max(part.values.shape[0] for part in parts.values())
        self.top = 74
        self.middle = self.top + tallest * _CELL / 2
        self.bottom = self.top + tallest * _CELL + 44
        left, self.corners, self.signs = float(_EDGE), {}, []
        for name, part in parts.items():
            rows, columns = part.values.shape
            # A label may be wider than its map.
            wide = max(columns * _CELL, self._width(part.label, 13))
            corner = left + (wide - columns * _CELL) / 2
            self.corners[name] = (corner, self.middle - rows * _CELL / 2)
            left += wide
            if name != "result":
                self.signs.append((left + _GAP / 2, "⋆" if name == "map" else "="))
                left += _GAP
        self.width = max(left + _EDGE, self._width(scene.title, 0) + 2 * _EDGE)
        shift = (self.width - left - _EDGE) / 2
        self.corners = {name: (x + shift, y) for name, (x, y) in self.corners.items()}
        self.signs = [(x + shift, sign) for x, sign in self.signs]
        count = scene.taps.values.size
        self.lines = min(3, -(-count // 9) + (count > 4))
        self.height = self.bottom + 26 * self.lines + 14

    def frame(self, row: int, column: int) -> "Image":
        """Return the picture in which a cell of the result is computed."""
        size = (round(_SHARP * self.width), round(_SHARP * self.height))
        picture = self.new_image.new("RGB", size, "white")
        draw = self.new_draw.Draw(picture)
        scene, place = self.scene, (row, column)
        self._text(draw, (self.width / 2, 30), scene.title, self.bold, _INK)
        for x, sign in self.signs:
            self._text(draw, (x, self.middle), sign, self.fonts[26], _INK)
        under = dict(scene.terms(row, column))
        for cell in np.ndindex(*scene.map.values.shape):
            self._cell(draw, "map", scene.map, (cell[0], cell[1]), under.get((cell[0], cell[1])))
        for cell in np.ndindex(*scene.taps.values.shape):
            self._cell(draw, "taps", scene.taps, (cell[0], cell[1]))
        for cell in np.ndindex(*scene.result.values.shape):
            self._result(draw, (cell[0], cell[1]), place)
        self._window(draw, under)
        self._caption(draw, under, int(scene.result.values[place]))
        small: Image = picture.resize(
            (round(self.width), round(self.height)), self.new_image.Resampling.LANCZOS
        )
        return small

    def _box(self, name: str, cell: Size) -> tuple[float, float, float, float]:
        x, y = self.corners[name]
        left, top = x + cell[1] * _CELL, y + cell[0] * _CELL
        return left, top, left + _CELL, top + _CELL

    def _cell(
        self, draw: "ImageDraw", name: str, part: Map, cell: Size, tap: Size | None = None
    ) -> None:
        box, kind = self._box(name, cell), part.kinds[cell]
        fill = _COLORS["taps" if tap is not None else name][0]
        if kind != _VALUE and tap is None:
            fill = _BETWEEN_FILL if kind == _BETWEEN else "white"
        self._rectangle(draw, box, fill, _LINE, 1)
        ink = _INK if kind == _VALUE else _PALE
        self._number(draw, box, int(part.values[cell]), ink)
        if tap is not None:
            weight = _signed(int(self.scene.taps.values[tap]))
            corner = (box[2] - 4, box[3] - 4)
            self._text(draw, corner, weight, self.fonts[9], _COLORS["taps"][1], "rs")
        if cell == (0, 0):
            self._label(draw, name, part)

    def _result(self, draw: "ImageDraw", cell: Size, now: Size) -> None:
        box = self._box("result", cell)
        fill, strong = _COLORS["result"]
        done = cell <= now
        if cell == now:
            self._rectangle(draw, box, strong, strong, 1)
            self._number(draw, box, int(self.scene.result.values[cell]), "white")
        else:
            self._rectangle(draw, box, fill if done else "white", _LINE, 1)
            if done:
                self._number(draw, box, int(self.scene.result.values[cell]), _INK)
        if cell == (0, 0):
            self._label(draw, "result", self.scene.result)

    def _label(self, draw: "ImageDraw", name: str, part: Map) -> None:
        x, y = self.corners[name]
        rows, columns = part.values.shape
        center = (x + columns * _CELL / 2, y + rows * _CELL + 18)
        self._text(draw, center, part.label, self.fonts[13], _COLORS[name][1])

    def _window(self, draw: "ImageDraw", under: dict[Size, Size]) -> None:
        """Draw a frame around what lies under the taps."""
        boxes = [self._box("map", cell) for cell in under]
        whole = (boxes[0][0], boxes[0][1], boxes[-1][2], boxes[-1][3])
        self._rectangle(draw, whole, None, _COLORS["taps"][1], 3)

    def _caption(self, draw: "ImageDraw", under: dict[Size, Size], total: int) -> None:
        """Write the sum of products; zeros around and between are left out."""
        scene = self.scene
        terms = [
            f"{_signed(int(scene.map.values[cell]))}·{_signed(int(scene.taps.values[tap]), True)}"
            for cell, tap in under.items()
            if scene.map.kinds[cell] == _VALUE
        ]
        lines, line = [], ""
        for i, term in enumerate(terms or ["0"]):
            more = term if i == 0 else f" + {term}"
            if line and self._width(line + more, 15) > self.width - 4 * _EDGE:
                lines.append(line)
                line, more = "", f"+ {term}"
            line += more
        lines.append(f"{line} = {_signed(total)}")
        if len(lines) > self.lines:
            lines[self.lines - 1 :] = [f"+ … = {_signed(total)}"]
        for i, text in enumerate(lines):
            place = (self.width / 2, self.bottom + 16 + 26 * i)
            self._text(draw, place, text, self.fonts[15], _INK)

    def _number(
        self, draw: "ImageDraw", box: tuple[float, float, float, float], value: int, ink: str
    ) -> None:
        center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        font = self.fonts[15 if abs(value) < 100 else 13]
        self._text(draw, center, _signed(value), font, ink)

    def _rectangle(
        self,
        draw: "ImageDraw",
        box: tuple[float, float, float, float],
        fill: str | None,
        outline: str,
        width: int,
    ) -> None:
        scaled = tuple(_SHARP * side for side in box)
        draw.rectangle(scaled, fill=fill, outline=outline, width=_SHARP * width)

    def _text(
        self,
        draw: "ImageDraw",
        place: tuple[float, float],
        text: str,
        font: Any,
        ink: str,
        anchor: str = "mm",
    ) -> None:
        scaled = (_SHARP * place[0], _SHARP * place[1])
        draw.text(scaled, text, fill=ink, font=font, anchor=anchor)

    def _width(self, text: str, size: int) -> float:
        font = self.fonts[size] if size else self.bold
        return float(font.getlength(text)) / _SHARP


def _signed(value: int, brackets: bool = False) -> str:
    """Return a number with a minus that is as long as a plus."""
    text = str(value).replace("-", "−")
    return f"({text})" if brackets and value < 0 else text


def _pillow() -> tuple[Any, Any, Any]:
    """Return what draws, and what loads matplotlib's font in a size."""
    try:
        import matplotlib
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise ImportError(
            "animations need matplotlib and its Pillow: pip install 'fastconv[cli]'"
        ) from None

    def font(size: int, bold: bool) -> Any:
        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts/ttf", name), size)

    return Image, ImageDraw, font
