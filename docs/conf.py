"""How Sphinx builds these pages: `sphinx-build -W -n docs docs/_build`.

The pages of docs/api name a package each; the directive below lists what the package exports, by
the modules in which it is written. So a new function is on its page as soon as it can be imported.
"""

import importlib
import inspect
import runpy
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

import fastconv

project = "fastconv"
author = "the fastconv developers"
version = release = fastconv.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Convolutions that train a CNN, on the CPU, for NumPy arrays",
    "fixed_sidebar": True,
    "page_width": "1100px",
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}

# `name` links to what has this name near by, and otherwise is set in italics.
default_role = "autolink"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# The signatures say the defaults as they are written.
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True
myst_heading_anchors = 3
# Formulas between dollar signs.
myst_enable_extensions = ["dollarmath"]
# Pages of other projects are not asked for: a build needs no network. Modules have no pages.
nitpick_ignore_regex = [
    ("py:.*", r"(?!fastconv).*"),
    ("py:obj", r"fastconv\.(engine\..*|layers\.init|training\.schedules)"),
]


class Exports(SphinxDirective):
    """What a package exports, a section for each module; gradients follow their functions."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, object]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        package = importlib.import_module(self.arguments[0])
        families: dict[str, list[str]] = {}
        for name in package.__all__:
            value = getattr(package, name)
            home = getattr(value, "__module__", None) or package.__name__
            families.setdefault(home, []).append(name)
        lines: list[str] = []
        for home, names in sorted(families.items()):
            title, *text = heading(home)
            lines += ["", title, "-" * len(title), "", *text]
            for name in sorted(names, key=after_its_function):
                lines += ["", *directive(package, name)]
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, source="exports"), node)
        return node.children


def heading(home: str) -> list[str]:
    """Return the first sentence of a module's docstring without its stop, and the rest."""
    doc = inspect.getdoc(importlib.import_module(home)) or home
    first, *rest = doc.splitlines()
    return [first.rstrip(".:"), *rest]


def after_its_function(name: str) -> tuple[str, str]:
    """Sort a gradient behind its function, and before names that only begin alike."""
    function, _, way = name.partition("_backward")
    return (function.lower(), way or name.removeprefix(function))


def directive(package: object, name: str) -> list[str]:
    """Return the lines that document one name."""
    value = getattr(package, name)
    path = f"{package.__name__}.{name}"
    if inspect.isclass(value):
        # The docstrings of records list the fields already.
        record = issubclass(value, tuple) or hasattr(value, "__dataclass_fields__")
        return [f".. autoclass:: {path}", "   :no-members:" if record else "   :members:"]
    return [f".. autofunction:: {path}" if callable(value) else f".. py:data:: {path}"]


def draw_pictures(app: Sphinx) -> None:
    """Draw the pictures of the gallery and the tutorial: they are made, not kept."""
    here = Path(__file__).parent
    runpy.run_path(str(here / "gallery.py"))["draw"](here / "_gallery")
    if app.builder.format == "html":
        drawing = runpy.run_path(str(here / "tutorial" / "pictures.py"))
        drawing["draw"](Path(app.outdir) / "tutorial" / "pictures")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and the drawing of pictures before anything is read."""
    app.add_directive("exports", Exports)
    app.connect("builder-inited", draw_pictures)
    return {"parallel_read_safe": True}
