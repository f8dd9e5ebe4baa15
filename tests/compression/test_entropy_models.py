"""Entropy models: exact, and shorter with a better context."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.baselines import image_codec
from convae_keras.compression.bitstream import codes_of
from convae_keras.compression.entropy_models import (
    CONTEXTS,
    MODES,
    TABLES,
    PixelTables,
    count_codes,
    count_pixels,
    passes,
)
from convae_keras.compression.range_coder import Decoder, Encoder
from convae_keras.data.patches import photographs

pytestmark = pytest.mark.static


@pytest.mark.slow
def test_groups_pay(codec, digits):
    """Tables of one group take more bytes than those of many."""
    sizes = []
    codes, others = (codes_of(codec, x) for x in (digits.x_train, digits.x_test))
    for groups in (1, 2, 40):
        tables = count_codes(codes, groups, 31)
        tables.encode(encoder := Encoder(), others)
        data = encoder.finish()
        decoded = tables.decode(Decoder(data), len(others))
        np.testing.assert_array_equal(decoded, others)
        sizes.append(len(data))
        assert 8 * len(data) > len(others) * tables.min_bits()
    assert sizes[1] < 0.99 * sizes[0] and sizes[2] < 0.95 * sizes[1], sizes


@given(st.integers(1, 40), st.integers(1, 40))
def test_each_pixel_is_in_one_pass(height, width):
    counts, tables = np.zeros((height, width), int), set()
    for table, _, rows, columns, _ in passes(height, width):
        counts[rows, columns] += 1
        tables.add(table)
    assert (counts == 1).all()
    assert tables <= {*range(TABLES)} and (max(height, width) < 9 or len(tables) == 10)


TRAIN, TEST = slice(1000), slice(300)


@pytest.fixture(scope="module")
def tables(digits):
    x = digits.x_train[TRAIN, ..., 0]
    return count_pixels(x, np.zeros_like(x))


def packed(tables, x, reconstruction):
    tables.encode(encoder := Encoder(), x, reconstruction)
    return encoder.finish()


def test_the_tables(tables):
    table = tables.pixel_table
    assert table.shape == (TABLES, CONTEXTS, 256) and table.dtype == "uint16"
    assert table.min() > 0 and tables.mode == 0


@settings(deadline=None, max_examples=50)
@given(
    *(st.integers(0, 3), st.integers(1, 33), st.integers(1, 33)),
    *(st.sampled_from(range(len(MODES))), st.integers(0, 9)),
)
def test_round_trip(tables, n, height, width, mode, seed):
    random = np.random.RandomState(seed)
    x, lossy = random.randint(256, size=(2, n, height, width)).astype("uint8")
    tables = PixelTables(tables.pixel_table, mode)
    decoded = tables.decode(Decoder(packed(tables, x, lossy)), lossy)
    np.testing.assert_array_equal(decoded, x)
    assert decoded.dtype == "uint8"


def test_digits_become_shorter_with_a_reconstruction(digits, tables):
    x, x_train = digits.x_test[TEST, ..., 0], digits.x_train[TRAIN, ..., 0]
    # As good a reconstruction as there can be, and none.
    perfect = len(packed(count_pixels(x_train, x_train), x, x))
    none = len(packed(tables, x, np.zeros_like(x)))
    assert perfect < 0.75 * none and 8 * none < 1.45 * x.size, (perfect, none)


def test_photographs_have_their_own_mode():
    seen, unseen = photographs("val", "grayscale").values()
    seen, unseen = seen[None, ..., 0], unseen[None, ..., 0]
    tables = count_pixels(seen, np.zeros_like(seen))
    assert tables.mode == 1
    bits = 8 * len(packed(tables, unseen, np.zeros_like(unseen))) / unseen.size
    png = image_codec(unseen[..., None], "PNG")[1][0] * 8 / unseen.size
    assert bits < png, (bits, png)
