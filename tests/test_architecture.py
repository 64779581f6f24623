"""The rules of the structure: who imports whom, twin signatures, docstrings, file lengths."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv
from fastconv import benchmark, functional, layers, models, reference, training

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(fastconv.__file__).resolve().parent

# A module imports from rooms of a lower level, or from its own room.
LEVELS = {
    "_geometry": 0,
    "_thresholds": 0,
    "_files": 0,
    "_threads": 0,
    "_isa": 0,
    "_memory": 0,
    "_cache": 0,
    "_workspace": 1,
    "_axis": 0,
    "_depthwise_kernels": 0,
    "_depthwise_plan": 1,
    "_slab": 1,
    "_tile": 1,
    "_views": 0,
    "_matmul": 2,
    "_gemm_outputs": 2,
    "_sample_tiles": 1,
    "_samples": 2,
    "_samples_weight": 3,
    "_channels": 3,
    "_channels_weight": 4,
    "_gemm": 3,
    "_gemm_input": 2,
    "_gemm_weight_plan": 2,
    "_gemm_weight": 3,
    "_winograd_tiles": 2,
    "_winograd": 3,
    "_winograd_rows": 3,
    "_winograd_rows_weight": 4,
    "_winograd_weight": 3,
    "_direct": 1,
    "_depthwise": 2,
    "_pooling": 1,
    "_sums": 2,
    "_halving": 2,
    "_activations": 1,
    "_losses": 2,
    "_batches": 1,
    "_optimizers": 2,
    "_check": 1,
    "_fft_blocks": 1,
    "_plan": 2,
    "": 5,  # fastconv itself, the public face
    "functional": 5,
    "layers": 6,
    "models": 7,
    "training": 8,
    "benchmark": 8,
    "plots": 9,
    "cli": 10,
    "__main__": 11,
}
# What the table of levels does not say.
EXTRA = {
    "benchmark": {"reference"},
    "cli": {"reference"},
    "reference": set(),
}
KERNELS = {
    "_threads",
    "_isa",
    "_memory",
    "_cache",
    "_workspace",
    "_axis",
    "_depthwise",
    "_depthwise_kernels",
    "_depthwise_plan",
    "_losses",
    "_batches",
    "_optimizers",
    "_slab",
    "_tile",
    "_views",
    "_matmul",
    "_gemm",
    "_gemm_input",
    "_gemm_outputs",
    "_sample_tiles",
    "_samples",
    "_samples_weight",
    "_channels",
    "_channels_weight",
    "_gemm_weight",
    "_gemm_weight_plan",
    "_winograd_tiles",
    "_winograd",
    "_winograd_rows",
    "_winograd_rows_weight",
    "_winograd_weight",
    "_direct",
    "_pooling",
    "_sums",
    "_halving",
    "_activations",
}


def room(path):
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return "" if name == "__init__" else name


def imports(path):
    """Yield the rooms of fastconv, and the foreign packages, that a file imports."""
    if path.suffix == ".pyx":
        # Cython's own syntax: take the lines that import.
        text = path.read_text().replace("cimport", "import")
        source = "\n".join(re.findall(r"^(?:from|import) [^\n(]*(?:\([^)]*\))?", text, re.M))
    else:
        source = path.read_text()
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
    return sorted(p for suffix in ("*.py", "*.pyx") for p in PACKAGE.rglob(suffix))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    own = room(path)
    for parts in imports(path):
        if parts[0] in ("tests", "benches"):
            pytest.fail(f"{path} imports {'.'.join(parts)}")
        if parts[0] != "fastconv":
            continue
        other = parts[1] if len(parts) > 1 else ""
        other = other if other in LEVELS or other == "reference" else ""
        if other == own or other in EXTRA.get(own, ()):
            continue
        assert own != "reference", f"reference imports fastconv.{other}"
        assert other != "reference", f"{own} imports reference"
        if own in KERNELS:
            assert other in KERNELS, f"the kernel {own} imports {other}"
        # `from fastconv import get_num_threads` and the like: the public face.
        assert LEVELS[other] < LEVELS[own], f"{own} imports {other or 'fastconv'}"


def test_every_room_has_a_level():
    assert {room(path) for path in sources()} - {"reference"} <= set(LEVELS)


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


def test_importing_fastconv_imports_no_room():
    code = "import sys, fastconv\nprint(*[m for m in sys.modules if m.startswith('fastconv.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {
        "fastconv._isa",
        "fastconv._memory",
        "fastconv._threads",
        "fastconv._workspace",
    }


# The reference has nothing to prepare.
PREPARED = {"PreparedWeight", "prepare_weight"}


@pytest.mark.parametrize("name", sorted(set(functional.__all__) - PREPARED))
def test_reference_has_the_signature_of_functional(name):
    fast = inspect.signature(getattr(functional, name))
    slow = inspect.signature(getattr(reference, name))
    expected = [
        (p.name, p.kind, p.default)
        for p in fast.parameters.values()
        if p.name not in ("algorithm", "out")
    ]
    assert [(p.name, p.kind, p.default) for p in slow.parameters.values()] == expected


SEVERAL_ARRAYS = {"conv2d_backward", "linear_backward"}
SCALARS = {"cross_entropy", "half_squared_error", "mse_loss"}


@pytest.mark.parametrize(
    "name", sorted(set(functional.__all__) - SEVERAL_ARRAYS - SCALARS - PREPARED)
)
def test_functions_that_return_an_array_take_out(name):
    assert "out" in inspect.signature(getattr(functional, name)).parameters


def public():
    for module in (fastconv, benchmark, functional, layers, models, reference, training):
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


def written():
    patterns = ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.h")
    folders = ("fastconv", "tests", "benches")
    return [p for f in folders for pattern in patterns for p in (ROOT / f).rglob(pattern)]


@pytest.mark.parametrize("path", written(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= 600
