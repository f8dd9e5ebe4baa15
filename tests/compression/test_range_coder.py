"""Range coding: exact, as short as its tables promise, and never a crash."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.compression.range_coder import (
    TOTAL,
    Decoder,
    Encoder,
    bits,
    count_table,
)

pytestmark = pytest.mark.static


def sample(seed, contexts, symbols, count):
    random = np.random.RandomState(seed)
    drawn = random.randint(contexts, size=count)
    geometric = random.geometric(0.3, count) - 1
    return drawn, np.minimum(geometric + drawn, symbols - 1)


@settings(deadline=None)
@given(
    *(st.integers(0, 10), st.integers(1, 20), st.integers(2, 300)),
    st.integers(0, 2000),
)
def test_round_trip(seed, contexts, symbols, count):
    drawn, values = sample(seed, contexts, symbols, count)
    table = count_table(drawn, values, (contexts, symbols))
    assert (table.sum(axis=1, dtype=int) == TOTAL).all() and (table > 0).all()
    encoder = Encoder()
    encoder.add(drawn, values, table)
    encoder.add(drawn[::-1], values[::-1], table)
    decoder = Decoder(encoder.finish())
    np.testing.assert_array_equal(decoder.take(drawn, table), values)
    np.testing.assert_array_equal(decoder.take(drawn[::-1], table), values[::-1])


def test_it_is_as_short_as_the_table_says():
    drawn, values = sample(0, 8, 40, 50_000)
    table = count_table(drawn, values, (8, 40))
    encoder = Encoder()
    encoder.add(drawn, values, table)
    expected = bits(drawn, values, table).sum() / 8
    assert expected < len(encoder.finish()) < 1.001 * expected + 8


def test_shapes_are_kept():
    drawn, values = sample(1, 3, 9, 60)
    drawn, values = drawn.reshape(5, 12), values.reshape(5, 12)
    table = count_table(drawn, values, (3, 9))
    encoder = Encoder()
    encoder.add(drawn, values, table)
    decoded = Decoder(encoder.finish()).take(drawn, table)
    np.testing.assert_array_equal(decoded, values)
    assert bits(drawn, values, table).shape == (5, 12)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_symbols_or_a_value_error(data):
    drawn, values = sample(2, 4, 30, 500)
    table = count_table(drawn, values, (4, 30))
    try:
        decoded = Decoder(data).take(drawn, table)
    except ValueError:
        return
    assert decoded.min() >= 0 and decoded.max() < 30


def test_the_common_counts_dominate_in_rare_contexts():
    drawn = np.repeat([0, 1], [1000, 1])
    values = np.repeat([3, 0], [1000, 1])
    table = count_table(drawn, values, (3, 5))
    assert table[2].argmax() == 3 and table[1].argmax() == 0


@pytest.mark.parametrize("symbols", [1, 10_000])
def test_too_few_or_too_many_symbols(symbols):
    with pytest.raises(ValueError, match="`shape`"):
        count_table(np.zeros(9, int), np.zeros(9, int), (1, symbols))
