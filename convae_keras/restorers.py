"""Networks with skips: they mend or enlarge images of any size."""

import functools

import keras
from keras import layers, ops

from convae_keras.layers import BicubicUpsampling2D, CropLike, UpsampleConv2D
from convae_keras.pipelines import expect

HEADS = ("subpixel", "nearest", "transposed")


def restorer(
    image_shape=(None, None, 1),
    *,
    scale=1,
    filters=None,
    convs=None,
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

    The picture is enlarged at the very end, so that hardly anything is computed
    at the larger size.

    Args:
        image_shape: `(height, width, channels)` of the input; None for a height
            and width that may be any.
        scale: int, how many times larger the output is than the input.
        filters: ints, channels of the stages, each at half the size of the one
            before; None for (16, 48, 96), or (48, 96) where there is something
            to enlarge.
        convs: ints, convolutions in each stage, on either side; None for (1, 2,
            3), or (2, 2).
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
        - [Kim et al., 2016](https://arxiv.org/abs/1511.04587), the residual

    Example:

    >>> enlarger = restorer((14, 14, 1), scale=2)
    >>> enlarger.output_shape
    (None, 28, 28, 1)
    """
    image_shape = tuple(image_shape)
    filters = filters or ((16, 48, 96) if scale == 1 else (48, 96))
    convs = convs or ((1, 2, 3) if scale == 1 else (2, 2))
    _check(image_shape, scale, filters, convs, head)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    inputs = keras.Input(image_shape, name="images")
    x = _stages(inputs, list(zip(filters, convs, strict=True)), activation)
    x = _pixels(x, image_shape[2], scale, head, residual)
    if residual:
        x = layers.Add(name="residual", dtype="float32")([x, _bicubic(inputs, scale)])
    return keras.Model(inputs, x, name=name)


def _bicubic(x, scale):
    if scale == 1:
        return x
    return BicubicUpsampling2D(scale, name="bicubic", dtype="float32")(x)


def _stages(x, stages, activation, number=1):
    """Convolutions, the smaller stages in their midst, convolutions again."""
    (filters, convs), *smaller = stages
    options = {"activation": activation, "kernel_initializer": "he_normal"}
    conv = functools.partial(layers.Conv2D, filters, 3, padding="same", **options)
    for i in range(convs):
        x = conv(name=f"in_{number}_{i + 1}")(x)
    if not smaller:
        return x
    skip = x
    x = layers.AveragePooling2D(2, padding="same", name=f"pool_{number}")(x)
    x = _stages(x, smaller, activation, number + 1)
    x = UpsampleConv2D(filters, name=f"up_{number}", **options)(x)
    x = CropLike(name=f"crop_{number}")(x, skip)
    x = layers.Add(name=f"skip_{number}")([x, skip])
    for i in range(convs):
        x = conv(name=f"out_{number}_{i + 1}")(x)
    return x


def _pixels(x, channels, scale, head, residual):
    # Pixels stay float32 where the rest computes in half precision.
    last = {"dtype": "float32", "name": "pixels"}
    # At first there is nothing to add: training starts from the plain input.
    last |= {"kernel_initializer": "zeros"} if residual else {"activation": "sigmoid"}
    if scale == 1 or head == "nearest":
        if scale > 1:
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
