"""Range coding of integers, with probability tables of integers.

A table holds, for each context, how often each symbol is expected there: integers
that sum to a power of two, so that every machine derives the same code from them.
The coder is that of the `constriction` library.

Martin, *Range encoding*, 1979; Bamler, *Understanding entropy coding with
asymmetric numeral systems*, 2022, arXiv:2201.01741.
"""

import numpy as np
from constriction import stream

from convae_keras.validation import require

# The sum of each row of a table.
TOTAL = 2**15

# Fewer symbols than TOTAL, so that each can have a probability that is not 0.
MAX_SYMBOLS = TOTAL // 4


def count_table(contexts, symbols, shape, prior=0.5):
    """Counts symbols by context into a probability table.

    The counts over all contexts are the prior of each context: where a context
    was rarely seen, they dominate.

    Args:
        contexts: int array of any shape, in `[0, shape[0])`.
        symbols: int array of the same shape, in `[0, shape[1])`.
        shape: `(contexts, symbols)`, the number of both.
        prior: float, weight of the prior, in symbols.

    Returns:
        uint16 `shape`, all positive, rows that sum to `TOTAL`.

    Raises:
        ValueError: for fewer than 2 or more than 8192 symbols.
    """
    message = f"`shape` must have 2 to {MAX_SYMBOLS} symbols. Received: {shape}"
    require(2 <= shape[1] <= MAX_SYMBOLS, message)
    flat = np.ravel(contexts) * shape[1] + np.ravel(symbols)
    counts = np.bincount(flat, minlength=np.prod(shape)).reshape(shape)
    common = counts.sum(axis=0) + 0.5
    counts = counts + prior * common / common.sum()
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    table = 1 + np.floor(probabilities * (TOTAL - shape[1])).astype("int64")
    rest = TOTAL - table.sum(axis=1)
    table[np.arange(shape[0]), table.argmax(axis=1)] += rest
    return table.astype("uint16")


def bits(contexts, symbols, table):
    """Returns the information content of each symbol, in bits.

    Args:
        contexts, symbols, table: as in `Encoder.add`.

    Returns:
        float64, of the shape of `symbols`.
    """
    return np.log2(TOTAL / table[contexts, symbols].astype("float64"))


class Encoder:
    """Encodes symbols into bytes, to be decoded in the same order.

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
        """Encodes symbols.

        Args:
            contexts, symbols: int arrays of the same shape.
            table: int `(contexts, symbols)`, as `count_table` returns it.
        """
        symbols = np.ravel(symbols).astype("int32")
        for context, positions in _positions(contexts):
            self._coder.encode(symbols[positions], _categorical(table[context]))

    def finish(self):
        """Returns everything encoded, as bytes."""
        return self._coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Decodes what an `Encoder` encoded, given the same contexts and tables.

    Args:
        data: bytes. Corrupted ones are decoded to other symbols of the table,
            or raise a `ValueError`.

    Raises:
        ValueError: if the number of bytes is not a multiple of 4.
    """

    def __init__(self, data):
        message = f"`data` must have a multiple of 4 bytes. Received: {len(data)}"
        require(len(data) % 4 == 0, message)
        words = np.frombuffer(data, "<u4").astype("uint32")
        self._coder = stream.queue.RangeDecoder(words)

    def take(self, contexts, table):
        """Decodes one symbol for each context.

        Args:
            contexts, table: as in `Encoder.add`.

        Returns:
            int32 symbols, of the shape of `contexts`.

        Raises:
            ValueError: if the data cannot be decoded.
        """
        symbols = np.empty(np.size(contexts), "int32")
        for context, positions in _positions(contexts):
            model = _categorical(table[context])
            try:
                symbols[positions] = self._coder.decode(model, len(positions))
            except AssertionError as error:  # what constriction raises
                raise ValueError(f"The data cannot be decoded: {error}") from error
        return symbols.reshape(np.shape(contexts))


def _positions(contexts):
    """Returns pairs of each context that occurs and its positions in the flat array."""
    contexts = np.ravel(contexts)
    order = np.argsort(contexts, kind="stable")
    found, starts = np.unique(contexts[order], return_index=True)
    # Of no contexts there are no pairs, and one piece, which is empty.
    return zip(found, np.split(order, starts[1:]), strict=False)


def _categorical(row):
    return stream.model.Categorical(row.astype("float64") / TOTAL, perfect=False)
