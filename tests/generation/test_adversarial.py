"""Adversarial training: which loss trains what, and kernels that stay small."""

import keras
import numpy as np
import pytest

from convae_keras.generation.adversarial import (
    Adversaries,
    SpectralConstraint,
    discriminator,
)
from convae_keras.models import conv_autoencoder


def line(size, name, value):
    """A model of one dense layer without a bias."""
    inputs, start = keras.Input((size,)), keras.initializers.Constant(value)
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
    return keras.Model(inputs, dense(inputs), name=name)


@pytest.mark.float32
@pytest.mark.parametrize("weight", [0, 2])
def test_each_loss_trains_its_own_network(weight):
    """One step of gradient descent, beside what it is by hand."""
    noise, generated = keras.Input((1,)), line(1, "generated", 0.5)
    generator = keras.Model(noise, {"samples": generated(noise)})
    judge = line(1, "judge", 0.25)
    model = Adversaries(generator, judge, weight)
    model.compile(keras.optimizers.SGD(0.1))
    z, x = np.array([[1.0], [3.0]], "float32"), np.array([[2.0], [4.5]], "float32")
    history = model.fit(z, x, batch_size=2, epochs=1, verbose=0).history
    # D(x) is 0.5 and 1.125: the second image is judged real enough, and counts for
    # nothing. The samples are 0.5 and 1.5, all judged too real.
    judged = 0.25 - 0.1 * (-2.0 / 2 + 1.0)
    made = 0.5 - 0.1 * weight * -0.25 * 2.0
    assert judge.get_weights()[0][0, 0] == pytest.approx(judged)
    assert generated.get_weights()[0][0, 0] == pytest.approx(made)
    hinges = 0.5 / 2 + (1.125 + 1.375) / 2
    assert history["discriminator"] == [pytest.approx(hinges)]
    assert history["generator"] == [pytest.approx(-0.25)]


def adversaries(weight, **outputs):
    autoencoder = conv_autoencoder("keras", image_shape=(8, 8, 1), seed=0)
    codes = keras.Input(autoencoder.encoder.output_shape[1:])
    images = keras.Input((8, 8, 1))
    known = {"reconstruction": autoencoder(images)}
    known["samples"] = autoencoder.decoder(codes)
    generator = keras.Model([images, codes], known)
    judge = discriminator((8, 8, 1), (4, 8), seed=0)
    return autoencoder, Adversaries(generator, judge, weight)


def test_an_autoencoder_against_a_discriminator():
    random = np.random.RandomState(0)
    x = random.uniform(size=(64, 8, 8, 1)).astype("float32")
    codes = random.normal(size=(64, 4, 4, 8)).astype("float32")
    autoencoder, model = adversaries(0.1)
    before = autoencoder.get_weights()
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit([x, codes], x, batch_size=16, epochs=3, verbose=0).history
    assert history["reconstruction"][-1] < history["reconstruction"][0]
    assert np.isfinite([history[key] for key in history]).all()
    after = autoencoder.get_weights()
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    norms = [
        np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        for kernel in model.discriminator.get_weights()
        if kernel.ndim > 1
    ]
    assert max(norms) < 1.1


def test_a_constrained_kernel():
    random = np.random.RandomState(0)
    kernel = random.normal(size=(3, 3, 4, 8)).astype("float32")
    found = np.asarray(SpectralConstraint()(keras.ops.convert_to_tensor(kernel)))
    assert np.linalg.norm(found.reshape(36, 8), 2) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(
        found / found[0, 0, 0, 0], kernel / kernel[0, 0, 0, 0], rtol=1e-3
    )
    small = keras.ops.convert_to_tensor(kernel / 100)
    np.testing.assert_array_equal(np.asarray(SpectralConstraint()(small)), small)


def test_an_unconstrained_discriminator():
    judge = discriminator((9, 9, 3), (4,), constrained=False)
    assert judge.get_layer("conv_1").kernel_constraint is None
    assert judge.output_shape == (None, 1)


@pytest.mark.parametrize("weight", [-1, "1", None])
def test_the_weight_is_a_number(weight):
    with pytest.raises(ValueError, match="`weight` must be a number of at least 0"):
        Adversaries(line(1, "a", 1), line(1, "b", 1), weight)
