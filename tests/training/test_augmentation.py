"""What is done to images at random: against plain NumPy, and the same whoever does it."""

import math

import numpy as np
import pytest

import fastconv
from fastconv.engine.ops.batches import take_images
from fastconv.training import Augmentation, batches, epoch_order, parse_augmentation
from fastconv.training.augmentation import epoch_key, random_numbers

KINDS = {
    "nothing": Augmentation(),
    "flip": Augmentation(flip=True),
    "crop": Augmentation(crop=2),
    "cutout": Augmentation(cutout=3),
    "all": Augmentation(crop=1, flip=True, cutout=4),
    "beyond the image": Augmentation(crop=40, flip=True, cutout=50),
}
MEAN, STD = [10.0, 120.5, 200.25], [3.0, 70.0, 1.5]


def images(kind=np.uint8, shape=(40, 3, 7, 5)):
    return np.random.default_rng(3).integers(0, 256, shape).astype(kind)


def splitmix64(state, count):
    """The generator as it is printed in the paper."""
    mask, found = (1 << 64) - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        found.append(z ^ (z >> 31))
    return found


def augmented(image, number, augmentation, seed, epoch, dtype, mean, std):
    """One image as the docstring says, with arrays and nothing else."""
    channels, height, width = image.shape
    draws = splitmix64(int(epoch_key(seed, epoch)), 5 * (number + 1))[-5:]
    down, right = (((draw >> 32) * (2 * augmentation.crop + 1)) >> 32 for draw in draws[:2])
    pad = augmentation.crop
    around = np.zeros((channels, height + 2 * pad, width + 2 * pad), image.dtype)
    around[:, pad : pad + height, pad : pad + width] = image
    part = around[:, down : down + height, right : right + width]
    if augmentation.flip and draws[2] >> 63:
        part = part[:, :, ::-1]
    x = part.astype(dtype)
    x -= np.asarray(mean, dtype)[:, None, None]
    x *= (1 / np.asarray(std)).astype(dtype)[:, None, None]
    if augmentation.cutout:
        row, column = (
            ((draw >> 32) * size) >> 32
            for draw, size in zip(draws[3:], (height, width), strict=True)
        )
        top, left = row - augmentation.cutout // 2, column - augmentation.cutout // 2
        x[
            :,
            max(0, top) : max(0, top + augmentation.cutout),
            max(0, left) : max(0, left + augmentation.cutout),
        ] = 0
    return x


def made(data, augmentation, **options):
    labels = np.arange(len(data))
    settings = {"mean": MEAN, "std": STD, "seed": 5, "epoch": 2, **options}
    x, y = zip(*batches(data, labels, 7, augmentation=augmentation, **settings), strict=True)
    return np.concatenate(x), np.concatenate(y)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.int16, ">f4"])
def test_the_bits_are_those_of_plain_numpy(name, dtype, kind):
    data = images(kind)
    found, _ = made(data, KINDS[name], dtype=dtype)
    for number, image in enumerate(data):
        wanted = augmented(image, number, KINDS[name], 5, 2, dtype, MEAN, STD)
        np.testing.assert_array_equal(found[number], wanted, err_msg=str(number))


@pytest.mark.parametrize("shape", [(9, 3, 1, 1), (9, 3, 1, 9), (9, 3, 8, 1), (9, 3, 17, 33)])
@pytest.mark.parametrize("name", KINDS)
def test_any_size_of_images(name, shape):
    data = images(shape=shape)
    found, _ = made(data, KINDS[name])
    for number, image in enumerate(data):
        wanted = augmented(image, number, KINDS[name], 5, 2, np.float32, MEAN, STD)
        np.testing.assert_array_equal(found[number], wanted)


@pytest.mark.parametrize("view", ["strided", "turned", "Fortran", "read-only", "misaligned"])
def test_images_of_any_layout(view):
    data = images(np.float32)
    if view == "strided":
        data = images(np.float32, (80, 3, 14, 5))[::2, :, ::2]
    elif view == "turned":
        data = data[::-1, ::-1, :, ::-1]
    elif view == "Fortran":
        data = np.asfortranarray(data)
    elif view == "read-only":
        data.flags.writeable = False
    else:
        raw = np.zeros(data.nbytes + 1, np.uint8)
        raw[1:] = data.reshape(-1).view(np.uint8)
        data = raw[1:].view(np.float32).reshape(data.shape)
    found, _ = made(data, KINDS["all"])
    wanted, _ = made(data.copy("C"), KINDS["all"])
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_an_image_is_the_same_in_any_order_batch_and_thread(workers):
    data = images(shape=(53, 3, 7, 5))
    wanted, _ = made(data, KINDS["all"])
    for threads in (1, 2, 8):
        fastconv.set_num_threads(threads)
        for size in (1, 8, 53, 100):
            order = epoch_order(53, 1, 1)
            found = batches(
                data, np.arange(53), size, augmentation=KINDS["all"], seed=5, epoch=2, mean=MEAN,
                std=STD, order=order, workers=workers,
            )  # fmt: skip
            for x, y in found:
                assert x.tobytes() == wanted[y].tobytes()


def test_seed_and_epoch_change_what_is_done():
    data = images()
    found = {
        (seed, epoch): made(data, KINDS["all"], seed=seed, epoch=epoch)[0].tobytes()
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(found.values())) == 9


def test_a_number_from_the_end_names_the_same_image():
    data = images()
    for order in (np.array([39, 0]), np.array([-1, -40])):
        ((x, y),) = batches(
            data, np.arange(40), 2, augmentation=KINDS["all"], seed=5, epoch=2, mean=MEAN, std=STD,
            order=order,
        )  # fmt: skip
        np.testing.assert_array_equal(y, [39, 0])
        wanted = augmented(data[39], 39, KINDS["all"], 5, 2, np.float32, MEAN, STD)
        np.testing.assert_array_equal(x[0], wanted)


def test_random_numbers_are_those_of_the_published_generator():
    """Its first outputs for the state 1234567, as other implementations list them."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423,
             4593380528125082431, 16408922859458223821]  # fmt: skip
    assert splitmix64(1234567, 5) == known
    assert random_numbers(np.array([0]), 5, np.uint64(1234567)).tolist() == [known]
    twelve = splitmix64(99, 12)
    found = random_numbers(np.array([3, 0, 1, 2]), 3, np.uint64(99))
    assert found.tolist() == [twelve[9:], twelve[:3], twelve[3:6], twelve[6:9]]


def test_every_shift_side_and_centre_is_as_likely_as_the_others():
    """No count is more than five standard deviations off; the key is fixed."""
    numbers = np.arange(90_000)
    moves = Augmentation(crop=2, flip=True, cutout=1).moves(numbers, (6, 10), epoch_key(0, 0))
    for column, count in ((0, 5), (1, 5), (2, 2), (3, 6), (5, 10)):
        values, counts = np.unique(moves[:, column], return_counts=True)
        assert len(values) == count
        share = len(numbers) / count
        assert np.abs(counts - share).max() < 5 * math.sqrt(share * (1 - 1 / count))
    assert np.abs(np.corrcoef(moves[:, [0, 1, 2, 3, 5]].T) - np.eye(5)).max() < 5 / 300


class TestText:
    @pytest.mark.parametrize("name", KINDS)
    def test_it_reads_back(self, name):
        assert parse_augmentation(str(KINDS[name])) == KINDS[name]

    def test_the_order_of_words_is_free(self):
        assert parse_augmentation("cutout:4,flip,crop:1") == KINDS["all"]
        assert str(KINDS["all"]) == "crop:1,flip,cutout:4"
        assert str(Augmentation()) == "none"

    @pytest.mark.parametrize(
        "text",
        ["", "flip,", "flip,flip", "crop", "crop:", "crop:0", "crop:-1", "crop:1.5", "cutout:x",
         "mirror", "none,flip", "crop:1:2", "flip:1", "crop:9999999999", " flip"],
    )  # fmt: skip
    def test_other_texts_are_refused_with_the_list(self, text):
        with pytest.raises(ValueError, match="expected none, or some of flip, crop:PADDING"):
            parse_augmentation(text)

    @pytest.mark.parametrize(
        ("settings", "error", "text"),
        [
            ({"crop": -1}, ValueError, "crop must be at least 0"),
            ({"cutout": 2.0}, TypeError, "cutout"),
            ({"crop": True}, TypeError, "crop"),
            ({"crop": 1 << 40}, ValueError, "crop: got 1099511627776"),
            ({"flip": 1}, TypeError, "flip: got 1, expected a bool"),
        ],
    )
    def test_wrong_settings_are_refused(self, settings, error, text):
        with pytest.raises(error, match=text):
            Augmentation(**settings)

    def test_settings_of_numpy_are_taken_as_pythons(self):
        taken = Augmentation(np.int64(2), np.True_, np.uint8(3))
        assert taken == Augmentation(2, True, 3)
        assert repr(taken) == "Augmentation(crop=2, flip=True, cutout=3)"


class TestLoop:
    """The compiled loop checks what it is given."""

    def arguments(self, count=2, **change):
        return {
            "images": np.zeros((3, 1, 4, 4), np.uint8), "chosen": np.arange(count),
            "mean": np.zeros(1), "scale": np.ones(1), "x": np.full((count, 1, 4, 4), 7.0),
            "moves": np.zeros((count, 7), np.int32), **change,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "move",
        [(0, 0, 0, -1, 2, 0, 0), (0, 0, 0, 0, 5, 0, 0), (0, 0, 0, 0, 2, -1, 2),
         (0, 0, 0, 0, 2, 0, 5), (0, 0, 0, 0, 2, 3, 2)],
    )  # fmt: skip
    def test_what_lies_outside_is_not_cut(self, move):
        moves = np.zeros((2, 7), np.int32)
        moves[1] = move
        given = self.arguments(moves=moves)
        assert not take_images(**given)
        assert (given["x"] == 7).all()

    def test_no_more_moves_or_images_than_there_are(self):
        assert not take_images(**self.arguments(moves=np.zeros((1, 7), np.int32)))
        assert not take_images(**self.arguments(chosen=np.array([0, 3])))
        assert not take_images(**self.arguments(chosen=np.array([0, -1])))
        for change in ({"mean": np.zeros(2)}, {"scale": np.ones(2)}, {"chosen": np.arange(3)}):
            with pytest.raises(ValueError, match="channels for x"):
                take_images(**self.arguments(**change))

    @pytest.mark.parametrize("far", [-(2**31), -5, 5, 2**31 - 1])
    def test_an_image_may_be_shifted_out_of_sight(self, far):
        for axis in (0, 1):
            for flip in (0, 1):
                moves = np.zeros((2, 7), np.int32)
                moves[:, axis], moves[:, 2] = far, flip
                given = self.arguments(
                    moves=moves, images=np.ones((3, 1, 4, 4), np.uint8), mean=np.array([0.5])
                )
                assert take_images(**given)
                np.testing.assert_array_equal(given["x"], -0.5)
