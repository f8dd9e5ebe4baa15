"""Compressing arrays: what is restored, how short it is, and corrupted bytes."""

import numpy as np
import pytest
from helpers import fewer
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras import tiling
from convae_keras.compression.bitstream import (
    codes_of,
    fit_tables,
    images_of,
    pack,
    unpack,
)
from convae_keras.compression.models import conv_codec
from convae_keras.compression.range_coder import TOTAL
from convae_keras.metrics import psnr

pytestmark = [
    pytest.mark.slow,
    pytest.mark.float32,
]  # a codec is never in half precision


def test_the_tables_are_fitted(codec):
    *tables, mode = codec.tables.get_weights()
    assert mode == [0]  # digits are drawings
    for table in tables:
        assert (table.sum(axis=-1) == TOTAL).all() and table.min() > 0


def test_lossy(codec, digits):
    x = digits.x_test
    data = pack(codec, x)
    decoded = unpack(codec, data, x.shape)
    expected = images_of(codec, codes_of(codec, x), x.shape)
    np.testing.assert_array_equal(decoded, expected)
    assert psnr(x / 255, decoded / 255).mean() > 13
    assert len(data) / len(x) < 8


def test_lossless(codec, digits):
    x = digits.x_test
    data = pack(codec, x, lossless=True)
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)
    assert 8 * len(data) / x.size < 1.5


SHAPES = [(1, 1), (13, 8), (33, 40), (7, 30), (1, 40), (40, 2), (16, 16), (26, 39)]


@pytest.mark.parametrize("shape", fewer(SHAPES))
def test_images_of_any_size(photo_codec, shape):
    random = np.random.RandomState(sum(shape))
    x = random.randint(256, size=(1 + shape[0] % 4, *shape, 3)).astype("uint8")
    for lossless in (False, True):
        data = pack(photo_codec, x, lossless)
        decoded = unpack(photo_codec, data, x.shape, lossless)
        assert decoded.shape == x.shape and decoded.dtype == "uint8"
    np.testing.assert_array_equal(decoded, x)


@pytest.fixture(scope="module")
def packed(photo_codec):
    """Bytes of three small images, lossy and lossless."""
    x = np.random.RandomState(0).randint(256, size=(3, 9, 8, 3)).astype("uint8")
    return [pack(photo_codec, x, lossless) for lossless in (False, True)]


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.booleans())
def test_corrupted_bytes_give_images_or_a_value_error(
    photo_codec, packed, seed, cut, lossless
):
    random = np.random.RandomState(seed)
    data = bytearray(packed[lossless])
    for at in random.randint(len(data), size=random.randint(1, 5)):
        data[at] = random.randint(256)
    data = bytes(data[: len(data) - cut])
    try:
        decoded = unpack(photo_codec, data, (3, 9, 8, 3), lossless)
    except ValueError:
        return
    assert decoded.shape == (3, 9, 8, 3)


def test_few_bytes_cannot_ask_for_many_images(codec, digits):
    data = pack(codec, digits.x_test[:4])
    with pytest.raises(ValueError, match=r"`data` .* for images of shape \(80000, 28"):
        unpack(codec, data, (80_000, 28, 28, 1))


def test_images_of_another_size(codec):
    with pytest.raises(ValueError, match="`x` .* Received: 27 x 28 x 1"):
        pack(codec, np.zeros((2, 27, 28, 1), "uint8"))


def test_floats_are_not_packed_as_black(codec):
    with pytest.raises(ValueError, match="`x` must be uint8. Received: float32"):
        pack(codec, np.full((2, 28, 28, 1), 0.5, "float32"), lossless=True)


def test_gray_images_need_no_channels(codec, digits):
    x = digits.x_test[:3, ..., 0]
    data = pack(codec, x, lossless=True)
    found = unpack(codec, data, (3, 28, 28, 1), lossless=True)
    np.testing.assert_array_equal(found[..., 0], x)


def test_a_codec_without_tables():
    codec = conv_codec((8, 8, 1), filters=(4,), code_filters=(4,), latent_dim=3, seed=0)
    x = np.random.RandomState(0).randint(256, size=(5, 8, 8, 1)).astype("uint8")
    with pytest.raises(ValueError, match="`fit_tables`"):
        pack(codec, x)
    fit_tables(codec, x)  # of few images
    data = pack(codec, x, lossless=True)
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)


@pytest.mark.parametrize("height", fewer([64, 301]))
def test_tiles_make_no_difference(photo_codec, monkeypatch, height):
    x = np.random.RandomState(1).randint(256, size=(2, height, 290, 3)).astype("uint8")
    monkeypatch.setattr(tiling, "BATCH_PIXELS", 10**9)
    codes = codes_of(photo_codec, x)
    expected = images_of(photo_codec, codes, x.shape)
    monkeypatch.setattr(tiling, "BATCH_PIXELS", 1000)
    monkeypatch.setattr(tiling, "CODE_TILE", 16)
    np.testing.assert_array_equal(images_of(photo_codec, codes, x.shape), expected)
    # Sums of floats may differ in the last bit, and a code be rounded otherwise.
    assert (codes_of(photo_codec, x) == codes).mean() > 0.999
    assert len(np.unique(expected)) > 3
