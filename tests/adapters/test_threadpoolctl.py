"""threadpoolctl shows and limits fastconv's threads."""

import pytest

import fastconv
from fastconv.adapters.threadpoolctl import register

threadpoolctl = pytest.importorskip("threadpoolctl")


def own_rows():
    return [row for row in threadpoolctl.threadpool_info() if row["user_api"] == "fastconv"]


def test_it_is_listed_once_and_limited():
    register()
    register()
    fastconv.set_num_threads(5)
    (row,) = own_rows()
    assert row["num_threads"] == 5
    assert row["version"] == fastconv.__version__
    with threadpoolctl.threadpool_limits(2):
        assert fastconv.get_num_threads() == 2
        with threadpoolctl.threadpool_limits(1, user_api="fastconv"):
            assert fastconv.get_num_threads() == 1
        assert fastconv.get_num_threads() == 2
    assert fastconv.get_num_threads() == 5
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert fastconv.get_num_threads() == 5


def test_without_threadpoolctl_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("fastconv.adapters.threadpoolctl.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install threadpoolctl"):
        register()


def test_an_old_one_is_refused(monkeypatch):
    monkeypatch.delattr(threadpoolctl, "register")
    with pytest.raises(ImportError, match=r"needs 3\.2"):
        register()
