"""Every table, batch, dtype and number of threads against torch: the figures of the documentation.

    python benches/bench_conv.py --output conv.json [--table resnet50 ...] [--batch 1 8 32]
                                 [--dtype float32 float64] [--threads 1 2] [--time 1.0]
    python benches/bench_conv.py --markdown conv.json [--table ...] [--plot conv.png]

The first measures, for some hours if nothing is narrowed down, and saves after each table; the
second prints what was saved, narrowed down alike, as tables of Markdown, and draws one batch, dtype
and number of threads as bars. `fastconv bench` is the short version.
"""

import argparse
from dataclasses import replace

import fastconv
from fastconv import benchmark, plots
from fastconv.benchmark.report import geometric_mean


def measure(arguments):
    """Measure table by table, and save what is there after each."""
    collected, wrong = None, []
    for table in arguments.table:
        results, found = benchmark.run(
            benchmark.load_table(table),
            directions=arguments.direction,
            batches=arguments.batch,
            dtypes=arguments.dtype,
            threads=arguments.threads,
            algorithm=arguments.algorithm,
            rival=None if arguments.rival == "none" else arguments.rival,
            seconds=arguments.time,
            echo=lambda line: print(line, flush=True),
        )
        wrong += found
        if collected is None:
            collected = results
        else:
            collected = replace(collected, rows=collected.rows + results.rows)
        if arguments.output:
            benchmark.save_results(collected, arguments.output)
    for text in wrong:
        print(f"WRONG: {text}")
    return 1 if wrong else 0


def narrow(results, arguments):
    """Return the results with those rows alone that were asked for."""
    asked = {
        (table, direction, batch, dtype, threads)
        for table in arguments.table
        for direction in arguments.direction
        for batch in arguments.batch
        for dtype in arguments.dtype
        for threads in arguments.threads
    }
    rows = (
        row
        for row in results.rows
        if (row.table, row.direction, row.batch, row.dtype, row.threads) in asked
    )
    return replace(results, rows=tuple(rows))


def markdown(results):
    """Yield the lines of one table for each network, batch, dtype and number of threads."""
    groups = {}
    for row in results.rows:
        key = (row.table, row.batch, row.dtype, row.threads)
        groups.setdefault(key, {}).setdefault((row.layer, row.shape), {})[row.direction] = row
    for (table, batch, dtype, threads), layers in groups.items():
        peak = results.peak(dtype, threads)
        yield f"\n{table}, batch {batch}, {dtype}, {threads} threads, peak {peak:.0f} GFLOP/s:\n"
        yield "| layer | forward | input gradient | weight gradient |"
        yield "|---|---|---|---|"
        for (_, shape), rows in layers.items():
            cells = (cell(rows.get(direction), peak) for direction in benchmark.DIRECTIONS)
            yield f"| {shape} | {' | '.join(cells)} |"
        means = (mean(layers.values(), direction) for direction in benchmark.DIRECTIONS)
        yield f"| geometric mean | {' | '.join(means)} |"


def cell(row, peak):
    """Return GFLOP/s, % of peak and ratio; a ratio below 1 is bold."""
    if row is None:
        return ""
    text = f"{row.gflops:.0f}, {100 * row.gflops / peak:.0f} %"
    if row.ratio is None:
        return text
    return f"{text}, " + (f"**{row.ratio:.2f}**" if row.ratio < 0.995 else f"{row.ratio:.2f}")


def mean(layers, direction):
    ratios = [rows[direction].ratio for rows in layers if direction in rows]
    return f"{geometric_mean(ratios):.2f}" if ratios and None not in ratios else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", nargs="+", default=benchmark.TABLES)
    directions = benchmark.DIRECTIONS
    parser.add_argument("--direction", nargs="+", default=directions, choices=directions)
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    everything = sorted({1, fastconv.get_num_threads()})
    parser.add_argument("--threads", nargs="+", type=int, default=everything)
    parser.add_argument("--algorithm", default="auto")
    parser.add_argument("--rival", default="torch", choices=[*benchmark.RIVALS, "none"])
    parser.add_argument("--time", type=float, default=1.0, help="seconds for each measurement")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--markdown", metavar="FILE", help="print a JSON file; measure nothing")
    parser.add_argument("--plot", metavar="PNG", help="draw the bars of what is printed")
    arguments = parser.parse_args()
    if arguments.markdown:
        results = narrow(benchmark.load_results(arguments.markdown), arguments)
        print("\n".join(markdown(results)))
        if arguments.plot:
            plots.benchmark_bars(results, arguments.plot)
        return 0
    if arguments.plot:
        parser.error("--plot: only with --markdown")
    return measure(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
