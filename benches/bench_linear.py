"""Full connections against torch: the three products, from one row to thousands.

    python benches/bench_linear.py [--rows 1 8 64] [--size 4096-4096 ...] [--product forward ...]
                                   [--dtype float32 float64] [--threads 1 2] [--time 0.2]
                                   [--output linear.json]
    python benches/bench_linear.py --markdown linear.json [linear2.json ...]

Both sides get the same arrays, in turns, in one process, as in `bench_conv.py`; each result is
compared with float64 before it is timed. The ratio is torch's least time over ours. Beside it stand
GFLOP/s, and GB/s if the weights were read or written once: for few rows the memory is the limit.
What takes longer than `--most` GFLOP is left out. The second form prints what was saved.
"""

import argparse
import json
from importlib import import_module

import numpy as np

from fastconv import functional as F
from fastconv.benchmark.harness import interleaved
from fastconv.benchmark.report import geometric_mean
from fastconv.benchmark.rivals import threads_of_both

ROWS = (1, 2, 4, 8, 16, 64, 256, 1024, 4096)
SIZES = ("9216-4096", "25088-4096", "4096-4096", "512-1000", "512-512", "256-256")
PRODUCTS = ("forward", "input", "weight")
# Largest error over largest result, for standard normal data.
BOUNDS = {"float32": 1e-5, "float64": 1e-13}
# Rows of a result that are compared.
CHECKED = 16


def operands(rows, inputs, outputs, dtype, weight):
    """Draw input, bias and residual; the weights are drawn once for all rows."""
    rng = np.random.default_rng(0)
    if weight is None or weight.shape != (outputs, inputs) or weight.dtype != dtype:
        weight = rng.standard_normal((outputs, inputs), dtype) * np.dtype(dtype).type(inputs**-0.5)
    x = rng.standard_normal((rows, inputs), dtype)
    return (
        x,
        weight,
        rng.standard_normal(outputs, dtype),
        rng.standard_normal((rows, outputs), dtype),
    )


def our_call(product, x, weight, bias, residual):
    if product == "forward":
        return lambda: F.linear(x, weight, bias)
    mask = (product == "input", product == "weight", False)
    which = PRODUCTS.index(product) - 1
    return lambda: F.linear_backward(residual, x, weight, output_mask=mask)[which]


def torch_call(product, *arrays):
    """Return what torch's autograd calls for such a product."""
    torch = import_module("torch")
    x, weight, bias, residual = map(torch.from_numpy, arrays)
    linear = torch.nn.functional.linear
    return {
        "forward": lambda: linear(x, weight, bias),
        "input": lambda: residual.mm(weight),
        "weight": lambda: residual.t().mm(x),
    }[product]


def verify(product, calls, x, weight, bias, residual):
    """Compare some rows of each result with a product in float64; return the errors."""
    left, right, shift = {
        "forward": (x, weight.T, bias),
        "input": (residual, weight, 0),
        "weight": (residual.T, x, 0),
    }[product]
    some = np.unique(np.linspace(0, left.shape[0] - 1, CHECKED).astype(int))
    wide = np.longdouble if left.dtype == np.float64 and left.shape[1] < 8 else np.float64
    truth = left[some].astype(wide) @ right.astype(wide, copy=False) + shift
    errors = []
    for call in calls:
        result = np.asarray(call())
        error = float(np.abs(result[some] - truth).max() / np.abs(truth).max())
        if not error <= BOUNDS[left.dtype.name]:
            raise SystemExit(f"{product} of {x.shape} and {weight.shape} is wrong by {error:.2g}")
        errors.append(error)
    return errors


def measure(arguments):
    rival = None if arguments.rival == "none" else "torch"
    table = []
    for dtype in arguments.dtype:
        for size in arguments.size:
            inputs, outputs = map(int, size.split("-"))
            weight = None
            for rows in arguments.rows:
                flops = 2 * rows * inputs * outputs
                if flops > arguments.most * 1e9:
                    continue
                arrays = operands(rows, inputs, outputs, dtype, weight)
                weight = arrays[1]
                for product in arguments.product:
                    calls = [our_call(product, *arrays)]
                    if rival:
                        calls.append(torch_call(product, *arrays))
                    errors = verify(product, calls, *arrays)
                    for threads in arguments.threads:
                        with threads_of_both(threads, rival):
                            times = [min(t) for t in interleaved(calls, arguments.time)]
                        row = {
                            "dtype": dtype, "size": size, "rows": rows, "product": product,
                            "threads": threads, "seconds": times, "errors": errors,
                            "flops": flops, "bytes": weight.nbytes,
                        }  # fmt: skip
                        table.append(row)
                        print(line(row), flush=True)
            if arguments.output:
                with open(arguments.output, "w") as file:
                    json.dump(table, file, indent=0)
    return table


def ratio(row):
    return row["seconds"][1] / row["seconds"][0] if len(row["seconds"]) > 1 else None


def line(row):
    ours, r = row["seconds"][0], ratio(row)
    text = (
        f"{row['dtype']} {row['threads']}t {row['size']:>10} {row['rows']:>5} {row['product']:8}"
        f"{ours * 1e6:11.1f} us {row['flops'] / ours / 1e9:7.1f} GF/s "
        f"{row['bytes'] / ours / 1e9:7.1f} GB/s"
    )
    return text if r is None else f"{text} {r:6.2f}{' <' if r < 0.9 else ''}"


def markdown(table):
    """Yield the ratios: a table for each dtype and number of threads, a row for each size."""
    for dtype, threads in sorted({(row["dtype"], row["threads"]) for row in table}):
        mine = [row for row in table if (row["dtype"], row["threads"]) == (dtype, threads)]
        found = {(row["size"], row["product"], row["rows"]): ratio(row) for row in mine}
        counts = sorted({row["rows"] for row in mine})
        yield f"\n{dtype}, {threads} threads:\n"
        yield f"| layer | product | {' | '.join(map(str, counts))} |"
        yield "|---" * (len(counts) + 2) + "|"
        for size in dict.fromkeys(row["size"] for row in mine):
            for product in dict.fromkeys(row["product"] for row in mine):
                cells = (found.get((size, product, count)) for count in counts)
                texts = ("" if r is None else f"{r:.2f}" for r in cells)
                yield f"| {size} | {product} | {' | '.join(texts)} |"
        for product in dict.fromkeys(row["product"] for row in mine):
            ratios = [ratio(row) for row in mine if row["product"] == product]
            yield (
                f"\n{product}: geometric mean {geometric_mean(ratios):.2f}, "
                f"least {min(ratios):.2f}, below 0.9: {sum(r < 0.9 for r in ratios)}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--size", nargs="+", default=SIZES, help="in_features-out_features")
    parser.add_argument("--product", nargs="+", default=PRODUCTS, choices=PRODUCTS)
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rival", default="torch", choices=["torch", "none"])
    parser.add_argument("--time", type=float, default=0.2, help="seconds for each measurement")
    parser.add_argument("--most", type=float, default=150, help="GFLOP of the largest product")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--markdown", nargs="+", metavar="FILE", help="print; measure nothing")
    arguments = parser.parse_args()
    if arguments.markdown:
        table = []
        for name in arguments.markdown:
            with open(name) as file:
                table += json.load(file)
        print("\n".join(markdown(table)))
        return
    table = measure(arguments)
    if arguments.rival != "none":
        print("\n".join(markdown(table)))


if __name__ == "__main__":
    main()
