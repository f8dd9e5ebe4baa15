"""Range coding: exact, as small as its table promises, and never a crash."""

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


def drawn(seed, contexts, symbols, count):
    random = np.random.RandomState(seed)
    where = random.randint(contexts, size=count)
    return where, np.minimum(random.geometric(0.3, count) - 1 + where, symbols - 1)


@settings(deadline=None)
@given(
    *(st.integers(0, 10), st.integers(1, 20), st.integers(2, 300)),
    st.integers(0, 2000),
)
def test_what_goes_in_comes_out(seed, contexts, symbols, count):
    where, what = drawn(seed, contexts, symbols, count)
    table = count_table(where, what, (contexts, symbols))
    assert (table.sum(axis=1, dtype=int) == TOTAL).all() and (table > 0).all()
    encoder = Encoder()
    encoder.add(where, what, table)
    encoder.add(where[::-1], what[::-1], table)
    decoder = Decoder(encoder.finish())
    np.testing.assert_array_equal(decoder.take(where, table), what)
    np.testing.assert_array_equal(decoder.take(where[::-1], table), what[::-1])


def test_it_is_as_small_as_the_table_says():
    where, what = drawn(0, 8, 40, 50_000)
    table = count_table(where, what, (8, 40))
    encoder = Encoder()
    encoder.add(where, what, table)
    promised = bits(where, what, table).sum() / 8
    assert promised < len(encoder.finish()) < 1.001 * promised + 8


def test_shapes_are_kept():
    where, what = drawn(1, 3, 9, 60)
    where, what = where.reshape(5, 12), what.reshape(5, 12)
    table = count_table(where, what, (3, 9))
    encoder = Encoder()
    encoder.add(where, what, table)
    found = Decoder(encoder.finish()).take(where, table)
    np.testing.assert_array_equal(found, what)
    assert bits(where, what, table).shape == (5, 12)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_symbols_or_a_value_error(data):
    where, what = drawn(2, 4, 30, 500)
    table = count_table(where, what, (4, 30))
    try:
        found = Decoder(data).take(where, table)
    except ValueError:
        return
    assert found.min() >= 0 and found.max() < 30


def test_rare_contexts_lean_on_the_others():
    where = np.repeat([0, 1], [1000, 1])
    what = np.repeat([3, 0], [1000, 1])
    table = count_table(where, what, (3, 5))
    assert table[2].argmax() == 3 and table[1].argmax() == 0
    for symbols in (1, 10_000):
        with pytest.raises(ValueError, match="`shape` must be from 2 to 8192 symbols"):
            count_table(0 * where, 0 * what, (1, symbols))
