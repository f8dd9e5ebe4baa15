"""The few layers that Keras lacks."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="convae_keras")
class UpsampleConv2D(keras.layers.Layer):
    """Nearest up-sampling by 2, then a convolution, computed as one.

    `UpSampling2D(2)` followed by `Conv2D(filters, k, padding="same")` *is* a
    transposed convolution of stride 2, whose `(k + 1, k + 1)` kernel is the
    `(k, k)` kernel flipped and summed over a 2 × 2 box. This layer keeps the
    weights of that `Conv2D` (same shapes, same order: `kernel`, `bias`) and
    computes the shorter form, which never writes the up-sampled picture to
    memory.

    Args:
        filters: int, number of output channels.
        kernel_size: odd int, side of the square kernel.
        activation: name or function, as in `Conv2D`.
        kernel_initializer: name or initializer, as in `Conv2D`.
        **kwargs: `name`, `dtype` and so on, as every layer.

    Input shape:
        float `(batch_size, height, width, channels)`.

    Output shape:
        float `(batch_size, 2 * height, 2 * width, filters)`.

    Raises:
        ValueError: if `filters` is below one or `kernel_size` is not odd.

    Reference:
        - [Odena et al., Deconvolution and Checkerboard Artifacts, 2016](
          https://doi.org/10.23915/distill.00003), for the pair it replaces.

    Example:

    >>> layer = UpsampleConv2D(8)
    >>> tuple(layer(np.zeros((1, 14, 14, 3), "float32")).shape)
    (1, 28, 28, 8)
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        activation=None,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"`filters` must be at least 1. Received: {filters}")
        if kernel_size < 1 or kernel_size % 2 != 1:
            raise ValueError(
                f"`kernel_size` must be odd and positive. Received: {kernel_size}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            shape=(size, size, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer="zeros", name="bias"
        )

    def call(self, inputs):
        # Every output pixel sees an up-sampled neighbourhood in which each
        # input pixel stands twice: those pairs of weights can be added first.
        kernel = ops.pad(self.kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = kernel[1:] + kernel[:-1]
        kernel = kernel[:, 1:] + kernel[:, :-1]
        # A transposed convolution scatters where a convolution gathers: it
        # takes the kernel flipped, and its channels in the other order.
        kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
        outputs = ops.conv_transpose(inputs, kernel, strides=2, padding="same")
        return self.activation(outputs + self.bias)

    def compute_output_shape(self, input_shape):
        batch_size, height, width, _ = input_shape
        height, width = (size and 2 * size for size in (height, width))
        return (batch_size, height, width, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="convae_keras")
class CropLike(keras.layers.Layer):
    """Crops a batch of images to the height and width of another.

    A network with two poolings turns 30 rows into 32. With images of one
    known size `Cropping2D` mends that; with images of any size the number is
    only known when the batch is there.

    Call arguments:
        inputs: float `(batch_size, height, width, channels)`.
        reference: `(batch_size, lower_height, lower_width, any)`.

    Returns:
        float `(batch_size, lower_height, lower_width, channels)`: the top left
        of `inputs`, since `"same"` pooling pads at the bottom and right.
    """

    def call(self, inputs, reference):
        shape = ops.shape(reference)
        return inputs[:, : shape[1], : shape[2], :]

    def compute_output_shape(self, inputs_shape, reference_shape):
        return (*reference_shape[:3], inputs_shape[-1])


@keras.saving.register_keras_serializable(package="convae_keras")
class BicubicUpsampling2D(keras.layers.Layer):
    """Bicubic enlargement of images of any size, which learns nothing.

    `UpSampling2D(interpolation="bicubic")` does the same where the size is
    known when the model is built. Outside its borders the image is mirrored.

    Args:
        scale: int, how many times larger.
        **kwargs: `name`, `dtype` and so on, as every layer.

    Input shape:
        float `(batch_size, height, width, channels)`, no side below 2.

    Output shape:
        float `(batch_size, scale * height, scale * width, channels)`.

    Raises:
        ValueError: if `scale` is below two.

    Reference:
        - [Keys, 1981](https://doi.org/10.1109/TASSP.1981.1163711), with a = -1/2
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        if scale < 2:
            raise ValueError(f"`scale` must be at least 2. Received: {scale}")
        self.scale = scale

    def call(self, inputs):
        # Each new pixel's place among the old ones, less than half a pixel from
        # one of them, and its distance from that one's neighbours, two each way.
        places = (np.arange(self.scale) + 0.5) / self.scale - 0.5
        weights = _keys(np.arange(-2, 3)[:, np.newaxis] - places)
        kernel = np.einsum("iy,jx->ijyx", weights, weights).reshape(5, 5, 1, -1)
        kernel = ops.convert_to_tensor(kernel, self.compute_dtype)
        margin = ((0, 0), (2, 2), (2, 2), (0, 0))
        x = ops.pad(inputs, margin, mode="symmetric")
        channels = [
            ops.depth_to_space(ops.conv(x[..., i : i + 1], kernel), self.scale)
            for i in range(inputs.shape[-1])
        ]
        return ops.concatenate(channels, axis=-1)

    def compute_output_shape(self, input_shape):
        batch_size, height, width, channels = input_shape
        height, width = (side and self.scale * side for side in (height, width))
        return (batch_size, height, width, channels)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def _keys(distance):
    """Keys's cubic kernel: weights of pixels that far away, in pixels."""
    t = np.abs(distance)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
