"""Layers that Keras lacks: fused upsampling, cropping to a tensor, bicubic."""

import keras
import numpy as np
from keras import ops

from convae_keras.validation import check_ints, require


@keras.saving.register_keras_serializable(package="convae_keras")
class UpsampleConv2D(keras.layers.Layer):
    """Nearest upsampling by 2 and a convolution, computed as one operation.

    `UpSampling2D(2)` followed by `Conv2D(filters, k, padding="same")` is equal to
    a transposed convolution of stride 2, whose `(k + 1, k + 1)` kernel is the
    `(k, k)` kernel flipped and summed over a 2 × 2 box. This layer has the
    weights of that `Conv2D` (same shapes, same order: `kernel`, `bias`) and
    computes the transposed convolution, which is faster and never stores the
    upsampled image.

    Args:
        filters: int, number of output channels.
        kernel_size: odd int, side of the square kernel.
        activation: str or function, as in `Conv2D`.
        kernel_initializer: str or initializer, as in `Conv2D`.
        **kwargs: as in `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        float `(batch_size, height, width, channels)`.

    Output shape:
        float `(batch_size, 2 * height, 2 * width, filters)`.

    Raises:
        ValueError: if `filters` is no positive int, or `kernel_size` no odd one.

    References:
        - [Odena et al., Deconvolution and Checkerboard Artifacts, 2016](
          https://doi.org/10.23915/distill.00003), for the two layers it replaces

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
        check_ints(filters=filters, kernel_size=kernel_size)
        message = f"`kernel_size` must be odd. Received: {kernel_size}"
        require(kernel_size % 2 == 1, message)
        self.filters, self.kernel_size = filters, kernel_size
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        shape = self.kernel_size, self.kernel_size, input_shape[-1], self.filters
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, inputs):
        # In the upsampled image each pixel occurs twice in a row, so the pairs
        # of weights that it is multiplied by can be added first.
        kernel = ops.pad(self.kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
        kernel = kernel[1:] + kernel[:-1]
        kernel = kernel[:, 1:] + kernel[:, :-1]
        if keras.backend.backend() == "jax":
            return self.activation(_four_convolutions(inputs, kernel) + self.bias)
        # A transposed convolution scatters where a convolution gathers: its
        # kernel is flipped, and its channels are in the other order.
        kernel = ops.transpose(ops.flip(kernel, axis=(0, 1)), (0, 1, 3, 2))
        outputs = ops.conv_transpose(
            inputs, kernel, strides=2, padding="same", data_format="channels_last"
        )
        return self.activation(outputs + self.bias)

    def compute_output_shape(self, input_shape):
        batch_size, height, width, _ = input_shape
        height, width = (size and 2 * size for size in (height, width))
        return (batch_size, height, width, self.filters)

    def get_config(self):
        config = {"filters": self.filters, "kernel_size": self.kernel_size}
        config["activation"] = keras.activations.serialize(self.activation)
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **config, "kernel_initializer": initializer}


def _four_convolutions(inputs, kernel):
    """The transposed convolution, which JAX computes slowly on a CPU, without it.

    Every second pixel of a row meets every second weight, and the pixels between
    them the others: four convolutions of the small image, computed as one.
    """
    last, phases = {"data_format": "channels_last"}, []
    size = kernel.shape[0] // 2
    for i, j in np.ndindex(2, 2):
        if size % 2:  # as many to the left as to the right
            phase = kernel[1 - i :: 2, 1 - j :: 2]
        else:  # one more to the left, then one more to the right
            pads = (i, 1 - i), (j, 1 - j), (0, 0), (0, 0)
            phase = ops.pad(kernel[i::2, j::2], pads)
        phases.append(phase)
    outputs = ops.conv(inputs, ops.concatenate(phases, -1), padding="same", **last)
    return ops.depth_to_space(outputs, 2, **last)


@keras.saving.register_keras_serializable(package="convae_keras")
class CropLike(keras.layers.Layer):
    """Crops images to the height and width of other images.

    A network with two poolings returns 32 rows for 30. For images of a fixed
    size `Cropping2D` is enough; for images of any size the number of rows to
    crop is known only when the network runs.

    Call arguments:
        inputs: float `(batch_size, height, width, channels)`.
        reference: `(batch_size, new_height, new_width, any)`, not larger.

    Returns:
        float `(batch_size, new_height, new_width, channels)`: the top left of
        `inputs`, since `"same"` pooling pads at the bottom and right.
    """

    def call(self, inputs, reference):
        shape = ops.shape(reference)
        return inputs[:, : shape[1], : shape[2], :]

    def compute_output_shape(self, inputs_shape, reference_shape):
        return (*reference_shape[:3], inputs_shape[-1])


@keras.saving.register_keras_serializable(package="convae_keras")
class BicubicUpsampling2D(keras.layers.Layer):
    """Bicubic upsampling of images of any size; has no weights.

    Outside its borders the image is mirrored, on every backend. (Keras's
    `UpSampling2D(interpolation="bicubic")` is for images of a fixed size, and differs
    at borders and between backends.)

    Args:
        scale: int, the factor of height and width, from 2 to 64.
        **kwargs: as in `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        float `(batch_size, height, width, channels)`, height and width at least
        2.

    Output shape:
        float `(batch_size, scale * height, scale * width, channels)`.

    Raises:
        ValueError: for any other `scale`.

    References:
        - [Keys, 1981](https://doi.org/10.1109/TASSP.1981.1163711), with a = -1/2

    Example:

    >>> tuple(BicubicUpsampling2D(3)(np.zeros((1, 5, 4, 1), "float32")).shape)
    (1, 15, 12, 1)
    """

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        check_ints(2, 64, scale=scale)
        self.scale = scale

    def call(self, inputs):
        # The position of each new pixel relative to the nearest old one, and its
        # distances to that one and its two neighbors on either side.
        positions = (np.arange(self.scale) + 0.5) / self.scale - 0.5
        weights = _keys(np.arange(-2, 3)[:, np.newaxis] - positions)
        kernel = np.einsum("iy,jx->ijyx", weights, weights).reshape(5, 5, 1, -1)
        kernel = ops.convert_to_tensor(kernel, self.compute_dtype)
        # Mirrored by hand: under PyTorch `ops.pad` repeats the last pixel instead.
        top, bottom = ops.flip(inputs[:, :2], 1), ops.flip(inputs[:, -2:], 1)
        x = ops.concatenate([top, inputs, bottom], axis=1)
        left, right = ops.flip(x[:, :, :2], 2), ops.flip(x[:, :, -2:], 2)
        x = ops.concatenate([left, x, right], axis=2)
        planes = (x[..., i : i + 1] for i in range(inputs.shape[-1]))
        last = {"data_format": "channels_last"}
        large = [ops.conv(plane, kernel, **last) for plane in planes]
        large = [ops.depth_to_space(plane, self.scale, **last) for plane in large]
        return ops.concatenate(large, axis=-1)

    def compute_output_shape(self, input_shape):
        batch_size, height, width, channels = input_shape
        height, width = (side and self.scale * side for side in (height, width))
        return (batch_size, height, width, channels)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def _keys(distance):
    """Keys's cubic kernel: the weight of a pixel at that distance, in pixels."""
    t = np.abs(distance)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
