"""The variational twin of the reference network, a baseline for generation."""

import math

import keras
from keras import layers, ops

from convae_keras.keras_settings import standard_settings
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.validation import check_ints, is_number, plain, reason, require


@keras.saving.register_keras_serializable(package="convae_keras")
class SampleCode(layers.Layer):
    """Draws a code from the normal distribution that the encoder describes.

    In training it draws; otherwise it returns the mean. To the loss it adds what the
    distribution costs: its Kullback-Leibler divergence from the standard normal one,
    summed over the code and averaged over the images, times `weight`.

    Args:
        weight: float, of the divergence.
        seed: int, of the noise.
        **kwargs: as in `keras.layers.Layer`, such as `name`. Computes in float32.

    Input shape:
        float `(n, 2 * latent_dim)`: means, then logarithms of variances.

    Output shape:
        float32 `(n, latent_dim)`.
    """

    def __init__(self, weight=1.0, seed=0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.weight, self.seed = weight, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        mean, log_variance = ops.split(inputs, 2, axis=-1)
        self.add_loss(self.weight * ops.mean(kl_divergence(mean, log_variance)))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.generator)
        return mean + ops.exp(log_variance / 2) * noise

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def variational_autoencoder(
    preset="reference",
    *,
    latent_dim=32,
    beta=1.0,
    image_shape=(28, 28, 1),
    seed=None,
    name="variational",
    **switches,
):
    """Builds the variational twin of a network of `conv_autoencoder`.

    The encoder's last layer has two numbers for each element of the code, a mean
    and the logarithm of a variance; all else is the same. Trained with Keras's
    binary cross-entropy, a mean over pixels, the loss of an image is

        (sum of the cross-entropy over pixels + beta * divergence) / pixels

    that is, the negative evidence lower bound by the pixel if `beta` is 1.

    Args:
        preset: as in `conv_autoencoder`.
        latent_dim: int.
        beta: float, weight of the divergence.
        image_shape: as in `conv_autoencoder`.
        seed: int, of the initial weights and the noise, or None for other weights
            at every call.
        name: str.
        **switches: as in `conv_autoencoder`.

    Returns:
        An uncompiled `Autoencoder` as `conv_autoencoder` returns it, for `train`.
        In training its codes are drawn, afterwards they are the means.

    Raises:
        ValueError: as `conv_autoencoder`, or for a negative `beta`.

    References:
        - [Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114)
        - [Higgins et al., 2017](https://openreview.net/forum?id=Sy2fzU9gl), beta

    Example:

    >>> variational_autoencoder(latent_dim=8).encoder.output_shape
    (None, 8)
    """
    message = f"`beta` must be a number of at least 0. Received: {reason(repr(beta))}"
    require(is_number(beta) and beta >= 0, message)
    check_ints(latent_dim=latent_dim)
    switches |= {"image_shape": image_shape, "seed": seed}
    statistics = conv_autoencoder(preset, latent_dim=2 * latent_dim, **switches).encoder
    decoder = conv_autoencoder(preset, latent_dim=latent_dim, **switches).decoder
    weight = plain(beta) / math.prod(decoder.output_shape[1:])
    with standard_settings():
        inputs = keras.Input(statistics.input_shape[1:], name="images")
        draw = SampleCode(weight, plain(seed) or 0, name="code")
        encoder = keras.Model(inputs, draw(statistics(inputs)), name="encoder")
        images = keras.Input(statistics.input_shape[1:], name="images")
        return Autoencoder(images, decoder(encoder(images)), name=name)


def kl_divergence(mean, log_variance):
    """Computes the divergence of normal distributions from the standard one.

    Args:
        mean, log_variance: float tensors `(n, latent_dim)`.

    Returns:
        float tensor `(n,)`, in nats: summed over the code.

    References:
        - [Kingma and Welling, 2014](https://arxiv.org/abs/1312.6114), appendix B
    """
    terms = ops.exp(log_variance) + ops.square(mean) - 1 - log_variance
    return ops.sum(terms, axis=-1) / 2
