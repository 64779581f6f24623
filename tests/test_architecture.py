"""The rules of the structure: who imports whom, twin signatures, docstrings, file lengths."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastconv
from fastconv import benchmark, functional, layers, models, ndimage, reference, signal, training

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(fastconv.__file__).resolve().parent

# A module imports from rooms of a lower level, or from its own room. The longest name counts.
LEVELS = {
    "_docs": 0,
    "_geometry": 0,
    "_files": 0,
    # The package itself is text, and so are its rooms.
    "engine": 0,
    "engine.base.arrays": 0,
    "engine.base.axis": 0,
    "engine.base.cache": 0,
    "engine.base.cache_sizes": 0,
    "engine.base.isa": 0,
    "engine.base.memory": 0,
    "engine.base.threads": 0,
    "engine.base.workspace": 1,
    "_check": 1,
    "_pool_geometry": 1,
    "engine.base": 2,
    "engine.gemm": 3,
    "engine.depthwise": 3,
    "engine.fft": 3,
    "engine.filters": 3,
    "engine.ops": 3,
    "engine.thresholds": 3,
    "_kernels": 4,
    "engine.blocked": 4,
    "engine.winograd": 5,
    "engine.errors": 6,
    "engine.binding": 6,
    "engine.rules": 7,
    "engine.plan": 8,
    "engine.choice": 9,
    "": 10,  # fastconv itself, the public face
    "functional": 10,
    "layers": 11,
    "ndimage": 11,
    "signal": 11,
    "models": 12,
    "adapters": 13,
    "benchmark": 13,
    "animation": 14,
    "plots": 14,
    "training": 15,
    "cli": 16,
    "__main__": 17,
}
# What the table of levels does not say.
EXTRA = {
    "benchmark": {"reference"},
    "cli": {"reference"},
    # What writes docstrings computes nothing.
    "reference": {"_docs"},
}


def room(parts):
    """Return the longest name in the table that a module's name begins with."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in LEVELS or name == "reference":
            return name
    return ""


def own_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path):
    """Yield the rooms of fastconv, and the foreign packages, that a file imports."""
    if path.suffix == ".py":
        source = path.read_text()
    else:
        # Cython's own syntax: take the lines that import.
        text = path.read_text().replace("cimport", "import")
        found = re.findall(r"^ *(?:from|import) [^\n(]*(?:\([^)]*\))?", text, re.M)
        source = "\n".join(line.lstrip() for line in found)
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module]
            if node.module == "fastconv":
                names = [f"fastconv.{alias.name}" for alias in node.names]
        for name in names:
            yield name.split(".")


def sources():
    return sorted(p for suffix in ("*.py", "*.pyx", "*.pxd") for p in PACKAGE.rglob(suffix))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    own = room(own_name(path))
    for parts in imports(path):
        if parts[0] in ("tests", "benches"):
            pytest.fail(f"{path} imports {'.'.join(parts)}")
        if parts[0] != "fastconv":
            continue
        other = room(parts[1:])
        if other == own or other in EXTRA.get(own, ()):
            continue
        assert own != "reference", f"reference imports fastconv.{other}"
        assert other != "reference", f"{own} imports reference"
        if path.suffix != ".py":
            assert other.startswith("engine."), f"the kernel {path} imports {other or 'fastconv'}"
        # `from fastconv import get_num_threads` and the like: the public face.
        assert LEVELS[other] < LEVELS[own], f"{own} imports {other or 'fastconv'}"


def test_an_import_upwards_is_found(tmp_path):
    """Also where Cython imports, in a function, over several lines."""
    for suffix, line in ((".py", "import"), (".pyx", "cimport"), (".pxd", "cimport")):
        path = tmp_path / f"module{suffix}"
        path.write_text(f"def f():\n    from fastconv.engine.plan {line} (\n        a, b)\n")
        assert [room(parts[1:]) for parts in imports(path)] == ["engine.plan"]


def test_every_room_has_a_level():
    assert all(room(own_name(path)) for path in sources() if path != PACKAGE / "__init__.py")


def test_the_engine_itself_is_text():
    for path in [PACKAGE / "engine" / "__init__.py", *PACKAGE.glob("engine/*/__init__.py")]:
        assert [type(node) for node in ast.parse(path.read_text()).body] == [ast.Expr], path


def test_reference_imports_numpy_alone():
    allowed = {"fastconv", "numpy", *sys.stdlib_module_names}
    for path in (PACKAGE / "reference").rglob("*.py"):
        assert {parts[0] for parts in imports(path)} <= allowed


def imported_by(statement):
    """Return the top-level modules that are there after a statement in a new interpreter."""
    code = f"import sys\n{statement}\nprint(*{{m.split('.')[0] for m in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_core_needs_numpy_alone():
    rooms = "benchmark, functional, layers, models, reference, training"
    # What comes with NumPy, and what `site` brings in on this machine, is there before us.
    bare = imported_by("import numpy")
    foreign = imported_by(f"from fastconv import {rooms}") - bare - set(sys.stdlib_module_names)
    # Cython registers a module of its own for the types its extensions share.
    assert {n for n in foreign if not n.startswith(("fastconv", "_cython", "cython"))} == set()


def test_importing_fastconv_imports_little():
    code = "import sys, fastconv\nprint(*[m for m in sys.modules if m.startswith('fastconv.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {
        "fastconv._cython",
        "fastconv.engine",
        "fastconv.engine.base",
        "fastconv.engine.base.isa",
        "fastconv.engine.base.memory",
        "fastconv.engine.base.threads",
        "fastconv.engine.base.workspace",
    }


# The reference has nothing to prepare.
PREPARED = {"PreparedWeight", "prepare_weight"}
# Kernels made by hand are tables of numbers, and take no array.
TABLES = {"box", "emboss", "gaussian", "laplacian", "prewitt", "roberts", "scharr", "sharpen"}
TABLES |= {"sobel"}


@pytest.mark.parametrize("name", sorted(set(functional.__all__) - PREPARED - TABLES))
def test_reference_has_the_signature_of_functional(name):
    fast = inspect.signature(getattr(functional, name))
    slow = inspect.signature(getattr(reference, name))
    expected = [
        (p.name, p.kind, p.default)
        for p in fast.parameters.values()
        if p.name not in ("algorithm", "out")
    ]
    assert [(p.name, p.kind, p.default) for p in slow.parameters.values()] == expected


def returns_any(name):
    return inspect.signature(getattr(functional, name)).return_annotation is Any


# Losses: numbers, or arrays where each is asked for.
SCALARS = set(filter(returns_any, functional.__all__))


@pytest.mark.parametrize("name", sorted(set(functional.__all__) - SCALARS - PREPARED - TABLES))
def test_functions_that_return_an_array_take_out(name):
    assert "out" in inspect.signature(getattr(functional, name)).parameters


PUBLIC = (fastconv, benchmark, functional, layers, models, ndimage, reference, signal, training)


def public():
    for module in PUBLIC:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("value", list(public()))
def test_docstrings_have_their_sections(value):
    doc = inspect.getdoc(value) or ""
    assert doc.splitlines()[0].endswith((".", ":"))
    sections = ["Examples"]
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        sections += ["Parameters"] if signature.parameters else []
        sections += ["Returns"] if signature.return_annotation not in (None, "None") else []
    if inspect.isgeneratorfunction(value):
        sections = ["Yields" if section == "Returns" else section for section in sections]
    for section in sections:
        assert f"\n{section}\n{'-' * len(section)}\n" in f"{doc}\n", f"no section {section}"


# What has no gradient of its own name, and what its gradient is.
OTHER_GRADIENTS = {
    "filters, of no input": ("box", "emboss", "gaussian", "laplacian", "prewitt", "roberts")
    + ("scharr", "sharpen", "sobel"),
    "one of the other": ("conv2", "correlate2", "fold", "unfold", "pixel_shuffle")
    + ("pixel_unshuffle", "batch_norm_relu_output"),
    "the residual, turned back, shared or cut": ("rot180", "add", "concatenate"),
    "no operation": ("prepare_weight",),
}
# What a gradient takes besides the arguments of its function.
OF_GRADIENTS = {"grad_output", "input_size", "output", "indices", "statistics", "mask"}
OF_GRADIENTS |= {"output_mask", "out", "skip"}


def operations():
    """Return the names of functions that compute something, without those of gradients."""
    found = [name for name in functional.__all__ if inspect.isfunction(getattr(functional, name))]
    parts = re.compile(r"conv(_transpose)?[123]d_(input|weight|bias)")
    return [name for name in found if not name.endswith("_backward") and not parts.fullmatch(name)]


def test_operations_have_gradients():
    others = [name for names in OTHER_GRADIENTS.values() for name in names]
    missing = [name for name in operations() if f"{name}_backward" not in functional.__all__]
    assert sorted(missing) == sorted(others)


@pytest.mark.parametrize(
    "name", [name for name in operations() if f"{name}_backward" in functional.__all__]
)
def test_gradients_take_the_options_of_their_functions(name):
    forward = inspect.signature(getattr(functional, name)).parameters
    backward = inspect.signature(getattr(functional, f"{name}_backward")).parameters
    for option in backward.keys() - OF_GRADIENTS:
        assert backward[option].default == forward[option].default, option
        if backward[option].default is not inspect.Parameter.empty:
            assert backward[option].kind == forward[option].kind, option


def test_the_tests_stand_in_the_rooms_of_what_they_test():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py")}
    assert all((PACKAGE / folder).is_dir() for folder in folders)


def written():
    patterns = ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.h")
    folders = ("fastconv", "tests", "benches")
    return [p for f in folders for pattern in patterns for p in (ROOT / f).rglob(pattern)]


@pytest.mark.parametrize("path", written(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 600
