"""Every instruction set that this CPU runs computes the whole table of convolutions."""

from pathlib import Path

import pytest

import fastconv
from tests import _cases
from tests._cases import CONVS, ISA, ISAS, isa_or_skip, run_python, save_expected

CHECK = """
    import importlib.util, sys
    import fastconv

    spec = importlib.util.spec_from_file_location("cases", sys.argv[1])
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    print(fastconv.isa(), cases.check_expected(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = tmp_path_factory.mktemp("expected") / "convolutions.npz"
    save_expected(path)
    return path


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("isa", ISAS)
def test_fast_equals_reference_exactly_on_integers(isa, threads, expected):
    assert isa_or_skip(isa) == isa
    environment = {"FASTCONV_ISA": isa, "FASTCONV_NUM_THREADS": threads}
    printed = run_python(CHECK, Path(_cases.__file__), expected, **environment)
    assert printed == f"{isa} {len(CONVS)}"


def test_the_default_is_the_best_that_runs():
    names = [run_python(ISA, FASTCONV_ISA=isa) for isa in ISAS]
    best = next(name for name in names if name in ISAS)
    assert run_python(ISA) == best
    assert run_python(ISA, FASTCONV_ISA="") == best
    assert fastconv.isa() in names


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2 ", "0"])
def test_an_unknown_name_is_refused_with_those_that_run(name):
    message = run_python(ISA, FASTCONV_ISA=name)
    assert message.startswith(f"ValueError: FASTCONV_ISA={name}: there is no such instruction set;")
    assert "this CPU runs " in message
    assert "'portable'" in message
