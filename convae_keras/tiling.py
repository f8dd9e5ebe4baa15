"""A trained model let loose on files of any size."""

from dataclasses import dataclass

import numpy as np

from convae_keras.models import pixel_range
from convae_keras.validation import expect

# Pixels a side that are computed at once, and those around them that are
# computed too and thrown away: more than our networks see of a neighbourhood.
TILE, MARGIN = 256, 32


def restore(model, image):
    """Runs one image of any size through a model, tile by tile.

    Tiles overlap by 64 pixels, more than `restorer`'s default network sees
    around a pixel, so that there are no seams: the result is that of the whole
    image at once. Outside its borders the image is mirrored. Memory holds one
    tile of the network's insides, whatever the image's size.

    Args:
        model: `keras.Model` from images to images; with a fixed input size, for
            images of that size only. One of one channel works on each channel
            of the image by itself; one of three takes a grey image three times.
        image: uint8 `(height, width, channels)`, 1 or 3 channels.

    Returns:
        uint8 `(scale * height, scale * width, channels)`.

    Raises:
        ValueError: if the image does not fit the model.
    """
    channels, needed = image.shape[2], model.input_shape[3]
    if channels == needed:
        return _restore(model, image)
    expect({channels, needed} == {1, 3}, "image", f"of {needed} channels", channels)
    if needed == 1:
        planes = (image[..., i : i + 1] for i in range(channels))
        return np.concatenate([_restore(model, plane) for plane in planes], axis=-1)
    grey = _restore(model, np.repeat(image, 3, axis=-1)).mean(axis=-1, keepdims=True)
    return np.round(grey).astype("uint8")


def _restore(model, image):
    if None not in model.input_shape[1:]:
        sides = f"{model.input_shape[1:]}, the only size that the model takes"
        expect(image.shape == model.input_shape[1:], "image", sides, image.shape)
        return _run(model, image)
    height, width, channels = image.shape
    scale = model.compute_output_shape((1, TILE, TILE, channels))[1] // TILE
    after = [MARGIN + -side % TILE for side in (height, width)]
    margins = [(MARGIN, after[0]), (MARGIN, after[1]), (0, 0)]
    padded = np.pad(image, margins, "symmetric")
    output = np.empty((scale * height, scale * width, channels), "uint8")
    inner = slice(scale * MARGIN, scale * (MARGIN + TILE))
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = (slice(at, at + TILE + 2 * MARGIN) for at in (top, left))
            tile = _run(model, padded[rows, columns])[inner, inner]
            place = output[scale * top :, scale * left :][
                : scale * TILE, : scale * TILE
            ]
            place[...] = tile[: len(place), : place.shape[1]]
    return output


def _run(model, image):
    low, high = pixel_range(model)
    inputs = image[np.newaxis].astype("float32") / 255 * (high - low) + low
    outputs = (np.asarray(model.predict_on_batch(inputs))[0] - low) / (high - low)
    return np.round(255 * outputs.clip(0, 1)).astype("uint8")


# Pixels that go through a network at once.
BATCH_PIXELS = 200_000


# Positions of the code: of a tile's side, and of what is computed around it and
# thrown away, which is more than a network of up to three convolutions there sees.
CODE_TILE, CODE_MARGIN = 32, 5


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
    for row in range(0, inside[1], CODE_TILE):
        for column in range(0, inside[2], CODE_TILE):
            spans = _span(row, inside[1]), _span(column, inside[2])
            yield Cut(
                *_slices(part, [(a, d) for a, _, _, d in spans], stride),
                *_slices(slice(None), [(b - a, c - a) for a, b, c, _ in spans], stride),
                *_slices(part, [(b, c) for _, b, c, _ in spans], stride),
            )


def _span(start, end):
    """Where a tile with its margin begins, the tile itself begins, and both end."""
    stop = min(start + CODE_TILE, end)
    return max(start - CODE_MARGIN, 0), start, stop, min(stop + CODE_MARGIN, end)


def _slices(first, spans, stride):
    """The same place in images and in codes."""
    in_images = (slice(stride * a, stride * b) for a, b in spans)
    return (first, *in_images), (first, *(slice(a, b) for a, b in spans))
