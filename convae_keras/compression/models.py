"""Learned image compression: a quantized latent and a rate–distortion loss."""

import math

import keras
from keras import layers

from convae_keras.compression import layers as codec_layers
from convae_keras.keras_settings import standard_settings
from convae_keras.layers import CropLike
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.validation import (
    as_image_shape,
    as_sizes,
    check_ints,
    check_layers,
    is_number,
    plain,
    reason,
    require,
)

# Groups that codes are sorted into, each with tables of its own.
GROUPS = 64

RATE_WEIGHT = 50.0


@keras.saving.register_keras_serializable(package="convae_keras")
class Codec(Autoencoder):
    """An autoencoder that stores the probability tables for coding its codes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.dtype_policy = "float32"  # as its layers', also when Keras loads it

    @property
    def tables(self):
        """The `EntropyTables` layer."""
        return self.decoder.get_layer("tables")


def conv_codec(
    image_shape=(28, 28, 1),
    *,
    latent_dim=32,
    rate_weight=None,
    filters=(32, 64),
    code_filters=(64, 64),
    largest=15,
    seed=None,
    price=None,
):
    """Builds a convolutional autoencoder for image compression.

    The encoder is that of the reference network, with a code that is rounded to
    integers. The decoder computes with integers, so that every machine decodes
    the same image. All layers compute in float32, whatever the global dtype
    policy is: half precision would not be exact.

    Args:
        image_shape: `(height, width, channels)`. With None for height and width
            the codec takes images of any size, and its code has rows and
            columns.
        latent_dim: int, elements of the code, at each of its positions.
        rate_weight: float, weight λ of the rate in the loss `-PSNR + λ·bpp`,
            where bpp is bits per pixel; None for 50. Larger values give smaller
            files. (CompressAI's `lmbda` weights the distortion instead.)
        filters, code_filters: as in `conv_autoencoder`, of the encoder; the decoder
            has one convolution at the size of the code.
        largest: int from 1 to 127, codes are in `[-largest, largest]`.
        seed: int for the same initial weights at every call, or None.
        price: the earlier name of `rate_weight`.

    Returns:
        An uncompiled functional `Codec`. Train it with `loss="psnr"`, then call
        `fit_tables`. Input and output: float32 `(n, *image_shape)` in [0, 1].

    Raises:
        ValueError: for invalid sizes or weights, or for both `rate_weight` and
            `price`.

    References:
        - [Ballé et al., 2017](https://arxiv.org/abs/1611.01704)
        - [Ballé et al., 2019](https://openreview.net/forum?id=S1zz2i0cY7), integers

    Example:

    >>> codec = conv_codec(latent_dim=16)
    >>> codec.encoder.output_shape
    (None, 16)
    """
    rate_weight = _rate_weight(rate_weight, price)
    check_ints(latent_dim=latent_dim)
    check_ints(1, 127, largest=largest)
    latent_dim, largest, seed = (plain(n) for n in (latent_dim, largest, seed))
    image_shape = as_image_shape(image_shape)
    filters = as_sizes(filters, "filters")
    with standard_settings("float32", seed):
        switches = {"filters": filters, "code_filters": code_filters}
        switches |= {"image_shape": image_shape, "latent_dim": None}
        base = conv_autoencoder("reference", **switches).encoder
        options = {"rate_weight": rate_weight, "largest": largest, "seed": seed or 0}
        encoder = _encoder(base, latent_dim, image_shape, filters, options)
        decoder = _decoder(encoder, base, image_shape, filters, largest)
        inputs = keras.Input(image_shape, name="images")
        outputs = CropLike(name="crop")(decoder(encoder(inputs)), inputs)
        return Codec(inputs, outputs, name="codec")


def _rate_weight(rate_weight, price):
    hint = "only one of them can be given"
    received = f"Received: rate_weight={rate_weight}, price={price}"
    message = f"`price` is the earlier name of `rate_weight`: {hint}. {received}"
    require(rate_weight is None or price is None, message)
    name, value = ("rate_weight", rate_weight) if price is None else ("price", price)
    value = RATE_WEIGHT if value is None else value
    message = f"`{name}` must be a non-negative number. Received: {reason(repr(value))}"
    require(is_number(value) and value >= 0, message)
    return plain(value)


def _encoder(base, latent_dim, image_shape, filters, options):
    x = base.output
    check_layers((math.prod(side or 1 for side in x.shape[1:]), latent_dim))
    if None in image_shape:
        pixels = 4 ** len(filters)
    else:
        pixels = image_shape[0] * image_shape[1]
        x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(latent_dim, name="code")(x)
    x = codec_layers.EntropyBottleneck(pixels, **options, name="whole")(x)
    return keras.Model(base.input, x, name="encoder")


def _decoder(encoder, base, image_shape, filters, largest):
    code_shape, bottom_shape = encoder.output_shape[1:], base.output_shape[1:]
    x = inputs = keras.Input(code_shape, name="codes")
    x = codec_layers.EntropyTables(GROUPS, 2 * largest + 1, name="tables")(x)
    height, width, channels = bottom_shape
    # Codes are small, so are their sums: a smaller shift keeps their resolution.
    first = {"kernel_size": 1, "shift": 2, "largest": largest, "name": "first"}
    if len(code_shape) == 1:
        x = layers.Reshape((1, 1, code_shape[0]), name="single")(x)
        x = codec_layers.IntegerConv2D(height * width * channels, **first)(x)
        x = layers.Reshape(bottom_shape, name="reshape")(x)
    else:
        x = codec_layers.IntegerConv2D(channels, **first)(x)
    x = codec_layers.IntegerConv2D(channels, name="code_1")(x)
    for stage in range(len(filters) - 1, 0, -1):
        wide = 4 * filters[stage - 1]
        x = codec_layers.IntegerConv2D(wide, name=f"up_{stage + 1}")(x)
        x = codec_layers.DepthToSpace(name=f"side_by_side_{stage + 1}")(x)
    x = codec_layers.IntegerConv2D(4 * image_shape[2], pixels=True, name="up_1")(x)
    x = codec_layers.DepthToSpace(name="side_by_side_1")(x)
    x = layers.Rescaling(1 / 255, name="pixels")(x)
    return keras.Model(inputs, x, name="decoder")
