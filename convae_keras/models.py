"""Convolutional autoencoders: two printed networks and a reference one."""

import math

import keras
from keras import layers

from convae_keras.layers import CropLike, UpsampleConv2D

DEFAULTS = {
    "filters": (32, 64),
    "latent_dim": None,
    "code_filters": (),
    "pooling": "max",
    "upsampling": "nearest",
    "fused": True,
    "activation": "relu",
    "output_range": (0, 1),
    "kernel_initializer": "he_normal",
}


# A preset is a set of keywords of `conv_autoencoder`; the caller's come first.
PRESETS = {
    # Conv2D 16, MaxPooling2D, Conv2D 8 | Conv2D 8, UpSampling2D, Conv2D 1
    "keras": {"filters": (16,), "code_filters": (8,)},
    # Conv2d 16, MaxPool2d, Conv2d 32, MaxPool2d | two transposed convolutions
    "pytorch": {"filters": (16, 32), "upsampling": "transposed"},
    # A true bottleneck: 32 numbers for a picture of 784.
    "reference": {
        "filters": (32, 64),
        "code_filters": (64, 64),
        "latent_dim": 32,
        "pooling": "average",
        "activation": "silu",
    },
}


POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


CHOICES = {
    "pooling": (*POOLS, "strided"),
    "upsampling": ("nearest", "bilinear", "transposed"),
    "output_range": ((0, 1), (-1, 1)),
}


@keras.saving.register_keras_serializable(package="convae_keras")
class Autoencoder(keras.Model):
    """A functional model that knows its two halves, also after loading."""

    @property
    def encoder(self):
        """`keras.Model`, images to codes."""
        return self.get_layer("encoder")

    @property
    def decoder(self):
        """`keras.Model`, codes to images."""
        return self.get_layer("decoder")


def pixel_range(autoencoder):
    """`(0, 1)` or `(-1, 1)`: what the last layer of a decoder can give.

    Args:
        autoencoder: a `keras.Model`; one that is not ours is taken for
            `(0, 1)`.
    """
    if not isinstance(autoencoder, Autoencoder):
        return (0, 1)
    last = getattr(autoencoder.decoder.get_layer("pixels"), "activation", None)
    return (-1, 1) if last is keras.activations.tanh else (0, 1)


def conv_autoencoder(
    preset="reference",
    *,
    image_shape=(28, 28, 1),
    seed=None,
    name="autoencoder",
    **switches,
):
    """Builds a convolutional autoencoder.

    Three presets; every switch is a keyword over a preset.

    - `"keras"`: a convolution to 16 maps, max pooling, a convolution to 8, and
      back by up-sampling. Its code has 14 × 14 × 8 numbers, twice the pixels.
    - `"pytorch"`: two convolutions and poolings to 7 × 7 × 32, and back by two
      transposed convolutions, aligned as PyTorch aligns them.
    - `"reference"`: two convolutions and average poolings, two more
      convolutions, a dense layer to a code of `latent_dim` numbers, and back.

    Args:
        preset: `"keras"`, `"pytorch"` or `"reference"`.
        image_shape: `(height, width, channels)`. Every size works: one that
            does not divide by the pooling is padded and cropped inside. With
            `(None, None, channels)` and no `latent_dim` the model is fully
            convolutional and takes images of any size.
        seed: int for the same initial weights at every call (it is given to
            `keras.utils.set_random_seed`), or None.
        name: str.
        filters: ints, the channels of the encoder's stages, each of which
            halves the picture; the decoder mirrors them.
        latent_dim: int, size of a dense code; None for a code that keeps its
            rows and columns.
        code_filters: ints, the channels of more convolutions at the bottom,
            where the picture is smallest and they cost least; mirrored too.
        pooling: `"max"`, `"average"`, or `"strided"` (the convolution itself
            takes every second position).
        upsampling: `"nearest"`, `"bilinear"`, or `"transposed"`.
        fused: bool, compute nearest up-sampling and the convolution after it
            as one `UpsampleConv2D` (same numbers, sooner) or as the plain pair.
        activation: name, after every layer but the code and the pixels.
        output_range: `(0, 1)`, a sigmoid at the end, or `(-1, 1)`, a tanh.
        kernel_initializer: name, for every kernel.

    Returns:
        An uncompiled functional `Autoencoder` whose `encoder` and `decoder`
        are models too. Input and output: float32 `(n, *image_shape)`.

    Raises:
        ValueError: for a preset, switch or size that does not exist or fit.

    References:
        - [Masci et al., 2011](https://doi.org/10.1007/978-3-642-21735-7_7)

    Example:

    >>> autoencoder = conv_autoencoder("reference", latent_dim=16)
    >>> autoencoder.encoder.output_shape
    (None, 16)
    """
    if preset not in PRESETS:
        raise ValueError(
            f"`preset` must be one of {sorted(PRESETS)}. Received: {preset!r}"
        )
    image_shape = tuple(image_shape)
    switches = _checked(image_shape, {**DEFAULTS, **PRESETS[preset], **switches})
    if seed is not None:
        keras.utils.set_random_seed(seed)
    encoder = _encoder(image_shape, switches)
    decoder = _decoder(encoder.output_shape[1:], image_shape, switches)
    inputs = keras.Input(image_shape, name="images")
    outputs = decoder(encoder(inputs))
    if None in image_shape:
        outputs = CropLike(name="crop", dtype="float32")(outputs, inputs)
    return Autoencoder(inputs, outputs, name=name)


def _encoder(image_shape, switches):
    pooling = switches["pooling"]
    x = inputs = keras.Input(image_shape, name="images")
    for stage, filters in enumerate(switches["filters"], 1):
        strides = 2 if pooling == "strided" else 1
        x = _conv(filters, f"conv_{stage}", switches, strides)(x)
        # "same" keeps the last row and column of a picture of odd size.
        if pooling in POOLS:
            x = POOLS[pooling](2, padding="same", name=f"pool_{stage}")(x)
    for i, filters in enumerate(switches["code_filters"], 1):
        x = _conv(filters, f"code_{i}", switches)(x)
    if switches["latent_dim"]:
        x = layers.Flatten(name="flatten")(x)
        x = _dense(switches["latent_dim"], "code", switches, activation=None)(x)
    return keras.Model(inputs, x, name="encoder")


def _decoder(code_shape, image_shape, switches):
    filters, code_filters = switches["filters"], switches["code_filters"]
    x = inputs = keras.Input(code_shape, name="codes")
    if switches["latent_dim"]:
        height, width = (-(-side // 2 ** len(filters)) for side in image_shape[:2])
        shape = (height, width, (*filters, *code_filters)[-1])
        x = _dense(math.prod(shape), "dense", switches)(x)
        x = layers.Reshape(shape, name="reshape")(x)
    for i in range(len(code_filters), 0, -1):
        x = _conv(code_filters[i - 1], f"code_{i}", switches)(x)
    for stage in range(len(filters) - 1, 0, -1):
        x = _upsample_conv(x, filters[stage - 1], f"up_{stage + 1}", switches)
    activation = "sigmoid" if switches["output_range"] == (0, 1) else "tanh"
    # Pixels stay float32 where the rest computes in half precision.
    output = {"activation": activation, "dtype": "float32"}
    x = _upsample_conv(x, image_shape[2], "pixels", switches, **output)
    if None not in image_shape and x.shape[1:3] != image_shape[:2]:
        extra = [(0, x.shape[i + 1] - image_shape[i]) for i in range(2)]
        x = layers.Cropping2D(extra, name="crop", dtype="float32")(x)
    return keras.Model(inputs, x, name="decoder")


def _upsample_conv(x, filters, name, switches, **kwargs):
    """Twice the rows and columns, in one of the ways that are compared."""
    upsampling = switches["upsampling"]
    kwargs = {"activation": switches["activation"], **kwargs}
    kwargs["kernel_initializer"] = switches["kernel_initializer"]
    if upsampling == "nearest" and switches["fused"]:
        return UpsampleConv2D(filters, name=name, **kwargs)(x)
    if upsampling == "transposed":
        # PyTorch's padding=1, output_padding=1: Keras's "same" would crop the
        # last row and column instead, and shift the picture by one pixel.
        layer = layers.Conv2DTranspose(filters, 3, strides=2, name=name, **kwargs)
        options = {"name": f"{name}_crop", "dtype": kwargs.get("dtype")}
        return layers.Cropping2D(((1, 0), (1, 0)), **options)(layer(x))
    x = layers.UpSampling2D(2, interpolation=upsampling, name=f"{name}_2x")(x)
    return layers.Conv2D(filters, 3, padding="same", name=name, **kwargs)(x)


def _conv(filters, name, switches, strides=1):
    shared = {key: switches[key] for key in ("activation", "kernel_initializer")}
    return layers.Conv2D(
        filters, 3, strides=strides, padding="same", name=name, **shared
    )


def _dense(units, name, switches, **kwargs):
    shared = {key: switches[key] for key in ("activation", "kernel_initializer")}
    return layers.Dense(units, name=name, **{**shared, **kwargs})


def _checked(image_shape, switches):
    unknown = sorted(set(switches) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"Switches are {sorted(DEFAULTS)}. Received: {unknown}")
    for key in ("filters", "code_filters", "output_range"):
        switches[key] = tuple(switches[key])
    for key, choices in CHOICES.items():
        if switches[key] not in choices:
            raise ValueError(
                f"`{key}` must be one of {choices}. Received: {switches[key]!r}"
            )
    if len(image_shape) != 3:
        raise ValueError(
            f"`image_shape` must be (height, width, channels). Received: {image_shape}"
        )
    sizes = {"image_shape": [side for side in image_shape if side is not None]}
    sizes |= {key: switches[key] for key in ("filters", "code_filters")}
    sizes["latent_dim"] = [*({switches["latent_dim"]} - {None})]
    for key, values in sizes.items():
        if not all(isinstance(size, int) and size > 0 for size in values):
            raise ValueError(f"`{key}` must be positive ints. Received: {values}")
    if not switches["filters"]:
        raise ValueError("`filters` must hold one stage at least. Received: ()")
    if switches["latent_dim"] and None in image_shape:
        raise ValueError(
            "A dense code needs images of one size: give `image_shape` a height and "
            f"a width, or latent_dim=None. Received: {image_shape}"
        )
    return switches


def count_trainable(model):
    """How many numbers training changes: not those that are counted afterwards.

    Args:
        model: `keras.Model`.

    Returns:
        int.
    """
    return sum(math.prod(weights.shape) for weights in model.trainable_weights)
