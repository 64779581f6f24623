"""``fastconv info``: what runs here."""

import platform
import sys

import click
import numpy as np

import fastconv
from fastconv.benchmark.machine import cpu_model
from fastconv.engine.base.cache_sizes import cache_sizes


@click.command(short_help="Show versions, CPU, instruction set and threads.")
def info() -> None:
    """Show versions, CPU, caches, instruction set and threads, for a bug report or a benchmark."""
    rows = {
        "fastconv": fastconv.__version__,
        "Python": f"{platform.python_version()} ({sys.implementation.name})",
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "CPU": cpu_model(),
        "caches": ", ".join(f"{size >> 10}K" for size in cache_sizes()),
        "instruction set": fastconv.isa(),
        "threads": str(fastconv.get_num_threads()),
    }
    for name, value in rows.items():
        click.echo(f"{name:<16} {value}")
