"""Compresses images to bytes and back: their codes, and every pixel on request."""

import numpy as np

from convae_keras.compression import entropy_models
from convae_keras.compression.range_coder import TOTAL, Decoder, Encoder
from convae_keras.keras_settings import standard_settings
from convae_keras.pipelines import to_float, to_uint8
from convae_keras.tiling import cuts
from convae_keras.validation import check_images, format_shape, require

# Pixels that tables are fitted to, at most.
MAX_PIXELS = 2**24

# Channels that are predicted from green: red and blue.
PREDICTED = np.array([1, 0, 1], "uint8")


@standard_settings()
def fit_tables(codec, x):
    """Fits the probability tables of a codec, so that it can compress images.

    Args:
        codec: trained `Codec`; its `tables` are set.
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width, channels)`,
            the training images.

    Raises:
        ValueError: for arrays that are not images, or do not fit the codec.
    """
    x = check_images(x)
    codes = entropy_models.count_codes(codes_of(codec, x), *codec.tables.shape_of_codes)
    sample = to_uint8(x[:: -(-x.size // MAX_PIXELS)])
    lossy = images_of(codec, codes_of(codec, sample), sample.shape)
    pixels = entropy_models.count_pixels(_to_planes(sample), _to_planes(lossy))
    tables = codes.group_table, codes.code_table, pixels.pixel_table, [pixels.mode]
    codec.tables.set_weights([np.asarray(table) for table in tables])


@standard_settings()
def pack(codec, x, lossless=False):
    """Compresses images of one size.

    Args:
        codec: `Codec` with fitted tables.
        x: uint8 `(n, height, width, channels)`.
        lossless: bool, whether `unpack` is to return exactly these images.

    Returns:
        bytes.

    Raises:
        ValueError: for arrays that are not uint8 images, or do not fit the codec,
            or if its tables are not fitted.
    """
    code_tables, pixel_tables = _tables(codec)
    x = check_images(x)
    require(x.dtype == "uint8", f"`x` must be uint8. Received: {x.dtype}")
    codes, encoder = codes_of(codec, x), Encoder()
    code_tables.encode(encoder, codes)
    if lossless:
        lossy = images_of(codec, codes, x.shape)
        pixel_tables.encode(encoder, _to_planes(x), _to_planes(lossy))
    return encoder.finish()


@standard_settings()
def unpack(codec, data, shape, lossless=False):
    """Decompresses the images that `pack` compressed.

    Args:
        codec: the same `Codec`.
        data: bytes. Corrupted ones give other images, or a `ValueError`.
        shape: `(n, height, width, channels)`.
        lossless: bool, the same as for `pack`.

    Returns:
        uint8 `shape`.

    Raises:
        ValueError: for bytes that cannot be decoded, too few of them, or a shape
            that does not fit the codec.
    """
    (code_tables, pixel_tables), decoder = _tables(codec), Decoder(data)
    count, _ = _code_count(codec, shape)
    # Else a few bytes could ask for hours of decoding.
    least = count * code_tables.min_bits() / 8 - 8
    expected = f"`data` must have at least {least:,.0f} bytes for images of shape"
    require(len(data) >= least, f"{expected} {shape}. Received: {len(data):,}")
    images = images_of(codec, code_tables.decode(decoder, count), shape)
    if not lossless:
        return images
    return _from_planes(pixel_tables.decode(decoder, _to_planes(images)), shape)


def codes_of(codec, x):
    """Encodes images, tile by tile.

    Args:
        codec: `Codec`.
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width, channels)`.

    Returns:
        int64 `(n * positions, latent_dim)` in `[0, 2 * largest]`, the positions
        of each image one after another.

    Raises:
        ValueError: if the images do not fit the codec.
    """
    x = check_images(x)
    count, channels = _code_count(codec, x.shape)
    code_shape = codec.encoder.compute_output_shape(x.shape)
    codes = np.empty(code_shape, "int64")
    for cut in cuts(x.shape, code_shape):
        output = codec.encoder.predict_on_batch(to_float(x[cut.images]))
        codes[cut.own_codes] = np.rint(np.asarray(output)[cut.inner_codes])
    return codes.reshape(count, channels) + _largest(codec)


def images_of(codec, codes, shape):
    """Decodes codes, tile by tile.

    Args:
        codec: `Codec`.
        codes: int `(n * positions, latent_dim)`, as `codes_of` returns them.
        shape: `(n, height, width, channels)` of the images.

    Returns:
        uint8 `shape`.
    """
    code_shape = codec.encoder.compute_output_shape(shape)
    codes = (codes - _largest(codec)).astype("float32").reshape(code_shape)
    images = np.empty(shape, "uint8")
    for cut in cuts(shape, code_shape):
        output = np.asarray(codec.decoder.predict_on_batch(codes[cut.codes]))
        target = images[cut.own_images]
        height, width = target.shape[1:3]
        target[...] = to_uint8(output[cut.inner_images][:, :height, :width])
    return images


def check_size(codec, shape, name="x"):
    """Checks that images fit a codec.

    Args:
        codec: `Codec`.
        shape: `(n, height, width, channels)`.
        name: str, the argument's name for error messages.

    Raises:
        ValueError: if the size or the channels do not match.
    """
    expected, shape = codec.input_shape[1:], shape[1:]
    fits = all(a in (None, b) for a, b in zip(expected, shape, strict=True))
    expected = f"`{name}` must be images of {format_shape(expected)}"
    require(fits, f"{expected}. Received: {format_shape(shape)}")


def _code_count(codec, shape):
    """Returns the number of positions in the codes of images, and of channels."""
    check_size(codec, shape)
    code_shape = codec.encoder.compute_output_shape(tuple(shape))
    return int(np.prod(code_shape[:-1])), code_shape[-1]


def _largest(codec):
    return codec.encoder.get_layer("whole").largest


def _tables(codec):
    groups, codes, pixels, mode = (np.asarray(w) for w in codec.tables.get_weights())
    problem = "The probability tables of `codec` are not fitted"
    tables = groups, codes, pixels
    valid = all((t > 0).all() and (t.sum(-1) == TOTAL).all() for t in tables)
    valid = valid and 0 <= mode[0] < len(entropy_models.MODES)
    require(valid, f"{problem}: call `fit_tables` first.")
    code_tables = entropy_models.CodeTables(groups, codes)
    return code_tables, entropy_models.PixelTables(pixels, int(mode[0]))


def _to_planes(x):
    """Returns each channel as a grayscale image; of red and blue, less green."""
    if x.shape[3] == 3:
        x = x + 128 * PREDICTED - x[..., 1:2] * PREDICTED
    return x.transpose(0, 3, 1, 2).reshape(-1, *x.shape[1:3])


def _from_planes(planes, shape):
    """Inverts `_to_planes`."""
    n, height, width, channels = shape
    x = planes.reshape(n, channels, height, width).transpose(0, 2, 3, 1)
    if channels == 3:
        x = x - 128 * PREDICTED + x[..., 1:2] * PREDICTED
    return x
