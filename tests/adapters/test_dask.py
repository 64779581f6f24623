"""dask-image's filters by fastconv: the same results, block by block, with one thread each."""

import pickle

import numpy as np
import pytest

pytest.importorskip("dask.array", reason="dask is not installed")
pytest.importorskip("dask_image.ndfilters", reason="dask-image is not installed")

import dask.array
from dask_image import ndfilters

import fastconv
from fastconv import ndimage
from fastconv.adapters import dask as adapter
from tests._memory import needs_status
from tests.ndimage.test_blocks import MEGABYTE, in_a_process, measured  # noqa: F401

IMAGE = np.random.default_rng(0).standard_normal((300, 400))


@pytest.fixture(autouse=True)
def _disabled():
    yield
    adapter.disable()


FILTERS = {
    "convolve": (np.arange(15.0).reshape(3, 5),),
    "correlate": (np.arange(15.0).reshape(3, 5),),
    "gaussian_filter": (2.5,),
    "gaussian_laplace": (1.5,),
    "gaussian_gradient_magnitude": (1.5,),
    "laplace": (),
    "prewitt": (0,),
    "sobel": (1,),
    "uniform_filter": (5,),
}


@pytest.mark.parametrize("name", FILTERS)
def test_blocks_are_filtered_by_fastconv(name):
    image = dask.array.from_array(IMAGE, chunks=(100, 150))
    arguments = FILTERS[name]
    expected = getattr(ndfilters, name)(image, *arguments).compute()
    with adapter.enabled():
        found = getattr(ndfilters, name)(image, *arguments)
        np.testing.assert_array_equal(found.compute(), expected)
        assert adapter.stats().served >= 9
        assert adapter.stats().passed_on == 0
    # The whole at once differs by the borders of the running sums alone.
    whole = getattr(ndimage, name)(IMAGE, *arguments)
    np.testing.assert_allclose(expected, whole, rtol=0, atol=1e-11)


def by_dask(image, result):
    lazy = dask.array.from_array(image, chunks=1000, asarray=False)
    kernel = np.ones((9, 9))
    with dask.config.set(scheduler="threads", num_workers=2), adapter.enabled():
        filtered = ndfilters.correlate(lazy, kernel, mode="wrap")
        dask.array.store(filtered, result, lock=True)
        assert adapter.stats().served >= 36


@needs_status
def test_an_image_that_is_larger_than_the_memory_allowed():
    *dasks, grown = in_a_process("adapters.test_dask", "measured(by_dask)")
    *blocks, _ = in_a_process("ndimage.test_blocks", "measured(by_blocks)")
    assert dasks == blocks
    # Three rows of six blocks of 4 MB wait for their neighbours, and parts are made in integers of
    # 8 bytes; the image and its result are 288.
    assert grown < 220 * MEGABYTE


def test_a_filter_computes_with_one_thread_and_travels_by_name(monkeypatch):
    seen = []
    monkeypatch.setattr(
        ndimage, "sobel", lambda image: seen.append(fastconv.get_num_threads()) or image
    )
    fastconv.set_num_threads(4)
    copy = pickle.loads(pickle.dumps(adapter._Filter("sobel")))
    copy(IMAGE)
    assert seen == [1]


def test_what_is_not_served_goes_to_scipy():
    with adapter.enabled(["sobel"]), pytest.raises(RuntimeError, match="not supported"):
        adapter._Filter("sobel")(IMAGE.astype(np.float16))
    assert {row.reason for row in adapter.stats().rows} == {"dtype float16"}


def test_some_filters_alone():
    with adapter.enabled(["sobel"]):
        image = dask.array.from_array(IMAGE, chunks=200)
        ndfilters.sobel(image).compute()
        ndfilters.laplace(image).compute()
        assert {row.operation for row in adapter.stats().rows} == {"ndimage.sobel"}
    with pytest.raises(ValueError, match="ops may hold"):
        adapter.enable(["median_filter"])
