"""Autoencoders whose code is whole numbers, paid for by the bit."""

import keras
import numpy as np
from keras import layers, ops

from convae_keras.exact import ExactConv2D, SideBySide, rounded
from convae_keras.interleave import CONTEXTS, TABLES
from convae_keras.layers import CropLike
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.pipelines import expect

# Logistic curves of which a channel's density is mixed.
CURVES = 3
# Groups into which codes are sorted, each with its own tables.
GROUPS = 64


@keras.saving.register_keras_serializable(package="convae_keras")
class Codec(Autoencoder):
    """An autoencoder that keeps with it the tables by which its codes are packed."""

    @property
    def tables(self):
        """The `Tables` layer."""
        return self.decoder.get_layer("tables")


@keras.saving.register_keras_serializable(package="convae_keras")
class WholeCode(layers.Layer):
    """Rounds a code, and adds to the loss what it would take to write it down.

    The bits are those under a density that is learnt with the code: for each
    channel a mixture of logistic curves. In training the code they are counted
    for is not rounded but shaken by noise as wide as a step of rounding, which
    has the same density at whole numbers, and a slope.

    Args:
        pixels: int, how many pixels of the image one position of the code
            stands for.
        price: float, what a bit a pixel costs, in units of the loss.
        largest: int, what lies farther from 0 is brought back to it.
        seed: int, of the noise.

    Input shape: float `(n, …, channels)`.
    Output shape: the same, whole numbers from `-largest` to `largest`.

    Reference:
        - [Ballé et al., 2017](https://arxiv.org/abs/1611.01704)
    """

    def __init__(self, pixels, price, largest=15, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.pixels = pixels
        self.price = price
        self.largest = largest
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        shape = (input_shape[-1], CURVES)
        spread = keras.initializers.RandomNormal(stddev=0.5, seed=self.seed)
        self.centre = self.add_weight(name="centre", shape=shape, initializer=spread)
        self.width = self.add_weight(name="width", shape=shape, initializer="zeros")
        self.share = self.add_weight(name="share", shape=shape, initializer="zeros")

    def call(self, x, training=False):
        whole = ops.clip(rounded(x), -self.largest, self.largest)
        shaken = whole
        if training:
            noise = keras.random.uniform(ops.shape(x), -0.5, 0.5, seed=self.random)
            shaken = x + noise
        bits_a_pixel = ops.mean(ops.sum(self._bits(shaken), axis=-1)) / self.pixels
        self.add_loss(self.price * bits_a_pixel)
        return whole

    def _bits(self, x):
        above, below = self._below(x + 0.5), self._below(x - 0.5)
        return -ops.log2(ops.maximum(above - below, 1e-6))

    def _below(self, x):
        """The share of the density that lies below."""
        steps = (ops.expand_dims(x, -1) - self.centre) * ops.exp(-self.width)
        return ops.sum(ops.sigmoid(steps) * ops.softmax(self.share), axis=-1)

    def get_config(self):
        names = ("pixels", "price", "largest", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="convae_keras")
class Tables(layers.Layer):
    """Keeps the tables of `convae_keras.entropy` with a model; hands on its input.

    They are weights that are counted, not learnt: whole numbers.

    Args:
        groups: int, how many groups of codes there are.
        symbols: int, how many values a number of the code can have.

    Attributes:
        groups_table, codes_table: `(1, groups)` and `(groups, channels, symbols)`, of
            `convae_keras.groups`.
        pixels_table, way_table: `(TABLES, CONTEXTS, 256)` and `(1,)`, of
            `convae_keras.interleave`.
    """

    def __init__(self, groups, symbols, **kwargs):
        super().__init__(**kwargs)
        self.shape_of_codes = groups, symbols

    def build(self, input_shape):
        groups, symbols = self.shape_of_codes
        shapes = {"groups": (1, groups), "codes": (groups, input_shape[-1], symbols)}
        shapes |= {"pixels": (TABLES, CONTEXTS, 256), "way": (1,)}
        whole = {"initializer": "zeros", "dtype": "int32", "trainable": False}
        for name, shape in shapes.items():
            weight = self.add_weight(name=name, shape=shape, **whole)
            setattr(self, f"{name}_table", weight)

    def call(self, x):
        return x

    def get_config(self):
        groups, symbols = self.shape_of_codes
        return super().get_config() | {"groups": groups, "symbols": symbols}


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
    x = WholeCode(pixels, price, largest, seed=seed or 0, name="whole")(x)
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
    x = Tables(GROUPS, 2 * largest + 1, name="tables")(x)
    height, width, channels = bottom_shape
    # The sums of small numbers by which the code is told are not divided by as much.
    first = {"kernel_size": 1, "shift": 2, "largest": largest, "name": "first"}
    if len(code_shape) == 1:
        x = layers.Reshape((1, 1, code_shape[0]), name="single")(x)
        x = ExactConv2D(height * width * channels, **first)(x)
        x = layers.Reshape(bottom_shape, name="reshape")(x)
    else:
        x = ExactConv2D(channels, **first)(x)
    x = ExactConv2D(channels, name="code_1")(x)
    for stage in range(len(filters) - 1, 0, -1):
        x = ExactConv2D(4 * filters[stage - 1], name=f"up_{stage + 1}")(x)
        x = SideBySide(name=f"side_by_side_{stage + 1}")(x)
    x = ExactConv2D(4 * image_shape[2], pixels=True, name="up_1")(x)
    x = SideBySide(name="side_by_side_1")(x)
    x = layers.Rescaling(1 / 255, name="pixels")(x)
    return keras.Model(inputs, x, name="decoder")
