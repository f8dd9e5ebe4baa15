"""Large images cut up for a network with a code, so that memory holds one part."""

from dataclasses import dataclass

# Pixels that go through a network at once.
BATCH_PIXELS = 200_000
# Positions of the code: of a tile's side, and of what is computed around it and
# thrown away, which is more than a network of up to three convolutions there sees.
TILE, MARGIN = 32, 5


@dataclass(frozen=True)
class Cut:
    """One part of a batch of images, and of their codes: tuples of slices.

    Attributes:
        images, codes: what goes into a network, with a margin.
        inner_images, inner_codes: what of its result is without margin.
        own_images, own_codes: where that belongs.
    """

    images: tuple
    codes: tuple
    inner_images: tuple = (slice(None),)
    inner_codes: tuple = (slice(None),)
    own_images: tuple = None
    own_codes: tuple = None


def cuts(shape, inside):
    """Cuts images up.

    Args:
        shape: `(n, height, width, channels)` of the images.
        inside: that of their codes: `(n, numbers)`, which have no place in the
            image, or `(n, rows, columns, numbers)`.

    Yields:
        `Cut`.
    """
    size = max(1, BATCH_PIXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], size):
        part = slice(start, start + size)
        if len(inside) == 2 or shape[1] * shape[2] <= BATCH_PIXELS:
            yield Cut((part,), (part,), own_images=(part,), own_codes=(part,))
        else:
            yield from _tiles(part, shape, inside)


def _tiles(part, shape, inside):
    # Each pooling halves and rounds up: pixels of a side that one position tells.
    side, positions = max(zip(shape[1:3], inside[1:3], strict=True))
    stride = 1 << (-(-side // positions) - 1).bit_length()
    for row in range(0, inside[1], TILE):
        for column in range(0, inside[2], TILE):
            spans = _span(row, inside[1]), _span(column, inside[2])
            yield Cut(
                *_slices(part, [(a, d) for a, _, _, d in spans], stride),
                *_slices(slice(None), [(b - a, c - a) for a, b, c, _ in spans], stride),
                *_slices(part, [(b, c) for _, b, c, _ in spans], stride),
            )


def _span(start, end):
    """Where a tile with its margin begins, the tile itself begins, and both end."""
    stop = min(start + TILE, end)
    return max(start - MARGIN, 0), start, stop, min(stop + MARGIN, end)


def _slices(first, spans, stride):
    """The same place in images and in codes."""
    in_images = (slice(stride * a, stride * b) for a, b in spans)
    return (first, *in_images), (first, *(slice(a, b) for a, b in spans))
