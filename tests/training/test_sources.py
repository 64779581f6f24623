"""Images in files: mapped or streamed, never loaded, and the same as if they were."""

import gzip
import os
import subprocess
import sys
import textwrap
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv import layers
from fastconv.training import (
    SGD,
    Augmentation,
    Dataset,
    ImageSource,
    MappedImages,
    batches,
    fit,
    load,
    load_cifar10,
    load_npz,
)
from fastconv.training.sources import is_mapped
from tests._cases import PATIENCE
from tests.training.test_data import idx_bytes


def arrays(shape=(30, 3, 6, 5), kind=np.uint8):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, shape).astype(kind)
    return images, np.arange(shape[0]) % 3


def save_idx(folder, images, labels, *, packed=False):
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", images[:, 0]), ("labels-idx1", labels.astype("u1"))):
            data = idx_bytes(array)
            path = folder / f"{part}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return folder


def save_npz(path, images, labels, *, packed=False):
    save = np.savez_compressed if packed else np.savez
    save(path, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    return path


def save_cifar10(folder, count=20):
    rng = np.random.default_rng(4)
    records = []
    for name in [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]:
        array = rng.integers(0, 256, (count, 3073), np.uint8)
        array[:, 0] %= 10
        array.tofile(folder / name)
        records.append(array)
    return np.concatenate(records[:5])


def all_batches(images, labels, **options):
    settings = {"mean": 100.0, "std": 50.0, "augmentation": Augmentation(1, True, 2), **options}
    x, y = zip(*batches(images, labels, 7, **settings), strict=True)
    return np.concatenate(x), np.concatenate(y)


class TestMapped:
    @pytest.mark.parametrize("packed", [False, True])
    def test_idx_files_are_mapped(self, tmp_path, packed):
        images, labels = arrays((30, 1, 6, 5))
        data = load(save_idx(tmp_path, images, labels, packed=packed))
        assert is_mapped(data.train_images)
        assert not data.train_images.flags.writeable
        np.testing.assert_array_equal(data.train_images, images)

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, ">f4", ">f8"])
    @pytest.mark.parametrize("form", ["NHW", "NCHW", "NHWC", "Fortran"])
    def test_arrays_of_npz_files_are_mapped(self, tmp_path, form, kind, packed):
        images, labels = arrays((30, 1 if form == "NHW" else 3, 6, 5), kind)
        saved = {
            "NHW": images[:, 0],
            "NCHW": images,
            "NHWC": np.ascontiguousarray(images.transpose(0, 2, 3, 1)),
            "Fortran": np.asfortranarray(images),
        }[form]
        data = load_npz(save_npz(tmp_path / "data.npz", saved, labels, packed=packed))
        found = data.train_images
        plain = form in ("NHW", "NCHW") and np.dtype(kind).isnative
        assert is_mapped(found) if plain else isinstance(found, MappedImages)
        assert found.shape == images.shape
        assert found.dtype == np.dtype(kind).newbyteorder("=")
        np.testing.assert_array_equal(np.asarray(found), images)
        one, other = all_batches(found, labels), all_batches(images, labels)
        assert one[0].tobytes() == other[0].tobytes()
        assert (data.mean, data.std) == pytest.approx((images.mean(), images.std()), rel=1e-6)

    def test_cifar10_is_mapped_file_by_file(self, tmp_path):
        records = save_cifar10(tmp_path)
        data = load_cifar10(tmp_path)
        images = records[:, 1:].reshape(-1, 3, 32, 32)
        assert isinstance(data.train_images, MappedImages)
        assert is_mapped(data.test_images) or isinstance(data.test_images, MappedImages)
        np.testing.assert_array_equal(data.train_images, images)
        np.testing.assert_array_equal(data.train_labels, records[:, 0])
        loaded = Dataset("loaded", images, records[:, 0], images[:4], records[:4, 0])
        assert (data.mean, data.std) == (loaded.mean, loaded.std)
        assert data.channel_means == loaded.channel_means

    def test_a_temporary_file_has_no_name_and_goes_with_the_array(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        (tmp_path / "data").mkdir()
        images, labels = arrays((30, 1, 6, 5))
        data = load(save_idx(tmp_path / "data", images, labels, packed=True))
        assert os.listdir(tmp_path) == ["data"]
        np.testing.assert_array_equal(data.train_images, images)

    def test_a_flipped_bit_of_a_mapped_npz_file_is_noticed(self, tmp_path):
        images, labels = arrays()
        path = save_npz(tmp_path / "data.npz", images, labels)
        whole = bytearray(path.read_bytes())
        whole[whole.index(images[3].tobytes()) + 5] ^= 4
        path.write_bytes(whole)
        with pytest.raises(ValueError, match=r"data\.npz: .*entry 'x_train': .*CRC"):
            load_npz(path)

    def test_false_sizes_take_no_memory(self, tmp_path):
        images, labels = arrays((30, 1, 6, 5))
        save_idx(tmp_path, images, labels)
        huge = b"\0\0\x08\x03" + b"\xff\xff\xff\xff" * 3 + b"data"
        for suffix, data in (("", huge), (".gz", gzip.compress(huge, mtime=0))):
            path = tmp_path / f"train-images-idx3-ubyte{suffix}"
            (tmp_path / "train-images-idx3-ubyte").unlink(missing_ok=True)
            path.write_bytes(data)
            tracemalloc.start()
            try:
                with pytest.raises(ValueError, match="only 4 bytes of data, expected 7922816245"):
                    load(tmp_path)
                assert tracemalloc.get_traced_memory()[1] < 10e6
            finally:
                tracemalloc.stop()

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("change", [-1, 1])
    def test_files_of_another_length_are_refused(self, tmp_path, change, packed):
        images, labels = arrays((30, 1, 6, 5))
        save_idx(tmp_path, images, labels, packed=packed)
        path = next(tmp_path.glob("train-images*"))
        data = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        data = data[:-1] if change < 0 else data + b"\0"
        path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
        text = f"{path.name}: .*{'only 899' if change < 0 else 'more'} bytes of data, expected 900"
        with pytest.raises(ValueError, match=text):
            load(tmp_path)


class TestSource:
    def test_it_reads_like_an_array(self):
        images, _ = arrays()
        source = MappedImages([images[:4], images[4:5], images[5:]])
        assert (len(source), source.ndim, source.size) == (30, 4, images.size)
        for key in (0, -1, slice(3, 7), slice(None, None, -5), [4, 4, -1], np.array([2, 29]),
                    (3, 1), (slice(2, 5), 0, 1), images[:, 0, 0, 0] > 100):  # fmt: skip
            np.testing.assert_array_equal(source[key], images[key])
        for wrong in (30, -31, [0, 30]):
            with pytest.raises(IndexError):
                source[wrong]
        np.testing.assert_array_equal(np.asarray(source, np.float32), images.astype(np.float32))
        with pytest.raises(ValueError, match="is a copy"):
            np.asarray(source, copy=False)

    def test_a_user_may_write_one(self):
        images, labels = arrays((30, 1, 8, 8))

        class Made(ImageSource):
            shape, dtype = images.shape, images.dtype

            def take(self, numbers):
                return images[numbers], None

        data = Dataset("made", Made(), labels, Made(), labels)
        results = []
        for given in (data, Dataset("array", images, labels, images, labels)):
            model = layers.Sequential(layers.Flatten(), layers.Linear(64, 3, rng=0))
            sgd = SGD(model.parameters(), 0.1)
            history = fit(model, layers.CrossEntropyLoss(), sgd, given, epochs=2, batch_size=8)
            results.append([record.train_loss for record in history])
        assert results[0] == results[1]

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"shape": (30, 6, 5)}, ValueError, r"got shape \(30, 6, 5\)"),
            ({"shape": (0, 1, 6, 5)}, ValueError, "none of them 0"),
            ({"dtype": np.dtype(np.int32)}, TypeError, "got ImageSource"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change, error, text):
        made = ImageSource()
        vars(made).update({"shape": (30, 1, 6, 5), "dtype": np.dtype(np.uint8), **change})
        labels = np.zeros(made.shape[0], int)
        with pytest.raises(error, match=text):
            Dataset("made", made, labels, made, labels)

    def test_arrays_that_do_not_belong_together_are_refused(self):
        images, _ = arrays()
        for parts in (
            [],
            [images, images[:, :2]],
            [images, images.astype(np.float32)],
            [images[0]],
        ):
            with pytest.raises(ValueError, match="arrays: of shapes"):
                MappedImages(parts)

    def test_a_nan_in_a_mapped_file_is_found(self, tmp_path):
        images, labels = arrays(kind=np.float32)
        images[17, 0, 0, 0] = np.nan
        save_npz(tmp_path / "data.npz", images, labels)
        with pytest.raises(ValueError, match=r"data\.npz: train_images: holds NaN or infinity"):
            load(tmp_path / "data.npz")

    def test_moments_of_channels(self):
        images, labels = arrays()
        for kind in (np.uint8, np.float32, np.float64):
            for given in (images.astype(kind), MappedImages([images.astype(kind)])):
                data = Dataset("data", given, labels, given, labels)
                means, stds = images.mean((0, 2, 3)), images.std((0, 2, 3))
                np.testing.assert_allclose(data.channel_means, means, rtol=1e-13)
                np.testing.assert_allclose(data.channel_stds, stds, rtol=1e-13)
                assert data.mean == pytest.approx(images.mean(), rel=1e-13)
                assert data.std == pytest.approx(images.std(), rel=1e-13)


class TestAhead:
    def test_threads_are_only_so_far_ahead_and_end(self):
        images, labels = arrays((200, 1, 2, 2))
        taken = []

        class Watched(MappedImages):
            def take(self, numbers):
                taken.append(numbers[0])
                return super().take(numbers)

        made = batches(Watched([images]), labels, 10, workers=3)
        threads_before = threads()
        for number in range(8):
            _, y = next(made)
            assert y[0] == labels[10 * number]
            # Two batches for each thread, beside those that were given out.
            assert len(taken) <= number + 1 + 6
        assert len(threads() - threads_before) == 3
        made.close()
        assert threads() == threads_before
        assert sorted(taken) == sorted(set(taken))

    @pytest.mark.parametrize("workers", [1, 3])
    def test_an_error_comes_in_the_place_of_its_batch(self, workers):
        images, labels = arrays()

        class Failing(MappedImages):
            def take(self, numbers):
                if 17 in numbers:
                    raise OSError("no more")
                return super().take(numbers)

        before = threads()
        made = batches(Failing([images]), labels, 5, workers=workers)
        assert [len(next(made)[1]) for _ in range(3)] == [5, 5, 5]
        with pytest.raises(OSError, match="no more"):
            next(made)
        assert threads() == before

    def test_no_images_and_more_threads_than_batches(self):
        images, labels = arrays()
        assert len(list(batches(images, labels, 100, workers=8))) == 1
        assert list(batches(images, labels, 10, workers=8, start=3)) == []
        assert list(batches(images[:0], labels[:0], 10, workers=2)) == []


def threads():
    import threading

    return set(threading.enumerate())


STEPS = textwrap.dedent(
    """
    import sys
    import numpy as np
    import fastconv
    from fastconv import layers, training

    def anonymous():
        with open("/proc/self/status") as status:
            values = dict(line.split(":") for line in status)
        return int(values["RssAnon"].split()[0]) << 10

    fastconv.set_num_threads(2)
    data = training.load(sys.argv[1])
    shape = data.train_images.shape[1:]
    model = layers.Sequential(
        layers.Conv2d(shape[0], 4, 3, stride=2, rng=0), layers.ReLU(), layers.Flatten(),
        layers.Linear(4 * ((shape[1] - 1) // 2) * ((shape[2] - 1) // 2), 10, rng=1),
    )
    steps, marks = [0], {}

    def count():
        steps[0] += 1
        if steps[0] % 1000 == 0:
            marks[steps[0]] = anonymous()
        return steps[0] == 4000

    training.fit(
        model, layers.CrossEntropyLoss(), training.SGD(model.parameters(), 0.01), data,
        epochs=100000, batch_size=32, workers=2, should_stop=count,
        augmentation=training.Augmentation(crop=2, flip=True, cutout=4),
    )
    print(*marks.values())
    """
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("form", ["idx", "idx.gz", "cifar", "npz", "folder"])
def test_memory_is_flat_over_a_thousand_steps(tmp_path, form):
    """Buffers come one by one, as threads meet; what was never given back would grow always."""
    images, labels = arrays((20_000, 1, 28, 28))
    source = tmp_path
    if form.startswith("idx"):
        save_idx(tmp_path, images, labels, packed=form == "idx.gz")
    elif form == "cifar":
        save_cifar10(tmp_path, 1500)
    elif form == "npz":
        source = save_npz(tmp_path / "data.npz", images, labels)
    else:
        image = pytest.importorskip("PIL.Image")
        for name in "ab":
            (tmp_path / name).mkdir()
            for number in range(100):
                image.fromarray(images[number, 0]).save(tmp_path / name / f"{number}.png")
    root = str(Path(fastconv.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(source)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    marks = list(map(int, done.stdout.split()))
    assert min(after - before for before, after in pairwise(marks)) < 1 << 20
