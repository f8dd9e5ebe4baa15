"""Pixels by their neighbours: every pixel once, and exactly what went in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.baselines import image_codec
from convae_keras.compression.entropy_models import (
    CONTEXTS,
    TABLES,
    WAYS,
    PixelTables,
    count_pixels,
    passes,
)
from convae_keras.compression.range_coder import Decoder, Encoder
from convae_keras.data.patches import photographs
from convae_keras.data.sources import load_images


@given(st.integers(1, 40), st.integers(1, 40))
def test_each_pixel_has_its_turn_once(height, width):
    turns = np.zeros((height, width), int)
    for table, _, rows, columns, _ in passes(height, width):
        turns[rows, columns] += 1
        assert 0 <= table < TABLES
    assert (turns == 1).all()


@pytest.fixture(scope="module")
def digits():
    return load_images("mnist5k")


@pytest.fixture(scope="module")
def tables(digits):
    x = digits.x_train[..., 0]
    return count_pixels(x, np.zeros_like(x))


def packed(tables, x, guess):
    tables.encode(encoder := Encoder(), x, guess)
    return encoder.finish()


def test_the_tables(tables):
    of_pixels = tables.of_pixels
    assert of_pixels.shape == (TABLES, CONTEXTS, 256) and of_pixels.dtype == "uint16"
    assert of_pixels.min() > 0 and tables.way == 0


@settings(deadline=None, max_examples=50)
@given(
    *(st.integers(0, 3), st.integers(1, 33), st.integers(1, 33)),
    *(st.sampled_from(range(len(WAYS))), st.integers(0, 9)),
)
def test_what_goes_in_comes_out(tables, n, height, width, way, seed):
    random = np.random.RandomState(seed)
    x, guess = random.randint(256, size=(2, n, height, width)).astype("uint8")
    tables = PixelTables(tables.of_pixels, way)
    found = tables.decode(Decoder(packed(tables, x, guess)), guess)
    np.testing.assert_array_equal(found, x)
    assert found.dtype == "uint8"


def test_digits_become_small_and_smaller_with_a_guess(digits, tables):
    x, x_train = digits.x_test[..., 0], digits.x_train[..., 0]
    # As good a guess as there can be, and none.
    near = len(packed(count_pixels(x_train, x_train), x, x))
    none = len(packed(tables, x, np.zeros_like(x)))
    assert near < 0.75 * none and 8 * none < 1.45 * x.size, (near, none)


def test_photographs_are_packed_their_own_way():
    seen, unseen = photographs("val", "grey").values()
    seen, unseen = seen[None, ..., 0], unseen[None, ..., 0]
    tables = count_pixels(seen, np.zeros_like(seen))
    assert tables.way == 1
    bits = 8 * len(packed(tables, unseen, np.zeros_like(unseen))) / unseen.size
    png = image_codec(unseen[..., None], "PNG")[1][0] * 8 / unseen.size
    assert bits < png, (bits, png)
