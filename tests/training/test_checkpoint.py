"""Checkpoints: what goes in comes out, and nothing else is believed."""

import dataclasses
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest

from fastconv import models
from fastconv._files import replacing
from fastconv.training import (
    Checkpoint,
    EpochRecord,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from fastconv.training import _npz as npz
from fastconv.training._archive import read_archive, write_archive
from fastconv.training.checkpoint import check_path, generator_states, restore_generators
from fastconv.training.history import Progress

BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


@pytest.fixture(params=["npz", "safetensors"])
def suffix(request):
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return request.param


def example():
    rng = np.random.default_rng(2)
    return Checkpoint(
        model={
            "0.weight": rng.standard_normal((3, 1, 2, 2)).astype(np.float32),
            "file": np.asfortranarray(rng.standard_normal((3, 4))),
            "scalar": np.array(2.5),
        },
        optimizer={"kind": "SGD", "lr": 0.1, "nesterov": False, "0.momentum_buffer": np.ones(3)},
        generators=generator_states([np.random.default_rng(3)]),
        progress=Progress(2, 5, 0.1 + 0.2, 7, 9, 1.5),
        history=[EpochRecord(1, 0.1, 1 / 3, 0.5, 2 / 3, 0.25, 1.0)],
        settings={"seed": 1, "mean": 0.1},
        options={"model": "lenet5", "note": "é"},
    )


def rewrite(path, change):
    """Change the JSON text of a checkpoint."""
    archive = read_archive(path)
    changed = change(json.loads(archive.text))
    text = changed if isinstance(changed, str) else json.dumps(changed)
    write_archive(path, archive.arrays, text)


def assert_same(one, other):
    assert set(one) == set(other)
    for key, value in one.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == other[key].dtype
            assert value.shape == other[key].shape
        np.testing.assert_array_equal(value, other[key])


def test_everything_comes_back(tmp_path, suffix):
    saved = example()
    path = tmp_path / f"run.{suffix}"
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    assert_same(loaded.model, saved.model)
    assert_same(loaded.optimizer, saved.optimizer)
    for name in ("generators", "progress", "history", "settings", "options"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", BIT_GENERATORS)
def test_every_kind_of_generator_goes_on_where_it_was(tmp_path, kind):
    rng = np.random.Generator(getattr(np.random, kind)(4))
    rng.random(11)
    rng.integers(0, 5, dtype=np.uint32)
    path = tmp_path / "run.npz"
    save_checkpoint(path, dataclasses.replace(example(), generators=generator_states([rng])))
    wanted = rng.random(20), rng.integers(0, 2**32, 9, dtype=np.uint32)
    fresh = np.random.Generator(getattr(np.random, kind)(5))
    restore_generators([fresh], load_checkpoint(path).generators)
    np.testing.assert_array_equal(fresh.random(20), wanted[0])
    np.testing.assert_array_equal(fresh.integers(0, 2**32, 9, dtype=np.uint32), wanted[1])


def test_generators_that_do_not_fit():
    states = generator_states([np.random.default_rng(0)])
    with pytest.raises(ValueError, match="the model has 0, the saved state is for 1"):
        restore_generators([], states)
    with pytest.raises(ValueError, match="does not fit"):
        restore_generators([np.random.Generator(np.random.MT19937(0))], states)


def test_the_files_hold_no_pickle(tmp_path):
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    with np.load(path, allow_pickle=False) as file:
        assert {file[key].dtype.kind for key in file.files} <= {"f", "u"}
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        save_state(path, {"a": np.array([None])})


class Boom:
    def __reduce__(self):
        return os.mkdir, ("pickle-was-run",)


def test_a_pickle_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("objects.npz", a=np.array([Boom()], object))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Boom()))
    for name in ("objects.npz", "plain.npz"):
        for load in (load_checkpoint, load_state):
            with pytest.raises(ValueError, match=f"{name}: not a readable"):
                load(name)
    assert not (tmp_path / "pickle-was-run").exists()


def test_any_truncation_or_flipped_byte_is_noticed(tmp_path, suffix):
    good, bad = tmp_path / f"good.{suffix}", tmp_path / f"bad.{suffix}"
    save_checkpoint(good, example())
    data = good.read_bytes()
    for length in range(0, len(data), 97):
        bad.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"bad\.\w+: "):
            load_checkpoint(bad)
    if suffix == "npz":  # safetensors has no checksum
        middle = data.index(b"lenet5")
        bad.write_bytes(data[:middle] + b"LENET5" + data[middle + 6 :])
        with pytest.raises(ValueError, match=r"bad\.npz: .*CRC"):
            load_checkpoint(bad)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: "{", "holds no fastconv checkpoint"),
        (lambda c: "[]", "holds no fastconv checkpoint"),
        (lambda c: {**c, "format": "other"}, "holds no fastconv checkpoint"),
        (lambda c: {**c, "version": 1}, "of version 1, expected 2"),
        (lambda c: {k: v for k, v in c.items() if k != "history"}, "damaged.*history"),
        (lambda c: {**c, "progress": {**c["progress"], "step": "5"}}, "damaged.*step"),
        (lambda c: {**c, "progress": {**c["progress"], "extra": 5}}, "damaged.*extra"),
        (lambda c: {**c, "history": [{"epoch": 1}]}, "damaged"),
        (lambda c: {**c, "history": 3}, "damaged"),
        (lambda c: {**c, "generators": [3]}, "damaged"),
        (lambda c: {**c, "optimizer": 3}, "damaged"),
        (lambda c: {**c, "settings": {"__array__": [1], "dtype": "no"}}, "holds no fastconv"),
        (lambda c: {**c, "settings": {"__array__": [300], "dtype": "u1"}}, "holds no fastconv"),
        (
            lambda c: {**c, "settings": {"__array__": [1], "dtype": "S2000000000"}},
            "array of .S2000",
        ),
        (lambda c: {**c, "settings": {"__array__": [1], "dtype": {"a": 1}}}, "holds no fastconv"),
        (lambda c: {**c, "settings": {"__array__": [1], "dtype": "(3"}}, "holds no fastconv"),
        (lambda c: "[" * 100_000, "holds no fastconv"),
    ],
)
def test_a_wrong_text_is_refused(tmp_path, change, text):
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    rewrite(path, change)
    with pytest.raises(ValueError, match=rf"run\.npz: .*{text}"):
        load_checkpoint(path)


def test_unexpected_entries_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    arrays, text, _ = read_archive(path)
    write_archive(path, {**arrays, "more/x": np.zeros(2)}, text)
    with pytest.raises(ValueError, match="unexpected entry 'more/x'"):
        load_checkpoint(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"entry 'notes\.txt' is no array"):
        load_checkpoint(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(npz.np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, example())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.npz"]


def test_the_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        os, "replace", lambda *names: (events.append("replace"), replace(*names))[1]
    )
    save_checkpoint(tmp_path / "run.npz", example())
    assert events[:2] == ["fsync", "replace"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_and_links_are_as_of_any_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    link.symlink_to(real)
    save_checkpoint(link, example())
    assert link.is_symlink()
    assert real.stat().st_mode == plain.stat().st_mode


def test_paths_that_cannot_be_written_are_found_early(tmp_path):
    check_path(tmp_path / "run.npz")
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError, match="missing"):
        check_path(tmp_path / "missing" / "run.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        check_path(tmp_path / "folder.npz")
    for use in (check_path, load_checkpoint, load_state):
        with pytest.raises(ValueError, match=r"ends in '\.pt', expected \.npz or \.safetensors"):
            use(tmp_path / "run.pt")


def test_without_safetensors_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for use in (check_path, load_checkpoint, lambda path: save_checkpoint(path, example())):
        with pytest.raises(ImportError, match=r"pip install 'fastconv\[safetensors\]'"):
            use(tmp_path / "run.safetensors")


def test_weights_of_a_model_go_to_another_one(tmp_path, suffix):
    one, other = models.lenet_digits(rng=1), models.lenet_digits(rng=2)
    path = tmp_path / f"weights.{suffix}"
    save_state(path, one.state_dict())
    other.load_state_dict(load_state(path))
    assert_same(other.state_dict(), one.state_dict())
    with pytest.raises(ValueError, match="holds no fastconv checkpoint"):
        load_checkpoint(path)


def test_weights_come_from_numpy_and_safetensors_and_checkpoints(tmp_path):
    np.savez(tmp_path / "a.npz", **{"0.bias": np.arange(3.0)})
    assert_same(load_state(tmp_path / "a.npz"), {"0.bias": np.arange(3.0)})
    save_checkpoint(tmp_path / "b.npz", example())
    assert_same(load_state(tmp_path / "b.npz"), example().model)
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"0.bias": np.arange(3.0)}, tmp_path / "c.safetensors")
    assert_same(load_state(tmp_path / "c.safetensors"), {"0.bias": np.arange(3.0)})


def test_a_block_that_raises_writes_nothing(tmp_path):
    def write_half():
        with replacing(tmp_path / "text") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert os.listdir(tmp_path) == []
