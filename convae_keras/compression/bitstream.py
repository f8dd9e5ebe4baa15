"""Images as bytes and back, by a codec: their codes, and on request all pixels."""

import numpy as np

from convae_keras.compression.entropy_models import (
    CodeTables,
    PixelTables,
    count_codes,
    count_pixels,
)
from convae_keras.compression.range_coder import TOTAL, Decoder, Encoder
from convae_keras.pipelines import to_float
from convae_keras.tiling import cuts
from convae_keras.validation import check_images, expect, format_shape

# Pixels that are enough to count by.
MOST_PIXELS = 2**24


# Which of red, green and blue are told by green.
COLOURED = np.array([1, 0, 1], "uint8")


def fit_tables(codec, x):
    """Counts the codes of images, so that those of others can be packed.

    Args:
        codec: trained `Codec`; its `tables` are written.
        x: images, as `check_images` takes them; those it was trained on.
    """
    x = check_images(x)
    codes = count_codes(codes_of(codec, x), *codec.tables.shape_of_codes)
    some = to_uint8(x[:: -(-x.size // MOST_PIXELS)])
    guess = images_of(codec, codes_of(codec, some), some.shape)
    pixels = count_pixels(_planes(some), _planes(guess))
    tables = codes.of_groups, codes.of_codes, pixels.of_pixels, [pixels.way]
    codec.tables.set_weights([np.asarray(table) for table in tables])


def pack(codec, x, lossless=False):
    """Images of one size as bytes.

    Args:
        codec: `Codec` whose tables are fitted.
        x: uint8 `(n, height, width, channels)`.
        lossless: bool, whether they are to come back as they are.

    Returns:
        bytes. Codes whose numbers are outside of what the codec knows are cut
        off there.

    Raises:
        ValueError: for images that the codec does not take, or if its tables
            were never fitted.
    """
    of_codes, of_pixels = _tables(codec)
    codes, encoder = codes_of(codec, x), Encoder()
    of_codes.encode(encoder, codes)
    if lossless:
        guess = images_of(codec, codes, x.shape)
        of_pixels.encode(encoder, _planes(x), _planes(guess))
    return encoder.finish()


def unpack(codec, data, shape, lossless=False):
    """The images that `pack` made bytes of.

    Args:
        codec: the same `Codec`.
        data: bytes. Damaged ones give other images, or an error.
        shape: `(n, height, width, channels)`.
        lossless: bool, as it was.

    Returns:
        uint8 `shape`.

    Raises:
        ValueError: for bytes that cannot be, or a shape that the codec does not
            take.
    """
    (of_codes, of_pixels), decoder = _tables(codec), Decoder(data)
    count, _ = _code_count(codec, shape)
    # Or a few bytes could ask for hours of decoding.
    least = count * of_codes.least_bits() / 8 - 8
    wanted = f"{least:,.0f} bytes at least, for images of {shape}"
    expect(len(data) >= least, "data", wanted, f"{len(data):,}")
    images = images_of(codec, of_codes.decode(decoder, count), shape)
    if not lossless:
        return images
    return _from_planes(of_pixels.decode(decoder, _planes(images)), shape)


def codes_of(codec, x):
    """The codes of images.

    Args:
        codec: `Codec`.
        x: images, as `check_images` takes them.

    Returns:
        int64 `(positions, latent_dim)`, from 0 to twice the largest: one image's
        positions after another's.
    """
    x = check_images(x)
    count, channels = _code_count(codec, x.shape)
    inside = codec.encoder.compute_output_shape(x.shape)
    whole = np.empty(inside, "int64")
    for cut in cuts(x.shape, inside):
        found = codec.encoder.predict_on_batch(to_float(x[cut.images]))
        whole[cut.own_codes] = np.rint(np.asarray(found)[cut.inner_codes])
    return whole.reshape(count, channels) + _largest(codec)


def images_of(codec, codes, shape):
    """The images that codes stand for.

    Args:
        codec: `Codec`.
        codes: int `(positions, latent_dim)`, as `codes_of` gives them.
        shape: `(n, height, width, channels)` of the images.

    Returns:
        uint8 `shape`.
    """
    inside = codec.encoder.compute_output_shape(shape)
    codes = (codes - _largest(codec)).astype("float32").reshape(inside)
    images = np.empty(shape, "uint8")
    for cut in cuts(shape, inside):
        found = np.asarray(codec.decoder.predict_on_batch(codes[cut.codes]))
        place = images[cut.own_images]
        found = found[cut.inner_images][:, : place.shape[1], : place.shape[2]]
        place[...] = to_uint8(found)
    return images


def check_size(codec, shape, name="x"):
    """Refuses images that a codec does not take.

    Args:
        codec: `Codec`.
        shape: `(n, height, width, channels)`.
        name: str, what a complaint calls them.

    Raises:
        ValueError: if their size or their channels are not the codec's.
    """
    wanted = codec.input_shape[1:]
    fits = all(a in (None, b) for a, b in zip(wanted, shape[1:], strict=True))
    expect(fits, name, f"images of {format_shape(wanted)}", format_shape(shape[1:]))


def to_uint8(x):
    """Images as uint8, which floats in [0, 1] are rounded to."""
    return x if x.dtype == "uint8" else np.rint(255 * x).astype("uint8")


def _code_count(codec, shape):
    """How many positions the codes of images have, and numbers at each."""
    check_size(codec, shape)
    inside = codec.encoder.compute_output_shape(tuple(shape))
    return int(np.prod(inside[:-1])), inside[-1]


def _largest(codec):
    return codec.encoder.get_layer("whole").largest


def _tables(codec):
    weights = (np.asarray(w) for w in codec.tables.get_weights())
    groups, codes, pixels, way = weights
    expect(groups.sum() == TOTAL, "codec", "one whose tables are fitted", "zeros")
    return CodeTables(groups, codes), PixelTables(pixels, int(way[0]))


def _planes(x):
    """Each channel as a grey image; red and blue by what they are off green."""
    if x.shape[3] == 3:
        x = x + 128 * COLOURED - x[..., 1:2] * COLOURED
    return x.transpose(0, 3, 1, 2).reshape(-1, *x.shape[1:3])


def _from_planes(planes, shape):
    """The images of `_planes`."""
    n, height, width, channels = shape
    x = planes.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
    if channels == 3:
        x = x - 128 * COLOURED + x[..., 1:2] * COLOURED
    return x
