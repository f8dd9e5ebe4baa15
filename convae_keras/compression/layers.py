"""A convolution that gives the same numbers on every machine.

Floating-point sums depend on their order, and that on the processor, the
backend and the number of threads. Sums of integers below 2**24 do not: float32
holds them exactly. So here weights, inputs and outputs are integers, and no sum
can be larger. They are learnt as if they were not (Bengio, Léonard and
Courville, *Estimating or Propagating Gradients Through Stochastic Neurons*,
2013, arXiv:1308.3432: the straight-through estimator).

Ballé, Johnston and Minnen, *Integer Networks for Data Compression with
Latent-Variable Models*, 2019.
"""

import keras
from keras import layers, ops

from convae_keras.compression.entropy_models import CONTEXTS, TABLES
from convae_keras.validation import expect

# Weights are integers up to this; those that are learnt are 64 times smaller.
LARGEST, UNIT = 63, 64


# What float32 holds exactly.
LIMIT = 2**24


def round_ste(x):
    """The nearest whole numbers, with the gradient of `x` itself."""
    return x + ops.stop_gradient(ops.round(x) - x)


@keras.saving.register_keras_serializable("convae_keras", name="ExactConv2D")
class IntegerConv2D(layers.Layer):
    """Convolution of whole numbers, whose outputs are whole numbers in [0, 255].

    `clip(round((kernel * x + bias) / 2**shift), 0, 255)`: with weights up to 63
    and inputs up to `largest` there is no sum that float32 does not hold.

    Args:
        filters: int.
        kernel_size: odd int; borders are filled with 0.
        shift: int, by how many bits the sum is made smaller.
        largest: int, no input is larger in magnitude.
        pixels: bool, whether these are a picture's. Then what is cut off at 0
            and 255 still learns, or a pixel might stay black for ever.

    Raises:
        ValueError: at `build`, if a sum could be too large.

    Input shape: float32 `(n, height, width, channels)`, whole numbers.
    Output shape: float32 `(n, height, width, filters)`, whole numbers.
    """

    def __init__(
        self, filters, kernel_size=3, shift=6, largest=255, pixels=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.shift = shift
        self.largest = largest
        self.pixels = pixels

    def build(self, input_shape):
        fan_in = self.kernel_size**2 * input_shape[-1]
        # Half of it for the sum, half for the bias.
        most = LIMIT // (LARGEST * self.largest)
        wanted = f"{most} products in a sum at most, or it is not exact"
        expect(fan_in < most, "input_shape", wanted, f"{fan_in} of {input_shape}")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(fan_in, self.filters),
            initializer=keras.initializers.HeNormal(),
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.filters,), initializer="zeros"
        )

    def call(self, x, training=False):
        kernel = ops.clip(round_ste(UNIT * self.kernel), -LARGEST, LARGEST)
        room = LIMIT - 1 - LARGEST * self.largest * kernel.shape[0]
        bias = ops.clip(round_ste(UNIT * self.largest * self.bias), -room, room)
        total = self._convolved(x, kernel, training) + bias
        scaled = total / 2.0**self.shift
        whole = ops.clip(ops.floor(scaled + 0.5), 0, 255)
        learning = scaled if self.pixels else ops.clip(scaled, 0, 255)
        return learning + ops.stop_gradient(whole - learning)

    def _convolved(self, x, kernel, training):
        if self.kernel_size == 1:
            return ops.matmul(x, kernel)
        channels, size = x.shape[-1], self.kernel_size
        if training:  # the last bit does not count, and some compute by fractions
            kernel = ops.reshape(kernel, (size, size, channels, self.filters))
            return ops.conv(x, kernel, padding="same")
        if self.filters >= channels:  # what is laid out is then the smaller
            return ops.matmul(ops.concatenate(self._moved(x), axis=-1), kernel)
        kernel = ops.reshape(kernel, (size**2, channels, self.filters))
        kernel = ops.reshape(ops.transpose(kernel, (1, 0, 2)), (channels, -1))
        products = self._moved(ops.matmul(x, kernel))
        width = self.filters
        parts = (p[..., i * width : (i + 1) * width] for i, p in enumerate(products))
        return sum(parts)

    def _moved(self, x):
        """What lies under each number of the kernel, at every place."""
        reach, (height, width) = self.kernel_size // 2, ops.shape(x)[1:3]
        padded = ops.pad(x, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
        moves = range(self.kernel_size)
        return [
            padded[:, down : down + height, across : across + width]
            for down in moves
            for across in moves
        ]

    def get_config(self):
        names = ("filters", "kernel_size", "shift", "largest", "pixels")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("convae_keras", name="SideBySide")
class DepthToSpace(layers.Layer):
    """Lays four channels of a position side by side, as two rows of two pixels.

    Input shape: `(n, height, width, 4 * channels)`.
    Output shape: `(n, 2 * height, 2 * width, channels)`.
    """

    def call(self, x):
        return ops.depth_to_space(x, 2)


# Logistic curves of which a channel's density is mixed.
CURVES = 3


@keras.saving.register_keras_serializable("convae_keras", name="WholeCode")
class EntropyBottleneck(layers.Layer):
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
        whole = ops.clip(round_ste(x), -self.largest, self.largest)
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


@keras.saving.register_keras_serializable("convae_keras", name="Tables")
class EntropyTables(layers.Layer):
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
