"""Contrast of generated images."""

import numpy as np
import pytest

from convae_keras.generation import raise_contrast
from convae_keras.models import conv_autoencoder


def test_contrast_is_a_gain_of_the_decoders_last_layer():
    decoder = conv_autoencoder("keras", seed=0).decoder
    codes = np.random.RandomState(0).normal(size=(4, *decoder.input_shape[1:]))
    images = decoder.predict(codes, verbose=0)
    *others, kernel, bias = decoder.get_weights()
    decoder.set_weights([*others, 1.5 * kernel, 1.5 * bias])
    sharper = decoder.predict(codes, verbose=0)
    assert abs(sharper - images).max() > 0.01
    np.testing.assert_allclose(raise_contrast(images, 1.5), sharper, atol=2e-5)


def test_contrast_keeps_black_white_and_gray():
    images = np.zeros((1, 8, 8, 1), "uint8")
    images[0, 0, :3, 0] = 0, 255, 51
    found = raise_contrast(images, 2.0)[0, 0, :3, 0]
    np.testing.assert_allclose(found, [0, 1, 1 / 17], atol=1e-5)
    same = raise_contrast(images, 1)
    np.testing.assert_allclose(same, images / 255, atol=2e-6)
    middle = np.full((1, 8, 8, 1), 0.5)
    assert raise_contrast(middle, 3.0).dtype == "float32"
    np.testing.assert_allclose(raise_contrast(middle, 3.0), 0.5)


@pytest.mark.parametrize("gain", [0, -1.0, float("nan"), "2", True, None])
def test_other_gains_are_refused(gain):
    with pytest.raises(ValueError, match="`gain` must be a number above 0"):
        raise_contrast(np.zeros((1, 8, 8, 1)), gain)


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match="images"):
        raise_contrast(np.zeros((8, 8)), 1.2)
