"""Damaged and absurd files: the right data, or a ValueError that names the file, and no memory.

Every truncation and every flipped bit of a small file of each kind is tried.
"""

import bz2
import errno
import gzip
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import pytest

from fastconv.training import (
    Checkpoint,
    load_checkpoint,
    load_cifar10,
    load_npz,
    load_state,
    read_idx,
    save_checkpoint,
    save_state,
)
from fastconv.training._archive import read_archive, write_archive
from fastconv.training._npz import read_npz
from fastconv.training._reading import refusing
from fastconv.training.formats import _read_cifar10
from fastconv.training.history import Progress

# The zip directory's record of the second entry takes 64 bytes: a flipped bit in the length of the
# comment before made a comment of it, and the entry was lost.
STATE = {"0.weight": np.arange(4, dtype=np.float32), "a.weight.added": np.ones((2, 1))}
STATE["é"] = np.array(3)
CHECKPOINT = Checkpoint(
    {"0.bias": np.arange(2.0)}, {"lr": 0.1, "m": np.ones(1)}, [], Progress(), [], {"seed": 0}
)
IMAGES = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
DATA = {"x_train": IMAGES, "y_train": np.arange(2), "x_test": IMAGES, "y_test": np.arange(2)}
IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", *IMAGES.shape) + IMAGES.tobytes()
CIFAR_RECORD = bytes([3]) + bytes(range(256)) * 12


def write_foreign_safetensors(path):
    pytest.importorskip("safetensors.numpy").save_file(STATE, path, {"format": "np"})


def write_named_gzip(path):
    """Write a gzip file with a name and a time in its header."""
    with path.open("wb") as raw, gzip.GzipFile("images", "wb", fileobj=raw, mtime=9) as file:
        file.write(IDX)


# Name of the file, who writes it, who reads it, whether a flipped bit of the data is noticed.
KINDS = {
    "state": ("w.npz", lambda path: save_state(path, STATE), load_state, True),
    "state2": ("w.safetensors", lambda path: save_state(path, STATE), load_state, True),
    "run": ("run.npz", lambda path: save_checkpoint(path, CHECKPOINT), load_checkpoint, True),
    "run2": (
        "run.safetensors", lambda path: save_checkpoint(path, CHECKPOINT), load_checkpoint, True
    ),
    "part": ("run.safetensors", lambda path: save_checkpoint(path, CHECKPOINT), load_state, True),
    "savez": ("w.npz", lambda path: np.savez(path, **STATE), load_state, True),
    "nothing": ("w.npz", np.savez, load_state, True),
    "data": ("data.npz", lambda path: np.savez_compressed(path, **DATA), load_npz, True),
    "mapped": ("data.npz", lambda path: np.savez(path, **DATA), load_npz, True),
    "foreign": ("w.safetensors", write_foreign_safetensors, load_state, False),
    "idx": ("images-idx3-ubyte", lambda path: path.write_bytes(IDX), read_idx, False),
    "idx.gz": ("images-idx3-ubyte.gz", write_named_gzip, read_idx, True),
    "cifar": ("data.bin", lambda path: path.write_bytes(CIFAR_RECORD), _read_cifar10, False),
}  # fmt: skip


def contents(loaded):
    """Return what was loaded as values that compare, down to the bits."""
    if isinstance(loaded, np.ndarray):
        return loaded.dtype.str, loaded.shape, loaded.tobytes()
    if isinstance(loaded, dict):
        return {key: contents(value) for key, value in loaded.items()}
    return contents(vars(loaded)) if hasattr(loaded, "__dict__") else loaded


def structure(loaded):
    """Return the shapes and the sizes of the values, whatever these are."""
    arrays = loaded.values() if isinstance(loaded, dict) else [loaded]
    return sorted((array.shape, array.itemsize) for array in arrays)


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def good(self, tmp_path, kind):
        name, write, load, checked = KINDS[kind]
        path = tmp_path / name
        if path.suffix == ".safetensors":
            pytest.importorskip("safetensors")
        write(path)
        return path, load, contents if checked else structure

    def test_truncation_is_refused(self, tmp_path, kind):
        path, load, _ = self.good(tmp_path, kind)
        for length in reversed(range(path.stat().st_size)):
            os.truncate(path, length)
            with pytest.raises(ValueError, match=path.name):
                load(path)

    def test_flipped_bit_is_refused_or_harmless(self, tmp_path, kind):
        path, load, compared = self.good(tmp_path, kind)
        wanted, refusals = compared(load(path)), []
        data = path.read_bytes()
        # A byte is changed in place: to write each file anew takes far longer.
        with path.open("r+b", buffering=0) as file:
            for at, byte in enumerate(data):
                for bit in range(8):
                    os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), at)
                    try:
                        assert compared(load(path)) == wanted, f"bit {bit} of byte {at}"
                    except ValueError as error:
                        refusals.append(str(error))
                os.pwrite(file.fileno(), bytes([byte]), at)
        assert refusals
        assert all(path.name in text for text in refusals)


def npy(header, data=b"", version=(1, 0)):
    """Return the bytes of an .npy file with any header."""
    text = header.encode()
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(shape, descr="'<f4'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}"


def write_zip(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries:
            archive.writestr(name, data)


class TestNpz:
    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (npy(header("(4398046511104,)"), bytes(8)), r"only 8 bytes of data, expected 17592186"),
            (npy(header("(1,)"), bytes(5)), r"more bytes of data, expected 4 = shape \(1,\) x 4"),
            (npy(header("(2,)"), bytes(7)), "only 7 bytes of data, expected 8"),
            (npy(header("(-1,)"), bytes(4)), r"shape \(-1,\), expected no negative"),
            (npy(header("(1.0,)"), bytes(4)), "shape"),
            (npy(header(f"(0, {2**62}, {2**62})")), "array is too big"),
            (npy(header(str((1,) * 70)), bytes(4)), "maximum supported dimension"),
            (npy(header("(1,)", "'|O'"), bytes(8)), "holds object, expected numbers"),
            (npy(header("(1,)", "[('x', '<f4')]"), bytes(4)), "holds .*'x'.*, expected numbers"),
            (npy(header("(1,)", "'V4'"), bytes(4)), "holds .V4, expected numbers"),
            (npy(header("(1,)", "'nothing'"), bytes(4)), "not a valid dtype"),
            (npy(header("(1,)"), bytes(4), (3, 0)), r"version \(3, 0\), expected one of"),
            (npy(header("(1,)", order="3"), bytes(4)), "fortran_order"),
            (npy("{}", bytes(4)), "the correct keys"),
            (npy("-" * 4000 + "1"), ""),
            (npy("[" * 4000), ""),
            (npy(header("(1,)") + 5000 * " ", bytes(4)), "reading array header"),
            (b"\x93NUMPY\2\0\xff\xff\xff\x7f" + bytes(10_000), "reading array header"),
            (b"years of work", "magic string"),
            (b"", "magic string"),
        ],
    )
    def test_what_an_entry_claims_is_not_believed(self, tmp_path, data, text):
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            write_zip(tmp_path / "w.npz", [("a.npy", data)], compression=compression)
            with (
                little_memory(),
                pytest.raises(ValueError, match=rf"w\.npz: not a readable .*: entry 'a': .*{text}"),
            ):
                load_state(tmp_path / "w.npz")

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_a_method_whose_output_has_no_limit_is_refused(self, tmp_path, method):
        # A few kilobytes became a gigabyte before anything was looked at.
        write_zip(
            tmp_path / "w.npz", [("a.npy", npy(header("(2,)"), bytes(8)))], compression=method
        )
        with pytest.raises(ValueError, match=f"compressed by method {method}, expected 0 or 8"):
            load_state(tmp_path / "w.npz")

    def test_names(self, tmp_path):
        path, entry = tmp_path / "w.npz", npy(header("(1,)"), bytes(4))
        for name in ("a", "a.npy.txt", "folder/", "/"):
            write_zip(path, [("b.npy", entry), (name, entry)])
            with pytest.raises(ValueError, match=rf"w\.npz: .*entry '{name}' is no array"):
                load_state(path)
        with pytest.warns(UserWarning, match="Duplicate name"):
            write_zip(path, [("a.npy", entry), ("a.npy", npy(header("(2,)"), bytes(8)))])
        with pytest.raises(ValueError, match=r"w\.npz: .*entry 'a' is there twice"):
            load_state(path)
        # A name is a name: nothing is written anywhere.
        write_zip(path, [("../a.npy", entry), ("/b.npy", entry)])
        assert set(load_state(path)) == {"../a", "/b"}

    def test_a_file_goes_from_its_begin_to_its_end(self, tmp_path):
        path = tmp_path / "w.npz"
        np.savez(path, a=np.zeros(3))
        whole = path.read_bytes()
        for data in (whole + b"\0", whole + whole[-22:], whole[:-22] + b"\0" * 8 + whole[-22:]):
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"w\.npz: not a readable"):
                load_state(path)

    def test_entries_that_share_their_data_are_refused(self, tmp_path):
        # Many names for one compressed block multiply what deflate makes of it.
        path, name = tmp_path / "w.npz", b"a.npy"
        data = npy(header("(250000,)"), bytes(1_000_000))
        packed = zlib.compressobj(9, wbits=-15)
        block = packed.compress(data) + packed.flush()
        sizes = struct.pack("<III", zlib.crc32(data), len(block), len(data))
        local = b"PK\3\4" + struct.pack("<5H", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", 5, 0)
        record = b"PK\1\2" + struct.pack("<6H", 20, 20, 0, 8, 0, 0) + sizes
        record += struct.pack("<5H2I", 5, 0, 0, 0, 0, 0, 0) + name
        begin = local + name + block
        end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 50, 50, 50 * len(record), len(begin), 0)
        path.write_bytes(begin + 50 * record + end)
        with little_memory(), pytest.raises(ValueError, match=r"w\.npz: .*its entries claim"):
            load_state(path)

    def test_what_numpy_writes_comes_back(self, tmp_path):
        arrays = {
            "C": np.arange(6.0).reshape(2, 3),
            "F": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
            "big": np.arange(3, dtype=">f4"),
            "scalar": np.array(2 + 1j),
            "none": np.zeros((0, 3)),
            "flags": np.array([True, False]),
            "texts": np.array(["é", "b"]),
            "dates": np.array(["2026-01-01"], "datetime64[D]"),
            "long": np.arange(200_000),
        }
        for save in (np.savez, np.savez_compressed):
            save(tmp_path / "w.npz", **arrays)
            loaded, comment = read_npz(tmp_path / "w.npz")
            assert comment == b""
            assert contents(loaded) == contents(arrays)
            assert all(array.flags.writeable for array in loaded.values())
            assert loaded["F"].flags.f_contiguous


class TestSafetensors:
    @pytest.mark.parametrize(
        ("entry", "data", "text"),
        [
            ({"dtype": "BF16", "shape": [2]}, 4, "entry 'a' is of type BF16, expected F64, F32"),
            ({"dtype": "F8_E4M3", "shape": [2]}, 2, "entry 'a' is of type F8_E4M3"),
            ({"dtype": "F32", "shape": [2**40]}, 4, "deserializing"),
            ({"dtype": "F32", "shape": [2**63, 2**63]}, 4, "deserializing"),
            # NumPy's OverflowError, which came out as it was
            ({"dtype": "F32", "shape": [0, 2**63]}, 0, "entry 'a'"),
            ({"dtype": "F32", "shape": [1] * 70}, 4, "entry 'a'"),
            ({"dtype": "F32", "shape": [-1]}, 4, "deserializing"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, 8, "deserializing"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [0, 2**62]}, 4, "deserializing"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, 4, "deserializing"),
            ({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, 8, "deserializing"),
        ],
    )
    def test_a_header_is_not_believed(self, tmp_path, entry, data, text):
        pytest.importorskip("safetensors")
        header = json.dumps({"a": {"data_offsets": [0, data], **entry}}).encode()
        path = tmp_path / "w.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(data))
        with pytest.raises(ValueError, match=rf"w\.safetensors: not a readable .*{text}"):
            load_state(path)

    def test_metadata_may_be_null(self, tmp_path):
        # It was an AttributeError.
        pytest.importorskip("safetensors")
        header = b'{"__metadata__":null}'
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        assert load_state(tmp_path / "w.safetensors") == {}

    def test_every_type_that_both_have_comes_back(self, tmp_path):
        library = pytest.importorskip("safetensors.numpy")
        names = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8"]
        state = {name: np.ones((2, 1), name) for name in names} | {"scalar": np.array(1.5)}
        path = tmp_path / "w.safetensors"
        for save in (library.save_file, lambda state, path: save_state(path, state)):
            save(state, path)
            assert contents(load_state(path)) == contents(state)

    def test_what_the_format_lacks_is_refused_before_it_is_written(self, tmp_path):
        # The library's own error is no ValueError, and it wrote a file it could not read.
        pytest.importorskip("safetensors")
        path = tmp_path / "w.safetensors"
        for state, text in (
            ({"a": np.ones(2, np.complex128)}, "entry 'a' holds complex128, .*expected float64"),
            ({"a": np.array(["x"])}, "entry 'a' holds <U1"),
            ({"__metadata__": np.ones(2)}, "reserves this name"),
        ):
            with pytest.raises(ValueError, match=text):
                save_state(path, state)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["npz", "safetensors"])
def suffix(request):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return request.param


class TestDigest:
    def test_other_programs_see_the_arrays_alone(self, tmp_path):
        save_state(tmp_path / "w.npz", STATE)
        with np.load(tmp_path / "w.npz", allow_pickle=False) as file:
            assert contents(dict(file)) == contents(STATE)
        library = pytest.importorskip("safetensors.numpy")
        save_state(tmp_path / "w.safetensors", STATE)
        assert contents(library.load_file(tmp_path / "w.safetensors")) == contents(STATE)

    def test_it_knows_values_shapes_types_names_and_text(self, tmp_path, suffix):
        path, other = tmp_path / f"w.{suffix}", tmp_path / f"other.{suffix}"
        write_archive(path, STATE, "text")
        good = path.read_bytes()
        digest = self.digest(good)
        one, *rest = STATE
        for arrays, text in (
            ({**STATE, one: STATE[one] + 1}, "text"),
            ({**STATE, one: STATE[one].reshape(2, 2)}, "text"),
            ({**STATE, one: STATE[one].view(np.int32)}, "text"),
            ({"other": STATE[one], **{key: STATE[key] for key in rest}}, "text"),
            ({key: STATE[key] for key in rest}, "text"),
            ({**STATE, "more": np.zeros(0)}, "text"),
            (STATE, "Text"),
            (STATE, ""),
            (STATE, None),
        ):
            write_archive(other, arrays, text)
            data = other.read_bytes()
            assert self.digest(data) != digest
            other.write_bytes(data.replace(self.digest(data), digest))
            with pytest.raises(ValueError, match=rf"other\.{suffix}: damaged or changed.*SHA-256"):
                read_archive(other)
        write_archive(other, {key: STATE[key] for key in reversed(STATE)}, "text")
        assert self.digest(other.read_bytes()) == digest

    def digest(self, data):
        begin = data.index(b"fastconv.sha256") + len("fastconv.sha256")
        begin += 1 if data[begin : begin + 1] == b" " else len('":"')
        return data[begin : begin + 64]

    def test_layout_and_byte_order_do_not_matter(self, tmp_path, suffix):
        path = tmp_path / f"w.{suffix}"
        values = np.arange(6, dtype=np.float32).reshape(2, 3)
        state = {
            "big": values.astype(">f4"),
            "F": np.asfortranarray(values),
            "part": values[:, ::2],
        }
        state |= {"none": np.zeros((0, 2)), "scalar": np.array(1.5)}
        save_state(path, state)
        loaded = load_state(path)
        assert set(loaded) == set(state)
        for key, array in state.items():
            np.testing.assert_array_equal(loaded[key], array, strict=suffix == "npz")
            assert loaded[key].shape == array.shape

    def test_a_checkpoint_without_it_is_refused(self, tmp_path, suffix):
        path = tmp_path / f"run.{suffix}"
        save_checkpoint(path, CHECKPOINT)
        data = path.read_bytes()
        for name in (b"fastconv.sha255", b"Fastconv.sha256"):
            path.write_bytes(data.replace(b"fastconv.sha256", name))
            for load in (load_checkpoint, load_state):
                with pytest.raises(ValueError, match=rf"run\.{suffix}: .*lost its SHA-256"):
                    load(path)

    def test_a_checkpoint_that_was_changed_with_a_right_checksum_is_refused(self, tmp_path):
        path = tmp_path / "run.npz"
        save_checkpoint(path, CHECKPOINT)
        with zipfile.ZipFile(path) as archive:
            entries = [(name, archive.read(name)) for name in archive.namelist()]
            comment = archive.comment
        name, data = entries[0]
        for changed in ([(name, data[:-1] + b"\x41"), *entries[1:]], entries[1:], entries[:-1]):
            with zipfile.ZipFile(path, "w") as archive:
                archive.comment = comment
                for entry in changed:
                    archive.writestr(*entry)
            for load in (load_checkpoint, load_state):
                with pytest.raises(ValueError, match=r"run\.npz: damaged or changed"):
                    load(path)

    def test_names_that_would_not_come_back_are_refused(self, tmp_path, suffix):
        # A zip file ends a name at its first NUL: the file could be written, and not be read.
        path = tmp_path / f"w.{suffix}"
        save_state(path, STATE)
        names = ["fastconv.checkpoint.json", *(["a\0b"] if suffix == "npz" else [])]
        for name in names:
            with pytest.raises(ValueError, match=r"entry '(fastconv|a\\x00b)"):
                save_state(path, {name: np.zeros(2)})
        assert contents(load_state(path)) == contents(STATE)


@contextmanager
def little_memory(limit=2 << 20):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


class TestMemory:
    def test_what_decompresses_to_more_than_it_should_is_not_read_on(self, tmp_path):
        zeros = bytes(64 << 20)
        write_zip(
            tmp_path / "bomb.npz",
            [("a.npy", npy(header("(2,)"), zeros))],
            compression=zipfile.ZIP_DEFLATED,
        )
        (tmp_path / "bomb-idx").write_bytes(gzip.compress(IDX + zeros, mtime=0))
        for load, name in (load_state, "bomb.npz"), (read_idx, "bomb-idx"):
            with little_memory(), pytest.raises(ValueError, match=f"{name}: .*more bytes of data"):
                load(tmp_path / name)

    def test_well_compressed_files_are_legitimate(self, tmp_path):
        zeros = np.zeros((1 << 20, 8), np.uint8)
        np.savez_compressed(tmp_path / "w.npz", a=zeros)
        assert (tmp_path / "w.npz").stat().st_size < zeros.nbytes / 900
        with little_memory(int(zeros.nbytes * 2.5)):
            assert load_state(tmp_path / "w.npz")["a"].shape == zeros.shape

    @pytest.mark.skipif(sys.platform != "linux", reason="limits its address space as Linux does")
    def test_no_claim_is_allocated(self, tmp_path):
        pytest.importorskip("safetensors")
        write_zip(tmp_path / "a.npz", [("a.npy", npy(header(f"({2**42},)"), bytes(8)))])
        (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}" + bytes(100))
        (tmp_path / "c-idx").write_bytes(b"\0\0\x0e\x04" + b"\xff" * 16 + b"data")
        (tmp_path / "d-idx").write_bytes(gzip.compress(b"\0\0\x0e\x04" + b"\xff" * 16 + b"data"))
        script = """
import resource, sys
from fastconv.training import load_state, read_idx
import safetensors.numpy
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20),) * 2)
for path in sys.argv[1:]:
    try:
        (read_idx if path.endswith("idx") else load_state)(path)
    except ValueError as error:
        print(path in str(error))
"""
        paths = sorted(str(path) for path in tmp_path.iterdir())
        run = subprocess.run(
            [sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True
        )
        assert run.stdout.split() == ["True"] * 4


class TestIdx:
    @pytest.mark.parametrize(
        "data",
        [
            # NumPy's own errors did not name the file.
            b"\0\0\x08\x46" + b"\0\0\0\1" * 70 + b"x",
            b"\0\0\x0e\x04" + bytes(4) + b"\xff" * 12,
            gzip.compress(IDX, mtime=0) + b"more",
            gzip.compress(IDX, mtime=0) + gzip.compress(b"more", mtime=0),
            bz2.compress(IDX),
        ],
    )
    def test_absurd_files_are_named(self, tmp_path, data):
        (tmp_path / "images").write_bytes(data)
        with pytest.raises(ValueError, match="images: not a readable IDX file"):
            read_idx(tmp_path / "images")

    def test_a_gzip_file_may_come_in_parts_and_be_padded(self, tmp_path):
        parts = gzip.compress(IDX[:20], mtime=0) + gzip.compress(IDX[20:], mtime=0) + bytes(9)
        (tmp_path / "images").write_bytes(parts)
        np.testing.assert_array_equal(read_idx(tmp_path / "images"), IMAGES)


def test_cifar10_files_that_are_damaged_are_named(tmp_path):
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    for name in names:
        (tmp_path / name).write_bytes(CIFAR_RECORD)
    load_cifar10(tmp_path)
    for name in names:
        for data in (b"", CIFAR_RECORD[:-1], CIFAR_RECORD + b"\0", b"\x0a" + CIFAR_RECORD[1:]):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ValueError, match=name):
                load_cifar10(tmp_path)
        (tmp_path / name).write_bytes(CIFAR_RECORD)


class TestTheDisk:
    def test_its_errors_stay_what_they_are(self, tmp_path):
        for suffix in ("npz", "safetensors"):
            if suffix == "safetensors":
                pytest.importorskip("safetensors")
            for load in (load_state, load_checkpoint):
                with pytest.raises(FileNotFoundError):
                    load(tmp_path / f"missing.{suffix}")
                (tmp_path / f"folder.{suffix}").mkdir(exist_ok=True)
                with pytest.raises(OSError, match="folder"):
                    load(tmp_path / f"folder.{suffix}")
        with pytest.raises(FileNotFoundError):
            read_idx(tmp_path / "missing")

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), MemoryError()])
    def test_neither_it_nor_memory_is_blamed_on_the_file(self, error):
        with pytest.raises(type(error)) as caught, refusing("w.npz"):
            raise error
        assert caught.value is error

    @pytest.mark.parametrize(
        "error",
        [OSError(errno.EINVAL, "seek"), gzip.BadGzipFile("no gzip"), EOFError(), KeyError(1)],
    )
    def test_what_a_parser_raises_is(self, error):
        with pytest.raises(ValueError, match=r"^w\.npz: \S"), refusing("w.npz"):
            raise error

    def test_a_read_that_fails_within_the_archive_is_an_oserror(self, tmp_path, monkeypatch):
        np.savez(tmp_path / "w.npz", a=np.zeros(3))

        def fail(*args):
            raise OSError(errno.EIO, "broken disk")

        monkeypatch.setattr(zipfile.ZipExtFile, "read", fail)
        with pytest.raises(OSError, match="broken disk"):
            load_state(tmp_path / "w.npz")
