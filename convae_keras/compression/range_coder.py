"""Whole numbers as bytes: range coding, by tables that are whole numbers too.

A table says for each context how often each symbol is to be expected there. It
holds integers that sum to a power of two, so that what a coder makes of it is
the same on every machine. The coder is that of the `constriction` library.

Martin, *Range encoding*, 1979; Bamler, *Understanding entropy coding with
asymmetric numeral systems*, 2022, arXiv:2201.01741.
"""

import numpy as np
from constriction import stream

from convae_keras.validation import expect

# What the numbers of one context sum to.
TOTAL = 2**15


def count_table(contexts, symbols, shape, prior=0.5):
    """Counts symbols, context by context, into a table.

    Where a context was seen rarely, what all of them have in common counts more.

    Args:
        contexts: int array, any shape, from 0 on.
        symbols: int array of the same shape, from 0 on.
        shape: `(contexts, symbols)`, how many there may be of both.
        prior: float, how many symbols the common counts are worth.

    Returns:
        uint16 `shape`, rows that sum to `TOTAL`, no number 0.

    Raises:
        ValueError: for fewer than two symbols, or too many for such a row.
    """
    most = TOTAL // 4
    expect(2 <= shape[1] <= most, "shape", f"from 2 to {most} symbols", shape)
    flat = np.ravel(contexts) * shape[1] + np.ravel(symbols)
    counts = np.bincount(flat, minlength=np.prod(shape)).reshape(shape)
    common = counts.sum(axis=0) + 0.5
    counts = counts + prior * common / common.sum()
    shares = counts / counts.sum(axis=1, keepdims=True)
    table = 1 + np.floor(shares * (TOTAL - shape[1])).astype("int64")
    rest = TOTAL - table.sum(axis=1)
    table[np.arange(shape[0]), table.argmax(axis=1)] += rest
    return table.astype("uint16")


def bits(contexts, symbols, table):
    """How many bits the symbols take, by the table alone: float, of their shape."""
    return np.log2(TOTAL / table[contexts, symbols].astype("float64"))


class Encoder:
    """Packs symbols, group after group, first in, first out.

    Example:

    >>> table = np.array([[TOTAL - 1, 1], [1, TOTAL - 1]], "uint16")
    >>> encoder = Encoder()
    >>> encoder.add(np.array([0, 1, 0]), np.array([0, 1, 0]), table)
    >>> Decoder(encoder.finish()).take(np.array([0, 1, 0]), table)
    array([0, 1, 0], dtype=int32)
    """

    def __init__(self):
        self._coder = stream.queue.RangeEncoder()

    def add(self, contexts, symbols, table):
        """Packs symbols, of the same shape as their contexts."""
        symbols = np.ravel(symbols).astype("int32")
        for row, places in _groups(contexts):
            self._coder.encode(symbols[places], _model(table[row]))

    def finish(self):
        """bytes, all that was packed."""
        return self._coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Unpacks what an `Encoder` packed, with the same contexts and tables.

    Args:
        data: bytes. Damaged ones give other symbols of the table, no error.

    Raises:
        ValueError: for a number of bytes that no `Encoder` makes.
    """

    def __init__(self, data):
        whole = len(data) % 4 == 0
        expect(whole, "data", "a multiple of 4 bytes", len(data))
        self._coder = stream.queue.RangeDecoder(
            np.frombuffer(data, "<u4").astype("uint32")
        )

    def take(self, contexts, table):
        """int32 symbols, of the shape of their contexts."""
        symbols = np.empty(np.size(contexts), "int32")
        for row, places in _groups(contexts):
            try:
                symbols[places] = self._coder.decode(_model(table[row]), len(places))
            except AssertionError as error:  # constriction, on data of no encoder
                raise ValueError(f"Data that cannot be decoded: {error}") from error
        return symbols.reshape(np.shape(contexts))


def _groups(contexts):
    """Each context that there is, and where."""
    contexts = np.ravel(contexts)
    order = np.argsort(contexts, kind="stable")
    rows, starts = np.unique(contexts[order], return_index=True)
    ends = [*starts[1:], len(order)]
    for row, start, end in zip(rows, starts, ends, strict=False):
        yield row, order[start:end]


def _model(row):
    return stream.model.Categorical(row.astype("float64") / TOTAL, perfect=False)
