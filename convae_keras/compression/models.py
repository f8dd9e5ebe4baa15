"""Autoencoders whose code is whole numbers, paid for by the bit."""

import keras
import numpy as np
from keras import layers

from convae_keras.compression.layers import (
    DepthToSpace,
    EntropyBottleneck,
    EntropyTables,
    IntegerConv2D,
)
from convae_keras.layers import CropLike
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.validation import expect

# Groups into which codes are sorted, each with its own tables.
GROUPS = 64


@keras.saving.register_keras_serializable(package="convae_keras")
class Codec(Autoencoder):
    """An autoencoder that keeps with it the tables by which its codes are packed."""

    @property
    def tables(self):
        """The `Tables` layer."""
        return self.decoder.get_layer("tables")


def conv_codec(
    image_shape=(28, 28, 1),
    *,
    latent_dim=32,
    price=50.0,
    filters=(32, 64),
    code_filters=(64, 64),
    largest=15,
    seed=None,
):
    """Builds a convolutional autoencoder that compresses.

    Its encoder is the reference network's, and ends in rounding. Its decoder
    computes in whole numbers, so that every machine gets the same image out of
    the same code.

    Args:
        image_shape: `(height, width, channels)`; with None for height and width
            it takes images of any size, and its code has rows and columns.
        latent_dim: int, numbers of the code, at each of its positions.
        price: float, how many decibels a bit a pixel has to be worth. The
            higher, the smaller the code.
        filters, code_filters: as in `conv_autoencoder`.
        largest: int, numbers of the code lie in `[-largest, largest]`.
        seed: int for the same initial weights at every call, or None.

    Returns:
        An uncompiled functional `Codec`, to be trained with `loss="psnr"`; then
        `fit_tables` has to count its codes.

    Raises:
        ValueError: for sizes that do not exist or fit.

    References:
        - [Ballé et al., 2017](https://arxiv.org/abs/1611.01704)
        - [Ballé et al., 2019](https://openreview.net/forum?id=S1zz2i0cY7), integers

    Example:

    >>> codec = conv_codec(latent_dim=16)
    >>> codec.encoder.output_shape
    (None, 16)
    """
    _check(latent_dim, price, largest)
    image_shape = tuple(image_shape)
    sizes = {"filters": filters, "code_filters": code_filters}
    base = conv_autoencoder(
        "reference", image_shape=image_shape, latent_dim=None, seed=seed, **sizes
    ).encoder
    x, any_size = base.output, None in image_shape
    pixels = 4 ** len(filters) if any_size else image_shape[0] * image_shape[1]
    if not any_size:
        x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(latent_dim, name="code")(x)
    x = EntropyBottleneck(pixels, price, largest, seed=seed or 0, name="whole")(x)
    encoder = keras.Model(base.input, x, name="encoder")
    decoder = _decoder(
        x.shape[1:], base.output.shape[1:], image_shape, filters, largest
    )
    inputs = keras.Input(image_shape, name="images")
    outputs = CropLike(name="crop")(decoder(encoder(inputs)), inputs)
    return Codec(inputs, outputs, name="codec")


def _check(latent_dim, price, largest):
    expect(0 <= price < np.inf, "price", "0 or larger", price)
    whole = isinstance(latent_dim, int) and latent_dim > 0
    expect(whole, "latent_dim", "a positive int", latent_dim)
    whole = isinstance(largest, int) and 0 < largest < 128
    expect(whole, "largest", "an int from 1 to 127", largest)


def _decoder(code_shape, bottom_shape, image_shape, filters, largest):
    x = inputs = keras.Input(code_shape, name="codes")
    x = EntropyTables(GROUPS, 2 * largest + 1, name="tables")(x)
    height, width, channels = bottom_shape
    # The sums of small numbers by which the code is told are not divided by as much.
    first = {"kernel_size": 1, "shift": 2, "largest": largest, "name": "first"}
    if len(code_shape) == 1:
        x = layers.Reshape((1, 1, code_shape[0]), name="single")(x)
        x = IntegerConv2D(height * width * channels, **first)(x)
        x = layers.Reshape(bottom_shape, name="reshape")(x)
    else:
        x = IntegerConv2D(channels, **first)(x)
    x = IntegerConv2D(channels, name="code_1")(x)
    for stage in range(len(filters) - 1, 0, -1):
        x = IntegerConv2D(4 * filters[stage - 1], name=f"up_{stage + 1}")(x)
        x = DepthToSpace(name=f"side_by_side_{stage + 1}")(x)
    x = IntegerConv2D(4 * image_shape[2], pixels=True, name="up_1")(x)
    x = DepthToSpace(name="side_by_side_1")(x)
    x = layers.Rescaling(1 / 255, name="pixels")(x)
    return keras.Model(inputs, x, name="decoder")
