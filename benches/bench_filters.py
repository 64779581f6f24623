"""Filters of images beside SciPy's, and OpenCV's where it is installed, in tables.

    python benches/bench_filters.py [TABLE ...] [--dtype float32 float64] [--threads 2]
                                    [--time 0.1] [--output filters.json]

The tables are "convolve", "bank", "separable", "volumes", "small", "transforms" and "opencv"; all
by default. Both sides get the same arrays, in turns, in one process, and each result is compared
with SciPy's before it is timed. The ratio is the rival's least time over ours. SciPy computes on
one core, but for its transforms with two workers; those stand in lines of their own.
"""

import argparse
import json
from importlib import import_module
from math import exp, log

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

import fastconv
from fastconv import ndimage, signal
from fastconv.benchmark.harness import interleaved

SIZES = (512, 1024)
# Where transforms are SciPy's fastest: shapes of both arrays.
LARGE = (
    ((1024, 1024), (31, 31)),
    ((1024, 1024), (65, 65)),
    ((1024, 1024), (129, 129)),
    ((512, 512), (512, 512)),
    ((1024, 1024), (1024, 1024)),
    ((128, 128, 128), (16, 16, 16)),
    ((1_000_000,), (101,)),
    ((1_000_000,), (4001,)),
    ((100_000,), (100_000,)),
)


def normal(shape, dtype):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def convolve(dtype):
    for n in SIZES:
        image = normal((n, n), dtype)
        for k in (3, 7, 11, 31):
            kernel = normal((k, k), dtype)
            name = f"{n} x {n}, {k} x {k}"
            yield (
                f"ndimage.convolve {name}",
                lambda image=image, kernel=kernel: ndimage.convolve(image, kernel),
                lambda image=image, kernel=kernel: scipy.ndimage.convolve(image, kernel),
            )
            yield (
                f"signal.convolve2d {name}",
                lambda image=image, kernel=kernel: signal.convolve2d(image, kernel, "same"),
                lambda image=image, kernel=kernel: scipy.signal.convolve2d(image, kernel, "same"),
            )


def bank(dtype):
    image, kernels = normal((1024, 1024), dtype), normal((32, 7, 7), dtype)
    yield (
        "32 kernels of 7 x 7 on 1024 x 1024",
        lambda: ndimage.filter_bank(image, kernels),
        lambda: np.array([scipy.ndimage.correlate(image, kernel) for kernel in kernels]),
    )


def separable(dtype):
    for n in SIZES:
        image = normal((n, n), dtype)
        for name, arguments in (
            *(("gaussian_filter", (sigma,)) for sigma in (1, 3, 10)),
            *(("uniform_filter", (size,)) for size in (3, 15)),
            ("sobel", ()),
        ):
            yield (
                f"{name} {n} x {n} {' '.join(map(str, arguments))}",
                lambda f=name, x=image, a=arguments: getattr(ndimage, f)(x, *a),
                lambda f=name, x=image, a=arguments: getattr(scipy.ndimage, f)(x, *a),
            )


def volumes(dtype):
    image = normal((128,) * 3, dtype)
    for k in (3, 5, 7):
        kernel = normal((k,) * 3, dtype)
        yield (
            f"ndimage.convolve 128^3, {k}^3",
            lambda kernel=kernel: ndimage.convolve(image, kernel),
            lambda kernel=kernel: scipy.ndimage.convolve(image, kernel),
        )


def small(dtype):
    """Where the call takes longer than the sums."""
    image, line = normal((32, 32), dtype), normal((1000,), dtype)
    for name, *arguments in (
        ("convolve", normal((3, 3), dtype)),
        ("convolve", normal((5, 5), dtype)),
        ("convolve1d", normal((5,), dtype)),
        ("gaussian_filter", 1),
        ("uniform_filter", 3),
        ("sobel",),
        ("laplace",),
    ):
        what = " ".join("x".join(map(str, np.shape(a))) or str(a) for a in arguments)
        yield (
            f"ndimage.{name} 32 x 32 {what}",
            lambda f=name, a=arguments: getattr(ndimage, f)(image, *a),
            lambda f=name, a=arguments: getattr(scipy.ndimage, f)(image, *a),
        )
    for name, one, shape in (
        ("convolve2d", image, (3, 3)),
        ("convolve", image, (3, 3)),
        ("convolve", line, (31,)),
        ("fftconvolve", image, (5, 5)),
        ("fftconvolve", image, (32, 32)),
        ("fftconvolve", line, (31,)),
        ("oaconvolve", line, (101,)),
    ):
        two = normal(shape, dtype)
        sizes = " ".join("x".join(map(str, array.shape)) for array in (one, two))
        yield (
            f"signal.{name} {sizes}",
            lambda f=name, x=one, k=two: getattr(signal, f)(x, k),
            lambda f=name, x=one, k=two: getattr(scipy.signal, f)(x, k),
        )


def with_workers(call):
    with scipy.fft.set_workers(2):
        return call()


def transforms(dtype):
    for one, two in LARGE:
        image, kernel = normal(one, dtype), normal(two, dtype)
        for name in ("fftconvolve", "oaconvolve"):
            ours = lambda f=name, x=image, k=kernel: getattr(signal, f)(x, k)  # noqa: E731
            theirs = lambda f=name, x=image, k=kernel: getattr(scipy.signal, f)(x, k)  # noqa: E731
            sizes = " ".join("x".join(map(str, shape)) for shape in (one, two))
            yield f"{name} {sizes}", ours, theirs
            yield f"{name} {sizes}, workers=2", ours, lambda f=theirs: with_workers(f)


def opencv(dtype):
    try:
        cv2 = import_module("cv2")
    except ImportError:
        print("OpenCV is not installed")
        return
    cv2.setNumThreads(fastconv.get_num_threads())
    edge = cv2.BORDER_REFLECT
    for n in SIZES:
        image = normal((n, n), dtype)
        for k in (3, 7, 11, 31):
            kernel = normal((k, k), dtype)
            yield (
                f"cv2.filter2D {n} x {n}, {k} x {k}",
                lambda x=image, w=kernel: ndimage.correlate(x, w),
                lambda x=image, w=kernel: cv2.filter2D(x, -1, w, borderType=edge),
            )
        for sigma in (1, 3, 10):
            size = 2 * int(4 * sigma + 0.5) + 1
            yield (
                f"cv2.GaussianBlur {n} x {n}, {sigma}",
                lambda x=image, s=sigma: ndimage.gaussian_filter(x, s),
                lambda x=image, s=sigma, k=size: cv2.GaussianBlur(x, (k, k), s, borderType=edge),
            )


TABLES = {
    table.__name__: table
    for table in (convolve, bank, separable, volumes, small, transforms, opencv)
}


def measure(table, dtype, threads, seconds):
    """Yield the rows of a table: name, ratio, and the least seconds of both sides."""
    fastconv.set_num_threads(threads)
    for name, ours, rival in TABLES[table](np.dtype(dtype)):
        actual, expected = ours(), rival()
        largest = np.abs(expected).max() or 1
        error = np.abs(actual - expected).max() / largest
        # Written so that a NaN counts as wrong.
        if not error <= (1e-5 if dtype == "float32" else 1e-10):
            raise SystemExit(f"{name}: wrong by {error:.2g}")
        times = [min(samples) for samples in interleaved([ours, rival], seconds)]
        ratio = times[1] / times[0]
        row = {
            "table": table, "name": name, "dtype": dtype, "threads": threads,
            "isa": fastconv.isa(), "seconds": times, "ratio": ratio,
        }  # fmt: skip
        mine, theirs = (1e3 * time for time in times)
        print(f"{dtype} {name:52} {mine:9.3f} ms {theirs:9.3f} ms {ratio:7.2f}", flush=True)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time", type=float, default=0.1)
    parser.add_argument("--output")
    options = parser.parse_args()
    rows = []
    for table in options.tables:
        if table not in TABLES:
            parser.error(f"there is no table {table!r}, but {', '.join(TABLES)}")
        for dtype in options.dtype:
            found = list(measure(table, dtype, options.threads, options.time))
            rows += found
            if found:
                mean = exp(sum(log(row["ratio"]) for row in found) / len(found))
                print(f"{table} {dtype}: geometric mean {mean:.2f}")
    if options.output:
        with open(options.output, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
