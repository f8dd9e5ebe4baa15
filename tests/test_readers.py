"""Files of any size are read as they were written; a changed one, or not at all."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convae_keras import load_images
from convae_keras.compression.models import conv_codec
from convae_keras.data.splits import SPLITS
from convae_keras.files.batches import batches_of_array

pytestmark = pytest.mark.static

counts, sides = st.integers(1, 4), st.integers(1, 12)
seeds, channels = st.integers(0, 999), st.sampled_from([1, 3])


def drawn(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def codec():
    return conv_codec((None, None, 1), filters=(2,), code_filters=(), latent_dim=1)


def arrays(images):
    return {f"x_{split}": getattr(images, f"x_{split}") for split in SPLITS}


def assert_same(found, expected):
    for key, x in expected.items():
        np.testing.assert_array_equal(found[key], x)


@settings(max_examples=20)
@given(counts, sides, sides, channels, st.booleans(), seeds)
def test_npz(folder, count, height, width, depth, floats, seed):
    shape = height, width, depth
    parts = {f"x_{each}": drawn(seed, count, *shape) for each in SPLITS}
    parts["x_train"][0, 0, 0] = 255  # else it may be nearly black
    if floats:
        parts = {key: (x / 255).astype("float32") for key, x in parts.items()}
    np.savez(folder / "a.npz", **parts)
    assert_same(arrays(load_images(folder / "a.npz")), parts)


@settings(max_examples=100)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_npz_with_a_changed_byte(folder, place, value):
    parts = {f"x_{split}": drawn(3, 2, 4, 4, 1) for split in SPLITS}
    content = io.BytesIO()
    np.savez(content, **parts)
    content = bytearray(content.getvalue())
    content[int(place * len(content))] = value
    (folder / "b.npz").write_bytes(content)
    with contextlib.suppress(ValueError):
        assert_same(arrays(load_images(folder / "b.npz")), parts)


@settings(max_examples=20)
@given(counts, sides, sides, st.booleans(), seeds)
def test_npy(folder, codec, count, height, width, fortran, seed):
    x = drawn(seed, count, height, width, 1)
    np.save(folder / "a.npy", np.asfortranarray(x) if fortran else x)
    batches = batches_of_array(codec, folder / "a.npy")
    np.testing.assert_array_equal(np.concatenate([*batches]), x)


@settings(max_examples=10)
@given(sides, sides, channels, st.sampled_from(["png", "tif", "bmp"]), seeds)
def test_folders(tmp_path_factory, height, width, depth, suffix, seed):
    folder, parts = tmp_path_factory.mktemp("folder"), {}
    for i, split in enumerate(SPLITS):
        x = parts[f"x_{split}"] = drawn([seed, i], 1, height, width, depth)
        x[0, 0, 0, :] = 80 * i  # no copies, of more than one color
        (folder / split).mkdir()
        pixels = x[0, ..., 0] if depth == 1 else x[0]
        Image.fromarray(pixels).save(folder / split / f"a.{suffix}")
    images = load_images(folder, color="grayscale" if depth == 1 else "rgb")
    assert_same(arrays(images), parts)
