"""What `convae train` chooses by the data."""

from types import SimpleNamespace

import numpy as np
import pytest

from convae_cli import defaults
from convae_keras import models

pytestmark = pytest.mark.static


def images(count, *shape):
    train = np.broadcast_to(np.uint8(0), (count, *shape))
    return SimpleNamespace(x_train=train, image_shape=shape)


@pytest.mark.parametrize(
    "count, shape, expected",
    [
        (55_000, (28, 28, 1), "reference"),
        (2000, (32, 32, 3), "reference"),
        (1999, (28, 28, 1), "photographs"),
        (55_000, (64, 64, 3), "photographs"),
        (55_000, (64, 64, 1), "photographs"),
    ],
)
def test_preset(count, shape, expected):
    assert defaults.preset(images(count, *shape)) == expected


@pytest.mark.parametrize(
    "shape, expected",
    [((28, 28, 1), 32), ((32, 32, 3), 128), ((512, 512, 3), 128), ((3, 3, 1), 1)],
)
def test_latent_dim(shape, expected):
    assert defaults.VALUES_A_NUMBER == models.VALUES_A_NUMBER  # without its Keras
    assert defaults.latent_dim(shape) == expected


@pytest.mark.parametrize(
    "count, shape, restores, expected",
    [
        (55_000, (28, 28, 1), False, 3),
        (300_000, (28, 28, 1), False, 1),
        (264, (64, 64, 3), False, 277),
        (17, (64, 64, 3), False, 1000),
        (1000, (256, 256, 3), False, 5),
        (1000, (72, 72, 3), True, 150),
        (1, (72, 72, 3), True, 1000),
    ],
)
def test_epochs(count, shape, restores, expected):
    assert defaults.epochs(images(count, *shape), restores) == expected


@pytest.mark.slow
def test_patience():
    assert [defaults.patience(epochs) for epochs in (1, 30, 300)] == [10, 10, 100]
