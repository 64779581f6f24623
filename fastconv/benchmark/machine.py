"""Which machine, which versions: what a measurement means nothing without."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import fastconv


def cpu_model(cpuinfo: str = "/proc/cpuinfo") -> str:
    """Return the name of the processor, as the system tells it."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def source_commit(root: Path | None = None) -> str | None:
    """Return the commit of the source tree that runs, with "-dirty" if it was edited.

    None if fastconv does not run from a git checkout, or git is not there to ask.
    """
    root = root or Path(fastconv.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def versions() -> dict[str, str | None]:
    """Return the versions of fastconv, Python, NumPy and, if it is there, torch."""
    return {
        "fastconv": fastconv.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": _torch_version(),
    }


def _torch_version() -> str | None:
    """Return the version of torch without importing it, or None where it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None
