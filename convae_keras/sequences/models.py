"""A convolutional autoencoder of sequences."""

import keras
from keras import layers

from convae_keras.keras_settings import standard_settings
from convae_keras.models import Autoencoder
from convae_keras.validation import as_sizes, check_ints, check_layers, plain, require


def sequence_autoencoder(
    sequence_shape=(128, 1),
    *,
    latent_dim=16,
    filters=(16, 32, 32),
    code_filters=(32,),
    kernel_size=5,
    activation="relu",
    output_activation=None,
    seed=None,
    name="autoencoder",
):
    """Builds an autoencoder of sequences: `conv_autoencoder` in one dimension.

    A convolution looks at `kernel_size` neighboring steps, of all channels. Average
    pooling halves the steps, and nearest upsampling doubles them.

    Args:
        sequence_shape: `(steps, channels)`. Numbers of steps that the pooling does
            not divide are padded and cropped inside. With `(None, channels)` and no
            `latent_dim` the model takes sequences of any length that it divides.
        latent_dim: int, size of a dense code; None for a convolutional code,
            `(steps, channels)`.
        filters: tuple of int, channels of the encoder's stages, each of which
            halves the steps; the decoder mirrors them.
        code_filters: tuple of int, channels of further convolutions of the fewest
            steps; the decoder mirrors them.
        kernel_size: int, steps that a convolution looks at.
        activation: str, of all layers except the code and the output.
        output_activation: str, of the output, such as `"sigmoid"` for values in
            [0, 1]; None for values of any range.
        seed: int, for the same initial weights at every call, or None.
        name: str.

    Returns:
        An uncompiled functional `Autoencoder` whose `encoder` and `decoder` are
        models too. Input and output: float32 `(n, *sequence_shape)`.

    Raises:
        ValueError: for a value that does not fit.

    References:
        - [Kiranyaz et al., 2021](https://doi.org/10.1016/j.ymssp.2020.107398),
          convolution in one dimension

    Example:

    >>> autoencoder = sequence_autoencoder((100, 3), latent_dim=8)
    >>> autoencoder.encoder.output_shape, autoencoder.output_shape
    ((None, 8), (None, 100, 3))
    """
    shape = as_sizes(sequence_shape, "sequence_shape", ("steps", "channels"), False)
    filters = as_sizes(filters, "filters")
    code_filters = as_sizes(code_filters, "code_filters")
    latent_dim, kernel_size = plain(latent_dim), plain(kernel_size)
    _check(shape, latent_dim, filters, code_filters, kernel_size)
    options = {"padding": "same", "activation": activation}
    options |= {"kernel_initializer": "he_normal"}

    def conv(units, name, **changes):
        return layers.Conv1D(units, kernel_size, name=name, **(options | changes))

    with standard_settings(seed=seed):
        encoder, maps = _encoder(shape, latent_dim, filters, code_filters, conv)
        output = conv(shape[1], "values", activation=output_activation, dtype="float32")
        stages = (filters, code_filters, conv)
        decoder = _decoder(encoder.output_shape[1:], maps, shape, stages, output)
        inputs = keras.Input(shape, name="sequences")
        return Autoencoder(inputs, decoder(encoder(inputs)), name=name)


def _encoder(shape, latent_dim, filters, code_filters, conv):
    x = inputs = keras.Input(shape, name="sequences")
    for stage, units in enumerate(filters, 1):
        x = conv(units, f"conv_{stage}")(x)
        x = layers.AveragePooling1D(2, padding="same", name=f"pool_{stage}")(x)
    for i, units in enumerate(code_filters, 1):
        x = conv(units, f"code_{i}")(x)
    maps = x.shape[1:]
    if latent_dim:
        x = layers.Flatten(name="flatten")(x)
        check_layers((x.shape[1], latent_dim))
        x = layers.Dense(latent_dim, name="code")(x)
    return keras.Model(inputs, x, name="encoder"), maps


def _decoder(code_shape, maps, shape, stages, output):
    filters, code_filters, conv = stages
    x = codes = keras.Input(code_shape, name="codes")
    if code_shape != maps:  # a dense code
        x = layers.Dense(maps[0] * maps[1], conv(1, "").activation, name="dense")(x)
        x = layers.Reshape(maps, name="reshape")(x)
    for i, units in reversed([*enumerate(code_filters, 1)]):
        x = conv(units, f"code_{i}")(x)
    for stage in range(len(filters), 0, -1):
        x = layers.UpSampling1D(2, name=f"up_{stage}_2x")(x)
        x = conv(filters[stage - 2], f"up_{stage}")(x) if stage > 1 else output(x)
    if shape[0]:
        extra = (0, x.shape[1] - shape[0])
        x = layers.Cropping1D(extra, name="crop", dtype="float32")(x)
    return keras.Model(codes, x, name="decoder")


def _check(shape, latent_dim, filters, code_filters, kernel_size):
    check_ints(latent_dim=1 if latent_dim is None else latent_dim)
    check_ints(kernel_size=kernel_size)
    require(filters, "`filters` must not be empty. Received: ()")
    expected = "`latent_dim` needs sequences of a fixed length"
    fits = latent_dim is None or shape[0] is not None
    require(fits, f"{expected}; set latent_dim=None. Received: {shape}")
    channels = shape[1], *filters, *code_filters
    check_layers(channels, kernel_size)
