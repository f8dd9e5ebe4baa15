"""Pixels as symbols: each told by its neighbours on a coarser grid, and by a guess.

Known is first every 2^k-th pixel of every 2^k-th row, then the middles of the
squares that those make, then the middles of their sides; and so on down to all.
No pixel of a pass waits for another of the same pass, so that a pass is coded at
once, for all images. What is expected of a pixel depends on the mean of its four
known neighbours, on how far they are apart, and on what a model guesses there.

Howard and Vitter, *New methods for lossless image compression using arithmetic
coding*, 1992 (progressive refinement); Wu and Memon, *Context-based, adaptive,
lossless image coding* (CALIC), 1997.
"""

import numpy as np

from convae_keras.entropy import count_table

GREYS = np.array([1, 16, 48, 96, 160, 208, 240, 254])
SPREADS = np.array([16, 128])
# Contexts of one pass: of the guess, of the neighbours' mean, of their spread.
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


def encode_planes(encoder, x, guess, tables):
    """Packs planes of pixels.

    Args:
        encoder: `Encoder`.
        x: uint8 `(n, height, width)`.
        guess: uint8 of the same shape, what a model expects; zeros for none.
        tables: uint16 `(TABLES, CONTEXTS, 256)`, as `fit_tables` gives them.
    """
    for table, found, pixels in _walk(x, guess):
        encoder.add(found, pixels, tables[table])


def decode_planes(decoder, guess, tables):
    """uint8 of `guess`'s shape: the planes that `encode_planes` packed."""
    known = np.zeros(guess.shape, "uint8")
    for table, place, found in _contexts(known, guess):
        known[place] = decoder.take(found, tables[table])
    return known


def fit_tables(x, guess):
    """What to expect of a pixel, counted on planes like those to come.

    Args:
        x, guess: as in `encode_planes`.

    Returns:
        uint16 `(TABLES, CONTEXTS, 256)`.
    """
    seen = [([], []) for _ in range(TABLES)]
    for table, found, pixels in _walk(x, guess):
        for kept, new in zip(seen[table], (found, pixels), strict=True):
            kept.append(new.ravel())
    empty = np.zeros(0, "int64")
    parts = ([np.concatenate([empty, *kept]) for kept in pair] for pair in seen)
    return np.stack([count_table(*part, (CONTEXTS, 256), prior=8.0) for part in parts])


def _walk(x, guess):
    """Each pass's table, contexts and pixels, as a decoder would see them."""
    known = np.zeros(x.shape, "uint8")
    for table, place, found in _contexts(known, guess):
        known[place] = x[place]
        yield table, found, x[place]


def _contexts(known, guess):
    """Each pass's table, place and contexts; `known` is filled in meanwhile."""
    _, height, width = known.shape
    for table, step, rows, columns, neighbours in passes(height, width):
        place = slice(None), rows, columns
        rows, columns = np.arange(height)[rows], np.arange(width)[columns]
        found = np.searchsorted(GREYS, guess[place], side="right")
        if neighbours:
            around = np.stack(
                [
                    known[:, _moved(rows, down * step, height)][
                        :, :, _moved(columns, across * step, width)
                    ]
                    for down, across in neighbours
                ]
            ).astype("int64")
            mean = np.searchsorted(GREYS, around.sum(axis=0) // 4, side="right")
            spread = np.searchsorted(SPREADS, np.ptp(around, axis=0), side="right")
            found = (found * (len(GREYS) + 1) + mean) * (len(SPREADS) + 1) + spread
        yield table, place, found


def _moved(places, by, size):
    """The places next to those; the other way at a border."""
    moved = places + by
    outside = (moved < 0) | (moved >= size)
    return np.clip(np.where(outside, places - by, moved), 0, size - 1)
