"""Generators: models from noise and labels to codes or images, and draws from them."""

import keras
import numpy as np
from keras import layers, ops

from convae_keras.generation.samplers import draw_labels
from convae_keras.keras_settings import standard_settings
from convae_keras.models import check_unit_range
from convae_keras.pipelines import from_model_range, to_float
from convae_keras.validation import check_images, is_number, require

# Samples that are computed at once.
BATCH_SIZE = 1000


@keras.saving.register_keras_serializable(package="convae_keras")
class ClassLabels(layers.Layer):
    """One-hot labels. It also knows what the classes are and how often each occurs.

    Args:
        classes: list of int or str.
        shares: list of float, how often each is to be drawn; together 1.
        **kwargs: as in `keras.layers.Layer`, such as `name`.

    Input shape:
        int `(n,)`, indices of classes.

    Output shape:
        float32 `(n, classes)`.

    Raises:
        ValueError: for lists of different lengths, or empty ones.
    """

    def __init__(self, classes, shares, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.shares = list(classes), list(shares)
        expected = "`classes` and `shares` must be lists of one length"
        lengths = len(self.classes), len(self.shares)
        require(lengths[0] == lengths[1] > 0, f"{expected}. Received: {lengths}")

    def call(self, inputs):
        return ops.one_hot(inputs, len(self.classes), dtype="float32")

    def get_config(self):
        own = {"classes": self.classes, "shares": self.shares}
        return {**super().get_config(), **own}


@standard_settings()
def draw(model, count, label=None, seed=0):
    """Draws noise and labels, and computes what a model makes of them.

    Args:
        model: `keras.Model` with the inputs `noise` and `label` and a layer
            `classes`, a `ClassLabels`.
        count: int.
        label: the class of all; None for classes as often as in training.
        seed: int. The same noise under every backend.

    Returns:
        `(outputs, labels)`: float32 `(count, ...)`, and `(count,)`, classes.

    Raises:
        ValueError: for a `count` below 1 or an unknown class.
    """
    layer, random = model.get_layer("classes"), np.random.RandomState(seed)
    classes = np.asarray(layer.classes)
    labels = draw_labels(count, label, classes, layer.shares, random)
    noise = random.normal(size=(count, model.inputs[0].shape[1])).astype("float32")
    indices = (labels[:, None] == classes).argmax(axis=1)
    return model.predict([noise, indices], batch_size=BATCH_SIZE, verbose=0), labels


def image_generator(autoencoder, sampler):
    """Builds the model that makes images of noise: a sampler, then the decoder.

    Args:
        autoencoder: `Autoencoder` with a dense code.
        sampler: fitted `FlowSampler` of its codes.

    Returns:
        An uncompiled functional `keras.Model`. Inputs: `noise`, float32 `(n,
        latent_dim)`, and `label`, int `(n,)`, indices of classes. Output: images
        as the decoder's.

    Raises:
        ValueError: for a decoder that takes other codes than the sampler draws,
            or does not work in [0, 1].
    """
    decoder, codes = autoencoder.decoder, sampler.model.output
    expected = f"`sampler` must draw codes of {decoder.input_shape[1:]}"
    fits = decoder.input_shape == codes.shape
    require(fits, f"{expected}. Received: {codes.shape[1:]}")
    check_unit_range(autoencoder)
    with standard_settings():
        return keras.Model(sampler.model.inputs, decoder(codes), name="generator")


def is_generator(model):
    """Returns whether a model is one of `image_generator`."""
    known = any(isinstance(each, ClassLabels) for each in getattr(model, "layers", []))
    return known and len(model.output_shape) == 4


def generate(generator, count, label=None, seed=0):
    """Draws images.

    Args:
        generator: `keras.Model`, as `image_generator` builds it.
        count, label, seed: as in `draw`.

    Returns:
        `(images, labels)`: float32 `(count, height, width, channels)` in [0, 1],
        and `(count,)`, their classes.

    Raises:
        ValueError: as `draw`, or for another model.
    """
    expected = "`generator` must be a model that `image_generator` built"
    require(is_generator(generator), f"{expected}. Received: {generator!r}")
    images, labels = draw(generator, count, label, seed)
    return from_model_range(images, (0, 1)), labels


def raise_contrast(images, gain):
    """Multiplies the logits of pixels.

    For a decoder that ends in a sigmoid this is the same as larger weights in its
    last layer. Where a decoder cannot know whether a pixel is black or white, it
    answers with gray; a gain above 1 takes it closer to one of them.

    Args:
        images: as `check_images` takes them.
        gain: float above 0. 1 changes nothing, but that pixels are clipped to
            [1e-6, 1 - 1e-6].

    Returns:
        float32 `(n, height, width, channels)` in [0, 1].

    Raises:
        ValueError: for arrays that are not images, or another `gain`.

    Example:

    >>> raise_contrast(np.full((1, 8, 8, 1), 0.6), 2.0)[0, 0, 0].round(3)
    array([0.692], dtype=float32)
    """
    valid = is_number(gain) and gain > 0
    require(valid, f"`gain` must be a number above 0. Received: {gain!r}")
    x = to_float(check_images(images, "images")).clip(1e-6, 1 - 1e-6)
    return (1 / (1 + ((1 - x) / x) ** np.float32(gain))).astype("float32")
