"""Packing: what comes out, how small it is, and what damaged bytes do."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras import tiling as tiles
from convae_keras.compression.bitstream import (
    codes_of,
    fit_tables,
    images_of,
    pack,
    unpack,
)
from convae_keras.compression.entropy_models import count_codes
from convae_keras.compression.models import conv_codec
from convae_keras.compression.range_coder import TOTAL, Decoder, Encoder
from convae_keras.metrics import psnr


def test_tables_are_whole_numbers_that_sum_up(codec):
    *tables, way = codec.tables.get_weights()
    assert way == [0]  # digits are drawings
    for table in tables:
        assert (table.sum(axis=-1) == TOTAL).all() and table.min() > 0


def test_lossy(codec, digits):
    x = digits.x_test
    data = pack(codec, x)
    found = unpack(codec, data, x.shape)
    np.testing.assert_array_equal(found, images_of(codec, codes_of(codec, x), x.shape))
    assert psnr(x / 255, found / 255).mean() > 13
    assert len(data) / len(x) < 8


def test_lossless(codec, digits):
    x = digits.x_test
    data = pack(codec, x, lossless=True)
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)
    assert 8 * len(data) / x.size < 1.5


def test_groups_pay(codec, digits):
    """EntropyTables of one group take more bytes than those of many."""
    sizes = []
    for groups in (1, 2, 40):
        codes, others = (codes_of(codec, x) for x in (digits.x_train, digits.x_test))
        tables = count_codes(codes, groups, 31)
        encoder = Encoder()
        tables.encode(encoder, others)
        data = encoder.finish()
        found = tables.decode(Decoder(data), len(others))
        np.testing.assert_array_equal(found, others)
        sizes.append(len(data))
        assert 8 * len(data) > len(others) * tables.least_bits()
    assert sizes[1] < 0.99 * sizes[0] and sizes[2] < 0.95 * sizes[1], sizes


# JAX compiles for seconds for each new shape.
SHAPES = 30 if keras.config.backend() == "tensorflow" else 5


@settings(deadline=None, max_examples=SHAPES)
@given(
    *(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    *(st.booleans(), st.integers(0, 9)),
)
def test_images_of_any_size(photo_codec, n, height, width, lossless, seed):
    x = np.random.RandomState(seed).randint(256, size=(n, height, width, 3))
    x = x.astype("uint8")
    data = pack(photo_codec, x, lossless)
    found = unpack(photo_codec, data, x.shape, lossless)
    assert found.shape == x.shape and found.dtype == "uint8"
    if lossless:
        np.testing.assert_array_equal(found, x)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.booleans())
def test_damaged_bytes_give_images_or_a_value_error(codec, seed, cut, lossless):
    random = np.random.RandomState(seed)
    data = bytearray(pack_once(codec, lossless))
    for at in random.randint(len(data), size=random.randint(1, 5)):
        data[at] = random.randint(256)
    data = bytes(data[: len(data) - cut])
    try:
        found = unpack(codec, data, (3, 28, 28, 1), lossless)
    except ValueError:
        return
    assert found.shape == (3, 28, 28, 1)


PACKED = {}


def pack_once(codec, lossless):
    if lossless not in PACKED:
        x = np.random.RandomState(0).randint(256, size=(3, 28, 28, 1)).astype("uint8")
        PACKED[lossless] = pack(codec, x, lossless)
    return PACKED[lossless]


def test_few_bytes_cannot_ask_for_much(codec, digits):
    data = pack(codec, digits.x_test[:4])
    with pytest.raises(ValueError, match=r"bytes at least, for images of \(80000, 28"):
        unpack(codec, data, (80_000, 28, 28, 1))


def test_what_it_does_not_take(codec):
    with pytest.raises(
        ValueError, match="images of 28 x 28 x 1. Received: 27 x 28 x 1"
    ):
        pack(codec, np.zeros((2, 27, 28, 1), "uint8"))
    with pytest.raises(ValueError, match="tables are fitted"):
        pack(conv_codec(seed=0), np.zeros((1, 28, 28, 1), "uint8"))


def test_tables_of_few_images():
    codec = conv_codec((8, 8, 1), filters=(4,), code_filters=(4,), latent_dim=3, seed=0)
    x = np.random.RandomState(0).randint(256, size=(5, 8, 8, 1)).astype("uint8")
    fit_tables(codec, x)
    again = unpack(codec, pack(codec, x, True), x.shape, True)
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("side", [301, 64])
def test_tiles_make_no_difference(photo_codec, monkeypatch, side):
    x = np.random.RandomState(1).randint(256, size=(2, side, 290, 3)).astype("uint8")
    monkeypatch.setattr(tiles, "BATCH_PIXELS", 10**9)
    codes = codes_of(photo_codec, x)
    whole = images_of(photo_codec, codes, x.shape)
    monkeypatch.setattr(tiles, "BATCH_PIXELS", 1000)
    monkeypatch.setattr(tiles, "TILE", 16)
    np.testing.assert_array_equal(images_of(photo_codec, codes, x.shape), whole)
    # Sums of floats may differ in the last bit, and a code lie on the edge.
    assert (codes_of(photo_codec, x) == codes).mean() > 0.999
    assert len(np.unique(whole)) > 3
