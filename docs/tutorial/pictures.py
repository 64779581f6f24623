"""The tutorial's pictures, made of what the code of its pages computes.

    python docs/tutorial/pictures.py FOLDER

The build of the documentation does the same (docs/conf.py).
"""

import doctest
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = sorted(page.stem for page in HERE.glob("*.md") if page.stem != "index")


def code(page):
    """Return the examples of a page, a doctest each."""
    text = (HERE / f"{page}.md").read_text()
    # What is no code becomes empty lines, so that the numbers of the lines stay.
    parts = re.split(r"^```pycon\n(.*?)^```$", text, flags=re.M | re.S)
    for i in range(0, len(parts), 2):
        parts[i] = "\n" * parts[i].count("\n")
    return doctest.DocTestParser().get_examples("\n".join(parts), page)


def run(page):
    """Run the code of a page, and return its names."""
    names = {}
    for example in code(page):
        exec(compile(example.source, f"{page}.md", "exec"), names)
    return names


def edges(names, path):
    """Draw the picture of the first page and what the kernels by hand make of it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.7), layout="constrained")
    shown = (
        ("the picture", names["picture"], "gray", (0, 1)),
        ("Sobel, to the right", names["right"], "RdBu_r", (-4, 4)),
        ("Sobel, downwards", names["down"], "RdBu_r", (-4, 4)),
        ("edges: the length of both", names["edges"], "gray", (0, 4)),
        ("Laplace", names["by_laplace"], "RdBu_r", (-2, 2)),
    )
    for axes, (title, image, colors, limits) in zip(
        figure.subplots(1, len(shown)), shown, strict=True
    ):
        axes.imshow(image, cmap=colors, vmin=limits[0], vmax=limits[1])
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(path, dpi=110)


def draw(folder):
    """Write all pictures into a folder."""
    from fastconv import animation, plots, training

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = run("kernels")
    edges(names, folder / "edges.png")
    for name, net, how in (
        ("by_hand", names["fixed"], "by hand"),
        ("learned", names["learned"], "learned"),
    ):
        title = f"Kernels {how}: {100 * names[f'accuracy_{name}']:.1f} % of the test digits"
        plots.kernels_picture(net[0].weight.data, folder / f"{name}.png", title=title)
    digits = training.load_digits()
    image = digits.test_images[5]
    scaled = (image - digits.mean) / digits.std
    maps = names["learned"].eval()[0](scaled[None].astype("float32"))[0]
    title = "What the learned kernels make of a digit"
    plots.features_picture(maps, folder / "features.png", image=image, title=title)
    for name, given in {
        "formulas": {"input_size": (3, 3), "kernel_size": (2, 2)},
        "stride": {"input_size": (5, 5), "stride": 2, "padding": 1},
        "dilation": {"padding": "same", "dilation": 2, "directions": ("forward",)},
        "transposed": {"input_size": (3, 3), "stride": 2, "padding": 1, "transposed": True},
    }.items():
        animation.arithmetic_animation(folder / f"{name}.gif", animation.scenes(**given))


if __name__ == "__main__":
    draw(sys.argv[1])
