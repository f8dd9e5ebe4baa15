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

from convae_keras.pipelines import expect

# Weights are integers up to this; those that are learnt are 64 times smaller.
LARGEST, UNIT = 63, 64
# What float32 holds exactly.
LIMIT = 2**24


def rounded(x):
    """The nearest whole numbers, with the gradient of `x` itself."""
    return x + ops.stop_gradient(ops.round(x) - x)


@keras.saving.register_keras_serializable("convae_keras")
class ExactConv2D(layers.Layer):
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
        kernel = ops.clip(rounded(UNIT * self.kernel), -LARGEST, LARGEST)
        room = LIMIT - 1 - LARGEST * self.largest * kernel.shape[0]
        bias = ops.clip(rounded(UNIT * self.largest * self.bias), -room, room)
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


@keras.saving.register_keras_serializable("convae_keras")
class SideBySide(layers.Layer):
    """Lays four channels of a position side by side, as two rows of two pixels.

    Input shape: `(n, height, width, 4 * channels)`.
    Output shape: `(n, 2 * height, 2 * width, channels)`.
    """

    def call(self, x):
        return ops.depth_to_space(x, 2)
