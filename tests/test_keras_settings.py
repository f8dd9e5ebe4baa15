"""What others have set in Keras changes nothing, and is not changed."""

import random

import keras
import numpy as np
import pytest
from helpers import small

from convae_keras import block_autoencoder, conv_autoencoder, load_images, train
from convae_keras.baselines import dense_autoencoder
from convae_keras.compression import conv_codec
from convae_keras.evaluation import reconstruct
from convae_keras.features import classifier, encode
from convae_keras.keras_settings import standard_settings
from convae_keras.restorers import restorer

pytestmark = pytest.mark.float32  # it sets the policy


@pytest.fixture
def others():
    """Settings of somebody else's project."""
    before = keras.config.floatx(), keras.config.image_data_format()
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_epsilon(1e-3)
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_image_data_format(before[1])
    keras.config.set_epsilon(1e-7)


def settings():
    names = ("floatx", "epsilon", "image_data_format", "dtype_policy")
    return [getattr(keras.config, name)() for name in names]


def everything(x):
    """Losses, reconstructions and features of a small model."""
    model = small(image_shape=x.shape[1:])
    losses = train(model, x, epochs=2, verbose=0)["loss"]
    return losses, reconstruct(model, x[:3]), encode(model, x[:3])


@pytest.mark.slow
def test_results_do_not_depend_on_them(strokes, request):
    expected = everything(strokes)
    request.getfixturevalue("others")
    before = settings()
    found = everything(strokes)
    assert settings() == before
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "build",
    [
        lambda: conv_autoencoder(seed=1),
        lambda: block_autoencoder((8, 8, 1), filters=(4,), seed=1),
        lambda: restorer((None, None, 1), filters=(4, 4), convs=(1, 1), seed=1),
        lambda: conv_codec((8, 8, 1), latent_dim=2, filters=(2, 2), seed=1),
        lambda: classifier(small(), 3, seed=1),
        lambda: dense_autoencoder((8, 8, 1), 2, 2000, seed=1),
    ],
)
def test_a_builder_leaves_random_numbers_and_settings_alone(build, others):
    random.seed(5)
    np.random.seed(5)
    states = random.getstate(), np.random.get_state()[1].tolist()
    before, model = settings(), build()
    assert settings() == before
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    for a, b in zip(model.get_weights(), build().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_images_of_keras_are_not_transposed(others, monkeypatch):
    def load_data():
        first = keras.config.image_data_format() == "channels_first"
        x = np.zeros((24, 3, 8, 8) if first else (24, 8, 8, 3), "uint8")
        return (x, np.arange(24)[:, None] % 10), (x, np.arange(24)[:, None] % 10)

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", load_data)
    assert load_images("cifar10").image_shape == (8, 8, 3)


def test_they_are_restored_after_an_error(others):
    before = settings()
    with pytest.raises(KeyError), standard_settings(seed=3):
        assert settings()[:3] == ["float32", 1e-7, "channels_last"]
        raise KeyError
    assert settings() == before


def test_without_a_seed_weights_are_keras_own():
    first, second = (small(seed=None).get_weights()[0] for _ in range(2))
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(0)
    third = small(seed=None).get_weights()[0]
    keras.utils.set_random_seed(0)
    np.testing.assert_array_equal(small(seed=None).get_weights()[0], third)
