"""`Images` and `load_images`: what is loaded, and what is refused."""

import os
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import validation
from convae_keras.data import sources
from convae_keras.data.sources import Images, load_images

pytestmark = pytest.mark.static


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
    images = Images(
        *("mine", np.zeros((1234, 5, 6, 1), "uint8"), np.arange(1234) % 3),
        *(pixels[:2], np.arange(2), pixels, None),
    )
    assert images.image_shape == (5, 6, 1)
    assert str(images) == (
        "mine: 1,234 training, 2 validation and 30 test images of 5 x 6 x 1, 3 classes"
    )
    with pytest.raises(AttributeError):
        images.name = "yours"


def test_images_are_normalized(pixels):
    """To NHWC, float32 and int64, and without a copy where possible."""
    y = np.zeros((30, 1), "uint8")
    flat = (pixels[..., 0] / 255).astype("float64")
    images = Images("mine", pixels, y, pixels[:3, ..., 0], None, flat, y[:, 0])
    assert images.x_train is pixels
    assert np.shares_memory(images.x_val, pixels) and images.x_val.shape == (3, 5, 6, 1)
    assert images.x_test.shape == (30, 5, 6, 1) and images.x_test.dtype == "float32"
    assert images.y_train.shape == (30,) and images.y_train.dtype == "int64"
    assert images.y_test.dtype == "int64" and images.y_val is None


def test_images_can_be_replaced(pixels):
    images = Images("mine", pixels, None, pixels, None, pixels, None)
    assert images.fingerprint
    changed = replace(images, name="yours", inputs_val=pixels[:, :2, :3, 0])
    assert changed.name == "yours" and changed.inputs_val.shape == (30, 2, 3, 1)
    assert changed.x_train is pixels
    assert changed.fingerprint != images.fingerprint
    with pytest.raises(ValueError, match="`x_test` must be"):
        replace(images, x_test=np.arange(30))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": np.full((30, 5, 6, 1), 2.0)}, "`x_train` must be"),
        ({"x_val": np.zeros((0, 5, 6, 1), "uint8")}, "`x_val` must"),
        ({"x_test": np.zeros((30, 6, 5, 1), "uint8")}, "`x` must have the same shape"),
        ({"y_train": np.arange(29)}, r"`y_train` must be .*\(30,\).*\(29,\)"),
        ({"y_val": np.zeros(30)}, "`y_val` must be .*float64"),
        ({"inputs_test": np.zeros((29, 5, 6), "uint8")}, "`inputs_test` must be 30"),
        ({"inputs_train": np.arange(30)}, "`inputs_train` must be images"),
        (
            {
                "inputs_train": np.zeros((30, 5, 6), "uint8"),
                "inputs_val": np.zeros((30, 5, 5), "uint8"),
            },
            "`inputs` must have the same shape",
        ),
    ],
)
def test_bad_images(changes, message, pixels):
    images = Images("mine", pixels, None, pixels, None, pixels, None)
    with pytest.raises(ValueError, match=message):
        replace(images, **changes)


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
    # The validation images are the last twelfth, in order.
    assert images.x_val[:, 0, 0, 0].tolist() == [i % 256 for i in range(550, 600)]
    assert (len(images.x_test), len(images.y_test)) == (100, 100)


def test_mnist_offline(digits, monkeypatch, capsys):
    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    monkeypatch.setattr(sources, "_mnist5k", lambda: digits)
    images = load_images("mnist")
    (line,) = capsys.readouterr().out.splitlines()
    assert "MNIST" in line and "mnist5k" in line
    assert images is digits


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_other_sets_offline(name, monkeypatch):
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", offline)
    with pytest.raises(ValueError, match=f"{name}.*no network"):
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
        "photos: 21 training, 1 validation and 2 test images of 4 x 6 x 3, 2 classes "
        "(24 PNG of 8 bits, pixels 0 to 23, splits drawn)"
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


def test_environment_with_an_absolute_path(photos, monkeypatch):
    monkeypatch.setenv("CONVAE_DATA", str(photos))
    assert load_images().name == "photos"


@pytest.mark.parametrize("value", [None, ""])
def test_mnist_is_the_default(value, monkeypatch):
    monkeypatch.delenv("CONVAE_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("CONVAE_DATA", value)
    monkeypatch.setattr(sources, "_keras_set", lambda name: f"asked for {name}")
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
            [x.reshape(30, 6, 5, 1) for x in [pixels] * 3],
            ((pixels / 255).astype("float32"), pixels, pixels),
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


def mapped(x, tmp_path):
    file = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    file[:] = x
    return file


def test_fingerprint_streams(pixels, tmp_path, monkeypatch):
    first = fingerprint(pixels, pixels, pixels)
    monkeypatch.setattr(validation, "CHUNK", 100)
    assert first == fingerprint(pixels, mapped(pixels, tmp_path)[:], pixels)


def test_only_all_of_mnist_is_official(digits, monkeypatch):
    assert not sources.is_official(digits)
    monkeypatch.setattr(sources, "MNIST_FINGERPRINT", digits.fingerprint)
    assert sources.is_official(digits)


# --- sources that are refused ------------------------------------------------


@pytest.mark.parametrize(
    "source, options, message",
    [
        ("nowhere", {}, "`source` must be .*mnist5k.*npz.*folder.*'.*nowhere'"),
        ("nowhere.npz", {}, "`source` must be .*nowhere.npz"),
        ("text.csv", {}, "`source` must be .*text.csv"),
        (np.zeros((3, 4, 4)), {}, "`source` must be .*ndarray"),
        (7, {}, "`source` must be .*int"),
        ("mnist5k", {"image_size": 32}, r"\['image_size'\].*folder.*'mnist5k'"),
        ("", {"color": "blue"}, "`color` must be"),
        ("", {"size": 8}, r"Unknown options: \['size'\]. Available: .*'image_size'"),
        ("photographs", {"fit": "pad"}, r"options: \['fit'\].*: \['color', 'patch"),
    ],
)
def test_no_such_source(source, options, message, tmp_path):
    (tmp_path / "text.csv").write_text("1,2,3")
    if isinstance(source, str) and source not in sources.CLASS_NAMES:
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
        ({"x_train": None, "images": np.ones(3)}, "`x_train` and `x_test` must be"),
        ({"x_train": objects()}, "[Oo]bject arrays cannot be loaded"),
        ({"y_test": objects()}, "[Oo]bject arrays cannot be loaded"),
        ({"x_test": np.zeros((6, 5, 7), "uint8")}, "`x` must have the same shape"),
        ({"x_val": np.zeros((6, 5, 6, 3), "uint8")}, "`x` must have the same shape"),
        ({"x_train": np.zeros((1, 5, 6), "uint8")}, "at least 2 images.*: 1"),
        ({"x_train": np.arange(24)}, "`x_train` must be images.*looks like labels"),
        ({"x_train": np.full((24, 5, 6), np.nan)}, "`x_train` must be finite"),
        ({"x_train": np.float32(0.5)}, "`x_train` needs at least 2 images"),
        ({"y_train": np.arange(23)}, "`y_train` must have 24 labels. Received: 23"),
        ({"y_test": np.zeros((6, 10), int)}, r"`y_test` must be .*\(6, 10\)"),
        ({"y_test": np.zeros(6)}, "`y_test` must be .*float64"),
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
    """Compressed, then corrupted inside the compressed data."""
    with np.load(path) as file:
        np.savez_compressed(path, **file)
    flip_a_byte(path)


def an_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 4, 4), "uint8"))


@pytest.mark.parametrize(
    "corrupt",
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
def test_a_corrupt_npz(corrupt, npz):
    path = npz()
    corrupt(path)
    with pytest.raises(ValueError, match="Cannot use '.*mine.npz': ."):
        load_images(path)
