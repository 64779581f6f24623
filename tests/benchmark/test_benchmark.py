"""The benchmark: its tables, its judgement of results, its files, and the command."""

import csv
import json
import os
import re
import sys
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

import fastconv
from fastconv import benchmark, functional, reference
from fastconv.benchmark import (
    DIRECTIONS,
    TABLES,
    Machine,
    Peak,
    Results,
    Row,
    Side,
    WrongResult,
    compare,
    harness,
    load_results,
    load_table,
    measure,
    measured_peak,
    report,
    rivals,
    save_results,
    short_table,
)
from fastconv.benchmark.machine import source_commit
from fastconv.engine.gemm.tile import run_peak

TINY = "layer,in_channels,out_channels,size,kernel,stride,padding,dilation,groups,count\n"
ROWS = "a,2,4,5x6,3x2,1,1,1,2,1\nb,2,3,7,3,2,0x1,2,1,4\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """No pauses, a short run for the peak, an empty directory, the threads given back."""
    monkeypatch.setattr(harness, "PAUSE", 0)
    monkeypatch.setattr("fastconv.benchmark.peak._BLOCK", 1e-4)
    monkeypatch.chdir(tmp_path)
    threads = fastconv.get_num_threads()
    yield
    assert fastconv.get_num_threads() == threads


def tiny(text=ROWS):
    with open("tiny.csv", "w") as file:
        file.write(TINY + text)
    return load_table("tiny.csv")


def row(layer="C1", direction="forward", seconds=1e-3, rival=2e-3, **changes):
    theirs = Side(rival, 1.5 * rival, 2e-7) if rival else None
    made = Row(
        "lenet5",
        layer,
        "5x5 1-6@28",
        direction,
        8,
        "float32",
        2,
        "auto",
        10**6,
        Side(seconds, 2 * seconds, 3e-7),
        "torch" if rival else None,
        theirs,
    )
    return replace(made, **changes)


def results(*rows):
    return Results(Machine(), (Peak("float32", 2, 200.0),), rows)


class TestTables:
    @pytest.mark.parametrize(
        ("table", "distinct", "layers", "macs", "digits"),
        [
            # Sums over the convolutions, as published or, where a whole network is, less its
            # fully connected layers (the sources are in tables.py).
            ("resnet50", 23, 53, 4.089e9 - 2048 * 1000, 3),
            ("vgg16", 9, 13, 15.47e9 - (25088 + 4096) * 4096 - 4096 * 1000, 3),
            ("alexnet", 5, 5, 0.714e9 - (9216 + 4096) * 4096 - 4096 * 1000, 3),
            ("googlenet", 49, 57, 1.58e9, 3),
            ("lenet5", 2, 2, 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150, 9),
            ("mobilenet", 9, 13, 0.0306 * 568.7e6, 3),  # table 2: 3.06 % of 569 million
            ("resnext50", 7, 16, 0.2312e9, 3),
        ],
    )
    def test_the_work_of_a_network(self, table, distinct, layers, macs, digits):
        rows = load_table(table)
        assert len(rows) == distinct
        assert len(set(map(str, rows))) == distinct
        assert sum(layer.count for layer in rows) == layers
        total = sum(layer.count * layer.flops(1) for layer in rows) / 2
        assert total == pytest.approx(macs, rel=10.0**-digits * 2)

    def test_googlenet_has_the_work_of_its_paper(self):
        # The column "ops" of table 1, inception modules by the size of their maps, in millions;
        # the paper's own rows 5a and 5b are 2 to 5 % more than their branches.
        published = {28: 128 + 304, 14: 73 + 88 + 100 + 119 + 170, 7: 54 + 71}
        rows = [layer for layer in load_table("googlenet") if layer.name.startswith("inception")]
        for size, millions in published.items():
            macs = sum(r.count * r.flops(1) for r in rows if r.size == (size, size)) / 2e6
            assert macs == pytest.approx(millions, rel=0.03)

    @pytest.mark.parametrize("table", TABLES)
    def test_the_channels_of_a_layer_come_from_another(self, table):
        rows = load_table(table)
        outputs = {layer.out_channels for layer in rows}
        # The sums of the four branches of GoogLeNet's inception modules.
        outputs |= {256, 480, 512, 528, 832} if table == "googlenet" else set()
        first = {layer.in_channels for layer in rows if layer.name in ("conv1", "C1", "conv1_1")}
        first |= {3} if table == "googlenet" else {32} if table == "mobilenet" else set()
        assert {layer.in_channels for layer in rows} <= outputs | first

    @pytest.mark.parametrize(("table", "width"), [("resnet50", 1), ("resnext50", 2)])
    def test_the_3x3_of_the_residual_networks(self, table, width):
        middle = [r for r in load_table(table) if r.kernel == (3, 3)]
        assert {(r.in_channels, r.size[0], r.stride[0], r.count) for r in middle} == {
            (64 * width, 56, 1, 3),
            (128 * width, 56, 2, 1),
            (128 * width, 28, 1, 3),
            (256 * width, 28, 2, 1),
            (256 * width, 14, 1, 5),
            (512 * width, 14, 2, 1),
            (512 * width, 7, 1, 2),
        }
        assert {r.groups for r in middle} == {1 if width == 1 else 32}

    def test_mobilenet_is_depthwise(self):
        for layer in load_table("mobilenet"):
            assert layer.in_channels == layer.out_channels == layer.groups

    @pytest.mark.parametrize("table", TABLES)
    def test_sizes_are_kept_or_divided_by_the_stride(self, table):
        for layer in load_table(table):
            out = layer.geometry(1).out_size[0]
            if (table, layer.name) not in (("lenet5", "C3"), ("alexnet", "conv1")):
                assert out == layer.size[0] // layer.stride[0]

    def test_the_short_table_is_made_of_the_others(self):
        chosen = short_table()
        assert 6 <= len(chosen) <= 10
        assert all(layer in load_table(layer.table) for layer in chosen)

    def test_a_file_of_ones_own(self):
        a, b = tiny()
        assert (a.table, a.size, a.kernel, a.groups) == ("tiny", (5, 6), (3, 2), 2)
        assert (b.padding, b.dilation, b.count) == ((0, 1), (2, 2), 4)
        assert (str(a), str(b)) == ("3x2 2-4@5x6 g2", "3x3/2 2-3@7 d2")
        assert a.geometry(3).output_shape == (3, 4, 5, 7)
        assert a.flops(3) == 2 * 3 * 4 * 5 * 7 * 1 * 6

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,2,4,5,3,1,1,1,2\n", "line 2: has 9 cells, expected 10"),
            ("a,2,4,0,3,1,1,1,1,1\n", "line 2: size is '0', expected a number of at least 1"),
            ("a,2,4,5,3x,1,1,1,1,1\n", "line 2: kernel"),
            ("a,2,4,5,-3,1,1,1,1,1\n", "line 2: kernel is '-3'"),
            ("a,2,4,5,9,1,1,1,1,1\n", "line 2: weight is larger than the padded input"),
            ("a,3,4,5,3,1,1,1,2,1\n", "line 2: 3 input channels in 2 groups"),
            ("a,2,3,5,3,1,1,1,2,1\n", "line 2: weight: its 3 output channels"),
            (ROWS + "a,2,4,5,3,1,1,1,1,1\n", "two layers have the same name"),
            ("", "has no layer"),
        ],
    )
    def test_a_wrong_file_is_named_with_its_line(self, text, message):
        with pytest.raises(ValueError, match=rf"^tiny\.csv.*{message}"):
            tiny(text)

    def test_other_columns_and_names(self):
        with open("other.csv", "w") as file:
            file.write("a,b\n")
        with pytest.raises(ValueError, match="its columns are 'a,b', expected 'layer,in_ch"):
            load_table("other.csv")
        with pytest.raises(ValueError, match="'resnet' does not exist; there are lenet5, "):
            load_table("resnet")
        with pytest.raises(FileNotFoundError):
            load_table("missing.csv")
        with open("other.csv", "w") as file:
            file.write('"' + 200_000 * "a")
        with pytest.raises(ValueError, match=r"^other\.csv: .*field larger than"):
            load_table("other.csv")
        with open("binary.csv", "wb") as file:
            file.write(b"\xff\xfe")
        with pytest.raises(ValueError, match=r"binary\.csv: not a text file"):
            load_table("binary.csv")

    def test_every_file_is_a_table(self):
        folder = files("fastconv.benchmark") / "shapes"
        assert {path.name for path in folder.iterdir()} == {f"{name}.csv" for name in TABLES}
        for path in folder.iterdir():
            assert len({len(line) for line in csv.reader(path.read_text().splitlines())}) == 1


class TestMeasure:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("direction", DIRECTIONS)
    @pytest.mark.parametrize("rival", [None, *rivals.RIVALS])
    def test_both_sides_compute_the_same(self, direction, dtype, rival):
        if rival == "torch":
            pytest.importorskip("torch")
        for layer in tiny():
            got = measure(
                layer, direction, batch=2, dtype=dtype, threads=2, rival=rival, seconds=1e-4
            )
            assert (got.direction, got.dtype, got.threads) == (direction, dtype, 2)
            assert (got.rival, got.theirs is None) == (rival, rival is None)
            assert 0 < got.ours.minimum <= got.ours.median
            assert got.ours.error < np.finfo(dtype).eps * 100
            assert got.flops == layer.flops(2)

    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_the_operands_are_those_of_the_formula(self, direction):
        layer = load_table("lenet5")[1]
        case = rivals.make_case(layer, direction, 3, np.dtype(np.float32))
        geometry = layer.geometry(3)
        shapes = [geometry.input_shape, geometry.weight_shape, geometry.output_shape]
        assert sorted([case.first.shape, case.second.shape, case.result]) == sorted(shapes)
        scales = {geometry.weight_shape: 150**-0.5}
        for operand in (case.first, case.second):
            assert operand.dtype == np.float32
            assert operand.std() == pytest.approx(scales.get(operand.shape, 1), rel=0.05)

    @pytest.mark.parametrize("direction", DIRECTIONS)
    @pytest.mark.parametrize(
        "wrong",
        [
            lambda result: result * result.dtype.type(1.0001),
            lambda result: np.where(result == result.max(), np.nan, result).astype(result.dtype),
            lambda result: np.where(result == result.max(), np.inf, result).astype(result.dtype),
            lambda result: result[:, :1],
            lambda result: result.astype(np.float64),
        ],
        ids=["inexact", "NaN", "infinite", "shape", "dtype"],
    )
    def test_a_wrong_result_is_convicted(self, monkeypatch, direction, wrong):
        name = {"forward": "conv2d", "input": "conv2d_input", "weight": "conv2d_weight"}[direction]
        right = getattr(functional, name)

        layer = load_table("lenet5")[1]
        for liar, side in (("auto", "fastconv"), ("im2col", "the rival im2col")):

            def sometimes(*args, algorithm, liar=liar, **options):
                result = right(*args, algorithm=algorithm, **options)
                return wrong(result) if algorithm == liar else result

            monkeypatch.setattr(functional, name, sometimes)
            with pytest.raises(WrongResult, match=rf"^lenet5 C3 .*{direction}: {side} "):
                measure(layer, direction, batch=1, rival="im2col")

    @pytest.mark.parametrize("direction", DIRECTIONS)
    def test_the_judge_is_judged_by_the_reference(self, monkeypatch, direction):
        name = {"forward": "conv2d", "input": "conv2d_input", "weight": "conv2d_weight"}[direction]
        right = getattr(functional, name)
        monkeypatch.setattr(functional, name, lambda *a, **o: right(*a, **o) * np.float32(1.5))
        with pytest.raises(WrongResult, match=r"differs from fastconv\.reference"):
            measure(load_table("lenet5")[1], direction, batch=1)

    def test_no_algorithm_is_its_own_judge(self, monkeypatch):
        used, right = [], functional.conv2d
        monkeypatch.setattr(
            functional, "conv2d", lambda *a, **o: used.append(o["algorithm"]) or right(*a, **o)
        )
        for algorithm, judge in (("auto", "direct"), ("im2col", "direct"), ("direct", "im2col")):
            used.clear()
            measure(tiny()[0], "forward", algorithm=algorithm, seconds=1e-4)
            assert used[0] == judge
            assert set(used) == {judge, algorithm}

    def test_arguments_are_checked(self):
        layer = tiny()[0]
        with pytest.raises(ValueError, match="direction must be one of forward, input, weight"):
            measure(layer, "backward")
        with pytest.raises(ValueError, match="dtype must be one of float32, float64"):
            measure(layer, "forward", dtype="int8")
        with pytest.raises(ValueError, match="rival must be one of torch, im2col"):
            measure(layer, "forward", rival="jax")
        with pytest.raises(ValueError, match="algorithm 'fast' does not exist"):
            measure(layer, "forward", algorithm="fast")
        with pytest.raises(ValueError, match=r"the reference is too slow for 3\.7 GFLOP"):
            measure(load_table("vgg16")[1], "forward", batch=1, rival="reference")

    def test_torch_gets_the_threads_and_gives_them_back(self):
        torch = pytest.importorskip("torch")
        before = torch.get_num_threads()
        with rivals.threads_of_both(before + 1, "torch"):
            assert torch.get_num_threads() == fastconv.get_num_threads() == before + 1
        assert torch.get_num_threads() == before

    def test_torch_shares_the_memory_and_computes_nothing_else(self):
        pytest.importorskip("torch")
        case = rivals.make_case(tiny()[0], "forward", 1, np.dtype(np.float64))
        call = rivals.torch_call(case)
        case.first[...] = 0
        assert not np.asarray(call()).any()
        for direction in DIRECTIONS:
            case = rivals.make_case(tiny()[1], direction, 2, np.dtype(np.float64))
            expected = rivals.reference_call(case)()
            np.testing.assert_allclose(np.asarray(rivals.torch_call(case)()), expected, atol=1e-12)


class TestPeak:
    def test_it_counts_what_ran(self, monkeypatch):
        clock = iter(range(1000))
        monkeypatch.setattr("fastconv.benchmark.peak.time.perf_counter", lambda: next(clock))
        for dtype, name in (("float32", "float"), ("float64", "double")):
            # One tile on each of three threads, in what the clock calls a second.
            flops = run_peak[name](1.0, 128, 1, 3)
            assert measured_peak(dtype, 3) == pytest.approx(flops / 1e9)


class TestResults:
    def test_a_file_brings_back_what_was_saved(self, tmp_path):
        saved = results(row(), row("C3", rival=None), row("C3", "input", seconds=0.1 + 0.2))
        save_results(saved, "run.json")
        assert load_results("run.json") == saved
        assert os.listdir(tmp_path) == ["run.json"]
        data = json.loads((tmp_path / "run.json").read_text())
        assert data["machine"]["isa"] == fastconv.isa()
        assert data["machine"]["versions"]["numpy"] == np.__version__

    def test_what_a_row_says(self):
        one = row(seconds=1e-3, rival=2e-3)
        assert (one.gflops, one.rival_gflops, one.ratio) == pytest.approx((1, 0.5, 2))
        assert one.median_ratio == pytest.approx(1.5)
        alone = row(rival=None)
        assert (alone.rival_gflops, alone.ratio, alone.median_ratio) == (None, None, None)
        assert results().peak("float64", 2) is None

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda d: d.pop("format"), "its format is not 'fastconv-benchmark-1'"),
            (lambda d: d.pop("rows"), "results: missing or unexpected: rows"),
            (lambda d: d.update(extra=1), "missing or unexpected: extra"),
            (lambda d: d["rows"][0].update(batch="8"), r"rows\[0\].batch is str, expected int"),
            (lambda d: d["rows"][0].update(batch=True), r"batch is bool, expected int"),
            (lambda d: d["rows"][0].update(batch=0), r"batch is 0, expected at least 1"),
            (
                lambda d: d["rows"][0].update(flops=10**400),
                r"flops is 10+, expected .*than 2\*\*63",
            ),
            (lambda d: d["rows"][0].update(ours=None), r"ours is NoneType, expected Side"),
            (lambda d: d["rows"][0]["ours"].update(error=-1), r"error is -1, expected a finite"),
            (lambda d: d["rows"][0]["ours"].update(error=10**400), "too large"),
            (lambda d: d["rows"][0]["ours"].update(error=float("nan")), "error is nan"),
            (lambda d: d["rows"][0]["ours"].update(minimum=0), "minimum 0.0, median"),
            (lambda d: d["rows"][0]["ours"].update(minimum=9), "minimum 9.0, median"),
            (lambda d: d["rows"][0].update(rival=None), "times without a rival"),
            (lambda d: d["rows"].append(d["rows"][0]), "holds lenet5 C1 .* twice"),
            (lambda d: d["machine"].update(versions=[]), "versions is list, expected dict"),
            (lambda d: d.update(rows={}), "rows is dict, expected tuple"),
        ],
    )
    def test_a_damaged_file_is_one_sentence(self, tmp_path, change, message):
        save_results(results(row()), "run.json")
        data = json.loads((tmp_path / "run.json").read_text())
        change(data)
        (tmp_path / "run.json").write_text(json.dumps(data))
        with pytest.raises(ValueError, match=rf"^run\.json: not a readable bench.*{message}"):
            load_results("run.json")

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000])
    def test_what_is_no_json_is_one_sentence(self, tmp_path, content):
        (tmp_path / "run.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"^run\.json: not a readable benchmark file"):
            load_results("run.json")

    def test_the_commit_is_that_of_the_source_tree_alone(self, tmp_path):
        assert source_commit(tmp_path) is None
        (tmp_path / ".git").mkdir()
        assert source_commit(tmp_path) is None
        commit = source_commit()
        assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)


class TestCompare:
    def test_with_the_same_rival_the_ratios_count(self):
        # The machine was half as fast, fastconv was not.
        pairs = compare(results(row()), results(row(seconds=2e-3, rival=4e-3)))
        assert pairs.changes[0].speed == pytest.approx(1)
        assert pairs.regressions(0.1) == ()

    @pytest.mark.parametrize("other", [{"rival": None}, {"changes": {"rival": "im2col"}}])
    def test_without_it_the_times_count(self, other):
        new = replace(row(seconds=4e-3, rival=other.get("rival", 2e-3)), **other.get("changes", {}))
        (change,) = compare(results(row()), results(new)).changes
        assert not change.normalised
        assert change.speed == pytest.approx(0.25)

    def test_regressions_are_beyond_the_threshold_and_the_worst_comes_first(self):
        old = results(*(row(name) for name in "abcd"))
        new = results(
            row("a", seconds=1.05e-3),
            row("b", seconds=1.3e-3),
            row("c", seconds=2e-3),
            row("e"),
            row("d", threads=1),
        )
        pairs = compare(old, new)
        assert [change.new.layer for change in pairs.regressions(0.1)] == ["c", "b"]
        assert [r.layer for r in pairs.only_old] == ["d"]
        assert [r.layer for r in pairs.only_new] == ["e", "d"]
        text = report.comparison(pairs, 0.1)
        assert "2 of 3 lost more than 10%" in text
        assert text.count("only in the") == 3
        assert "none of 3 lost more than 60%; geometric mean 0.72" in report.comparison(pairs, 0.6)

    def test_two_algorithms_compare(self):
        assert compare(results(row()), results(row(algorithm="direct"))).changes


class TestReport:
    def test_a_line_holds_what_was_measured_under_its_heading(self):
        head = report.columns(Peak("float32", 2, 200.0), 8, "torch").splitlines()[-1]
        line = report.line(row(seconds=1e-5, rival=2e-5), 200.0)
        assert line.split() == [
            "lenet5", "5x5", "1-6@28", "forward", "100.0", "50", "%", "50.0", "2.00", "1.50",
            "3.0e-07", "2.0e-07",
        ]  # fmt: skip
        assert len(line) == len(head)
        alone = report.line(row(rival=None), 200.0)
        assert len(alone) == len(report.columns(Peak("float32", 2, 1.0), 8, None).splitlines()[-1])

    def test_the_summary_is_by_table_and_direction(self):
        text = report.summary(
            results(
                row("a", rival=1e-3, shape="3x3 8-8@8"),
                row("b", rival=4e-3, shape="1x1 8-8@8"),
                row("b", "input", rival=3e-3, shape="1x1 8-8@8"),
                row("c", rival=8e-3, table="vgg16"),
            )
        )
        assert re.search(
            r"lenet5 +forward +2\.00  of  2, smallest 1\.00 \(3x3 8-8@8\); "
            r"3x3/1 and 5x5/1 1\.00, others 4\.00$",
            text,
            re.MULTILINE,
        )
        assert re.search(r"^all +forward +3\.17  of  3", text, re.MULTILINE)
        assert re.search(r"^lenet5 +input +3\.00  of  1", text, re.MULTILINE)


class TestRun:
    def test_what_cannot_be_measured_is_said(self, monkeypatch):
        right, lines = functional.conv2d_input, []

        def twice(*args, algorithm, **options):
            result = right(*args, algorithm=algorithm, **options)
            return result if algorithm == "direct" else result * np.float32(2)

        monkeypatch.setattr(functional, "conv2d_input", twice)
        monkeypatch.setattr(rivals, "MOST_FLOPS_OF_THE_REFERENCE", 1000)
        got, wrong = benchmark.run(
            tiny(), batches=(1, 2), rival="reference", seconds=1e-4, echo=lines.append
        )
        text = "\n".join(lines)
        assert {(r.layer, r.direction, r.batch) for r in got.rows} == {
            ("b", "forward", 1),
            ("b", "weight", 1),
        }
        assert len(wrong) == 1
        assert f"WRONG: {wrong[0]}" in text
        assert "left out: tiny a (3x2 2-4@5x6 g2), forward: the reference is too slow" in text
        assert [p.dtype for p in got.peaks] == ["float32"]

    def test_nothing_is_measured_twice(self):
        layers = tiny()
        got, _ = benchmark.run(
            layers, directions=("input", "input"), batches=(1, 1), seconds=1e-4, echo=lambda _: None
        )
        assert len(got.rows) == len({r.key for r in got.rows}) == 2
        with pytest.raises(ValueError, match="tiny has two that are called 'a'"):
            benchmark.run((*layers, layers[0]))


class TestCommand:
    @pytest.fixture(autouse=True)
    def main(self):
        pytest.importorskip("click")
        from fastconv.cli import main

        tiny()
        return main

    @staticmethod
    def start(main, *arguments):
        return main(["bench", "--table", "tiny.csv", "--time", "0.001", *arguments])

    def test_a_run_prints_saves_and_draws(self, main, capsys, tmp_path):
        pytest.importorskip("matplotlib")
        options = ["--rival", "im2col", "--batch", "3", "--dtype", "float64", "--threads", "1"]
        assert self.start(main, *options, "--output", "r.json", "--plot", "r.png") == 0
        out = capsys.readouterr().out
        saved = load_results("r.json")
        assert len(saved.rows) == 6
        assert {(r.batch, r.dtype, r.threads, r.rival) for r in saved.rows} == {
            (3, "float64", 1, "im2col")
        }
        assert "batch 3, float64, 1 threads, peak" in out
        assert "geometric mean of ratio" in out
        assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
        assert "saved      r.json\nsaved      r.png" in out

    def test_the_options_choose(self, main, capsys):
        chosen = ["--layer", "b", "--direction", "weight", "--direction", "input"]
        options = ["--rival", "none", "--algorithm", "direct", "--output", "r.json"]
        assert self.start(main, *chosen, *options) == 0
        rows = load_results("r.json").rows
        assert [(r.layer, r.direction, r.algorithm, r.rival) for r in rows] == [
            ("b", "weight", "direct", None),
            ("b", "input", "direct", None),
        ]
        assert "geometric mean of GFLOP/s" in capsys.readouterr().out

    def test_without_torch_im2col_is_the_rival(self, main, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        assert self.start(main, "--output", "r.json") == 0
        out = capsys.readouterr().out
        assert out.startswith("torch is not installed; the rival is im2col")
        assert {r.rival for r in load_results("r.json").rows} == {"im2col"}
        assert self.start(main, "--rival", "torch") == 2
        assert "error: torch is not installed; without it" in capsys.readouterr().err

    def test_a_wrong_result_is_exit_code_1(self, main, capsys, monkeypatch):
        right = reference.conv2d
        monkeypatch.setattr(reference, "conv2d", lambda *a, **o: right(*a, **o) + 1)
        assert self.start(main, "--rival", "none") == 1
        out = capsys.readouterr().out
        assert "2 results are wrong:" in out
        assert "weight" in out

    def test_two_files_compare(self, main, capsys):
        save_results(results(row("a"), row("b")), "old.json")
        save_results(results(row("a"), row("b", seconds=1.2e-3)), "new.json")
        compare_them = ["bench", "--compare", "old.json", "new.json"]
        assert main(compare_them) == 1
        out = capsys.readouterr().out
        assert "1 of 2 lost more than 10%" in out
        assert re.search(r"^ +0\.83  ratio  lenet5 b", out, re.MULTILINE)
        assert main([*compare_them, "--threshold", "0.2"]) == 0
        assert main(["bench", "--compare", "new.json", "old.json"]) == 0

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--table", "resnet"], "'resnet' does not exist"),
            (["--table", "lenet5", "--layer", "C2"], "no layer 'C2'; there are C1, C3"),
            (["--compare", "no.json", "no.json"], "no.json"),
            (["--compare", "tiny.csv", "tiny.csv"], "tiny.csv: not a readable benchmark file"),
            (["--compare", "a", "b", "--batch", "1"], "--batch: cannot be given with --compare"),
            (["--output", "missing/r.json"], "missing"),
            (["--plot", "missing/r.png"], "missing"),
            (["--rival", "jax"], "jax"),
            (["--time", "0"], "time"),
        ],
    )
    def test_errors_are_one_line_before_anything_runs(self, main, capsys, arguments, text):
        pytest.importorskip("matplotlib")
        assert main(["bench", *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert re.fullmatch(rf"fastconv: error: .*{text}.*\n", shown.err), shown.err

    def test_files_without_a_common_row(self, main, capsys):
        save_results(results(row("a")), "old.json")
        save_results(results(row("b")), "new.json")
        assert main(["bench", "--compare", "old.json", "new.json"]) == 2
        assert "no row in common" in capsys.readouterr().err

    def test_nothing_measured_is_an_error(self, main, capsys, monkeypatch):
        monkeypatch.setattr(rivals, "MOST_FLOPS_OF_THE_REFERENCE", 1)
        assert self.start(main, "--rival", "reference", "--output", "r.json") == 2
        assert "none of these layers could be measured" in capsys.readouterr().err
        assert not os.path.exists("r.json")
