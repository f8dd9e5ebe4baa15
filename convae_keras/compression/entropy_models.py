"""Codes as symbols: sorted into groups of alike ones, each with tables of its own."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from convae_keras.compression.range_coder import TOTAL, bits, count_table

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


# For drawings, where steps begin: of the guess and the neighbours' mean; of spread.
GREYS = np.array([1, 16, 48, 96, 160, 208, 240, 254])


SPREADS = np.array([16, 128])


# For photographs: of what the guess is off the mean; of the neighbours' spread.
OFFSETS = np.array([-24, -10, -4, -1, 2, 5, 11, 25])


SLOPES = np.array([1, 3, 6, 10, 16, 26, 42, 70])


# Contexts that a pass may have, at most.
CONTEXTS = (len(GREYS) + 1) ** 2 * (len(SPREADS) + 1)


DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


STRAIGHT = ((0, -1), (0, 1), (-1, 0), (1, 0))


# Which pixels of a square, and which of their neighbours are known.
KINDS = (((1, 1), DIAGONAL), ((0, 1), STRAIGHT), ((1, 0), STRAIGHT))


# Steps between neighbours from which on all passes share one table.
COARSE = 8


TABLES = 1 + 3 * 3


def passes(height, width):
    """The passes over an image, the coarsest first.

    Yields:
        `(table, step, rows, columns, neighbours)`: int below `TABLES`; int,
        pixels from a pixel to its neighbours; slices; offsets, in steps.
    """
    step = 1 << (max(height, width) - 1).bit_length()
    yield 0, step, slice(0, None, step), slice(0, None, step), ()
    while step > 1:
        step //= 2
        for kind, ((down, across), neighbours) in enumerate(KINDS):
            fine = {1: 1, 2: 4, 4: 7}.get(step)
            table = 0 if fine is None else fine + kind
            rows, columns = (
                slice(start * step, None, 2 * step) for start in (down, across)
            )
            yield table, step, rows, columns, neighbours


@dataclass(frozen=True)
class PixelTables:
    """What to expect of pixels.

    Args:
        of_pixels: int `(TABLES, CONTEXTS, 256)`, its last axis a table of
            `convae_keras.entropy`.
        way: int, 0 as in drawings or 1 as in photographs.
    """

    of_pixels: np.ndarray
    way: int

    def encode(self, encoder, x, guess):
        """Packs planes of pixels by an `Encoder`.

        Args:
            encoder: `Encoder`.
            x: uint8 `(n, height, width)`.
            guess: uint8 of the same shape, what a model expects; zeros for none.
        """
        for table, contexts, symbols in _walk(x, guess, self.way):
            encoder.add(contexts, symbols, self.of_pixels[table])

    def decode(self, decoder, guess):
        """uint8 of `guess`'s shape, by a `Decoder` of what `encode` packed."""
        known = np.zeros(guess.shape, "uint8")
        for table, place, contexts, expected in _passes(known, guess, self.way):
            symbols = decoder.take(contexts, self.of_pixels[table])
            known[place] = (symbols + expected) % 256
        return known


def count_pixels(x, guess):
    """Counts pixels into tables, by which others can be packed.

    Args:
        x, guess: as in `PixelTables.encode`, like those to come.

    Returns:
        `PixelTables`, of the way that makes these shorter.
    """
    found = [_count(x, guess, way) for way in range(len(WAYS))]
    return min(found, key=lambda pair: pair[0])[1]


def _count(x, guess, way):
    """How many bits these take, by tables that are counted on them; the tables."""
    seen = [([], []) for _ in range(TABLES)]
    for table, contexts, symbols in _walk(x, guess, way):
        seen[table][0].append(contexts.ravel())
        seen[table][1].append(symbols.ravel())
    empty = np.zeros(0, "int64")
    parts = [[np.concatenate([empty, *kept]) for kept in pair] for pair in seen]
    shape = CONTEXTS, 256
    tables = [count_table(*part, shape, prior=8.0) for part in parts]
    total = sum(bits(*p, t).sum() for p, t in zip(parts, tables, strict=True))
    return total, PixelTables(np.stack(tables), way)


def _walk(x, guess, way):
    """Each pass's table, contexts and symbols, as a decoder would see them."""
    known = np.zeros(x.shape, "uint8")
    for table, place, contexts, expected in _passes(known, guess, way):
        known[place] = x[place]
        yield table, contexts, (x[place].astype("int64") - expected) % 256


def _passes(known, guess, way):
    """Each pass's table, place, contexts, and what is taken off its pixels.

    `known` is filled in meanwhile.
    """
    _, height, width = known.shape
    for table, step, rows, columns, neighbours in passes(height, width):
        place = slice(None), rows, columns
        rows, columns = np.arange(height)[rows], np.arange(width)[columns]
        around = [
            known[:, _moved(rows, down * step, height)][
                :, :, _moved(columns, across * step, width)
            ].astype("int64")
            for down, across in neighbours
        ]
        yield table, place, *WAYS[way](guess[place].astype("int64"), around)


def _as_drawings(guess, around):
    contexts = np.searchsorted(GREYS, guess, side="right")
    if around:
        mean = np.searchsorted(GREYS, sum(around) // 4, side="right")
        spread = np.searchsorted(SPREADS, np.ptp(around, axis=0), side="right")
        contexts = (contexts * (len(GREYS) + 1) + mean) * (len(SPREADS) + 1) + spread
    return contexts, 0


def _as_photographs(guess, around):
    if not around:
        return np.zeros_like(guess), guess
    mean = (sum(around) + 2) // 4
    offset = np.searchsorted(OFFSETS, guess - mean, side="right")
    slope = np.searchsorted(SLOPES, np.ptp(around, axis=0), side="right")
    return slope * (len(OFFSETS) + 1) + offset, mean


WAYS = _as_drawings, _as_photographs


def _moved(places, by, size):
    """The places next to those; the other way at a border."""
    moved = places + by
    outside = (moved < 0) | (moved >= size)
    return np.clip(np.where(outside, places - by, moved), 0, size - 1)
