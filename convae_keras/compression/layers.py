"""Layers of a codec: integer convolution, entropy bottleneck, entropy tables."""

import keras
from keras import layers, ops

from convae_keras.compression.entropy_models import CONTEXTS, TABLES
from convae_keras.validation import require

# Kernels are integers up to MAX_WEIGHT. The trained variable is UNIT times smaller,
# of the magnitude that initializers and optimizers expect.
MAX_WEIGHT, UNIT = 63, 64

# float32 represents every integer of smaller magnitude exactly.
LIMIT = 2**24

# Logistic components in the density of each channel of a code.
COMPONENTS = 3


def round_ste(x):
    """Rounds to the nearest integer; the gradient is that of `x` (straight-through)."""
    return x + ops.stop_gradient(ops.round(x) - x)


@keras.saving.register_keras_serializable("convae_keras")
class IntegerConv2D(layers.Layer):
    """Convolution with integer weights, inputs and outputs.

    Computes `clip(round((kernel * x + bias) / 2**shift), 0, 255)`. The result is
    the same on every processor and backend, with any number of threads: a
    floating-point sum depends on the order of its terms, but no sum here reaches
    2**24, and float32 holds integers below that exactly. Trained with the
    straight-through estimator.

    Args:
        filters: int, number of output channels.
        kernel_size: odd int, side of the square kernel; borders are padded with
            zeros.
        shift: int, right shift of the accumulator, in bits.
        largest: int, upper bound of the inputs' magnitude.
        pixels: bool, whether the outputs are pixels. Then outputs that are
            clipped have a gradient too: without one, a pixel that is black
            once would stay black.
        dtype: `"float32"`, whatever the global policy is: half precision would
            not be exact.
        **kwargs: `name` and so on, as for every layer.

    Input shape:
        float32 `(n, height, width, channels)`, integers.

    Output shape:
        float32 `(n, height, width, filters)`, integers in [0, 255].

    Raises:
        ValueError: at `build`, if a sum could reach 2**24.

    References:
        - [Ballé et al., 2019](https://openreview.net/forum?id=S1zz2i0cY7)
        - [Bengio et al., 2013](https://arxiv.org/abs/1308.3432), the
          straight-through estimator
    """

    def __init__(
        self, filters, kernel_size=3, shift=6, largest=255, pixels=False, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.filters, self.kernel_size = filters, kernel_size
        self.shift, self.largest, self.pixels = shift, largest, pixels

    def build(self, input_shape):
        fan_in = self.kernel_size**2 * input_shape[-1]
        # The products must leave something of the range to the bias.
        limit = LIMIT // (MAX_WEIGHT * self.largest)
        expected = f"`kernel_size**2 * channels` must be below {limit}"
        received = f"Received: {fan_in}, for inputs of shape {input_shape}"
        message = f"{expected}, or float32 sums are not exact. {received}"
        require(fan_in < limit, message)
        normal = keras.initializers.HeNormal()
        self.kernel = self.add_weight((fan_in, self.filters), normal, name="kernel")
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, x, training=False):
        kernel = ops.clip(round_ste(UNIT * self.kernel), -MAX_WEIGHT, MAX_WEIGHT)
        max_bias = LIMIT - 1 - MAX_WEIGHT * self.largest * kernel.shape[0]
        bias = round_ste(UNIT * self.largest * self.bias)
        bias = ops.clip(bias, -max_bias, max_bias)
        scaled = (self._convolve(x, kernel, training) + bias) / 2.0**self.shift
        rounded = ops.clip(ops.floor(scaled + 0.5), 0, 255)
        differentiable = scaled if self.pixels else ops.clip(scaled, 0, 255)
        return differentiable + ops.stop_gradient(rounded - differentiable)

    def _convolve(self, x, kernel, training):
        if self.kernel_size == 1:
            return ops.matmul(x, kernel)
        channels, size = x.shape[-1], self.kernel_size
        # Convolution algorithms such as Winograd's use fractions. In training, that
        # does no harm; else, the convolution is a matrix product of integers.
        if training:
            kernel = ops.reshape(kernel, (size, size, channels, self.filters))
            return ops.conv(x, kernel, padding="same", data_format="channels_last")
        if self.filters >= channels:  # then shifting the inputs takes less memory
            return ops.matmul(ops.concatenate(self._shifts(x), axis=-1), kernel)
        kernel = ops.reshape(kernel, (size**2, channels, self.filters))
        kernel = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (channels, -1))
        products = self._shifts(ops.matmul(x, kernel))
        width = self.filters
        return sum(p[..., i * width : (i + 1) * width] for i, p in enumerate(products))

    def _shifts(self, x):
        """Returns, for each entry of the kernel, `x` shifted to be multiplied by it."""
        margin, (height, width) = self.kernel_size // 2, ops.shape(x)[1:3]
        padded = ops.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]])
        steps = range(self.kernel_size)
        return [padded[:, i : i + height, j : j + width] for i in steps for j in steps]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        names = ("filters", "kernel_size", "shift", "largest", "pixels")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("convae_keras")
class DepthToSpace(layers.Layer):
    """Rearranges four channels of a position into two rows of two pixels.

    Input shape:
        `(n, height, width, 4 * channels)`.

    Output shape:
        `(n, 2 * height, 2 * width, channels)`.
    """

    def call(self, x):
        return ops.depth_to_space(x, 2, data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch_size, height, width, channels = input_shape
        height, width = (size and 2 * size for size in (height, width))
        return (batch_size, height, width, channels // 4)


@keras.saving.register_keras_serializable("convae_keras")
class EntropyBottleneck(layers.Layer):
    """Rounds a code to integers, and adds its rate to the loss.

    The rate is the number of bits that the code takes under a density learned
    with it: for each channel, a mixture of logistic distributions. In training
    it is the rate of the code with uniform noise added, one rounding step wide:
    the density of that agrees with the probabilities of the rounded code at the
    integers, and it has a gradient.

    Args:
        pixels: int, pixels of the image for each position of the code.
        rate_weight: float, weight λ of the rate in the loss `-PSNR + λ·bpp`,
            where bpp is bits per pixel. Larger values give smaller files.
            (CompressAI's `lmbda` weights the distortion instead.)
        largest: int, codes are clipped to `[-largest, largest]`.
        seed: int, for the noise.
        dtype: `"float32"`, whatever the global policy is: the codes and the
            loss need it.
        **kwargs: `name` and so on, as for every layer.

    Input shape:
        float `(n, …, channels)`.

    Output shape:
        float32, the same, integers from `-largest` to `largest`.

    References:
        - [Ballé et al., 2017](https://arxiv.org/abs/1611.01704)
    """

    def __init__(self, pixels, rate_weight, largest=15, seed=0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.pixels, self.rate_weight = pixels, rate_weight
        self.largest, self.seed = largest, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        shape = (input_shape[-1], COMPONENTS)
        normal = keras.initializers.RandomNormal(stddev=0.5, seed=self.seed)
        self.loc = self.add_weight(shape, normal, name="loc")
        self.log_scale = self.add_weight(shape, "zeros", name="log_scale")
        self.logits = self.add_weight(shape, "zeros", name="logits")

    def call(self, x, training=False):
        rounded = ops.clip(round_ste(x), -self.largest, self.largest)
        noisy = rounded
        if training:
            shape, seed = ops.shape(x), self.seed_generator
            noisy = x + keras.random.uniform(shape, -0.5, 0.5, seed=seed)
        bits_per_pixel = ops.mean(ops.sum(self._bits(noisy), axis=-1)) / self.pixels
        self.add_loss(self.rate_weight * bits_per_pixel)
        return rounded

    def _bits(self, x):
        return -ops.log2(ops.maximum(self._cdf(x + 0.5) - self._cdf(x - 0.5), 1e-6))

    def _cdf(self, x):
        """Returns the cumulative distribution function of the mixture."""
        z = (ops.expand_dims(x, -1) - self.loc) * ops.exp(-self.log_scale)
        return ops.sum(ops.sigmoid(z) * ops.softmax(self.logits), axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("pixels", "rate_weight", "largest", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("convae_keras")
class EntropyTables(layers.Layer):
    """Stores the probability tables of a codec with its model; returns its input.

    The tables are integer weights that are not trained: `fit_tables` counts them.

    Args:
        groups: int, number of groups that codes are sorted into.
        symbols: int, number of values that an element of a code can have.
        **kwargs: `name` and so on, as for every layer.

    Attributes:
        shape_of_codes: `(groups, symbols)`.
        group_table, code_table: int32 `(1, groups)` and `(groups, channels,
            symbols)`, of `CodeTables`.
        pixel_table, mode_table: int32 `(TABLES, CONTEXTS, 256)` and `(1,)`, of
            `PixelTables`.
    """

    def __init__(self, groups, symbols, **kwargs):
        super().__init__(**kwargs)
        self.shape_of_codes = groups, symbols

    def build(self, input_shape):
        groups, symbols = self.shape_of_codes
        self.group_table = self._add_table("groups", (1, groups))
        shape = groups, input_shape[-1], symbols
        self.code_table = self._add_table("codes", shape)
        self.pixel_table = self._add_table("pixels", (TABLES, CONTEXTS, 256))
        self.mode_table = self._add_table("mode", (1,))

    def _add_table(self, name, shape):
        options = {"initializer": "zeros", "dtype": "int32", "trainable": False}
        return self.add_weight(name=name, shape=shape, **options)

    def call(self, x):
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        groups, symbols = self.shape_of_codes
        return super().get_config() | {"groups": groups, "symbols": symbols}


# The same layers under the names that they had in earlier files. These are classes
# and not other names for the same ones, because Keras looks for the weights of a
# layer under the name of its class.


@keras.saving.register_keras_serializable("convae_keras")
class ExactConv2D(IntegerConv2D):
    """`IntegerConv2D` in files of earlier versions."""


@keras.saving.register_keras_serializable("convae_keras")
class SideBySide(DepthToSpace):
    """`DepthToSpace` in files of earlier versions."""


@keras.saving.register_keras_serializable("convae_keras")
class WholeCode(EntropyBottleneck):
    """`EntropyBottleneck` in files of earlier versions."""

    @classmethod
    def from_config(cls, config):
        price = {"rate_weight": config["price"]} if "price" in config else {}
        config = {key: value for key, value in config.items() if key != "price"}
        return super().from_config(config | price)


@keras.saving.register_keras_serializable("convae_keras")
class Tables(EntropyTables):
    """`EntropyTables` in files of earlier versions."""
