"""An autoencoder of text, with a code of few bits."""

import keras
from keras import layers, ops

from convae_keras.keras_settings import standard_settings
from convae_keras.models import Autoencoder
from convae_keras.validation import as_sizes, check_ints, check_layers, require

# Levels of an element, at most: float32 tells so many apart in [-1, 1].
MOST_LEVELS = 2**24


@keras.saving.register_keras_serializable(package="convae_keras")
class Quantize(layers.Layer):
    """Rounds each element to one of a few levels in [-1, 1].

    Finite scalar quantization: a tanh bounds an element, and it is rounded to the
    nearest level. The gradient is that of the tanh (straight-through).

    Args:
        levels: int, at least 2. An element takes `log2(levels)` bits.
        **kwargs: `name` and so on, as for every layer. Computes in float32.

    Input shape:
        float of any shape and range.

    Output shape:
        float32 of the same shape.

    Raises:
        ValueError: for fewer than 2 levels.

    References:
        - [Mentzer et al., 2024](https://arxiv.org/abs/2309.15505)

    Example:

    >>> np.asarray(Quantize(3)(np.array([-9.0, 0.1, 0.3, 9.0]))).tolist()
    [-1.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, levels, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        check_ints(2, MOST_LEVELS, levels=levels)
        self.levels = int(levels)

    def call(self, x):
        steps = self.levels - 1
        x = ops.tanh(x)
        return x + ops.stop_gradient(2 * ops.round((x + 1) / 2 * steps) / steps - 1 - x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


def text_autoencoder(
    line_shape=(64, 95),
    *,
    block=4,
    latent_dim=6,
    levels=4,
    filters=144,
    seed=None,
    name="autoencoder",
):
    """Builds an autoencoder of lines of text, with a quantized code for each block.

    Args:
        line_shape: `(length, characters)`, as `one_hot` makes them.
        block: int, characters of a block, which divides the length.
        latent_dim: int, elements of the code for a block.
        levels: int, values that an element can have; None to leave them as they
            are. The code of a line takes `length / block * latent_dim *
            log2(levels)` bits.
        filters: int, channels of the convolutions over blocks.
        seed: int, for the same initial weights at every call, or None.
        name: str.

    Returns:
        An uncompiled functional `Autoencoder` whose `encoder` and `decoder` are
        models too. Input: float32 `(n, length, characters)`, what `one_hot` makes,
        divided by 255; output: the probability of each character, of the same
        shape. Code: `(n, length / block, latent_dim)`, float32 (float16 with
        `levels=None` in half precision).

    Raises:
        ValueError: for a value that does not fit.

    Example:

    >>> autoencoder = text_autoencoder((64, 95), block=4, latent_dim=6)
    >>> autoencoder.encoder.output_shape
    (None, 16, 6)
    """
    shape = as_sizes(line_shape, "line_shape", ("length", "characters"))
    check_ints(block=block, latent_dim=latent_dim, filters=filters)
    expected = f"`block` must divide the line's length, {shape[0]}"
    require(shape[0] % block == 0, f"{expected}. Received: {block}")
    check_layers((32, filters, filters, latent_dim), 2 * block)
    check_layers((shape[1], 96, filters), 2 * block)
    with standard_settings(seed=seed):
        x = inputs = keras.Input(shape, name="lines")
        # A few numbers for each character, such that like ones are close.
        x = layers.Dense(32, name="embedding")(x)
        x = _conv(filters, 2 * block, "blocks", strides=block)(x)
        x = _residual(x, filters, "encode")
        x = layers.Dense(latent_dim, name="code")(x)
        if levels is not None:
            x = Quantize(levels, name="quantize")(x)
        encoder = keras.Model(inputs, x, name="encoder")

        x = codes = keras.Input(encoder.output_shape[1:], name="codes")
        x = _residual(_conv(filters, 3, "blocks")(x), filters, "decode")
        options = {"activation": "relu", "padding": "same", "name": "characters"}
        x = layers.Conv1DTranspose(96, 2 * block, block, **options)(x)
        last = {"activation": "softmax", "dtype": "float32"}
        x = _conv(shape[1], 3, "probabilities", **last)(x)
        decoder = keras.Model(codes, x, name="decoder")

        inputs = keras.Input(shape, name="lines")
        return Autoencoder(inputs, decoder(encoder(inputs)), name=name)


def _residual(x, filters, name):
    """Two convolutions, whose result is added to their input."""
    y = _conv(filters, 3, f"{name}_1")(x)
    y = _conv(filters, 3, f"{name}_2", activation=None)(y)
    return layers.ReLU(name=name)(layers.Add(name=f"{name}_add")([x, y]))


def _conv(filters, kernel_size, name, strides=1, **changes):
    options = {"padding": "same", "activation": "relu"} | changes
    return layers.Conv1D(filters, kernel_size, strides, name=name, **options)
