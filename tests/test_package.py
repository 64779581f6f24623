"""What is built and shipped: wheel and sdist, and the sentences of a build that cannot work."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import fastconv
from fastconv.benchmark import TABLES

ROOT = Path(__file__).resolve().parent.parent
# What hangs is ended after so many seconds: a build takes minutes, and many more on a busy machine.
HOURS = 7200

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="no source tree: nothing to build"
)

# The module of what Cython adds to every other; it has no source.
SHARED = "_cython"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the tree as a fresh clone has it."""
    copy = tmp_path_factory.mktemp("clone") / "fastconv"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(
            ".git",
            ".venv",
            "build",
            "dist",
            "demo",
            "*.so",
            "*.egg-info",
            "__pycache__",
            ".*_cache",
        ),
    )
    return copy


def build(kind, tree, target):
    """Build a distribution in an environment of its own, without compiling anew what is built."""
    if (ROOT / "build").exists():
        # Times and all: the build compiles what is older than its source.
        shutil.copytree(ROOT / "build", tree / "build", dirs_exist_ok=True)
        for module in (tree / "build").glob("lib*/fastconv/**/*.so"):
            # Of a module that is no more.
            parts = module.relative_to(tree / "build").parts[1:]
            source = tree.joinpath(*parts[:-1], f"{module.name.split('.')[0]}.pyx")
            if not (source.exists() or source.stem == SHARED):
                module.unlink()
        # The environment's Cython is newer than what another compiled, but no different.
        later = time.time() + HOURS
        files = [path for path in (tree / "fastconv").rglob("*") if path.is_file()]
        sources = [path for path in files if path.suffix in (".pyx", ".pxd", ".h")]
        newest = max(path.stat().st_mtime for path in sources)
        for path in (tree / "build").rglob("*.*"):
            if path.is_file() and path.stat().st_mtime > newest:
                os.utime(path, (later, later))
    command = [sys.executable, "-m", "build", f"--{kind}", "-o", target, tree]
    subprocess.run(command, check=True, timeout=HOURS)


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """The sdist, and the wheel built from what it holds."""
    target = tmp_path_factory.mktemp("dist")
    build("sdist", source, target)
    (sdist,) = target.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="tar")
    (unpacked,) = (path.parent for path in target.glob("*/setup.py"))
    build("wheel", unpacked, target)
    (wheel,) = target.glob("*.whl")
    return wheel, sdist


@pytest.mark.timeout(HOURS)
def test_the_wheel_holds_the_package_and_no_tests(built):
    wheel, _ = built
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.startswith(("tests/", "benches/", "docs/"))]
    assert not [name for name in names if name.endswith((".pyx", ".c", ".h"))]
    for name in ("py.typed", "engine/gemm/tile.pyi", "functional/conv.py", "reference/conv.py"):
        assert f"fastconv/{name}" in names
    for table in TABLES:
        assert f"fastconv/benchmark/shapes/{table}.csv" in names
    assert [name for name in names if name.startswith("fastconv/training/digits/")]
    compiled = {name.split(".")[0] for name in names if name.endswith(".so")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastconv").rglob("*.pyx")}
    modules = {source.removesuffix(".pyx") for source in sources}
    assert compiled == modules | {f"fastconv/{SHARED}"}
    # Without debug information and symbols; with them it is more than 8 MB.
    assert wheel.stat().st_size < 4.5e6
    metadata = next(name for name in names if name.endswith("METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra" not in line] == ["Requires-Dist: numpy>=2.0"]
    assert not [line for line in required if "torch" in line]


@pytest.mark.timeout(HOURS)
def test_the_sdist_holds_what_a_build_needs(built):
    _, sdist = built
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for table in TABLES:
        assert f"fastconv/benchmark/shapes/{table}.csv" in names
    sources = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.h")
        for path in (ROOT / "fastconv").rglob(pattern)
    }
    assert not sources - names
    assert {"setup.py", "LICENSE", "Makefile"} <= names


@pytest.mark.timeout(HOURS)
def test_the_wheel_computes_where_nothing_else_is(built, tmp_path):
    wheel, _ = built
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = (
        "import numpy, fastconv; from fastconv import functional as F;"
        "print(fastconv.__version__, fastconv.__file__, F.conv2d(numpy.ones((1, 1, 3, 3)),"
        "numpy.ones((1, 1, 2, 2))).sum())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    version, path, total = run.stdout.split()
    assert (version, total) == (fastconv.__version__, "16.0")
    assert path.startswith(str(target))


def test_a_missing_compiler_is_one_sentence(source, tmp_path):
    for name in ("setuptools", "Cython"):
        pytest.importorskip(name, reason=f"no {name}, skipped: building without a compiler")
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-temp", tmp_path / "t"]
        + ["--build-lib", tmp_path / "l"],
        cwd=source,
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("fastconv: no working C compiler was found (tried 'no-such-compiler')")
    assert "Traceback" not in run.stderr


def test_an_old_python_is_one_sentence(source):
    code = (
        "import sys; sys.version_info = (3, 9, 0);"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "fastconv needs Python 3.11 or newer; this is Python 3.9.\n"
