"""Builders of convolutional autoencoders, and their presets."""

import math

import keras
import numpy as np
from keras import layers

from convae_keras.keras_settings import standard_settings
from convae_keras.layers import CropLike, UpsampleConv2D
from convae_keras.validation import (
    as_image_shape,
    as_sizes,
    check_ints,
    check_layers,
    plain,
    require,
)

DEFAULTS = {"filters": (32, 64), "latent_dim": None, "code_filters": ()}
DEFAULTS |= {"pooling": "max", "upsampling": "nearest", "fused": True}
DEFAULTS |= {"activation": "relu", "output_range": (0, 1)}
DEFAULTS |= {"kernel_initializer": "he_normal"}

# Keyword arguments of `conv_autoencoder`, each of which the caller can override.
PRESETS = {
    # Conv2D 16, MaxPooling2D, Conv2D 8 | Conv2D 8, UpSampling2D, Conv2D 1
    "keras": {"filters": (16,), "code_filters": (8,)},
    # Conv2d 16, MaxPool2d, Conv2d 32, MaxPool2d | two transposed convolutions
    "pytorch": {"filters": (16, 32), "upsampling": "transposed"},
    # A dense bottleneck: 32 numbers for an image of 784 pixels.
    "reference": {"filters": (32, 64), "code_filters": (64, 64), "latent_dim": 32}
    | {"pooling": "average", "activation": "silu"},
}

# Values of a block to one number of its code, by default.
VALUES_A_NUMBER = 24

POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}

CHOICES = {
    "pooling": (*POOLS, "strided"),
    "upsampling": ("nearest", "bilinear", "transposed"),
    "output_range": ((0, 1), (-1, 1)),
}


@keras.saving.register_keras_serializable(package="convae_keras")
class Autoencoder(keras.Model):
    """A functional model with an encoder and a decoder, also after loading."""

    @property
    def encoder(self):
        """`keras.Model` from images to codes."""
        return self.get_layer("encoder")

    @property
    def decoder(self):
        """`keras.Model` from codes to images."""
        return self.get_layer("decoder")

    def zero_grad(self, set_to_none=True):
        """Clears the gradients under PyTorch, where Keras calls it at each step.

        PyTorch's own method knows one variable for each name, and would add up the
        gradients of `code_1` in the encoder over all steps, since the decoder has
        a layer of that name, too.
        """
        for variable in self.trainable_variables:
            variable.value.grad = None


def pixel_range(autoencoder):
    """Returns the range of the pixels that a model takes and returns.

    Args:
        autoencoder: `keras.Model`. One that is no `Autoencoder` is assumed to
            work in `(0, 1)`.

    Returns:
        `(0, 1)`, or `(-1, 1)` if the decoder ends in a tanh.
    """
    if not isinstance(autoencoder, Autoencoder):
        return (0, 1)
    layers_by_name = {layer.name: layer for layer in autoencoder.decoder.layers}
    last = getattr(layers_by_name.get("pixels"), "activation", None)
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

    There are three presets. Keyword arguments override those of the preset.

    - `"keras"`: a convolution to 16 channels, max pooling, a convolution to 8;
      the decoder upsamples. The code has 14 × 14 × 8 numbers, twice as many as
      the image.
    - `"pytorch"`: two convolutions with max pooling, to 7 × 7 × 32; the decoder
      has two transposed convolutions, aligned as in PyTorch.
    - `"reference"`: two convolutions with average pooling, two more
      convolutions, and a dense layer to a code of `latent_dim` numbers; the
      decoder mirrors them.

    Args:
        preset: `"keras"`, `"pytorch"` or `"reference"`.
        image_shape: `(height, width, channels)`. Sizes that the pooling does not
            divide are padded and cropped inside. With `(None, None, channels)`
            and no `latent_dim` the model is fully convolutional and takes
            images of any size.
        seed: int, for the same initial weights at every call, or None.
        name: str.
        filters: tuple of int, channels of the encoder's stages, each of which
            halves height and width; the decoder mirrors them. `(16,)` in
            "keras", `(16, 32)` in "pytorch", `(32, 64)` in "reference".
        latent_dim: int, size of a dense code; None for a convolutional code,
            `(height, width, channels)`. Defaults to None; 32 in "reference".
        code_filters: tuple of int, channels of further convolutions at the
            smallest size, where they are cheapest; the decoder mirrors them.
            `(8,)` in "keras", `()` in "pytorch", `(64, 64)` in "reference".
        pooling: `"max"`, `"average"`, or `"strided"` (no pooling layer; the
            convolution has stride 2). Defaults to `"max"`; `"average"` in
            "reference".
        upsampling: `"nearest"`, `"bilinear"`, or `"transposed"`. Defaults to
            `"nearest"`; `"transposed"` in "pytorch".
        fused: bool, compute nearest upsampling and the convolution after it as
            one `UpsampleConv2D` (the same result, faster), or as two layers.
            Defaults to True.
        activation: str, of all layers except the code and the output. Defaults
            to `"relu"`; `"silu"` in "reference".
        output_range: `(0, 1)`, with a sigmoid as the last activation, or
            `(-1, 1)`, with a tanh. Defaults to `(0, 1)`.
        kernel_initializer: str, of all layers. Defaults to `"he_normal"`.

    Returns:
        An uncompiled functional `Autoencoder` whose `encoder` and `decoder`
        are models too. Input and output: float32 `(n, *image_shape)`, in
        `output_range`.

    Raises:
        ValueError: for an unknown preset or keyword, or a value that does not
            fit.

    References:
        - [Masci et al., 2011](https://doi.org/10.1007/978-3-642-21735-7_7)

    Example:

    >>> autoencoder = conv_autoencoder("reference", latent_dim=16)
    >>> autoencoder.encoder.output_shape
    (None, 16)
    """
    known = isinstance(preset, str) and preset in PRESETS
    require(known, f"Unknown preset {preset!r}. Available: {sorted(PRESETS)}")
    switches = {**DEFAULTS, **PRESETS[preset], **switches}
    image_shape, switches = _checked(image_shape, switches)
    with standard_settings(seed=seed):
        encoder = _encoder(image_shape, switches)
        decoder = _decoder(encoder.output_shape[1:], image_shape, switches)
        inputs = keras.Input(image_shape, name="images")
        outputs = decoder(encoder(inputs))
        if None in image_shape:
            outputs = CropLike(name="crop", dtype="float32")(outputs, inputs)
        return Autoencoder(inputs, outputs, name=name)


def block_autoencoder(
    image_shape=(64, 64, 3),
    *,
    latent_dim=None,
    filters=(32, 64, 64),
    activation="silu",
    seed=None,
    name="autoencoder",
):
    """Builds an autoencoder for photographs, with a code for each block of pixels.

    A block is 8 × 8 pixels. On the way into the code and out of it, a linear map
    of each block, as PCA on blocks would be, is added to a convolutional network,
    which has only to learn the rest. Without a dense layer it has few weights, and
    learns from few images.

    Args:
        image_shape: `(height, width, channels)`. Sizes that 8 does not divide are
            padded and cropped inside.
        latent_dim: int, elements of the code for a block; None for one in 24
            values of the block: 8 in color, 3 in grayscale.
        filters: tuple of int, channels of the encoder's stages, each of which
            halves height and width; the decoder mirrors them. A block is as many
            times 2 × 2 pixels: three for 8 × 8.
        activation: str, of all convolutions except the code and the output.
        seed: int, for the same initial weights at every call, or None.
        name: str.

    Returns:
        An uncompiled functional `Autoencoder` whose `encoder` and `decoder`
        are models too. Input and output: float32 `(n, *image_shape)`; the input
        in [0, 1], the output not clipped. Code: `(n, rows, columns, latent_dim)`.

    Raises:
        ValueError: for a value that does not fit.

    References:
        - [He et al., 2016](https://arxiv.org/abs/1512.03385), to learn the rest

    Example:

    >>> autoencoder = block_autoencoder((60, 80, 3))
    >>> autoencoder.encoder.output_shape
    (None, 8, 10, 8)
    """
    switches = {"filters": filters, "latent_dim": latent_dim, "pooling": "strided"}
    switches = DEFAULTS | switches | {"activation": activation}
    image_shape, switches = _checked(image_shape, switches)
    as_image_shape(image_shape, fixed=True)
    block = 2 ** len(switches["filters"])
    values = block * block * image_shape[2]
    latent_dim = switches["latent_dim"] or max(1, round(values / VALUES_A_NUMBER))
    check_layers((values, latent_dim))
    with standard_settings(seed=seed):
        encoder = _block_encoder(image_shape, block, latent_dim, switches)
        decoder = _block_decoder(encoder, image_shape, block, switches)
        inputs = keras.Input(image_shape, name="images")
        return Autoencoder(inputs, decoder(encoder(inputs)), name=name)


def _block_encoder(image_shape, block, latent_dim, switches):
    inputs = keras.Input(image_shape, name="images")
    extra = [(0, -side % block) for side in image_shape[:2]]
    x = padded = layers.ZeroPadding2D(extra, name="pad")(inputs)
    for stage, filters in enumerate(switches["filters"], 1):
        x = _conv(filters, f"conv_{stage}", switches, strides=2)(x)
    x = _conv(switches["filters"][-1], "code_1", switches)(x)
    x = layers.Dense(latent_dim, name="rest")(x)
    linear = layers.Conv2D(latent_dim, block, strides=block, name="linear")(padded)
    return keras.Model(inputs, layers.Add(name="code")([linear, x]), name="encoder")


def _block_decoder(encoder, image_shape, block, switches):
    filters, channels = switches["filters"], image_shape[2]
    x = codes = keras.Input(encoder.output_shape[1:], name="codes")
    for i in (2, 1):
        x = _conv(filters[-1], f"code_{i}", switches)(x)
    for stage in range(len(filters) - 1, 0, -1):
        x = _upsample_conv(x, filters[stage - 1], f"up_{stage + 1}", switches)
    x = _upsample_conv(x, channels, "rest", switches, activation=None)
    linear = layers.Conv2DTranspose(channels, block, strides=block, name="linear")
    # The output stays float32 if the other layers compute in half precision.
    x = layers.Add(name="pixels", dtype="float32")([linear(codes), x])
    extra = [(0, -side % block) for side in image_shape[:2]]
    x = layers.Cropping2D(extra, name="crop", dtype="float32")(x)
    return keras.Model(codes, x, name="decoder")


def _encoder(image_shape, switches):
    pooling = switches["pooling"]
    x = inputs = keras.Input(image_shape, name="images")
    for stage, filters in enumerate(switches["filters"], 1):
        strides = 2 if pooling == "strided" else 1
        x = _conv(filters, f"conv_{stage}", switches, strides)(x)
        # "same" keeps the last row and column of an image of odd size.
        if pooling in POOLS:
            x = POOLS[pooling](2, padding="same", name=f"pool_{stage}")(x)
    for i, filters in enumerate(switches["code_filters"], 1):
        x = _conv(filters, f"code_{i}", switches)(x)
    if switches["latent_dim"]:
        x = layers.Flatten(name="flatten")(x)
        check_layers((x.shape[1], switches["latent_dim"]))
        options = _options(switches, activation=None)
        x = layers.Dense(switches["latent_dim"], name="code", **options)(x)
    return keras.Model(inputs, x, name="encoder")


def _decoder(code_shape, image_shape, switches):
    filters, code_filters = switches["filters"], switches["code_filters"]
    x = inputs = keras.Input(code_shape, name="codes")
    if switches["latent_dim"]:
        height, width = (-(-side // 2 ** len(filters)) for side in image_shape[:2])
        shape = (height, width, (*filters, *code_filters)[-1])
        x = layers.Dense(math.prod(shape), name="dense", **_options(switches))(x)
        x = layers.Reshape(shape, name="reshape")(x)
    for i in range(len(code_filters), 0, -1):
        x = _conv(code_filters[i - 1], f"code_{i}", switches)(x)
    for stage in range(len(filters) - 1, 0, -1):
        x = _upsample_conv(x, filters[stage - 1], f"up_{stage + 1}", switches)
    activation = "sigmoid" if switches["output_range"] == (0, 1) else "tanh"
    # The output stays float32 if the other layers compute in half precision.
    output = {"activation": activation, "dtype": "float32"}
    x = _upsample_conv(x, image_shape[2], "pixels", switches, **output)
    if None not in image_shape and x.shape[1:3] != image_shape[:2]:
        extra = [(0, x.shape[i + 1] - image_shape[i]) for i in range(2)]
        x = layers.Cropping2D(extra, name="crop", dtype="float32")(x)
    return keras.Model(inputs, x, name="decoder")


def _upsample_conv(x, filters, name, switches, **kwargs):
    """Doubles height and width, then (or thereby) convolves."""
    upsampling, kwargs = switches["upsampling"], _options(switches, **kwargs)
    if upsampling == "nearest" and switches["fused"]:
        return UpsampleConv2D(filters, name=name, **kwargs)(x)
    if upsampling == "transposed":
        # PyTorch's padding=1, output_padding=1. Keras's "same" would crop the
        # last row and column instead, and shift the image by one pixel.
        layer = layers.Conv2DTranspose(filters, 3, strides=2, name=name, **kwargs)
        options = {"name": f"{name}_crop", "dtype": kwargs.get("dtype")}
        return layers.Cropping2D(((1, 0), (1, 0)), **options)(layer(x))
    x = layers.UpSampling2D(2, interpolation=upsampling, name=f"{name}_2x")(x)
    return layers.Conv2D(filters, 3, padding="same", name=name, **kwargs)(x)


def _conv(filters, name, switches, strides=1):
    return layers.Conv2D(filters, 3, strides, "same", name=name, **_options(switches))


def _options(switches, **changes):
    """Returns the arguments that layers with weights share, except for the changes."""
    shared = {key: switches[key] for key in ("activation", "kernel_initializer")}
    return shared | changes


def _checked(image_shape, switches):
    """Returns the shape and the keyword arguments, checked, with tuples for lists."""
    image_shape = as_image_shape(image_shape)
    unknown = sorted(set(switches) - set(DEFAULTS))
    message = f"Unexpected keyword arguments: {unknown}. Available: {sorted(DEFAULTS)}"
    require(not unknown, message)
    for key in ("filters", "code_filters"):
        switches[key] = as_sizes(switches[key], key)
    for key, choices in CHOICES.items():
        value = switches[key]
        if np.iterable(value) and not isinstance(value, str):
            value = switches[key] = plain(tuple(value))
        known = isinstance(value, str | tuple) and value in choices
        require(known, f"`{key}` must be one of {choices}. Received: {value!r}")
    require(switches["filters"], "`filters` must not be empty. Received: ()")
    latent_dim = switches["latent_dim"] = plain(switches["latent_dim"])
    check_ints(latent_dim=1 if latent_dim is None else latent_dim)
    channels = image_shape[2], *switches["filters"], *switches["code_filters"]
    check_layers(channels, 9)
    expected = "`latent_dim` needs images of a fixed size"
    hint = "Give `image_shape` a height and a width, or set latent_dim=None"
    fits = latent_dim is None or None not in image_shape
    require(fits, f"{expected}. {hint}. Received: {image_shape}")
    return image_shape, switches


def check_unit_range(autoencoder):
    """Raises a `ValueError` for an autoencoder that does not work in [0, 1]."""
    low_high, expected = pixel_range(autoencoder), "`autoencoder` must work in (0, 1)"
    require(low_high == (0, 1), f"{expected}. Received: {low_high}")


@standard_settings()
def copy_model(model):
    """Returns an uncompiled copy of a functional model, with weights of its own."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def count_trainable(model):
    """Returns the number of trainable parameters.

    Args:
        model: `keras.Model`.

    Returns:
        int. The entropy tables of a codec are not trained, and not counted.
    """
    return sum(math.prod(weights.shape) for weights in model.trainable_weights)
