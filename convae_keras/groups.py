"""Codes as symbols: sorted into groups of alike ones, each with tables of its own."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from convae_keras.entropy import TOTAL, count_table

# How often codes are sorted anew when tables are counted; codes that are enough.
ROUNDS, MOST_CODES = 10, 100_000
# How many symbols what all groups have in common is worth.
PRIOR = 8.0


@dataclass(frozen=True)
class CodeTables:
    """What to expect of codes.

    A code's group is packed before its numbers, and tells what they depend on:
    a mixture model, in which each number is independent of the others once the
    group is known.

    Args:
        of_groups: int `(1, groups)`, a table of `convae_keras.entropy`.
        of_codes: int `(groups, channels, symbols)`, its last axis such a table.
    """

    of_groups: np.ndarray
    of_codes: np.ndarray

    def groups(self, codes):
        """int `(n,)`: the group in which each code takes the fewest bits."""
        bits = np.log2(TOTAL / self.of_codes).astype("float32")
        costs = np.log2(TOTAL / self.of_groups.T).astype("float32")
        costs = np.repeat(costs, len(codes), axis=1)
        for channel, numbers in enumerate(codes.T):
            costs += bits[:, channel, numbers]
        return costs.argmin(axis=0)

    def encode(self, encoder, codes):
        """Packs int codes `(n, channels)`, from 0 on, by an `Encoder`."""
        groups = self.groups(codes)
        if self.of_groups.size > 1:
            encoder.add(np.zeros_like(groups), groups, self.of_groups)
        encoder.add(self._contexts(groups), codes, self._rows())

    def decode(self, decoder, count):
        """int `(count, channels)`, by a `Decoder` of what `encode` packed."""
        groups = np.zeros(count, "int64")
        if self.of_groups.size > 1:
            groups = decoder.take(groups, self.of_groups)
        return decoder.take(self._contexts(groups), self._rows())

    def least_bits(self):
        """float: below it no code can be packed."""
        cheapest = np.log2(TOTAL / self.of_codes.max(axis=2)).sum(axis=1)
        return (np.log2(TOTAL / self.of_groups[0]) + cheapest).min()

    def _contexts(self, groups):
        channels = self.of_codes.shape[1]
        return groups[:, None] * channels + np.arange(channels)

    def _rows(self):
        return self.of_codes.reshape(-1, self.of_codes.shape[2])


def count_codes(codes, groups, symbols):
    """Counts codes into tables, by which others can be packed.

    Codes are sorted first by k-means, then again and again into the group whose
    tables make them shortest.

    Args:
        codes: int `(n, channels)`, from 0 on; where there are more than
            100,000, every second is counted, or third, and so on.
        groups: int; with 1, a table for each channel and no more.
        symbols: int, how many values a number of a code can have.

    Returns:
        `CodeTables`.
    """
    codes = codes[:: -(-len(codes) // MOST_CODES)]
    kmeans = MiniBatchKMeans(min(groups, len(codes)), n_init=1, random_state=0)
    found = kmeans.fit_predict(codes)
    for _ in range(ROUNDS if groups > 1 else 1):
        per_channel = [
            count_table(found, numbers, (groups, symbols), PRIOR) for numbers in codes.T
        ]
        of_groups = np.full((1, 1), TOTAL)
        if groups > 1:
            of_groups = count_table(np.zeros_like(found), found, (1, groups))
        tables = CodeTables(of_groups, np.stack(per_channel, axis=1))
        found = tables.groups(codes)
    return tables
