"""Networks with skips: they mend or enlarge images of any size."""

import keras
from keras import layers, ops

from convae_keras.layers import BicubicUpsampling2D, CropLike, UpsampleConv2D
from convae_keras.validation import expect

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
    """Builds a convolutional autoencoder with skips, a small U-Net.

    Each stage of the encoder also hands its result, past the code, to the stage
    of the decoder that works at the same size. The code need not keep the
    picture, only what a small neighbourhood does not tell; that is what
    restoration wants, and the end of any compression.

    Nothing is computed at the larger size: the picture is enlarged at the very
    end, and where it keeps its size (`scale=1`) the first convolution takes
    every second position and the end doubles it.

    Args:
        image_shape: `(height, width, channels)` of the input; None for a height
            and width that may be any.
        scale: int, how many times larger the output is than the input.
        filters: ints, channels of the stages, each at half the size of the one
            before.
        convs: ints, convolutions in each stage, on either side.
        head: how the last step enlarges. `"subpixel"`: a convolution to a
            channel for each pixel, which are then laid side by side;
            `"nearest"`: up-sampling, then a convolution; `"transposed"`: a
            transposed convolution whose 3 × 3 kernel is no multiple of its
            stride of 2.
        residual: bool. The network adds to its input (enlarged bicubically) and
            ends linear, or it makes the picture itself and ends in a sigmoid.
        activation: name, after every convolution but the last.
        seed: int for the same initial weights at every call, or None.
        name: str.

    Returns:
        An uncompiled functional `keras.Model`. Input: float32 `(n,
        *image_shape)` in [0, 1]. Output: float32 of `scale` times the height
        and width; in [0, 1], if not `residual`.

    Raises:
        ValueError: for sizes or a head that do not exist.

    References:
        - [Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597), the U-Net
        - [Mao et al., 2016](https://arxiv.org/abs/1603.09056), skips that add
        - [Shi et al., 2016](https://arxiv.org/abs/1609.05158), sub-pixels
        - [Zhang et al., 2018](https://arxiv.org/abs/1710.04026), half size
        - [Kim et al., 2016](https://arxiv.org/abs/1511.04587), the residual

    Example:

    >>> enlarger = restorer((14, 14, 1), scale=2)
    >>> enlarger.output_shape
    (None, 28, 28, 1)
    """
    image_shape = tuple(image_shape)
    _check(image_shape, scale, filters, convs, head)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    inputs = keras.Input(image_shape, name="images")
    kernel_size, strides = (6, 2) if scale == 1 else (3, 1)
    x = _conv(filters[0], activation, kernel_size, strides=strides, name="stem")(inputs)
    x = _stages(x, list(zip(filters, convs, strict=True)), activation)
    x = _pixels(x, image_shape[2], scale * strides, head, residual)
    if scale == 1:
        x = CropLike(name="crop", dtype="float32")(x, inputs)
    if residual:
        x = layers.Add(name="residual", dtype="float32")([x, _bicubic(inputs, scale)])
    return keras.Model(inputs, x, name=name)


def _conv(filters, activation, kernel_size=3, **kwargs):
    kwargs |= {"padding": "same", "kernel_initializer": "he_normal"}
    return layers.Conv2D(filters, kernel_size, activation=activation, **kwargs)


def _bicubic(x, scale):
    if scale == 1:
        return x
    return BicubicUpsampling2D(scale, name="bicubic", dtype="float32")(x)


def _stages(x, stages, activation, number=1):
    """Convolutions, the smaller stages in their midst, convolutions again."""
    (filters, convs), *smaller = stages
    for i in range(convs):
        x = _conv(filters, activation, name=f"in_{number}_{i + 1}")(x)
    if not smaller:
        return x
    skip = x
    x = layers.AveragePooling2D(2, padding="same", name=f"pool_{number}")(x)
    x = _stages(x, smaller, activation, number + 1)
    x = UpsampleConv2D(
        filters,
        activation=activation,
        kernel_initializer="he_normal",
        name=f"up_{number}",
    )(x)
    x = CropLike(name=f"crop_{number}")(x, skip)
    x = layers.Add(name=f"skip_{number}")([x, skip])
    for i in range(convs):
        x = _conv(filters, activation, name=f"out_{number}_{i + 1}")(x)
    return x


def _pixels(x, channels, scale, head, residual):
    # Pixels stay float32 where the rest computes in half precision.
    last = {"dtype": "float32", "name": "pixels"}
    # At first there is nothing to add: training starts from the plain input.
    last |= {"kernel_initializer": "zeros"} if residual else {"activation": "sigmoid"}
    if head == "nearest":
        x = layers.UpSampling2D(scale, name="enlarge")(x)
        return layers.Conv2D(channels, 3, padding="same", **last)(x)
    if head == "transposed":
        return layers.Conv2DTranspose(channels, 3, scale, "same", **last)(x)
    x = layers.Conv2D(channels * scale**2, 3, padding="same", **last)(x)
    return ops.depth_to_space(x, scale)


def _check(image_shape, scale, filters, convs, head):
    good = len(image_shape) == 3 and isinstance(image_shape[2], int)
    expect(good, "image_shape", "(height, width, channels)", image_shape)
    numbers = (scale, *filters, *convs)
    whole = all(isinstance(number, int) and number > 0 for number in numbers)
    expect(whole, "scale`, `filters` and `convs", "positive ints", numbers)
    same = len(filters) == len(convs) > 0
    expect(same, "filters` and `convs", "of one length", (filters, convs))
    expect(head in HEADS, "head", f"in {HEADS}", repr(head))
