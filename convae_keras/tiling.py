"""Runs models on images of any size, piece by piece.

What the network needs of memory does not depend on the size of the image.

An image is cut up in one of two ways, by the kind of model:

- `restore` is for restorers, models from images to images. It cuts one image
  into tiles of pixels, each with a margin that is computed and thrown away, so
  that the result has no seams. The image is mirrored at its borders, and all
  tiles have one shape, for which the network is compiled once.
- `cuts` is for codecs, which need images and codes cut at matching positions. It
  yields slices of both: whole images, as many as fit in a batch, or tiles of a
  large image. Tiles are measured in positions of the code, have a margin of
  them, and end at the image's border, where the network pads as it would without
  tiles: the codes are those of the whole image.
"""

from dataclasses import dataclass

import numpy as np

from convae_keras.keras_settings import standard_settings
from convae_keras.models import pixel_range
from convae_keras.pipelines import from_model_range, to_float, to_uint8
from convae_keras.validation import format_shape, require

# `restore`: pixels on each side of a tile, and of the margin around it, which is
# wider than what a pixel of our networks' output depends on.
TILE, MARGIN = 256, 32

# `cuts`: pixels that go through a network at once.
BATCH_PIXELS = 200_000

# `cuts`: positions of the code on each side of a tile, and of the margin around
# it, which is wider than what up to three convolutions there depend on.
CODE_TILE, CODE_MARGIN = 32, 5


def restore(model, image):
    """Returns an image of any size, restored by a model tile by tile.

    The result is that of the whole image at once, mirrored at its borders, for
    models that depend on at most 32 pixels around each (`restorer`'s default
    network does). The network's memory does not depend on the size of the image.

    Args:
        model: `keras.Model` from images to images. One with a fixed input size
            takes images of that size only. A model of one channel is applied to
            each channel of the image; a model of three gets a grayscale image
            three times, and the mean of its outputs is returned.
        image: uint8 `(height, width, channels)`, 1 or 3 channels.

    Returns:
        uint8 `(scale * height, scale * width, channels)`.

    Raises:
        ValueError: if the model cannot take the image.
    """
    shapes = model.input_shape, model.output_shape
    fits = all(isinstance(each, tuple) and len(each) == 4 for each in shapes)
    expected = "`model` must be one from images to images"
    require(fits, f"{expected}. Received: from {shapes[0]} to {shapes[1]}")
    channels, needed = image.shape[2], shapes[0][3]
    if channels == needed:
        return _restore_tiles(model, image)
    fits = {channels, needed} == {1, 3}
    require(fits, f"`image` must have {needed} channels. Received: {channels}")
    if needed == 1:
        planes = (image[..., i : i + 1] for i in range(channels))
        return np.concatenate([_restore_tiles(model, x) for x in planes], axis=-1)
    outputs = _restore_tiles(model, np.repeat(image, 3, axis=-1))
    return np.round(outputs.mean(axis=-1, keepdims=True)).astype("uint8")


def _restore_tiles(model, image):
    size = model.input_shape[1:]
    if None not in size:
        expected = f"`image` must be {format_shape(size)}, the model's only input size"
        got = format_shape(image.shape)
        require(image.shape == size, f"{expected}. Received: {got}")
        return _predict(model, image)
    height, width, channels = image.shape
    scale = model.compute_output_shape((1, TILE, TILE, channels))[1] // TILE
    after = [MARGIN + -side % TILE for side in (height, width)]
    margins = [(MARGIN, after[0]), (MARGIN, after[1]), (0, 0)]
    padded = np.pad(image, margins, "symmetric")
    output = np.empty((scale * height, scale * width, channels), "uint8")
    inner, step = slice(scale * MARGIN, scale * (MARGIN + TILE)), scale * TILE
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = (slice(at, at + TILE + 2 * MARGIN) for at in (top, left))
            tile = _predict(model, padded[rows, columns])[inner, inner]
            target = output[scale * top :, scale * left :][:step, :step]
            target[...] = tile[: len(target), : target.shape[1]]
    return output


@standard_settings()
def _predict(model, image):
    """Returns a model's output for one uint8 image, as uint8."""
    low_high = pixel_range(model)
    outputs = model.predict_on_batch(to_float(image[np.newaxis], low_high))
    return to_uint8(from_model_range(outputs[0], low_high))


@dataclass(frozen=True)
class Cut:
    """A part of a batch of images and of their codes: tuples of slices.

    Attributes:
        images, codes: what goes into the encoder and into the decoder, with a
            margin.
        inner_images, inner_codes: the part of the output without its margin.
        own_images, own_codes: where that part belongs in the whole arrays.
    """

    images: tuple
    codes: tuple
    inner_images: tuple
    inner_codes: tuple
    own_images: tuple
    own_codes: tuple


def cuts(shape, code_shape):
    """Cuts a batch of images and their codes into parts for a codec.

    Args:
        shape: `(n, height, width, channels)` of the images.
        code_shape: shape of their codes: `(n, channels)`, of images that are
            never cut, or `(n, rows, columns, channels)`.

    Yields:
        `Cut`. Together they cover every pixel and every code once.
    """
    pixels = shape[1] * shape[2]
    size = max(1, BATCH_PIXELS // pixels)
    for start in range(0, shape[0], size):
        batch, every = slice(start, start + size), slice(None)
        if len(code_shape) == 2 or pixels <= BATCH_PIXELS:
            yield Cut((batch,), (batch,), (every,), (every,), (batch,), (batch,))
        else:
            yield from _tiles(batch, shape, code_shape)


def _tiles(batch, shape, code_shape):
    # Each pooling halves and rounds up: pixels on each side of a position.
    side, positions = max(zip(shape[1:3], code_shape[1:3], strict=True))
    stride = 1 << (-(-side // positions) - 1).bit_length()
    every = slice(None)
    for row in range(0, code_shape[1], CODE_TILE):
        for column in range(0, code_shape[2], CODE_TILE):
            spans = _span(row, code_shape[1]), _span(column, code_shape[2])
            yield Cut(
                *_slices(batch, [(a, d) for a, _, _, d in spans], stride),
                *_slices(every, [(b - a, c - a) for a, b, c, _ in spans], stride),
                *_slices(batch, [(b, c) for _, b, c, _ in spans], stride),
            )


def _span(start, end):
    """Returns where a tile with margin begins, where without, and both ends."""
    stop = min(start + CODE_TILE, end)
    return max(start - CODE_MARGIN, 0), start, stop, min(stop + CODE_MARGIN, end)


def _slices(batch, spans, stride):
    """Returns the same region as slices of images and of codes."""
    of_images = (slice(stride * a, stride * b) for a, b in spans)
    return (batch, *of_images), (batch, *(slice(a, b) for a, b in spans))
