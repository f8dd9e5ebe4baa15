"""A small U-Net for denoising and super-resolution of images of any size."""

import keras
from keras import layers, ops

from convae_keras.keras_settings import standard_settings
from convae_keras.layers import BicubicUpsampling2D, CropLike, UpsampleConv2D
from convae_keras.validation import (
    as_image_shape,
    as_sizes,
    check_ints,
    check_layers,
    check_limit,
    plain,
    require,
)

HEADS = ("subpixel", "nearest", "transposed")


def restorer(
    image_shape=(None, None, 1),
    *,
    scale=1,
    filters=(48, 96),
    convs=(2, 2),
    head="subpixel",
    residual=False,
    activation="silu",
    seed=None,
    name="restorer",
):
    """Builds a convolutional autoencoder with skip connections, a small U-Net.

    The output of each stage of the encoder is added to the input of the stage
    of the decoder that works at the same size. So the bottleneck need not hold
    the whole image, only its context: good for restoration, useless for
    compression.

    Only the last step is computed at the larger size: it enlarges the image. At
    `scale=1` the first convolution has stride 2, and the last step doubles the
    size.

    Args:
        image_shape: `(height, width, channels)` of the input; None for any
            height and width.
        scale: int from 1 to 64, the factor between output and input size.
        filters: tuple of int, channels of the stages, each at half the size of
            the one before.
        convs: tuple of int, convolutions in each stage, in the encoder and again
            in the decoder.
        head: the upsampling in the last step. `"subpixel"`: a convolution to
            `scale²` times the channels (4 times at `scale=1`), rearranged by
            `depth_to_space`; `"nearest"`: nearest upsampling, then a 3 × 3
            convolution; `"transposed"`: a 3 × 3 transposed convolution.
        residual: bool. True: the output is added to the input (enlarged by
            bicubic interpolation), without activation. False: the network
            returns the image itself, through a sigmoid.
        activation: str, of all convolutions except the last.
        seed: int for the same initial weights at every call, or None.
        name: str.

    Returns:
        An uncompiled functional `keras.Model`. Input: float32 `(n,
        *image_shape)` in [0, 1]. Output: float32 of `scale` times the height
        and width; in [0, 1] unless `residual`.

    Raises:
        ValueError: for an unknown head, or sizes that do not fit.

    References:
        - [Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597), the U-Net
        - [Mao et al., 2016](https://arxiv.org/abs/1603.09056), added skips
        - [Shi et al., 2016](https://arxiv.org/abs/1609.05158), sub-pixels
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.04026), half the size
        - [Kim et al., 2016](https://arxiv.org/abs/1511.04587), residual learning

    Example:

    >>> enlarger = restorer((14, 14, 1), scale=2)
    >>> enlarger.output_shape
    (None, 28, 28, 1)
    """
    image_shape = as_image_shape(image_shape)
    filters, convs = as_sizes(filters, "filters"), as_sizes(convs, "convs")
    _check(image_shape, scale, filters, convs, head)
    scale = plain(scale)
    with standard_settings(seed=seed):
        inputs = keras.Input(image_shape, name="images")
        kernel_size, strides = (6, 2) if scale == 1 else (3, 1)
        stem = _conv(filters[0], activation, kernel_size, strides=strides, name="stem")
        x = _stages(stem(inputs), list(zip(filters, convs, strict=True)), activation)
        x = _pixels(x, image_shape[2], scale * strides, head, residual)
        if scale == 1:
            x = CropLike(name="crop", dtype="float32")(x, inputs)
        if residual:
            last = layers.Add(name="residual", dtype="float32")
            x = last([x, _bicubic(inputs, scale)])
        return keras.Model(inputs, x, name=name)


def _conv(filters, activation, kernel_size=3, **kwargs):
    kwargs |= {"padding": "same", "kernel_initializer": "he_normal"}
    return layers.Conv2D(filters, kernel_size, activation=activation, **kwargs)


def _bicubic(x, scale):
    if scale == 1:
        return x
    return BicubicUpsampling2D(scale, name="bicubic", dtype="float32")(x)


def _stages(x, stages, activation, number=1):
    """Convolutions, the smaller stages between them, convolutions again."""
    (filters, convs), *smaller = stages
    for i in range(convs):
        x = _conv(filters, activation, name=f"in_{number}_{i + 1}")(x)
    if not smaller:
        return x
    skip = x
    x = layers.AveragePooling2D(2, padding="same", name=f"pool_{number}")(x)
    x = _stages(x, smaller, activation, number + 1)
    options = {"activation": activation, "kernel_initializer": "he_normal"}
    x = UpsampleConv2D(filters, name=f"up_{number}", **options)(x)
    x = CropLike(name=f"crop_{number}")(x, skip)
    x = layers.Add(name=f"skip_{number}")([x, skip])
    for i in range(convs):
        x = _conv(filters, activation, name=f"out_{number}_{i + 1}")(x)
    return x


def _pixels(x, channels, scale, head, residual):
    # The output stays float32 if the other layers compute in half precision.
    last = {"dtype": "float32", "name": "pixels"}
    # The initial residual is 0: training starts from the input itself.
    last |= {"kernel_initializer": "zeros"} if residual else {"activation": "sigmoid"}
    if head == "nearest":
        x = layers.UpSampling2D(scale, name="enlarge")(x)
        return layers.Conv2D(channels, 3, padding="same", **last)(x)
    if head == "transposed":
        return layers.Conv2DTranspose(channels, 3, scale, "same", **last)(x)
    x = layers.Conv2D(channels * scale**2, 3, padding="same", **last)(x)
    return ops.depth_to_space(x, scale)


def _check(image_shape, scale, filters, convs, head):
    check_ints(1, 64, scale=scale)
    expected = "`filters` and `convs` must have the same length, at least 1"
    received = f"Received: {filters} and {convs}"
    require(len(filters) == len(convs) > 0, f"{expected}. {received}")
    known = isinstance(head, str) and head in HEADS
    require(known, f"`head` must be one of {HEADS}. Received: {head!r}")
    check_limit(sum(convs), "objects")
    check_layers((*filters, image_shape[2] * scale**2), 9)
    for width, count in zip(filters, convs, strict=True):
        check_layers((count * width, width), 9)
