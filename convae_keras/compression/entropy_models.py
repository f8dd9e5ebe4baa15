"""Entropy models: probability tables for codes, and for pixels in lossless mode."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from convae_keras.compression.range_coder import TOTAL, bits, count_table

# Iterations of sorting codes into groups; codes that are used for it.
ITERATIONS, MAX_CODES = 10, 100_000

# Weight of what all contexts have in common, in symbols.
PRIOR = 8.0


@dataclass(frozen=True)
class CodeTables:
    """A mixture model of codes, as probability tables.

    Each code belongs to a group, which is coded before its elements. Given the
    group, the elements are independent of each other.

    Args:
        group_table: int `(1, groups)`, a table of `range_coder`.
        code_table: int `(groups, channels, symbols)`, whose last axis is such a
            table.
    """

    group_table: np.ndarray
    code_table: np.ndarray

    def groups(self, codes):
        """Returns the group in which each code takes the fewest bits: int `(n,)`."""
        # With the groups last, what a symbol adds to all of them lies side by side.
        tables = np.ascontiguousarray(self.code_table.transpose(1, 2, 0))
        element_bits = np.log2(TOTAL / tables).astype("float32")
        sums = np.log2(TOTAL / self.group_table).astype("float32").repeat(len(codes), 0)
        for table, symbols in zip(element_bits, codes.T, strict=True):
            sums += table[symbols]
        return sums.argmin(axis=1)

    def encode(self, encoder, codes):
        """Encodes codes.

        Args:
            encoder: `Encoder`.
            codes: int `(n, channels)`, in `[0, symbols)`.
        """
        groups = self.groups(codes)
        if self.group_table.size > 1:
            encoder.add(np.zeros_like(groups), groups, self.group_table)
        encoder.add(self._contexts(groups), codes, self._rows())

    def decode(self, decoder, count):
        """Decodes codes.

        Args:
            decoder: `Decoder` of what `encode` encoded.
            count: int, number of codes.

        Returns:
            int32 `(count, channels)`.
        """
        groups = np.zeros(count, "int64")
        if self.group_table.size > 1:
            groups = decoder.take(groups, self.group_table)
        return decoder.take(self._contexts(groups), self._rows())

    def min_bits(self):
        """Returns a lower bound on the bits of a code: float."""
        fewest = np.log2(TOTAL / self.code_table.max(axis=2)).sum(axis=1)
        return (np.log2(TOTAL / self.group_table[0]) + fewest).min()

    def _contexts(self, groups):
        channels = self.code_table.shape[1]
        return groups[:, None] * channels + np.arange(channels)

    def _rows(self):
        return self.code_table.reshape(-1, self.code_table.shape[2])


def count_codes(codes, groups, symbols):
    """Fits `CodeTables` to codes.

    The codes are sorted into groups by k-means, then repeatedly into the group
    in which they take the fewest bits.

    Args:
        codes: int `(n, channels)`, in `[0, symbols)`; of more than 100,000,
            every second (third, …) is used.
        groups: int, number of groups.
        symbols: int, number of values that an element of a code can have.

    Returns:
        `CodeTables`.
    """
    codes = codes[:: -(-len(codes) // MAX_CODES)]
    kmeans = MiniBatchKMeans(min(groups, len(codes)), n_init=1, random_state=0)
    assigned = kmeans.fit_predict(codes)
    for _ in range(ITERATIONS if groups > 1 else 1):
        shape = groups, symbols
        channels = [count_table(assigned, c, shape, PRIOR) for c in codes.T]
        group_table = np.full((1, 1), TOTAL)
        if groups > 1:
            group_table = count_table(np.zeros_like(assigned), assigned, (1, groups))
        tables = CodeTables(group_table, np.stack(channels, axis=1))
        assigned = tables.groups(codes)
    return tables


# Bin edges of contexts for drawings: of the reconstructed pixel and the mean of its
# neighbors; of the neighbors' range.
GRAYS = np.array([1, 16, 48, 96, 160, 208, 240, 254])
DRAWING_RANGES = np.array([16, 128])

# For photographs: of the reconstructed pixel less the mean of its neighbors; of
# their range.
OFFSETS = np.array([-24, -10, -4, -1, 2, 5, 11, 25])
PHOTOGRAPH_RANGES = np.array([1, 3, 6, 10, 16, 26, 42, 70])

# Contexts of a pass: the most that a mode has.
DRAWING_CONTEXTS = (len(GRAYS) + 1) ** 2 * (len(DRAWING_RANGES) + 1)
PHOTOGRAPH_CONTEXTS = (len(OFFSETS) + 1) * (len(PHOTOGRAPH_RANGES) + 1)
CONTEXTS = max(DRAWING_CONTEXTS, PHOTOGRAPH_CONTEXTS)

# In a square of 2 x 2 pixels of which the first is known, the order of the others,
# each with the offsets of its neighbors that are known by then.
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
STRAIGHT = ((0, -1), (0, 1), (-1, 0), (1, 0))
KINDS = (((1, 1), DIAGONAL), ((0, 1), STRAIGHT), ((1, 0), STRAIGHT))

# Distances between neighbors at which each kind has a table of its own. All coarser
# passes, which have few pixels, share table 0.
FINE_STEPS = (1, 2, 4)
TABLES = 1 + len(FINE_STEPS) * len(KINDS)


def passes(height, width):
    """Yields the passes over an image, each twice as fine as three passes before.

    Args:
        height, width: ints.

    Yields:
        `(table, step, rows, columns, neighbors)`: int below `TABLES`; int,
        distance between neighbors in pixels; slices of the pass's pixels;
        offsets of the neighbors, in steps.
    """
    step = 1 << (max(height, width) - 1).bit_length()
    yield 0, step, slice(0, None, step), slice(0, None, step), ()
    while step > 1:
        step //= 2
        for kind, ((top, left), neighbors) in enumerate(KINDS):
            table = 0
            if step in FINE_STEPS:
                table = 1 + FINE_STEPS.index(step) * len(KINDS) + kind
            rows, columns = (slice(at * step, None, 2 * step) for at in (top, left))
            yield table, step, rows, columns, neighbors


@dataclass(frozen=True)
class PixelTables:
    """A model of pixels, given their neighbors and a lossy reconstruction.

    The pixels are coded in passes from coarse to fine. The context of a pixel is
    computed from its neighbors in the passes before, and from the
    reconstruction.

    Args:
        pixel_table: int `(TABLES, CONTEXTS, 256)`, whose last axis is a table of
            `range_coder`.
        mode: int, 0 for drawings or 1 for photographs.
    """

    pixel_table: np.ndarray
    mode: int

    def encode(self, encoder, x, reconstruction):
        """Encodes grayscale images.

        Args:
            encoder: `Encoder`.
            x: uint8 `(n, height, width)`.
            reconstruction: uint8 of the same shape, the output of a model; zeros
                for none.
        """
        for table, contexts, symbols in _symbols(x, reconstruction, self.mode):
            encoder.add(contexts, symbols, self.pixel_table[table])

    def decode(self, decoder, reconstruction):
        """Decodes grayscale images.

        Args:
            decoder: `Decoder` of what `encode` encoded.
            reconstruction: the same as for `encode`.

        Returns:
            uint8, of the shape of `reconstruction`.
        """
        x = np.zeros(reconstruction.shape, "uint8")
        for table, index, contexts, base in _contexts(x, reconstruction, self.mode):
            symbols = decoder.take(contexts, self.pixel_table[table])
            x[index] = (symbols + base) % 256
        return x


def count_pixels(x, reconstruction):
    """Fits `PixelTables` to images, in the mode that takes fewer bits.

    Args:
        x, reconstruction: as in `PixelTables.encode`.

    Returns:
        `PixelTables`.
    """
    fits = [_count(x, reconstruction, mode) for mode in range(len(MODES))]
    return min(fits, key=lambda fit: fit[0])[1]


def _count(x, reconstruction, mode):
    """Returns the bits that the images take by tables fitted to them; the tables."""
    seen = [([], []) for _ in range(TABLES)]
    for table, contexts, symbols in _symbols(x, reconstruction, mode):
        seen[table][0].append(contexts.ravel())
        seen[table][1].append(symbols.ravel())
    empty = np.zeros(0, "int64")
    pairs = [[np.concatenate([empty, *part]) for part in pair] for pair in seen]
    tables = [count_table(*pair, (CONTEXTS, 256), PRIOR) for pair in pairs]
    total = sum(bits(*p, t).sum() for p, t in zip(pairs, tables, strict=True))
    return total, PixelTables(np.stack(tables), mode)


def _symbols(x, reconstruction, mode):
    """Yields the table, contexts and symbols of each pass."""
    known = np.zeros(x.shape, "uint8")
    for table, index, contexts, base in _contexts(known, reconstruction, mode):
        known[index] = x[index]
        yield table, contexts, (x[index].astype("int64") - base) % 256


def _contexts(known, reconstruction, mode):
    """Yields the table, index and contexts of each pass, and a base for its pixels.

    The symbol of a pixel is its value less the base, modulo 256. The caller
    fills the pixels of each pass into `known` before it asks for the next.
    """
    _, height, width = known.shape
    for table, step, rows, columns, neighbors in passes(height, width):
        index = slice(None), rows, columns
        rows, columns = np.arange(height)[rows], np.arange(width)[columns]
        around = []
        for down, right in neighbors:
            moved = known[:, _shift(rows, down * step, height)]
            moved = moved[:, :, _shift(columns, right * step, width)]
            around.append(moved.astype("int64"))
        yield table, index, *MODES[mode](reconstruction[index].astype("int64"), around)


def _shift(positions, offset, size):
    """Adds an offset to positions; at a border, the opposite offset."""
    shifted = positions + offset
    outside = (shifted < 0) | (shifted >= size)
    return np.clip(np.where(outside, positions - offset, shifted), 0, size - 1)


def _drawing_contexts(reconstruction, around):
    contexts = _bin(reconstruction, GRAYS)
    if around:
        mean = _bin(sum(around) // 4, GRAYS)
        spread = _bin(np.ptp(around, axis=0), DRAWING_RANGES)
        contexts = contexts * (len(GRAYS) + 1) + mean
        contexts = contexts * (len(DRAWING_RANGES) + 1) + spread
    return contexts, 0


def _photograph_contexts(reconstruction, around):
    if not around:
        return np.zeros_like(reconstruction), reconstruction
    mean = (sum(around) + 2) // 4
    offset = _bin(reconstruction - mean, OFFSETS)
    spread = _bin(np.ptp(around, axis=0), PHOTOGRAPH_RANGES)
    return spread * (len(OFFSETS) + 1) + offset, mean


def _bin(values, edges):
    return np.searchsorted(edges, values, side="right")


MODES = _drawing_contexts, _photograph_contexts
