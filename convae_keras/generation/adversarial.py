"""Adversarial training: a generator against a discriminator."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from convae_keras.features import encode
from convae_keras.keras_settings import standard_settings
from convae_keras.models import check_unit_range, copy_model
from convae_keras.pipelines import to_float
from convae_keras.progress import EpochLine
from convae_keras.training import compile_model
from convae_keras.validation import (
    as_image_shape,
    as_sizes,
    check_ints,
    check_layers,
    is_number,
    require,
)

# Steps of the power iteration, from the same start at every call.
POWER_STEPS = 8
# Steps after which losses are noted.
STEPS_PER_EPOCH = 100


@keras.saving.register_keras_serializable(package="convae_keras")
class SpectralConstraint(keras.constraints.Constraint):
    """Divides a kernel by its largest singular value, where that is above 1.

    The kernel is taken as a matrix with a column for each filter. A network of such
    layers cannot change much faster than its input does.

    Keras's own `SpectralNormalization` changes the kernel during the call, which
    the JAX backend does not keep; a constraint is applied after each step of the
    optimizer, on every backend.

    References:
        - [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """

    def __call__(self, kernel):
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        vector = ops.ones((kernel.shape[-1], 1), kernel.dtype)
        for _ in range(POWER_STEPS):
            vector = ops.matmul(ops.transpose(matrix), ops.matmul(matrix, vector))
            vector = vector / (ops.norm(vector) + 1e-12)
        return kernel / ops.maximum(ops.norm(ops.matmul(matrix, vector)), 1.0)


def discriminator(
    image_shape=(28, 28, 1), filters=(16, 32, 64), *, constrained=True, seed=None
):
    """Builds the network that tells real images from generated ones.

    Args:
        image_shape: `(height, width, channels)`.
        filters: tuple of int, channels of the convolutions, each of which halves
            height and width.
        constrained: bool, whether `SpectralConstraint` keeps all kernels small.
        seed: int for the same initial weights at every call, or None.

    Returns:
        An uncompiled functional `keras.Model`. Output: float32 `(n, 1)`, the
        larger, the more real.

    Raises:
        ValueError: for a value that does not fit.

    References:
        - [Radford et al., 2016](https://arxiv.org/abs/1511.06434), without poolings
    """
    image_shape = as_image_shape(image_shape, fixed=True)
    filters = as_sizes(filters, "filters")
    check_layers((image_shape[2], *filters), 16)
    options = {"kernel_constraint": SpectralConstraint() if constrained else None}
    with standard_settings(seed=seed):
        inputs = x = keras.Input(image_shape, name="images")
        for i, size in enumerate(filters, 1):
            conv = {"strides": 2, "padding": "same", "name": f"conv_{i}"}
            x = layers.Conv2D(size, 4, **conv, **options)(x)
            x = layers.LeakyReLU(0.2, name=f"leaky_{i}")(x)
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(1, dtype="float32", name="judgment", **options)(x)
        return keras.Model(inputs, x, name="discriminator")


@keras.saving.register_keras_serializable(package="convae_keras")
class Adversaries(keras.Model):
    """A generator and a discriminator that are trained together by `fit`.

    Both take a step at a time, on the same batch and in one backward pass. With
    D the discriminator, x real images and G generated ones, the loss is

        mean relu(1 - D(x)) + mean relu(1 + D(stopped G))
            + weight * mean(D(stopped G) - D(G)) + reconstruction

    where no gradient passes a stopped G. The first two terms, the hinge loss, train
    only the discriminator. The third is always 0, but has a gradient: in the
    discriminator its halves cancel, and what is left drives the generator towards
    what D takes for real. The last is the binary cross-entropy of reconstructions,
    a mean over pixels. There is no `train_step`, and so all backends can run it.

    Args:
        generator: functional `keras.Model` with a dict of images as output:
            `"reconstruction"` of its input, `"samples"`, or both.
        discriminator: `keras.Model`, as `discriminator` builds it.
        weight: float. With 0 the generator is trained without its adversary.
        **kwargs: as in `keras.Model`, such as `name`.

    Raises:
        ValueError: for a negative `weight`.

    References:
        - [Goodfellow et al., 2014](https://arxiv.org/abs/1406.2661)
        - [Larsen et al., 2016](https://arxiv.org/abs/1512.09300), an autoencoder
          as the generator
        - [Lim and Ye, 2017](https://arxiv.org/abs/1705.02894), the hinge loss
    """

    def __init__(self, generator, discriminator, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        expected = "`weight` must be a number of at least 0"
        require(is_number(weight) and weight >= 0, f"{expected}. Received: {weight!r}")
        self.generator, self.discriminator = generator, discriminator
        self.weight = weight
        names = ("discriminator", "generator", "reconstruction")
        self.means = {name: keras.metrics.Mean(name) for name in names}

    @property
    def metrics(self):
        return [*super().metrics, *self.means.values()]

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        fakes = ops.concatenate([*y_pred.values()])
        real, judged = self.discriminator(y), self.discriminator(fakes)
        stopped = self.discriminator(ops.stop_gradient(fakes))
        hinges = ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + stopped))
        loss = hinges + self.weight * ops.mean(stopped - judged)
        self.means["discriminator"].update_state(hinges)
        self.means["generator"].update_state(-ops.mean(stopped))
        if "reconstruction" in y_pred:
            restored = ops.cast(y_pred["reconstruction"], "float32")
            error = ops.mean(keras.losses.binary_crossentropy(y, restored))
            self.means["reconstruction"].update_state(error)
            loss = loss + error
        return loss


@standard_settings()
def train_adversaries(
    model,
    inputs,
    x,
    steps=1000,
    *,
    batch_size=64,
    learning_rate=0.0005,
    average=0.99,
    seed=0,
    verbose=0,
):
    """Trains a generator and a discriminator against each other.

    Adam with little momentum and a rate that falls to 0. At the end the weights
    are an average over the last steps, since the last ones alone are those of a
    player in the middle of a game.

    Args:
        model: `Adversaries`. It is compiled here.
        inputs: array, or a list of them, `(n, ...)`: what the generator takes.
        x: float32 `(n, height, width, channels)` in [0, 1], real images.
        steps: int, a multiple of 100, or below.
        batch_size: int.
        learning_rate: float, at the start.
        average: float in [0, 1), the momentum of the average.
        seed: int, of the order.
        verbose: 0, or 2 (one line for 100 steps).

    Returns:
        dict of lists, one number for 100 steps: `loss`, of `Adversaries`, and the
        losses `discriminator`, `generator` and `reconstruction`; the last is 0
        where nothing is reconstructed.

    Raises:
        ValueError: for other numbers of steps, a batch size below 1, an `average`
            out of range, or arrays that are not finite, not as many, or (`x`) not
            in [0, 1].

    References:
        - [Yazıcı et al., 2019](https://arxiv.org/abs/1806.04498), the average
    """
    check_ints(steps=steps, batch_size=batch_size)
    fits = is_number(average) and 0 <= average < 1
    require(fits, f"`average` must be in [0, 1). Received: {average!r}")
    _check_arrays([*keras.tree.flatten(inputs), x])
    inputs = tuple(inputs) if isinstance(inputs, list) else inputs  # for `tf.data`
    each = min(steps, STEPS_PER_EPOCH)
    expected = f"`steps` must be a multiple of {STEPS_PER_EPOCH}, or below it"
    require(steps % each == 0, f"{expected}. Received: {steps}")
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    momenta = {"beta_1": 0.5, "use_ema": True, "ema_momentum": average}
    compile_model(model, keras.optimizers.Adam(rate, **momenta))
    batches = tf.data.Dataset.from_tensor_slices((inputs, x))
    batches = batches.shuffle(len(x), seed).repeat().batch(batch_size).prefetch(2)
    return model.fit(
        batches,
        epochs=steps // each,
        steps_per_epoch=each,
        shuffle=False,  # the pipeline does
        callbacks=[EpochLine()] if verbose == 2 else [],
        verbose=0,
    ).history


def _check_arrays(arrays):
    counts, expected = [len(each) for each in arrays], "`inputs` and `x` must be"
    fits = len(set(counts)) == 1 and counts[0] > 0
    require(fits, f"{expected} as many, at least one. Received: {counts}")
    finite = all(np.isfinite(each).all() for each in arrays)
    require(finite, f"{expected} finite. Received: NaN or infinity")
    low, high = np.min(arrays[-1]), np.max(arrays[-1])
    fits, expected = low >= 0 and high <= 1, "`x` must be in [0, 1]"
    require(fits, f"{expected}. Received: from {low:.6g} to {high:.6g}")


def refine_decoder(autoencoder, x, samples, weight=0.01, steps=1000, **options):
    """Trains a copy of a decoder further, also by how real its images look.

    Its two inputs are codes of real images, which it must reconstruct as before,
    and sampled codes. A discriminator scores the images of both. The encoder stays
    as it is, so that codes, and samplers fitted to them, keep their meaning.

    Args:
        autoencoder: trained `Autoencoder` with a dense code, in [0, 1].
        x: real images, as `check_images` takes them.
        samples: float32 `(n, latent_dim)`, sampled codes, as many.
        weight: float, of the adversarial loss beside the cross-entropy, a mean
            over pixels; 0 to train for as long without it.
        steps: int.
        **options: as in `train_adversaries`.

    Returns:
        `(decoder, history)`: `keras.Model`, and what `train_adversaries` returns.

    Raises:
        ValueError: for another number of samples, codes of another size, or an
            autoencoder that does not work in [0, 1].
    """
    check_unit_range(autoencoder)
    codes, expected = encode(autoencoder, x), "`samples` must be codes of"
    fits = np.shape(samples) == codes.shape
    require(fits, f"{expected} {codes.shape}. Received: {np.shape(samples)}")
    with standard_settings():
        decoder = copy_model(autoencoder.decoder)
        inputs = [keras.Input(codes.shape[1:], name=name) for name in ("of", "new")]
        outputs = {"reconstruction": decoder(inputs[0]), "samples": decoder(inputs[1])}
        image_shape = decoder.output_shape[1:]
        judge = discriminator(image_shape, seed=options.get("seed", 0))
        game = Adversaries(keras.Model(inputs, outputs), judge, weight)
    inputs = [codes, np.asarray(samples, "float32")]
    return decoder, train_adversaries(game, inputs, to_float(x), steps, **options)
