"""Data sets: the embedded digits, the file formats, normalisation and batches."""

import gzip
import hashlib
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import fastconv.training
from fastconv.training import (
    Dataset,
    batches,
    epoch_order,
    load,
    load_cifar10,
    load_digits,
    load_idx,
    load_npz,
    read_idx,
)

DIGITS = Path(fastconv.training.__file__).parent / "digits"


def idx_bytes(array):
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    head = bytes([0, 0, codes[array.dtype.str[1:]], array.ndim])
    head += struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small(name="small", count=6, dtype=np.uint8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 1, 4, 4)).astype(dtype)
    labels = np.arange(count) % 3
    return Dataset(name, images, labels, images[:2], labels[:2])


class TestDigits:
    def test_checksums_are_those_written_beside_it(self):
        readme = (DIGITS / "README.md").read_text()
        sums = {
            name: checksum for checksum, name in re.findall(r"([0-9a-f]{64})  ([\w.]+)", readme)
        }
        with np.load(DIGITS / "digits.npz", allow_pickle=False) as file:
            arrays = {"images": file["images"].tobytes(), "labels": file["labels"].tobytes()}
        arrays["digits.npz"] = (DIGITS / "digits.npz").read_bytes()
        assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in arrays.items()}

    def test_source_and_licence_are_named(self):
        for name in ("README.md", "LICENSE.txt"):
            text = (DIGITS / name).read_text()
            assert "10.24432/C50P49" in text
            assert "Creative Commons Attribution 4.0" in text

    def test_counts_per_class(self):
        digits = load_digits()
        counts = np.bincount(digits.train_labels) + np.bincount(digits.test_labels)
        assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]

    def test_every_fifth_image_of_each_digit_is_a_test_image(self):
        digits = load_digits()
        with np.load(DIGITS / "digits.npz", allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
        for digit in range(10):
            of_digit = [
                image for image, label in zip(images, labels, strict=True) if label == digit
            ]
            test = of_digit[4::5]
            train = [image for at, image in enumerate(of_digit) if at % 5 != 4]
            np.testing.assert_array_equal(digits.test_images[digits.test_labels == digit, 0], test)
            np.testing.assert_array_equal(
                digits.train_images[digits.train_labels == digit, 0], train
            )

    def test_values(self):
        digits = load("digits")
        assert digits.train_images.dtype == np.uint8
        assert (digits.train_images.min(), digits.train_images.max()) == (0, 16)
        assert digits.train_images.shape == (1442, 1, 8, 8)


class TestDataset:
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
    def test_mean_and_std_are_those_of_the_training_images(self, dtype):
        data = small(dtype=dtype)
        assert data.mean == pytest.approx(data.train_images.mean(dtype=np.float64), rel=1e-14)
        assert data.std == pytest.approx(data.train_images.std(dtype=np.float64), rel=1e-13)

    def test_constant_images_have_std_one(self):
        images = np.full((2, 1, 3, 3), 7, np.uint8)
        data = Dataset("flat", images, np.array([0, 1]), images, np.array([0, 1]))
        assert (data.mean, data.std) == (7, 1)

    def test_labels_become_int64_and_classes_are_counted(self):
        data = small()
        assert data.train_labels.dtype == np.int64
        assert data.class_names == ("0", "1", "2")

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"train_images": np.zeros((6, 4, 4), np.uint8)}, ValueError, r"\(N, C, H, W\)"),
            ({"train_images": np.zeros((6, 1, 4, 4), np.int32)}, TypeError, "got int32"),
            ({"train_images": [[1]]}, TypeError, "got list"),
            ({"train_images": np.full((6, 1, 4, 4), np.nan)}, ValueError, "NaN"),
            ({"test_images": np.zeros((2, 1, 4, 5), np.uint8)}, ValueError, r"\(1, 4, 5\)"),
            ({"test_images": np.zeros((0, 1, 4, 4), np.uint8)}, ValueError, "none of them 0"),
            ({"train_labels": np.zeros(5, int)}, ValueError, r"\(5,\), expected \(6,\)"),
            ({"train_labels": np.zeros(6)}, TypeError, "got float64"),
            ({"train_labels": np.arange(6) - 1}, ValueError, "the smallest is -1"),
            # They became a name for each class up to 2**40, and class -2**63.
            ({"train_labels": np.arange(6) << 38}, ValueError, "the largest is 1374389534720"),
            ({"train_labels": np.uint64(2**63) + np.arange(6, dtype="u8")}, ValueError, "largest"),
            ({"class_names": ("a", "b")}, ValueError, "the largest is 2"),
            ({"class_names": "abc"}, TypeError, "class_names: got 'abc'"),
            ({"class_names": ("a", "b", 3)}, TypeError, r"class_names: got \('a', 'b', 3\)"),
            ({"train_images": np.ma.zeros((6, 1, 4, 4), np.uint8)}, TypeError, "got MaskedArray"),
            ({"train_labels": np.ma.arange(6) % 3}, TypeError, "got MaskedArray"),
            ({"train_labels": np.arange(6)[:, None]}, ValueError, r"\(6, 1\), expected \(6,\)"),
            ({"test_labels": np.array([0, 2**20])}, ValueError, "expected less than 1048576"),
            ({"test_labels": np.array([0, 2**64 - 1], "u8")}, ValueError, f"is {2**64 - 1}, exp"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, change, error, text):
        good = small()
        arguments = {**vars(small()), **change}
        names = ("train_images", "train_labels", "test_images", "test_labels")
        with pytest.raises(error, match=text):
            Dataset(good.name, *(arguments[name] for name in names), change.get("class_names", ()))


class TestBatches:
    def test_the_order_is_a_pure_function_of_seed_and_epoch(self):
        orders = {(s, e): epoch_order(50, s, e).tolist() for s in range(3) for e in range(3)}
        assert len({tuple(order) for order in orders.values()}) == 9
        for (seed, epoch), order in orders.items():
            assert sorted(order) == list(range(50))
            assert order == epoch_order(50, seed, epoch).tolist()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_batches_are_gathered_converted_and_scaled(self, dtype):
        data = small(count=7)
        order = epoch_order(7, 0, 0)
        found = list(
            batches(data.train_images, data.train_labels, 3, dtype=dtype, mean=data.mean,
                    std=data.std, order=order)
        )  # fmt: skip
        assert [len(y) for _, y in found] == [3, 3, 1]
        x = np.concatenate([x for x, _ in found])
        assert x.dtype == dtype
        wanted = (data.train_images[order].astype(np.float64) - data.mean) / data.std
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(
            np.concatenate([y for _, y in found]), data.train_labels[order]
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int16, ">f4"])
    def test_every_kind_and_layout_of_images_gives_the_bits_of_the_formula(self, kind, dtype):
        whole = np.random.default_rng(0).integers(0, 256, (9, 2, 5, 7)).astype(kind)
        order = np.array([3, 0, -1, 3])
        for images in (whole, whole[:, :, ::-1, ::2]):
            wanted = images[order].astype(dtype)
            wanted -= dtype(72.9)
            wanted *= dtype(1 / 0.3)
            for numbers in (order, order % 9):
                ((x, y),) = batches(
                    images, np.arange(9), 9, dtype=dtype, mean=72.9, std=0.3, order=numbers
                )
                assert x.dtype == dtype
                assert x.tobytes() == wanted.tobytes()
                np.testing.assert_array_equal(y, [3, 0, 8, 3])
        with pytest.raises(IndexError, match="out of bounds"):
            next(batches(whole, np.arange(9), 9, order=np.array([9])))

    def test_the_scaled_training_images_have_mean_0_and_variance_1(self):
        data = load_digits()
        x = np.concatenate(
            [x for x, _ in batches(data.train_images, data.train_labels, 100, dtype=np.float64,
                                   mean=data.mean, std=data.std)]
        )  # fmt: skip
        assert x.mean() == pytest.approx(0, abs=1e-12)
        assert x.var() == pytest.approx(1, rel=1e-12)

    def test_skipped_batches_leave_the_others_as_they_are(self):
        data = small(count=7)
        order = epoch_order(7, 0, 0)
        whole = list(batches(data.train_images, data.train_labels, 2, order=order))
        rest = list(batches(data.train_images, data.train_labels, 2, order=order, start=3))
        assert len(rest) == 1
        np.testing.assert_array_equal(rest[0][0], whole[3][0])
        assert list(batches(data.train_images, data.train_labels, 2, order=order, start=4)) == []

    def test_images_of_the_data_set_are_never_changed(self):
        data = small(dtype=np.float32)
        before = data.train_images.copy()
        for x, _ in batches(data.train_images, data.train_labels, 2, mean=3.0, std=2.0):
            x[...] = -1
        np.testing.assert_array_equal(data.train_images, before)

    IMAGES = np.zeros((10, 1, 4, 4), "u1")

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"images": np.zeros((9, 1, 4, 4), "u1")}, ValueError, r"\(10,\), expected \(9,\)"),
            ({"images": np.zeros((11, 1, 4, 4), "u1")}, ValueError, r"\(10,\), expected \(11,\)"),
            ({"images": np.zeros((10, 4, 4))}, ValueError, r"images: got shape \(10, 4, 4\), exp"),
            ({"images": np.zeros((10, 1, 4, 4), complex)}, TypeError, "images: got complex128"),
            ({"images": np.zeros((10, 1, 4, 4), object)}, TypeError, "images: got object"),
            ({"images": np.ma.zeros((10, 1, 4, 4))}, TypeError, "images: got MaskedArray"),
            ({"images": [[[[0]]]] * 10}, TypeError, "images: got list"),
            ({"labels": list(range(10))}, TypeError, "labels: got list, expected an array of int"),
            ({"labels": np.arange(10.0)}, TypeError, "labels: got float64"),
            ({"labels": np.zeros(10, bool)}, TypeError, "labels: got bool"),
            ({"labels": np.ma.arange(10)}, TypeError, "labels: got MaskedArray"),
            ({"labels": np.zeros((10, 1), int)}, ValueError, r"labels: got shape \(10, 1\)"),
            ({"labels": np.array(3)}, ValueError, r"labels: got shape \(\), expected \(10,\)"),
            ({"labels": np.arange(10) - 1}, ValueError, "labels: the smallest is -1"),
            ({"labels": np.arange(10) + 2**20}, ValueError, "labels: the largest is 1048585"),
            ({"batch_size": 0}, ValueError, "batch_size: got 0, expected an integer >= 1"),
            ({"batch_size": 2.0}, ValueError, "batch_size: got 2.0"),
            ({"batch_size": True}, ValueError, "batch_size: got True"),
            ({"start": -1}, ValueError, "start: got -1, expected an integer >= 0"),
            ({"start": None}, ValueError, "start: got None"),
            ({"dtype": np.int64}, TypeError, "dtype: got int64"),
            ({"dtype": "no"}, TypeError, "no"),
            ({"mean": np.nan}, ValueError, "mean: got nan"),
            ({"mean": "0"}, TypeError, "mean must be a number, got str"),
            ({"mean": np.zeros(3)}, ValueError, "mean: got 3 numbers, expected one for all, or"),
            ({"mean": [None]}, TypeError, r"mean\[0\] must be a number, got NoneType"),
            ({"std": [0.0]}, ValueError, "std: got 0.0, expected a finite number above 0"),
            ({"std": 0}, ValueError, "std: got 0.0, expected a finite number above 0"),
            ({"std": -1.0}, ValueError, "std: got -1.0"),
            ({"std": np.inf}, ValueError, "std: got inf"),
            ({"std": np.nan}, ValueError, "std: got nan"),
            ({"std": 1e-310}, ValueError, "std: got 1e-310"),
            ({"order": [0, 1]}, TypeError, "order: got list, expected an array of integers"),
            ({"order": np.arange(10.0)}, TypeError, "order: got float64"),
            ({"order": np.ones(10, bool)}, TypeError, "order: got bool"),
            ({"order": np.zeros((2, 5), int)}, ValueError, r"order: got shape \(2, 5\)"),
            ({"order": np.arange(11)}, IndexError, "order: index 10 is out of bounds for 10 "),
            ({"order": np.arange(10) - 11}, IndexError, "order: index -11 is out of bounds"),
            ({"order": np.array([0, 2**64 - 1], "u8")}, IndexError, f"index {2**64 - 1} is out"),
        ],
    )
    def test_what_does_not_fit_is_refused_when_it_is_given(self, change, error, text):
        # It was once found in the batch that met it, if at all; a negative start ended the process.
        with pytest.raises(error, match=text):
            batches(**{"images": self.IMAGES, "labels": np.arange(10), "batch_size": 4, **change})

    def test_no_images_are_no_batches(self):
        nothing = np.zeros((0, 1, 4, 4)), np.zeros(0, int)
        assert list(batches(*nothing, 4)) == []
        assert list(batches(self.IMAGES, np.arange(10), 4, order=np.zeros(0, int))) == []

    def test_counts_may_be_numpy_integers_and_labels_keep_their_dtype(self):
        labels = np.arange(10, dtype=np.uint8)
        found = list(batches(self.IMAGES, labels, np.int64(4), start=np.uint8(1)))
        assert [y.tolist() for _, y in found] == [[4, 5, 6, 7], [8, 9]]
        assert found[0][1].dtype == np.uint8

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ((-1, 0, 0), "count: got -1, expected an integer >= 0"),
            ((np.arange(3), 0, 0), "count: got array"),
            ((3, -1, 0), "seed: got -1"),
            ((3, 0, 1.5), "epoch: got 1.5"),
        ],
    )
    def test_an_order_of_nothing_known_is_refused(self, arguments, text):
        with pytest.raises(ValueError, match=text):
            epoch_order(*arguments)


class TestIdx:
    @pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_every_type_reads_back_in_native_order(self, tmp_path, dtype, packed):
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        data = idx_bytes(array)
        path = tmp_path / "file"
        path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
        read = read_idx(path)
        assert read.dtype == np.dtype(dtype)
        assert read.dtype.isnative
        np.testing.assert_array_equal(read, array)

    GOOD = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"", "starts with nothing"),
            (b"\0\0\x08", "starts with 00 00 08"),
            (b"\0\1" + GOOD[2:], "IDX magic number"),
            (b"\0\0\x0a" + GOOD[3:], "type code among 08, 09"),
            (b"\0\0\x08\0", "number of axes"),
            (GOOD[:9], "ends within the header"),
            (GOOD[:-1], r"only 11 bytes of data, expected 12 = shape \(3, 4\) x 1"),
            (GOOD + b"\0", "more bytes of data, expected 12"),
            (b"not an image file", "IDX magic number"),
            (gzip.compress(GOOD, mtime=0)[:-9], "damaged gzip file"),
            (gzip.compress(GOOD, mtime=0)[:-8] + b"\0" * 8, "damaged gzip file"),
            (b"\x1f\x8bnonsense", "damaged gzip file"),
        ],
    )
    def test_damaged_files_are_named(self, tmp_path, data, text):
        path = tmp_path / "broken-idx"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"broken-idx: .*{text}|broken-idx: {text}"):
            read_idx(path)

    def test_a_false_size_allocates_nothing(self, tmp_path):
        path = tmp_path / "huge"
        path.write_bytes(b"\0\0\x0e\x04" + b"\xff" * 16 + b"data")
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="only 4 bytes"):
                read_idx(path)
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()

    def write(self, folder, *, suffix="", dotted=False):
        data = small(count=9)
        parts = {
            "train-images-idx3-ubyte": data.train_images[:, 0],
            "train-labels-idx1-ubyte": data.train_labels.astype(np.uint8),
            "t10k-images-idx3-ubyte": data.test_images[:, 0],
            "t10k-labels-idx1-ubyte": data.test_labels.astype(np.uint8),
        }
        for name, array in parts.items():
            content = idx_bytes(array)
            path = folder / ((name.replace("-idx", ".idx") if dotted else name) + suffix)
            path.write_bytes(gzip.compress(content, mtime=0) if suffix else content)
        return data

    @pytest.mark.parametrize("form", [{}, {"suffix": ".gz"}, {"dotted": True}], ids=str)
    def test_four_files_make_a_data_set(self, tmp_path, form):
        wanted = self.write(tmp_path, **form)
        for data in (load_idx(tmp_path), load(tmp_path), load(str(tmp_path))):
            assert data.name == tmp_path.name
            np.testing.assert_array_equal(data.train_images, wanted.train_images)
            np.testing.assert_array_equal(data.test_labels, wanted.test_labels)

    def test_a_missing_file_is_named(self, tmp_path):
        self.write(tmp_path)
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(ValueError, match="lacks t10k-labels-idx1-ubyte"):
            load(tmp_path)

    def test_files_that_do_not_belong_together(self, tmp_path):
        self.write(tmp_path)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
        with pytest.raises(ValueError, match=r"train_labels: got shape \(3,\), expected \(9,\)"):
            load(tmp_path)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros((9, 1), np.uint8)))
        with pytest.raises(ValueError, match="expected uint8 with 1 axes"):
            load(tmp_path)


class TestCifar10:
    def write(self, folder, records=3):
        rng = np.random.default_rng(1)
        folder.mkdir(exist_ok=True)
        names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
        arrays = {}
        for name in names:
            array = rng.integers(0, 256, (records, 3073), np.uint8)
            array[:, 0] %= 10
            array.tofile(folder / name)
            arrays[name] = array
        return arrays

    def test_records_become_images(self, tmp_path):
        arrays = self.write(tmp_path / "cifar-10-batches-bin")
        for data in (load_cifar10(tmp_path / "cifar-10-batches-bin"), load(tmp_path)):
            assert data.name == "cifar10"
            assert data.train_images.shape == (15, 3, 32, 32)
            assert data.class_names[3] == "cat"
            second = arrays["data_batch_2.bin"][1]
            assert data.train_labels[4] == second[0]
            np.testing.assert_array_equal(data.train_images[4], second[1:].reshape(3, 32, 32))
            np.testing.assert_array_equal(data.test_labels, arrays["test_batch.bin"][:, 0])

    def test_damage_is_named(self, tmp_path):
        arrays = self.write(tmp_path)
        (tmp_path / "data_batch_3.bin").write_bytes(b"\0" * 5000)
        with pytest.raises(ValueError, match=r"data_batch_3\.bin: 5000 bytes.*3073"):
            load(tmp_path)
        bad = arrays["data_batch_3.bin"]
        bad[0, 0] = 11
        bad.tofile(tmp_path / "data_batch_3.bin")
        with pytest.raises(ValueError, match="a label is 11"):
            load(tmp_path)
        (tmp_path / "data_batch_3.bin").unlink()
        with pytest.raises(ValueError, match=r"lacks data_batch_3\.bin"):
            load(tmp_path)


class TestNpz:
    def arrays(self, shape):
        images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        labels = np.arange(shape[0]) % 2
        return {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}

    @pytest.mark.parametrize(
        ("shape", "wanted"),
        [((2, 5, 6), (2, 1, 5, 6)), ((2, 5, 6, 3), (2, 3, 5, 6)), ((2, 3, 5, 6), (2, 3, 5, 6))],
    )
    def test_axes_are_recognised(self, tmp_path, shape, wanted):
        arrays = self.arrays(shape)
        np.savez(tmp_path / "data.npz", **arrays)
        data = load(tmp_path / "data.npz")
        assert data.name == "data"
        assert data.train_images.shape == wanted
        pixel = arrays["x_train"][1, 4, 5] if len(shape) == 3 or shape[3] == 3 else None
        if pixel is not None:
            np.testing.assert_array_equal(data.train_images[1, :, 4, 5], np.atleast_1d(pixel))

    def test_labels_may_be_a_column(self, tmp_path):
        arrays = self.arrays((4, 5, 6))
        arrays["y_train"] = arrays["y_train"][:, np.newaxis]
        np.savez(tmp_path / "data.npz", **arrays)
        assert load_npz(tmp_path / "data.npz").train_labels.shape == (4,)

    def test_damage_is_named(self, tmp_path):
        path = tmp_path / "data.npz"
        path.write_bytes(b"no archive")
        with pytest.raises(ValueError, match=r"data\.npz: not a readable"):
            load(path)
        np.savez(path, x_train=np.zeros(3))
        with pytest.raises(ValueError, match="lacks y_train, x_test, y_test"):
            load(path)
        np.savez(path, **self.arrays((3, 3, 5, 3)))
        with pytest.raises(ValueError, match=r"x_train has shape \(3, 3, 5, 3\)"):
            load(path)
        np.savez(path, **{**self.arrays((3, 5, 5)), "y_test": np.array([0, 1, None], object)})
        with pytest.raises(ValueError, match="not a readable"):
            load(path)
        data = path.read_bytes()
        np.savez(path, **self.arrays((3, 5, 5)))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(data) // 2])
        with pytest.raises(ValueError, match="not a readable"):
            load(path)


@pytest.mark.parametrize(
    "kind", ["does not exist", "is a directory without", "is a file of another kind"]
)
def test_a_source_of_no_known_kind_lists_the_known_ones(tmp_path, kind):
    path = tmp_path / "source"
    if "directory" in kind:
        path.mkdir()
    elif "file" in kind:
        path.write_text("x")
    with pytest.raises(ValueError, match=f"source' {kind}.*'digits'.*IDX.*CIFAR-10.*npz"):
        load(path)
