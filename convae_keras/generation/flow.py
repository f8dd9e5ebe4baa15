"""Flow matching: a small network that moves noise to the codes of images."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from sklearn.decomposition import PCA

from convae_keras.features import encode
from convae_keras.generation.generator import ClassLabels, draw, image_generator
from convae_keras.generation.samplers import check_fitted, checked_codes
from convae_keras.keras_settings import standard_settings
from convae_keras.progress import EpochLine
from convae_keras.training import compile_model
from convae_keras.validation import (
    check_ints,
    check_layers,
    check_limit,
    is_number,
    require,
)

STEPS_PER_EPOCH = 200

# Numbers that the time and the label become.
CONDITION = 48

# Steps from noise to a code, at most.
MOST_STEPS = 200


def velocity_network(latent_dim, classes=1, *, units=192, blocks=3, seed=None):
    """Builds the network whose output is the velocity of a code on its path.

    Args:
        latent_dim: int, elements of a code.
        classes: int, the number of classes; 1 without labels.
        units: int, width of the dense layers.
        blocks: int, residual blocks.
        seed: int for the same initial weights at every call, or None.

    Returns:
        An uncompiled functional `keras.Model`. Inputs: float32 `codes` `(n,
        latent_dim)`, `time` `(n, 1)` from 0 (noise) to 1 (code), and `label`
        `(n, classes)`, one-hot. Output: float32 `(n, latent_dim)`, the change of
        the code in a unit of time.

    Raises:
        ValueError: for a value that does not fit.

    References:
        - [Peebles and Xie, 2023](https://arxiv.org/abs/2212.09748), scale and shift
          from what is known
    """
    check_ints(latent_dim=latent_dim, classes=classes, units=units, blocks=blocks)
    check_limit(blocks, "objects")
    check_layers((classes, CONDITION, units, units, latent_dim))
    with standard_settings(policy="float32", seed=seed):
        codes = keras.Input((latent_dim,), name="codes")
        time = keras.Input((1,), name="time")
        label = keras.Input((classes,), name="label")
        known = layers.Concatenate(name="known")([time, label])
        for i in (1, 2):
            known = layers.Dense(CONDITION, "silu", name=f"condition_{i}")(known)
        x = layers.Dense(units, name="in")(codes)
        for i in range(1, blocks + 1):
            # Scale and shift depend on the time and the label, which so take part
            # in all that the block computes.
            norm = {"center": False, "scale": False, "name": f"norm_{i}"}
            y = layers.LayerNormalization(**norm)(x)
            start = {"kernel_initializer": "zeros", "bias_initializer": "ones"}
            scale = layers.Dense(units, **start, name=f"scale_{i}")
            y = layers.Multiply(name=f"scaled_{i}")([y, scale(known)])
            shift = layers.Dense(units, name=f"shift_{i}")
            y = layers.Add(name=f"shifted_{i}")([y, shift(known)])
            y = layers.Dense(units, "silu", name=f"dense_{i}")(y)
            y = layers.Dense(units, kernel_initializer="zeros", name=f"step_{i}")(y)
            x = layers.Add(name=f"block_{i}")([x, y])
        x = layers.Activation("silu", name="out")(x)
        x = layers.Dense(latent_dim, kernel_initializer="zeros", name="velocity")(x)
        return keras.Model([codes, time, label], x, name="velocity")


@keras.saving.register_keras_serializable(package="convae_keras")
class FollowFlow(layers.Layer):
    """Moves noise along a velocity, from time 0 to time 1, by Heun's method.

    Args:
        velocity: `keras.Model`, as `velocity_network` builds it.
        steps: int, at most 200; the velocity is computed twice in each.
        **kwargs: as in `keras.layers.Layer`, such as `name`.

    Input shape:
        float32 `[(n, latent_dim), (n, classes)]`: noise and one-hot labels.

    Output shape:
        float32 `(n, latent_dim)`.

    Raises:
        ValueError: for `steps` that are no int from 1 to 200.
    """

    def __init__(self, velocity, steps=16, **kwargs):
        super().__init__(**kwargs)
        # Each becomes a part of the graph, also of an untrusted model.
        check_ints(1, MOST_STEPS, steps=steps)
        self.velocity, self.steps = velocity, steps

    def call(self, inputs):
        codes, label = inputs

        def velocity(codes, i):
            time = ops.zeros_like(codes[:, :1]) + ops.cast(i, codes.dtype) / self.steps
            return self.velocity([codes, time, label])

        def step(i, codes):
            first = velocity(codes, i)
            second = velocity(codes + first / self.steps, i + 1)
            return codes + (first + second) / (2 * self.steps)

        return ops.fori_loop(0, self.steps, step, codes)

    def get_config(self):
        velocity = keras.saving.serialize_keras_object(self.velocity)
        return {**super().get_config(), "velocity": velocity, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        velocity = keras.saving.deserialize_keras_object(config.pop("velocity"))
        return cls(velocity, **config)


class FlowSampler:
    """A flow from noise to codes, of each class if they have labels.

    Codes are whitened. The network learns, of a code on the straight line from
    noise to an image's code, in which direction it moves on average. Followed from
    new noise, that leads to new codes.

    Args:
        units, blocks: as in `velocity_network`.
        epochs: int, of 200 batches each, however many codes there are.
        batch_size: int, codes in a batch, which are drawn with replacement.
        learning_rate: float, the maximum of the schedule.
        steps: int, as in `FollowFlow`.
        seed: int, of weights, order and noise.
        verbose: 0, 1 (Keras's progress bar) or 2 (one line an epoch).

    Raises:
        ValueError: for a value that does not fit.

    References:
        - [Lipman et al., 2023](https://arxiv.org/abs/2210.02747), flow matching
        - [Rombach et al., 2022](https://arxiv.org/abs/2112.10752), on the codes of
          an autoencoder

    Example:

    >>> codes = np.random.RandomState(0).normal(5, 2, (1000, 3))
    >>> sampler = FlowSampler(units=8, blocks=1, epochs=1).fit(codes)
    >>> sampler.sample(500)[0].shape
    (500, 3)
    """

    def __init__(
        self,
        units=192,
        blocks=3,
        *,
        epochs=60,
        batch_size=256,
        learning_rate=0.003,
        steps=16,
        seed=0,
        verbose=0,
    ):
        check_ints(units=units, blocks=blocks, epochs=epochs, batch_size=batch_size)
        check_ints(1, MOST_STEPS, steps=steps)
        check_ints(0, seed=seed)
        fits = is_number(learning_rate) and learning_rate > 0
        expected = "`learning_rate` must be a positive number"
        require(fits, f"{expected}. Received: {learning_rate!r}")
        self.units, self.blocks, self.steps, self.seed = units, blocks, steps, seed
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.verbose = learning_rate, verbose

    def fit(self, codes, labels=None):
        """Trains the network.

        Args:
            codes: float `(n, latent_dim)`.
            labels: `(n,)`, or None.

        Returns:
            This sampler. `model` is a `keras.Model` from noise and indices of
            classes to codes; `history` a dict of lists, one number an epoch.

        Raises:
            ValueError: for other shapes, or fewer than two codes.
        """
        codes, labels, self.labeled = checked_codes(codes, labels)
        require(len(codes) > 1, "`codes` must be at least two. Received: 1")
        self.classes, counts = np.unique(labels, return_counts=True)
        self.shares, self.dim = counts / counts.sum(), codes.shape[1]
        pca = PCA(min(codes.shape), whiten=True).fit(codes)
        whitened = pca.transform(codes).astype("float32")
        size = {"units": self.units, "blocks": self.blocks, "seed": self.seed}
        velocity = velocity_network(whitened.shape[1], len(self.classes), **size)
        one_hot = (labels[:, None] == self.classes).astype("float32")
        self.history = self._train(velocity, whitened, one_hot)
        # A copy: Keras would save the optimizer along with what was compiled.
        trained = velocity_network(whitened.shape[1], len(self.classes), **size)
        trained.set_weights(velocity.get_weights())
        self.model = self._model(trained, pca)
        return self

    def _train(self, velocity, codes, one_hot):
        total = STEPS_PER_EPOCH * self.epochs
        rate = keras.optimizers.schedules.CosineDecay(self.learning_rate, total)
        # Keras leaves the average of the weights in place of the last ones.
        steps = float(np.clip(total / 10, 1, 1000))  # that count in the average
        averaged = {"use_ema": True, "ema_momentum": 1 - 1 / steps}
        compile_model(velocity, keras.optimizers.Adam(rate, **averaged), "mse")
        lines = [EpochLine()] if self.verbose == 2 else []
        return velocity.fit(
            _batches(codes, one_hot, self.batch_size, self.seed),
            epochs=self.epochs,
            steps_per_epoch=STEPS_PER_EPOCH,
            shuffle=False,  # the pipeline draws
            callbacks=lines,
            verbose=self.verbose if self.verbose == 1 else 0,
        ).history

    def _model(self, velocity, pca):
        noise = keras.Input((velocity.output_shape[1],), name="noise")
        index = keras.Input((), dtype="int32", name="label")
        known = self.classes.tolist(), self.shares.tolist()
        label = ClassLabels(*known, name="classes", dtype="float32")(index)
        follow = FollowFlow(velocity, self.steps, name="flow", dtype="float32")
        back = layers.Dense(self.dim, name="codes", dtype="float32", trainable=False)
        codes = back(follow([noise, label]))
        scale = np.sqrt(pca.explained_variance_)[:, None]
        back.set_weights([scale * pca.components_, pca.mean_])
        return keras.Model([noise, index], codes, name="sampler")

    def sample(self, count, label=None, seed=0):
        """Draws codes; arguments, results and errors are those of `Mixture.sample`."""
        check_fitted(self, "model")
        codes, labels = draw(self.model, count, label, seed)
        return codes, labels if self.labeled else None


def train_generator(autoencoder, images, **options):
    """Fits a `FlowSampler` to the codes of training images.

    Args:
        autoencoder: trained `Autoencoder` with a dense code.
        images: `Images`; the flow is one of each class if they have labels.
        **options: of `FlowSampler`.

    Returns:
        `keras.Model` for `generate`, as `image_generator` builds it. Its classes
        are the names of the labels, where they have any.

    Raises:
        ValueError: for an autoencoder with another code.
    """
    shape, expected = autoencoder.decoder.input_shape, "`autoencoder` must have a dense"
    require(len(shape) == 2, f"{expected} code. Received: one of {shape[1:]}")
    labels = images.y_train
    if labels is not None and images.class_names:
        labels = np.array(images.class_names)[labels]
    codes = encode(autoencoder, images.x_train)
    return image_generator(autoencoder, FlowSampler(**options).fit(codes, labels))


def _batches(codes, one_hot, batch_size, seed):
    """Infinite pipeline of `((codes on their paths, time, label), direction)`."""
    dim = codes.shape[1]

    def batch(step):
        seeds = tf.stack([tf.cast(seed, step.dtype), step])
        draw = {"seed": seeds, "minval": 0, "maxval": len(codes), "dtype": tf.int32}
        drawn = tf.random.stateless_uniform((batch_size,), **draw)
        noise = tf.random.stateless_normal((batch_size, dim), seeds)
        time = tf.random.stateless_uniform((batch_size, 1), seeds + [1, 0])
        ends = tf.gather(codes, drawn)
        on_the_way = time * ends + (1 - time) * noise
        return (on_the_way, time, tf.gather(one_hot, drawn)), ends - noise

    steps = tf.data.Dataset.range(tf.int64.max)
    return steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)
