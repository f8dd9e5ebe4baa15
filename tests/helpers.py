"""Models and comparisons that several test files share."""

import functools

import keras
import numpy as np

from convae_keras import keras_settings
from convae_keras.models import conv_autoencoder


def differ(image, expected):
    """The distance of each pixel, without wrapping around."""
    return np.abs(image.astype(int) - expected)


def use_policy(policy):
    """Sets the dtype policy of what the module builds, and of Keras's own layers."""
    keras_settings.set_policy(policy)
    keras.config.set_dtype_policy(policy)


def fewer(cases):
    """All of them on TensorFlow; every third elsewhere, where each is compiled."""
    return cases if keras.backend.backend() == "tensorflow" else cases[::3]


@functools.cache
def fixed(size=(12, 16), channels=1):
    """A negative, of images of one size only."""
    inputs = keras.Input((*size, channels))
    return keras.Model(inputs, keras.layers.Rescaling(-1.0, 1.0)(inputs))


@functools.cache
def negative(channels=1):
    """As `fixed`, for any size: what comes out is known for every pixel."""
    return fixed((None, None), channels)


@functools.cache
def twice():
    """Twice as large, each pixel repeated."""
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, keras.layers.UpSampling2D(2)(inputs))


def small(**switches):
    """The printed network with as few filters as will do."""
    options = {"filters": (3,), "code_filters": (2,), "seed": 0, **switches}
    return conv_autoencoder("keras", **options)
