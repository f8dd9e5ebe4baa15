"""Where images come from, what is refused, and how they reach `fit`."""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import pipelines
from convae_keras.corruption import Downsample, GaussianNoise, Hole
from convae_keras.data import folders
from convae_keras.data import sources as data
from convae_keras.data.sources import Images, load_images
from convae_keras.pipelines import make_pipeline, to_float
from convae_keras.validation import check_images


@pytest.fixture
def pixels():
    """uint8 `(30, 5, 6, 1)`, no two images alike."""
    return np.random.default_rng(0).integers(0, 256, (30, 5, 6, 1), "uint8")


@pytest.fixture
def npz(tmp_path, pixels):
    """Writes an `.npz` with these arrays beside or in place of good ones."""

    def write(**arrays):
        good = {"x_train": pixels[:24], "x_test": pixels[24:]}
        arrays = {k: v for k, v in {**good, **arrays}.items() if v is not None}
        np.savez(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return write


@pytest.fixture
def photos(tmp_path):
    """A folder of 24 grey images of 8 × 8, with two labels."""
    for i in range(24):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, "uint8")).save(path)
    return tmp_path / "photos"


def offline():
    raise Exception("URL fetch failure on https://example.org: no network")


# --- images and their sources ------------------------------------------------


def test_images_say_what_they_are(pixels):
    y = np.arange(24) % 3
    images = Images(
        *("mine", np.zeros((1234, 5, 6, 1), "uint8"), y),
        *(pixels[:2], y[:2], pixels, None),
    )
    assert images.image_shape == (5, 6, 1)
    assert str(images) == (
        "mine: 1,234 training, 2 validation and 30 test images of 5 x 6 x 1, 3 classes"
    )
    with pytest.raises(AttributeError):
        images.name = "yours"


def test_mnist5k(digits):
    assert str(digits) == (
        "mnist5k: 3,667 training, 333 validation and 1,000 test images of "
        "28 x 28 x 1, 10 classes"
    )
    assert digits.x_train.dtype == "uint8" and digits.y_train.dtype == "int64"
    assert digits.class_names == tuple("0123456789")
    # Shuffled: every digit is in every part. Fixed: the same order everywhere.
    for y in (digits.y_train, digits.y_val, digits.y_test):
        assert np.bincount(y).min() > len(y) / 20
    assert digits.fingerprint == "da10ac2c9da888a4"


def test_loaded_images_come_back(digits):
    assert load_images(digits) is digits


@pytest.mark.parametrize(
    "name, shape, y_shape",
    [
        ("mnist", (28, 28), ()),
        ("fashion_mnist", (28, 28), ()),
        ("cifar10", (32, 32, 3), (1,)),
    ],
)
def test_named_sets(name, shape, y_shape, monkeypatch):
    def load_data():
        y = np.zeros((600, *y_shape), "uint8")
        x = np.arange(600).astype("uint8").reshape(-1, *[1] * len(shape))
        x = np.broadcast_to(x, (600, *shape))
        return (x, y), (x[:100], y[:100])

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", load_data)
    images = load_images(name)
    assert images.name == name and len(images.class_names) == 10
    assert images.x_train.shape == (550, *(*shape, 1)[:3])
    assert images.y_train.shape == (550,)
    # The validation images are the last twelfth, as they lie.
    assert images.x_val[:, 0, 0, 0].tolist() == [i % 256 for i in range(550, 600)]
    assert (len(images.x_test), len(images.y_test)) == (100, 100)


def test_mnist_out_of_reach(digits, monkeypatch, capsys):
    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    monkeypatch.setattr(data, "_mnist5k", lambda: digits)
    images = load_images("mnist")
    (line,) = capsys.readouterr().out.splitlines()
    assert "MNIST is out of reach" in line and "mnist5k" in line
    assert images is digits


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_other_sets_out_of_reach(name, monkeypatch):
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", offline)
    with pytest.raises(ValueError, match=f"{name}.*out of reach.*no network"):
        load_images(name)


def test_npz(npz, pixels):
    images = load_images(npz(y_train=np.arange(24).astype("uint8")))
    assert images.name == "mine"
    np.testing.assert_array_equal(images.x_train, pixels[:22])
    np.testing.assert_array_equal(images.x_val, pixels[22:24])
    np.testing.assert_array_equal(images.x_test, pixels[24:])
    assert images.y_train.dtype == "int64" and images.y_val.tolist() == [22, 23]
    assert images.y_test is None


def test_npz_with_a_validation_set(npz, pixels):
    images = load_images(str(npz(x_val=pixels[:3, ..., 0], y_val=np.ones((3, 1), int))))
    assert len(images.x_train) == 24
    np.testing.assert_array_equal(images.x_val, pixels[:3])
    assert images.y_val.tolist() == [1, 1, 1] and images.y_train is None


def test_folder(photos):
    images = load_images(photos, image_size=(4, 6), color="rgb", seed=3)
    assert str(images) == (
        "photos: 21 training, 1 validation and 2 test images of 4 x 6 x 3, 2 classes"
    )
    assert images.class_names == ("a", "b")
    # `photos` writes the even numbers into "a".
    np.testing.assert_array_equal(images.x_train[:, 0, 0, 0] % 2, images.y_train)


def test_a_set_has_the_name_of_its_folder(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert load_images(".").name == "photos"
    assert load_images(f"{photos}{os.sep}").name == "photos"


@pytest.mark.parametrize(
    "here, there, source, name",
    [
        ("", None, "photos", "photos"),  # no PWD: from the working directory
        ("photos", "", "photos", "photos"),  # a notebook's kernel stands elsewhere
        ("", "photos", "photos", "photos"),  # PWD is stale
        ("photos", "", "./photos/a", "a"),
        ("", "", "photos/../photos", "photos"),
    ],
)
def test_environment(here, there, source, name, photos, monkeypatch):
    monkeypatch.chdir(photos.parent / here)
    monkeypatch.delenv("PWD", raising=False)
    if there is not None:
        monkeypatch.setenv("PWD", str(photos.parent / there))
    monkeypatch.setenv("CONVAE_DATA", source)
    assert load_images().name == name


def test_environment_with_a_whole_path(photos, monkeypatch):
    monkeypatch.setenv("CONVAE_DATA", str(photos))
    assert load_images().name == "photos"


@pytest.mark.parametrize("value", [None, ""])
def test_mnist_is_the_default(value, monkeypatch):
    monkeypatch.delenv("CONVAE_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("CONVAE_DATA", value)
    monkeypatch.setattr(data, "_keras_set", lambda name: f"asked for {name}")
    assert load_images() == "asked for mnist"


def fingerprint(x_train, x_val, x_test):
    return Images("mine", x_train, None, x_val, None, x_test, None).fingerprint


def test_fingerprint(pixels):
    changed = pixels.copy()
    changed[7, 2, 3] ^= 1
    first = fingerprint(pixels, pixels, pixels)
    assert len(first) == 16 and int(first, 16)
    assert first == fingerprint(pixels.copy(), pixels, pixels)
    others = [
        fingerprint(*arrays)
        for arrays in [
            (changed, pixels, pixels),
            (pixels, changed, pixels),
            (pixels, pixels, changed),
            (pixels[:20], np.concatenate([pixels[20:], pixels]), pixels),
            (pixels.reshape(30, 6, 5, 1), pixels, pixels),
            (pixels.astype("float32"), pixels, pixels),
        ]
    ]
    assert len({first, *others}) == 7


def test_fingerprint_of_inputs(pixels):
    parts = ("mine", pixels, None, pixels, None, pixels, None)
    changed = pixels.copy()
    changed[7, 2, 3] ^= 1
    prints = [
        Images(*parts, inputs_train=a, inputs_val=b, inputs_test=pixels).fingerprint
        for a, b in [(pixels, pixels), (changed, pixels), (pixels, changed)]
    ]
    assert len({*prints, Images(*parts).fingerprint}) == 4


def test_fingerprint_streams(pixels, tmp_path, monkeypatch):
    first = fingerprint(pixels, pixels, pixels)
    monkeypatch.setattr(pipelines, "CHUNK", 100)
    assert first == fingerprint(pixels, mapped(pixels, tmp_path)[:], pixels)


def test_only_all_of_mnist_is_official(digits, monkeypatch):
    assert not data.is_official(digits)
    monkeypatch.setattr(data, "MNIST_FINGERPRINT", digits.fingerprint)
    assert data.is_official(digits)


# --- sources that are refused ------------------------------------------------


@pytest.mark.parametrize(
    "source, options, message",
    [
        ("nowhere", {}, "`source` must be in .*mnist5k.*npz.*folder.*'.*nowhere'"),
        ("nowhere.npz", {}, "`source` must be .*nowhere.npz"),
        ("text.csv", {}, "`source` must be .*text.csv"),
        (np.zeros((3, 4, 4)), {}, "`source` must be .*ndarray"),
        (7, {}, "`source` must be .*int"),
        ("mnist5k", {"image_size": 32}, r"folder.*\['image_size'\].*'mnist5k'"),
        ("", {"color": "blue"}, "`color` must be"),
    ],
)
def test_no_such_source(source, options, message, tmp_path):
    (tmp_path / "text.csv").write_text("1,2,3")
    if isinstance(source, str) and source not in data.CLASS_NAMES:
        source = tmp_path / source
    with pytest.raises(ValueError, match=message):
        load_images(source, **options)


def objects():
    array = np.empty(3, dtype=object)
    array[:] = [np.zeros((2, 2)), np.zeros((3, 3)), None]
    return array


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x_test": None}, r"`x_train` and `x_test` must be .*\['x_train'\]"),
        ({"x_train": None, "images": np.ones(3)}, "must be among its keys"),
        ({"x_train": objects()}, "[Oo]bject arrays cannot be loaded"),
        ({"y_test": objects()}, "[Oo]bject arrays cannot be loaded"),
        ({"x_test": np.zeros((6, 5, 7), "uint8")}, "images of one shape"),
        ({"x_val": np.zeros((6, 5, 6, 3), "uint8")}, "images of one shape"),
        ({"x_train": np.zeros((1, 5, 6), "uint8")}, "at least 2 images.*Received: 1"),
        ({"x_train": np.arange(24)}, "`x_train` must be images.*looks like labels"),
        ({"x_train": np.full((24, 5, 6), np.nan)}, "`x_train` must be finite"),
        (
            {"y_train": np.arange(23)},
            r"`y_train` must be whole numbers \(24,\).*\(23,\)",
        ),
        ({"y_test": np.zeros((6, 10), int)}, r"`y_test` must be .*\(6, 10\)"),
        ({"y_test": np.zeros(6)}, "`y_test` must be whole numbers.*float64"),
    ],
)
def test_bad_npz(arrays, message, npz):
    with pytest.raises(ValueError, match=f"(?s)Cannot use '.*mine.npz': .*{message}"):
        load_images(npz(**arrays))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[400] ^= 255
    path.write_bytes(content)


def compressed(path):
    """Squeezed, and then spoilt in the midst of what was squeezed."""
    with np.load(path) as file:
        np.savez_compressed(path, **file)
    flip_a_byte(path)


def an_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 4, 4), "uint8"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(path.read_bytes()[:10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not a zip file"),
        lambda path: zipfile.ZipFile(path, "w").close(),
        flip_a_byte,
        compressed,
        an_array,
    ],
)
def test_a_corrupt_npz(spoil, npz):
    path = npz()
    spoil(path)
    with pytest.raises(ValueError, match="Cannot use '.*mine.npz': ."):
        load_images(path)


# --- arrays ------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 5, 6, 1), (3, 5, 6, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
def test_good_arrays(shape, dtype):
    x = check_images(np.ones(shape, dtype))
    assert x.shape == (*shape, 1)[:4]
    assert x.dtype == ("uint8" if dtype == "uint8" else "float32")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_good_arrays_are_not_copied(dtype, tmp_path):
    x = np.zeros((3, 5, 6), dtype)
    assert np.shares_memory(check_images(x), x)
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=(3, 5, 6))
    assert isinstance(check_images(mapped), np.memmap)


def test_a_list_of_images_is_an_array_of_them():
    assert check_images([np.zeros((4, 5), "uint8")] * 2).shape == (2, 4, 5, 1)


IMAGES = r"`x` must be images, \(n, height, width\) or \(n, height, width, channels\)"
RANGE = r"`x` must be uint8 in \[0, 255\] or float in \[0, 1\]"


@pytest.mark.parametrize(
    "x, message",
    [
        (np.arange(10), rf"{IMAGES}. Received: int64 \(10,\), which looks like labels"),
        (np.zeros((10, 1), "uint8"), "looks like labels"),
        (np.zeros((10, 784), "float32"), rf"{IMAGES}.*\(10, 784\)"),
        (np.float32(0.5), IMAGES),
        (np.zeros((2, 2, 3, 4, 1), "uint8"), rf"{IMAGES}.*\(2, 2, 3, 4, 1\)"),
        ([np.zeros((3, 4)), np.zeros((3, 5))], f"{IMAGES}, all of one size"),
        (objects(), f"{IMAGES}, all of one size. Received: object"),
        (None, f"{IMAGES}.*object"),
        (np.zeros((0, 5, 6), "uint8"), r"one image at least.*\(0, 5, 6\)"),
        (np.zeros((5, 0, 6), "uint8"), r"one pixel at least.*\(5, 0, 6\)"),
        (np.zeros((5, 6, 6, 0), "uint8"), r"one pixel at least.*\(5, 6, 6, 0\)"),
        (np.zeros((5, 3, 32, 32), "uint8"), rf"{IMAGES}.*with channels first"),
        (np.zeros((5, 1, 28, 28), "uint8"), rf"{IMAGES}.*with channels first"),
        (np.zeros((28, 28, 1), "uint8"), rf"{IMAGES}.*looks like one image"),
        (np.full((3, 5, 6), np.nan), "`x` must be finite. Received: NaN or infinite"),
        (np.full((3, 5, 6), np.inf, "float32"), "`x` must be finite"),
        (np.full((3, 5, 6), -np.inf, "float32"), "`x` must be finite"),
        (np.full((3, 5, 6), 255.0), f"{RANGE}.*255 to 255 .*divide by 255"),
        (np.full((3, 5, 6), -1.0), f"{RANGE}.*-1 to -1 .*for the pipeline to make"),
        (np.zeros((3, 5, 6), "int64"), f"{RANGE}. Received: int64"),
        (np.zeros((3, 5, 6), "uint16"), f"{RANGE}. Received: uint16"),
        (np.zeros((3, 5, 6), "int8"), f"{RANGE}. Received: int8"),
        (np.zeros((3, 5, 6), bool), f"{RANGE}. Received: bool"),
        (np.zeros((3, 5, 6), complex), f"{RANGE}. Received: complex128"),
        (np.full((3, 5, 6), "a"), f"{RANGE}. Received: <U1"),
    ],
)
def test_bad_arrays(x, message):
    with pytest.raises(ValueError, match=message):
        check_images(x)
    if x is not None:
        with pytest.raises(ValueError, match=message):
            make_pipeline(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5, -0.5])
def test_one_bad_pixel_is_found(bad, monkeypatch):
    monkeypatch.setattr(pipelines, "CHUNK", 200)
    x = np.zeros((20, 5, 6), "float32")
    x[-1, -1, -1] = bad
    with pytest.raises(ValueError, match="`mine` must be"):
        check_images(x, "mine")


@pytest.mark.parametrize("x", [np.uint8([[[0, 51, 255]]]), np.array([[[0, 0.2, 1]]])])
@pytest.mark.parametrize(
    "pixel_range, expected", [((0, 1), [0, 0.2, 1]), ([-1, 1], [-1, -0.6, 1])]
)
def test_to_float(x, pixel_range, expected):
    x = to_float(x, pixel_range)
    assert x.dtype == "float32" and x.shape == (1, 1, 3, 1)
    np.testing.assert_allclose(x.ravel(), expected, atol=1e-7)


# --- pipelines ---------------------------------------------------------------


def mapped(x, tmp_path):
    file = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    file[:] = x
    return file


def batches(pipeline, count=None):
    return [x for x, _ in pipeline.take(count or -1).as_numpy_iterator()]


WAYS = {
    "memory": lambda x, tmp_path: x,
    "disk": mapped,
    "slice of disk": lambda x, tmp_path: mapped(x, tmp_path)[:],
    "view of disk": lambda x, tmp_path: np.asarray(mapped(x, tmp_path))[..., 0],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("pixel_range", [(0, 1), (-1, 1)])
def test_one_pass_in_order(way, dtype, pixel_range, pixels, tmp_path):
    x = pixels if dtype == "uint8" else to_float(pixels)
    x = WAYS[way](x, tmp_path)
    assert pipelines._is_on_disk(x) == ("disk" in way)
    pipeline = make_pipeline(x, 8, pixel_range=pixel_range)
    assert int(pipeline.cardinality()) == 4
    pairs = list(pipeline.as_numpy_iterator())
    assert [len(batch) for batch, _ in pairs] == [8, 8, 8, 6]
    for given, target in pairs:
        assert given.dtype == target.dtype == "float32"
        np.testing.assert_array_equal(given, target)
    # Bit for bit what `to_float` makes of the same images.
    whole = np.concatenate([batch for batch, _ in pairs])
    np.testing.assert_array_equal(whole, to_float(pixels, pixel_range))


@pytest.mark.parametrize("way", ["memory", "disk"])
def test_shapes_are_known_beforehand(way, pixels, tmp_path):
    x = WAYS[way](pixels, tmp_path)
    (in_order, _), (shuffled, _) = (
        make_pipeline(x, 8, seed=seed).element_spec for seed in (None, 0)
    )
    assert in_order.shape.as_list() == [None, 5, 6, 1]
    assert shuffled.shape.as_list() == [8, 5, 6, 1]


def test_an_epoch_shows_every_image_once(pixels):
    epochs = batches(make_pipeline(pixels, 10, seed=3), count=6)
    first, second = np.concatenate(epochs[:3]), np.concatenate(epochs[3:])
    expected = sorted(image.tobytes() for image in to_float(pixels))
    assert sorted(image.tobytes() for image in first) == expected
    assert sorted(image.tobytes() for image in second) == expected
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, to_float(pixels))


def test_the_order_comes_from_the_seed(pixels, tmp_path):
    first, again, on_disk, other = (
        np.stack(batches(make_pipeline(x, 7, seed=seed), count=12))
        for x, seed in [(pixels, 3), (pixels, 3), (mapped(pixels, tmp_path), 3)]
        + [(pixels, 4)]
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, on_disk)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("steps", [None, 3])
def test_a_stopped_training_goes_on_with_the_same_batches(steps, pixels):
    options = {"batch_size": 7, "seed": 3, "steps_per_epoch": steps}
    per_epoch = steps or 4
    whole = batches(make_pipeline(pixels, **options), count=5 * per_epoch)
    rest = batches(make_pipeline(pixels, **options, first_epoch=2), 3 * per_epoch)
    np.testing.assert_array_equal(whole[2 * per_epoch :], rest)


def test_fewer_steps_are_the_first_of_the_epoch(pixels):
    whole = batches(make_pipeline(pixels, 7, seed=3), count=8)
    short = batches(make_pipeline(pixels, 7, seed=3, steps_per_epoch=3), count=6)
    np.testing.assert_array_equal(whole[:3] + whole[4:7], short)


@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_is_at_most_the_set(seed, pixels):
    (batch,) = batches(make_pipeline(pixels, 1000, seed=seed), count=1)
    assert batch.shape == (30, 5, 6, 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "`batch_size` must be an int of at least 1. Received: 0"),
        ({"batch_size": -3}, "`batch_size` must be .*Received: -3"),
        ({"batch_size": 2.5}, "`batch_size` must be .*Received: 2.5"),
        ({"batch_size": None}, "`batch_size` must be .*Received: None"),
        ({"pixel_range": (0, 255)}, r"`pixel_range` must be \(0, 1\) or \(-1, 1\)"),
        ({"seed": 0, "steps_per_epoch": 0}, "`steps_per_epoch` must be from 1 to 1"),
        ({"seed": 0, "steps_per_epoch": 2}, "`steps_per_epoch` must be from 1 to 1"),
    ],
)
def test_bad_options(options, message, pixels):
    with pytest.raises(ValueError, match=message):
        make_pipeline(pixels, **options)


# --- pipelines whose input is not their target -------------------------------


def pairs(pipeline, count=None):
    """`(inputs, targets)` of so many batches, or of all."""
    found = list(pipeline.take(count or -1).as_numpy_iterator())
    return tuple(np.concatenate(images) for images in zip(*found, strict=True))


@pytest.mark.parametrize("way", ["memory", "disk"])
def test_the_target_is_the_image_and_the_input_its_damage(way, pixels, tmp_path):
    x = WAYS[way](pixels, tmp_path)
    shown, targets = pairs(make_pipeline(x, 8, corrupt=GaussianNoise(0.3, clip=False)))
    np.testing.assert_array_equal(targets, to_float(pixels))
    noise = shown - targets
    assert noise.std() == pytest.approx(0.3, rel=0.1)
    assert abs(noise.mean()) < 5 * 0.3 / noise.size**0.5
    # Its own for every image, in every batch.
    assert len({image.tobytes() for image in noise.round(5)}) == 30


def test_shuffled_inputs_are_damaged_targets(pixels):
    shown, targets = pairs(make_pipeline(pixels, 7, seed=3, corrupt=Hole(2, 0.5)), 4)
    whole = {image.tobytes() for image in to_float(pixels)}
    assert {image.tobytes() for image in targets} < whole
    hole = shown != targets
    assert (shown[hole] == 0.5).all()
    assert (hole.sum(axis=(1, 2, 3)) == 4).all()  # no byte becomes 0.5


def test_what_is_shown_may_be_smaller(pixels):
    corrupt = Downsample(2)
    shown, targets = pairs(make_pipeline(pixels, 8, corrupt=corrupt))
    assert targets.shape == (30, 5, 6, 1) and shown.shape == (30, 2, 3, 1)
    np.testing.assert_allclose(shown, corrupt(pixels), atol=1e-6)
    spec, _ = make_pipeline(pixels, 8, corrupt=corrupt).element_spec
    assert spec.shape.as_list() == [None, 2, 3, 1]


def ways_of(x):
    """The eight ways in which a square can lie."""
    turned = [np.rot90(x, i) for i in range(4)]
    return turned + [each[:, ::-1] for each in turned]


def test_turned_batches_lie_in_any_of_eight_ways():
    x = np.arange(2 * 16, dtype="uint8").reshape(2, 4, 4, 1)
    ways = {y.tobytes(): way for y in to_float(x) for way, y in enumerate(ways_of(y))}
    options = {"batch_size": 1, "seed": 3, "turn": True}
    pipeline = make_pipeline(x, corrupt=Downsample(2), **options)
    shown, targets = pairs(pipeline, 160)
    found = [ways[image.tobytes()] for image in targets]
    assert np.bincount(found, minlength=8).min() > 8  # of 20
    # What is shown is turned with its target.
    np.testing.assert_allclose(shown, Downsample(2)(targets), atol=1e-6)
    inputs = make_pipeline(x, inputs=255 - x, **options)
    shown, again = pairs(inputs, 160)
    np.testing.assert_allclose(shown, 1 - again, atol=1e-6)
    np.testing.assert_array_equal(again, targets)  # drawn from the seed alone
    later = make_pipeline(x, inputs=255 - x, first_epoch=40, **options)
    np.testing.assert_array_equal(pairs(later, 80)[1], again[80:])


def test_only_squares_are_turned(pixels):
    with pytest.raises(ValueError, match=r"`turn` must be False, or .*\(5, 6, 1\)"):
        make_pipeline(pixels, 7, seed=3, turn=True)


def noise_of(pixels, count=None, **options):
    options = {"batch_size": 7, "corrupt": GaussianNoise(0.3, clip=False), **options}
    shown, targets = pairs(make_pipeline(pixels, **options), count)
    return np.round(shown - targets, 5)


def test_noise_is_drawn_anew():
    """All images are one image, so that the order plays no part."""
    same = np.full((28, 5, 6, 1), 99, "uint8")
    noise = noise_of(same, 12, seed=3)
    assert len({image.tobytes() for image in noise}) == 3 * 28
    np.testing.assert_array_equal(noise, noise_of(same, 12, seed=3))
    other = noise_of(same, 12, seed=4)
    assert not {image.tobytes() for image in noise} & {i.tobytes() for i in other}


@pytest.mark.parametrize("steps", [None, 3])
def test_a_stopped_training_goes_on_with_the_same_noise(steps, pixels):
    per_epoch, images = steps or 4, 7 * (steps or 4)
    options = {"seed": 3, "steps_per_epoch": steps}
    whole = noise_of(pixels, 4 * per_epoch, **options)
    for epoch in (1, 3):
        rest = noise_of(pixels, per_epoch, **options, first_epoch=epoch)
        np.testing.assert_array_equal(whole[epoch * images :][:images], rest)


def test_without_a_seed_two_passes_are_alike(pixels):
    pipeline = make_pipeline(pixels, 7, corrupt=GaussianNoise(0.3))
    first, second = pairs(pipeline), pairs(pipeline)
    np.testing.assert_array_equal(first, second)
    again = pairs(make_pipeline(pixels, 7, corrupt=GaussianNoise(0.3)))
    np.testing.assert_array_equal(first, again)


def test_damage_leaves_the_order_alone(pixels):
    _, damaged = pairs(make_pipeline(pixels, 7, seed=3, corrupt=GaussianNoise()), 8)
    _, whole = pairs(make_pipeline(pixels, 7, seed=3), 8)
    np.testing.assert_array_equal(damaged, whole)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("way", ["memory", "disk"])
def test_inputs_stay_with_their_targets(way, seed, pixels, tmp_path):
    # A byte that tells which target it belongs to; of another size and kind.
    inputs = 255 - pixels[:, :2, :3]
    given = WAYS[way](inputs, tmp_path)
    pipeline = make_pipeline(pixels, 7, seed=seed, inputs=given)
    shown, targets = pairs(pipeline, 8 if seed else None)
    assert shown.shape[1:] == (2, 3, 1) and shown.dtype == "float32"
    np.testing.assert_allclose(shown, 1 - targets[:, :2, :3], atol=1e-6)
    expected = to_float(pixels)
    if seed is None:
        np.testing.assert_array_equal(targets, expected)
    else:
        assert not np.array_equal(targets[:28], expected[:28])


@pytest.mark.parametrize("kind", ["corrupt", "inputs"])
def test_the_range_is_that_of_inputs_and_targets(kind, pixels):
    options = {"corrupt": GaussianNoise(0.2)}
    if kind == "inputs":
        options = {"inputs": to_float(255 - pixels)}
    shown, targets = pairs(make_pipeline(pixels, 8, **options))
    wide = pairs(make_pipeline(pixels, 8, pixel_range=(-1, 1), **options))
    np.testing.assert_array_equal(wide[0], 2 * shown - 1)
    np.testing.assert_array_equal(wide[1], 2 * targets - 1)
    assert wide[0].min() == -1 and wide[1].max() > 0.9


@pytest.mark.parametrize(
    "options, message",
    [
        ({"inputs": 29}, "`inputs` must be 30 images. Received: 29"),
        ({"inputs": 31}, "`inputs` must be 30 images. Received: 31"),
        (
            {"inputs": 30, "corrupt": GaussianNoise(0.5)},
            r"`corrupt` must be None, where there are `inputs`.*GaussianNoise\(",
        ),
    ],
)
def test_bad_inputs(options, message, pixels):
    options["inputs"] = np.zeros((options["inputs"], 5, 6, 1), "uint8")
    with pytest.raises(ValueError, match=message):
        make_pipeline(pixels, **options)


def test_inputs_are_looked_at(pixels):
    with pytest.raises(ValueError, match="`inputs` must be finite"):
        make_pipeline(pixels, inputs=np.full((30, 5, 6, 1), np.nan))


def anonymous_memory():
    """Bytes that the process holds and that are no copy of a file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_folder_larger_than_memory(tmp_path, monkeypatch):
    photo = tmp_path / "photos" / "0.bmp"
    photo.parent.mkdir()
    Image.fromarray(np.arange(64, dtype="uint8").reshape(8, 8)).save(photo)
    for i in range(1, 1000):
        os.link(photo, photo.with_name(f"{i}.bmp"))
    monkeypatch.setattr(folders, "MEMORY_LIMIT", 2**20)

    model = keras.Sequential([keras.Input((128, 128, 3)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", jit_compile=False)
    options, silent = {"batch_size": 4, "seed": 0}, {"shuffle": False, "verbose": 0}
    some = np.zeros((16, 128, 128, 3), "uint8")
    model.fit(make_pipeline(some, **options), steps_per_epoch=4, **silent)

    held = [anonymous_memory()]
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: held.append(anonymous_memory())
    )
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        images = load_images(photo.parent, image_size=128, color="rgb")
    assert isinstance(images.x_train, np.memmap)
    assert list(tmp_path.iterdir()) == [photo.parent]
    pipeline = make_pipeline(images.x_train, **options)
    steps = len(images.x_train) // 4
    model.fit(pipeline, steps_per_epoch=steps, callbacks=[watch], **silent)
    # 49 MB of pixels, 197 MB once they are floats: they must not pile up.
    assert len(held) == steps + 1 and max(held) - held[0] < 40e6


def test_fit_takes_a_pipeline(digits):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    history = model.fit(
        make_pipeline(digits.x_train[:64], 16, seed=0),
        validation_data=make_pipeline(digits.x_val[:20], 16),
        **{"steps_per_epoch": 4, "epochs": 2, "shuffle": False, "verbose": 0},
    ).history
    assert history["val_loss"][1] < history["val_loss"][0]
