"""``fastconv info``: what runs here."""

import platform
import sys
from pathlib import Path

import click
import numpy as np

import fastconv


@click.command(short_help="Show versions, CPU, instruction set and threads.")
def info() -> None:
    """Show versions, CPU, instruction set and threads, for a bug report or a benchmark."""
    rows = {
        "fastconv": fastconv.__version__,
        "Python": f"{platform.python_version()} ({sys.implementation.name})",
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "CPU": cpu_model(),
        "instruction set": fastconv.isa(),
        "OpenMP": "yes" if fastconv.openmp() else "no: everything runs on one thread",
        "threads": str(fastconv.get_num_threads()),
    }
    for name, value in rows.items():
        click.echo(f"{name:<16} {value}")


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
