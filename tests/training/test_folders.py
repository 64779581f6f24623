"""Folders of images: what they hold, and what hostile ones do not do."""

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from fastconv import layers
from fastconv.training import SGD, Augmentation, batches, fit, load, load_folder

pytest.importorskip("PIL", reason="Pillow is not installed, skipped: folders of images")

from PIL import Image

from fastconv.training.folders import UnreadableImageError, read_image

CLASSES = ("bird", "cat", "dog")


def pictures(count, shape=(6, 8, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def write(folder, images, suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}.{suffix}")


def make(path, counts=(10, 10, 10), shape=(6, 8, 3)):
    """Write a folder for each class, and return its images."""
    found = []
    for number, (name, count) in enumerate(zip(CLASSES, counts, strict=True)):
        images = pictures(count, shape, number)
        write(path / name, images)
        found.append(images)
    return found


def png(width, height, data=b"", kind=2, depth=8):
    """Return the bytes of a PNG file with any header."""

    def chunk(name, body):
        checksum = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)

    header = struct.pack(">2I5B", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )  # fmt: skip


class TestGood:
    def test_every_fifth_image_of_a_class_is_a_test_image(self, tmp_path):
        images = make(tmp_path)
        for data in (load_folder(tmp_path), load(tmp_path), load(str(tmp_path))):
            assert data.name == tmp_path.name
            assert data.class_names == CLASSES
            assert data.train_images.shape == (24, 3, 6, 8)
            np.testing.assert_array_equal(data.test_labels, [0, 0, 1, 1, 2, 2])
            for part in ("train", "test"):
                wanted = [
                    image.transpose(2, 0, 1)
                    for group in images
                    for at, image in enumerate(group)
                    if (at % 5 == 4) is (part == "test")
                ]
                found = getattr(data, f"{part}_images")
                np.testing.assert_array_equal(np.asarray(found), wanted)

    @pytest.mark.parametrize("names", [("train", "test"), ("training", "val")])
    def test_folders_of_two_parts(self, tmp_path, names):
        parts = [
            make(tmp_path / name, (count,) * 3) for name, count in zip(names, (4, 1), strict=True)
        ]
        data = load(tmp_path)
        assert (len(data.train_labels), len(data.test_labels)) == (12, 3)
        np.testing.assert_array_equal(data.test_images[2], parts[1][2][0].transpose(2, 0, 1))

    def test_what_is_left_out_and_what_is_found_below(self, tmp_path):
        make(tmp_path)
        (tmp_path / "README.txt").write_text("not a class")
        (tmp_path / ".git").mkdir()
        (tmp_path / "cat" / "notes.txt").write_text("not an image")
        (tmp_path / "cat" / ".hidden.png").write_text("not an image")
        write(tmp_path / "cat" / "more" / "still more", pictures(5))
        data = load_folder(tmp_path)
        assert np.bincount(data.train_labels).tolist() == [8, 12, 8]

    @pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "gif", "webp", "jpg", "JPEG"])
    def test_formats(self, tmp_path, suffix):
        grey = np.repeat(np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8, 1), 3, axis=2)
        write(tmp_path / "a", [grey] * 5, suffix)
        data = load_folder(tmp_path)
        assert data.train_images.shape == (4, 3, 6, 8)
        off = np.abs(data.train_images[0].astype(int) - grey.transpose(2, 0, 1))
        assert off.max() <= (0 if suffix in ("png", "bmp", "ppm", "tiff", "gif") else 6)

    def test_grey_and_colour(self, tmp_path):
        write(tmp_path / "a", pictures(5, (6, 8)))
        write(tmp_path / "b", pictures(5, (6, 8, 3)))
        assert load_folder(tmp_path).train_images.shape == (8, 1, 6, 8)
        three = load_folder(tmp_path, channels=3).train_images
        assert three.shape == (8, 3, 6, 8)
        assert (three[0, 0] == three[0, 1]).all()

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
    def test_modes(self, tmp_path, mode):
        (tmp_path / "a").mkdir()
        for number in range(5):
            image = Image.fromarray(pictures(1)[0]).convert(mode)
            options = {"transparency": bytes(256)} if mode == "P" else {}
            image.save(tmp_path / "a" / f"{number}.{'jpg' if mode in ('CMYK', 'YCbCr') else 'png'}",
                       **options)  # fmt: skip
        channels = 1 if mode in ("1", "L", "LA") else 3
        assert load_folder(tmp_path).train_images[0].shape == (channels, 6, 8)

    def test_images_of_any_size_are_scaled_to_cover_one_and_cut(self, tmp_path):
        image = np.zeros((8, 20, 3), np.uint8)
        image[:, 6:14] = 200  # the square in the middle
        write(tmp_path / "a", [image, image.transpose(1, 0, 2), *pictures(3)])
        data = load_folder(tmp_path, size=4)
        assert data.train_images.shape == (4, 3, 4, 4)
        # Of the border, one half is interpolated with what is cut off.
        assert (data.train_images[:2][:, :, 1:3, 1:3] == 200).all()
        assert (data.train_images[:2] >= 150).all()
        assert load_folder(tmp_path, size=(5, 9)).train_images.shape == (4, 3, 5, 9)
        for wrong in (0, -1, 2.5, True, (1, 2, 3), "8", (8, 0), 1 << 20):
            with pytest.raises(ValueError, match="size: got"):
                load_folder(tmp_path, size=wrong)
        with pytest.raises(ValueError, match="channels: got 2"):
            load_folder(tmp_path, channels=2)

    def test_the_moments_are_those_of_all_images_if_there_are_few(self, tmp_path):
        images = np.concatenate(make(tmp_path, (5, 5, 5)))
        data = load_folder(tmp_path)
        train = images[np.arange(15) % 5 != 4]
        assert data.mean == pytest.approx(train.mean(), rel=1e-14)
        assert data.channel_stds == pytest.approx(train.std((0, 1, 2)), rel=1e-13)

    @pytest.mark.parametrize("workers", [0, 1, 4])
    def test_batches_are_those_of_the_arrays(self, tmp_path, workers):
        make(tmp_path)
        data = load_folder(tmp_path)
        options = {"augmentation": Augmentation(2, True, 3), "seed": 3, "mean": 7.0}
        streamed = list(
            batches(data.train_images, data.train_labels, 5, workers=workers, **options)
        )
        loaded = batches(np.asarray(data.train_images), data.train_labels, 5, **options)
        for (x, y), (x2, y2) in zip(streamed, loaded, strict=True):
            assert x.tobytes() == x2.tobytes()
            np.testing.assert_array_equal(y, y2)


# What can be wrong with one image: who puts it there, and what is said.
def truncated(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def make_link(path, target):
    path.unlink()
    path.symlink_to(target)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


BROKEN = {
    "empty": (lambda path: path.write_bytes(b""), "no image of a known format"),
    "text": (lambda path: path.write_text("no image"), "no image of a known format"),
    "truncated": (truncated, "truncated"),
    "of another size": (
        lambda path: Image.fromarray(pictures(1, (5, 9, 3))[0]).save(path),
        "of 9 x 5 pixels, expected 8 x 6 as the first",
    ),
    "huge by its header": (
        lambda path: path.write_bytes(png(9000, 9000)), "claims 9000 x 9000 pixels in a file of"
    ),
    "huge and bombs": (
        lambda path: path.write_bytes(png(2**31 - 1, 2**31 - 1)), "pixels|decompression bomb"
    ),
    "of sixteen bits": (
        lambda path: path.write_bytes(png(8, 6, bytes(6 * 17), kind=0, depth=16)),
        "pixels of mode I;16, expected 8 bits",
    ),
    "a link to itself": (lambda path: make_link(path, path), "symbolic links"),
    "a link to nothing": (lambda path: make_link(path, path.with_name("gone")), "No such file"),
    "a pipe": (make_pipe, "is no file"),
}  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.filterwarnings("ignore:.*decompression bomb:PIL.Image.DecompressionBombWarning")
class TestBroken:
    @pytest.mark.parametrize("kind", BROKEN)
    def test_it_names_its_file(self, tmp_path, kind):
        make(tmp_path)
        spoil, text = BROKEN[kind]
        path = tmp_path / "cat" / "003.png"
        spoil(path)
        data = load_folder(tmp_path)
        with pytest.raises(UnreadableImageError, match=f"{path}: .*({text})"):
            list(batches(data.train_images, data.train_labels, 7, workers=1))
        with pytest.raises(ValueError, match=str(path)):
            _ = data.mean

    @pytest.mark.parametrize("kind", BROKEN)
    @pytest.mark.parametrize("workers", [0, 3])
    def test_if_asked_it_is_left_out_and_counted(self, tmp_path, kind, workers):
        make(tmp_path)
        BROKEN[kind][0](tmp_path / "cat" / "003.png")
        BROKEN[kind][0](tmp_path / "dog" / "009.png")
        data = load_folder(tmp_path, skip_broken=True)
        augmentation = Augmentation(1, True, 2)
        found = list(
            batches(data.train_images, data.train_labels, 4, workers=workers,
                    augmentation=augmentation)
        )  # fmt: skip
        assert [len(y) for _, y in found] == [4, 4, 3, 4, 4, 4]
        assert list(data.train_images.broken) == [str(tmp_path / "cat" / "003.png")]
        # The others are what they were.
        spoilt = tmp_path / "cat" / "003.png"
        spoilt.unlink()
        Image.fromarray(pictures(1)[0]).save(spoilt)
        whole = load_folder(tmp_path)
        x, y = zip(*batches(whole.train_images, whole.train_labels, 24, augmentation=augmentation),
                   strict=True)  # fmt: skip
        kept = np.arange(24) != 11
        np.testing.assert_array_equal(np.concatenate([y for _, y in found]), y[0][kept])
        np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), x[0][kept])

    def test_the_first_image_may_be_broken(self, tmp_path):
        make(tmp_path)
        (tmp_path / "bird" / "000.png").write_bytes(b"")
        with pytest.raises(UnreadableImageError, match=r"000\.png: no image"):
            load_folder(tmp_path)
        data = load_folder(tmp_path, skip_broken=True)
        assert data.train_images.shape == (24, 3, 6, 8)

    def test_none_can_be_read(self, tmp_path):
        make(tmp_path)
        for path in tmp_path.glob("*/*.png"):
            path.write_bytes(b"")
        with pytest.raises(ValueError, match=f"{tmp_path}: images: none can be read"):
            load_folder(tmp_path, skip_broken=True)

    def test_a_run_goes_on_and_is_resumed_with_the_same_bits(self, tmp_path):
        make(tmp_path / "data", (30, 30, 30))
        for number in (0, 1, 2, 3, 17):
            (tmp_path / "data" / "dog" / f"{number:03}.png").write_bytes(b"broken")
        states = []
        for stops in ((), (3,), (1, 5, 9)):
            resume, total = None, 0
            for stop in (*stops, 1000):
                model = layers.Sequential(layers.Flatten(), layers.Linear(144, 3, rng=0))
                calls = [0]

                def asked(calls=calls, stop=stop):
                    calls[0] += 1
                    return calls[0] >= stop

                history = fit(
                    model, layers.CrossEntropyLoss(), SGD(model.parameters(), 0.01, 0.9),
                    load_folder(tmp_path / "data", skip_broken=True), epochs=3, batch_size=3,
                    augmentation=Augmentation(1, True), workers=2, resume=resume,
                    checkpoint=tmp_path / "run.npz", should_stop=asked,
                )  # fmt: skip
                resume = tmp_path / "run.npz"
                total = len(history)
            assert total == 3
            states.append([value.tobytes() for value in model.state_dict().values()])
            states[-1].append([(r.train_loss, r.test_loss, r.train_accuracy) for r in history])
        assert states[0] == states[1] == states[2]

    def test_a_batch_without_images_is_no_step(self, tmp_path):
        make(tmp_path, (5, 5, 5))
        data = load_folder(tmp_path, skip_broken=True)
        for path in (tmp_path / "cat").iterdir():
            path.write_bytes(b"")
        model = layers.Sequential(layers.Flatten(), layers.Linear(144, 3, rng=0))
        sgd = SGD(model.parameters(), 0.01)
        history = fit(model, layers.CrossEntropyLoss(), sgd, data, epochs=1, batch_size=1)
        assert sgd.state_dict()["0.steps"] == 8
        assert len(history) == 1
        for path in tmp_path.glob("*/*.png"):
            path.write_bytes(b"")
        with pytest.raises(ValueError, match="train_images: none can be read"):
            fit(model, layers.CrossEntropyLoss(), sgd, data, epochs=1, normalize=(0.0, 1.0))

    def test_a_false_header_takes_no_memory(self, tmp_path):
        path = tmp_path / "huge.png"
        for width, height in ((9000, 9000), (60000, 1000), (1 << 30, 1 << 30)):
            path.write_bytes(png(width, height))
            tracemalloc.start()
            try:
                with pytest.raises(UnreadableImageError, match=f"{path}: "):
                    read_image(str(path))
                assert tracemalloc.get_traced_memory()[1] < 5e6
            finally:
                tracemalloc.stop()
        # What compresses well is as it should be.
        Image.new("RGB", (3000, 3000)).save(path)
        assert path.stat().st_size < 60_000
        assert read_image(str(path), (10, 10)).shape == (3, 10, 10)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
class TestHostileFolders:
    def test_empty_ones(self, tmp_path):
        with pytest.raises(ValueError, match="is a directory without such files"):
            load(tmp_path)
        with pytest.raises(ValueError, match=f"{tmp_path}: holds no folder"):
            load_folder(tmp_path)
        make(tmp_path)
        (tmp_path / "eel").mkdir()
        with pytest.raises(ValueError, match=rf"{tmp_path}/eel: holds no image \(.bmp, "):
            load_folder(tmp_path)

    def test_parts_that_do_not_belong_together(self, tmp_path):
        make(tmp_path / "train")
        with pytest.raises(ValueError, match="holds train, but none of test, val, validation"):
            load(tmp_path)
        make(tmp_path / "test")
        write(tmp_path / "test" / "eel", pictures(1))
        with pytest.raises(ValueError, match="classes in one part only: eel"):
            load(tmp_path)

    def test_too_few_images_to_split(self, tmp_path):
        make(tmp_path, (5, 4, 5))
        with pytest.raises(ValueError, match="fewer than 5 images in cat"):
            load(tmp_path)

    def test_a_folder_that_links_to_itself_or_above_is_no_class(self, tmp_path):
        make(tmp_path)
        for target in (tmp_path, tmp_path / "cat"):
            (tmp_path / "loop").symlink_to(target)
            with pytest.raises(
                ValueError, match=f"{tmp_path}/loop: is the same folder as {target}"
            ):
                load_folder(tmp_path)
            (tmp_path / "loop").unlink()
        (tmp_path / "self").symlink_to(tmp_path / "self")
        assert load_folder(tmp_path).class_names == CLASSES

    def test_links_within_a_class_are_not_followed(self, tmp_path):
        make(tmp_path)
        (tmp_path / "cat" / "up").symlink_to(tmp_path)
        (tmp_path / "cat" / "round").symlink_to(tmp_path / "cat")
        assert len(load_folder(tmp_path).train_labels) == 24

    def test_a_class_may_be_a_link(self, tmp_path):
        make(tmp_path / "elsewhere")
        for name in CLASSES:
            (tmp_path / "data").mkdir(exist_ok=True)
            (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere" / name)
        assert len(load_folder(tmp_path / "data").train_labels) == 24

    @pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read anything")
    def test_what_may_not_be_read(self, tmp_path):
        make(tmp_path)
        (tmp_path / "cat").chmod(0)
        with pytest.raises(PermissionError, match="cat"):
            load_folder(tmp_path)
        (tmp_path / "cat").chmod(0o700)
        (tmp_path / "cat" / "000.png").chmod(0)
        data = load_folder(tmp_path)
        with pytest.raises(UnreadableImageError, match=r"000\.png: Permission denied"):
            _ = data.mean

    def test_a_folder_with_the_name_of_an_image_is_searched(self, tmp_path):
        make(tmp_path)
        make_folder(tmp_path / "cat" / "000.png")
        assert len(load_folder(tmp_path).train_labels) == 24

    def test_a_file_that_goes_while_the_run_goes_on(self, tmp_path):
        make(tmp_path)
        data = load_folder(tmp_path)
        (tmp_path / "dog" / "002.png").unlink()
        with pytest.raises(UnreadableImageError, match=r"dog/002\.png: No such file"):
            np.asarray(data.train_images)

    def test_strange_names(self, tmp_path):
        for name in ("ß € 日本", "with space", "-option", "new\nline"):
            write(tmp_path / name, pictures(5))
        data = load_folder(tmp_path)
        assert len(data.class_names) == 4
        assert np.asarray(data.train_images).shape == (16, 3, 6, 8)


def test_without_pillow_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r"images need Pillow: pip install 'fastconv\[images\]'"):
        load_folder(tmp_path)


def test_options_of_a_folder_are_refused_elsewhere(tmp_path):
    with pytest.raises(ValueError, match="size: only for a folder of images, not 'digits'"):
        load("digits", size=(8, 8))
    assert load("digits", size=None, skip_broken=False).name == "digits"


def test_nothing_is_unpickled():
    """CIFAR's Python version is pickled: only the binary one is read."""
    package = Path(load.__code__.co_filename).parent
    for path in package.rglob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text
        assert "allow_pickle=True" not in text
