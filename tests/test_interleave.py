"""Pixels by their neighbours: every pixel once, and exactly what went in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.data import load_images
from convae_keras.entropy import Decoder, Encoder
from convae_keras.interleave import (
    CONTEXTS,
    TABLES,
    decode_planes,
    encode_planes,
    fit_tables,
    passes,
)


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
    return fit_tables(x, np.zeros_like(x))


def test_the_tables(tables):
    assert tables.shape == (TABLES, CONTEXTS, 256) and tables.dtype == "uint16"
    assert tables.min() > 0


@settings(deadline=None, max_examples=50)
@given(*(st.integers(0, 3), st.integers(1, 33), st.integers(1, 33)), st.integers(0, 9))
def test_what_goes_in_comes_out(tables, n, height, width, seed):
    random = np.random.RandomState(seed)
    x, guess = random.randint(256, size=(2, n, height, width)).astype("uint8")
    encoder = Encoder()
    encode_planes(encoder, x, guess, tables)
    found = decode_planes(Decoder(encoder.finish()), guess, tables)
    np.testing.assert_array_equal(found, x)


def test_digits_become_small_and_smaller_with_a_guess(digits, tables):
    x = digits.x_test[..., 0]
    sizes = []
    near = (digits.x_train[..., 0], x)  # as good a guess as there can be
    for guess, some in ((np.zeros_like(x), tables), (x, fit_tables(near[0], near[0]))):
        encoder = Encoder()
        encode_planes(encoder, x, guess, some)
        sizes.append(8 * len(encoder.finish()) / x.size)
    assert sizes[1] < 0.75 * sizes[0] and sizes[0] < 1.45, sizes
