"""The rivals, held against NumPy and against what was asked for."""

import numpy as np
import pytest

from convae_keras import baselines
from convae_keras.baselines import dense_autoencoder, mean_image, pca
from convae_keras.metrics import mse
from convae_keras.pipelines import to_float


@pytest.fixture(scope="module")
def halves(digits):
    """200 digits to learn from and 50 others; float32 `(n, 28, 28, 1)`."""
    return to_float(digits.x_train[:200]), to_float(digits.x_test[:50])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_mean_image(dtype):
    x = np.array([0, 51, 255], "uint8").reshape(3, 1, 1, 1).repeat(2, axis=1)
    x = x if dtype == "uint8" else to_float(x)
    reconstructions = mean_image(x)(np.zeros((5, 2, 1, 1), "float32"))
    assert reconstructions.shape == (5, 2, 1, 1)
    assert reconstructions.dtype == "float32"
    np.testing.assert_allclose(reconstructions, 0.4, rtol=1e-6)


def test_pca_is_the_truncated_svd(halves):
    x_train, x = halves
    flat = x_train.reshape(200, -1).astype("float64")
    mean = flat.mean(axis=0)
    _, _, directions = np.linalg.svd(flat - mean, full_matrices=False)
    kept = directions[:8].T @ directions[:8]
    expected = (x.reshape(50, -1) - mean) @ kept + mean
    reconstructions = pca(x_train, 8)(x)
    assert reconstructions.shape == x.shape
    np.testing.assert_allclose(
        reconstructions.reshape(50, -1), expected.clip(0, 1), atol=1e-3
    )


def test_more_components_reconstruct_better(halves):
    x_train, x = halves
    errors = [mse(x, pca(x_train, size)(x)).mean() for size in (1, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 3
    assert errors[0] < mse(x, mean_image(x_train)(x)).mean()


def test_pca_of_bytes_is_that_of_floats(halves, digits):
    x_train, x = halves
    from_bytes = pca(digits.x_train[:200], 5)(x)
    np.testing.assert_array_equal(from_bytes, pca(x_train, 5)(x))
    assert 0 <= from_bytes.min() and from_bytes.max() <= 1


def test_pca_of_what_is_too_large_takes_a_sample(halves, monkeypatch):
    x_train, x = halves
    whole = pca(x_train, 5)(x)
    monkeypatch.setattr(baselines, "PCA_BYTES", 4 * 784 * 50)
    first, again, other = (pca(x_train, 5, seed=seed)(x) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    # Near what all of them give, and never too few for the components.
    assert mse(x, first).mean() < 1.5 * mse(x, whole).mean()
    monkeypatch.setattr(baselines, "PCA_BYTES", 1)
    assert pca(x_train, 5)(x).shape == x.shape


@pytest.mark.parametrize(
    "shape, latent_dim, limit",
    [
        ((10, 4, 4, 1), 0, 9),
        ((10, 4, 4, 1), -1, 9),
        ((10, 4, 4, 1), 10, 9),
        ((100, 4, 4, 1), 16, 15),
    ],
)
def test_limits_of_pca(shape, latent_dim, limit):
    x = np.random.default_rng(0).random(shape, "float32")
    message = rf"in 1 … {limit} for {shape[0]} images of 16 .*Received: {latent_dim}"
    with pytest.raises(ValueError, match=message):
        pca(x, latent_dim)
    assert pca(x, limit)(x).shape == shape


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (5, 7, 3)])
@pytest.mark.parametrize("latent_dim", [2, 32])
@pytest.mark.parametrize("parameters", [20_000, 123_457])
def test_dense_autoencoder_has_the_parameters_asked_for(
    image_shape, latent_dim, parameters
):
    autoencoder = dense_autoencoder(image_shape, latent_dim, parameters)
    assert autoencoder.output_shape == (None, *image_shape)
    assert autoencoder.get_layer("code").output.shape == (None, latent_dim)
    pixels = np.prod(image_shape)
    one_unit = 2 * (pixels + latent_dim) + 2  # on either side, with its bias
    assert parameters - one_unit < autoencoder.count_params() <= parameters


def test_dense_autoencoder_gives_probabilities():
    autoencoder = dense_autoencoder((5, 7, 3), 2, 2000)
    weights = [np.full(w.shape, -9.0) for w in autoencoder.weights]
    for sign in (1, -1):  # towards either end
        autoencoder.set_weights([sign * w for w in weights])
        y = np.asarray(autoencoder(np.ones((2, 5, 7, 3), "float32")))
        assert 0 <= y.min() <= y.max() <= 1


def test_dense_autoencoder_with_too_few_parameters():
    with pytest.raises(ValueError, match="at least 326 .*105 pixels.*Received: 325"):
        dense_autoencoder((5, 7, 3), 3, 325)
    autoencoder = dense_autoencoder((5, 7, 3), 3, 326)
    assert autoencoder.layers[2].units == 1
