"""Pixels as symbols: each told by its neighbours on a coarser grid, and by a guess.

Known is first every 2^k-th pixel of every 2^k-th row, then the middles of the
squares that those make, then the middles of their sides; and so on down to all.
No pixel of a pass waits for another of the same pass, so that a pass is coded at
once, for all images. What is expected of a pixel depends on the mean of its four
known neighbours, on how far they are apart, and on what a model guesses there:
in drawings, which of their few greys; in photographs, how far from the mean.

Howard and Vitter, *New methods for lossless image compression using arithmetic
coding*, 1992 (progressive refinement); Wu and Memon, *Context-based, adaptive,
lossless image coding* (CALIC), 1997.
"""

from dataclasses import dataclass

import numpy as np

from convae_keras.entropy import bits, count_table

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
