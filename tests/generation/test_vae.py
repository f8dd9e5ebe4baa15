"""The variational twin: its loss term by term, its codes, saving."""

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_keras.generation.vae import (
    SampleCode,
    kl_divergence,
    variational_autoencoder,
)
from convae_keras.saving import load_model

TINY = {"filters": (2, 3), "code_filters": (), "latent_dim": 4}


def images(n=3):
    return np.random.default_rng(0).random((n, 28, 28, 1), "float32")


def moments(model, x):
    """Means and logarithms of variances of the codes."""
    statistics = model.encoder.layers[1]
    return np.split(np.asarray(statistics.predict_on_batch(x), "float64"), 2, axis=1)


def test_the_divergence_is_that_of_two_normal_distributions():
    mean, deviation = (
        np.array([[0.5, -1.0], [0.0, 0.0]]),
        np.array([[2.0, 0.3], [1, 1]]),
    )
    arguments = mean, 2 * np.log(deviation)
    found = np.asarray(kl_divergence(*map(keras.ops.convert_to_tensor, arguments)))
    one_by_one = -np.log(deviation) + (deviation**2 + mean**2) / 2 - 0.5
    np.testing.assert_allclose(found, one_by_one.sum(axis=1), rtol=1e-5)
    assert found[1] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.float32  # to six digits
@pytest.mark.parametrize("beta", fewer([0.0, 1.0, 3.0]))
def test_the_loss_is_the_evidence_bound_by_the_pixel(beta):
    model, x = variational_autoencoder(**TINY, beta=beta, seed=0), images()
    model.compile(loss="binary_crossentropy")
    found = model.evaluate(x, x, verbose=0)
    mean, log_variance = moments(model, x)
    y = np.asarray(model.decoder.predict_on_batch(mean.astype("float32")), "float64")
    entropy = -(x * np.log(y) + (1 - x) * np.log1p(-y)).sum(axis=(1, 2, 3))
    divergence = (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1) / 2
    assert found == pytest.approx((entropy + beta * divergence).mean() / 784, rel=1e-5)


@pytest.mark.float32
def test_codes_are_drawn_in_training_only():
    model, x = variational_autoencoder(**TINY, seed=0), images(1)
    mean, log_variance = moments(model, x)
    many = np.repeat(x, 500, axis=0)
    np.testing.assert_allclose(model.encoder.predict_on_batch(x), mean, atol=1e-5)
    drawn = np.asarray(keras.ops.convert_to_numpy(model.encoder(many, training=True)))
    np.testing.assert_allclose(drawn.mean(axis=0), mean[0], atol=0.2)
    np.testing.assert_allclose(
        drawn.std(axis=0), np.exp(log_variance[0] / 2), rtol=0.15
    )


def test_it_is_an_autoencoder_that_is_saved(tmp_path):
    model, x = variational_autoencoder(**TINY, seed=0), images()
    assert model.encoder.output_shape == model.decoder.input_shape == (None, 4)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    pairs = zip(loaded.get_weights(), model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    expected = model.predict_on_batch(x)
    np.testing.assert_allclose(loaded.predict_on_batch(x), expected, rtol=1e-5)
    assert loaded.encoder.get_layer("code").weight == pytest.approx(1 / 784)


def test_its_name_is_passed_on():
    assert variational_autoencoder(**TINY).name == "variational"
    assert variational_autoencoder(**TINY, name="mine").name == "mine"


@pytest.mark.float32  # sets the policy itself
def test_codes_are_float32_under_any_policy():
    use_policy("mixed_float16")
    code = SampleCode()(np.zeros((2, 8), "float32"))
    assert keras.backend.standardize_dtype(code.dtype) == "float32"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beta": -1}, "`beta` must be a number of at least 0. Received: -1"),
        ({"beta": "high"}, "`beta` must be a number"),
        ({"latent_dim": None}, "`latent_dim` must be a positive int. Received: None"),
    ],
)
def test_other_options(options, message):
    with pytest.raises(ValueError, match=message):
        variational_autoencoder(**options)
