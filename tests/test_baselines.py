"""Baselines, compared with NumPy and with closed forms."""

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_keras import baselines
from convae_keras.baselines import (
    CODECS,
    DENOISERS,
    RESAMPLING,
    classical_denoiser,
    dense_autoencoder,
    enlarge,
    image_codec,
    mean_image,
    pca,
    ridge,
)
from convae_keras.corruption import Downsample, GaussianNoise
from convae_keras.metrics import mse, psnr
from convae_keras.pipelines import to_float


@pytest.fixture(scope="module")
def halves(digits):
    """200 digits to train on and 50 others; float32 `(n, 28, 28, 1)`."""
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


def test_pca_of_bytes_equals_pca_of_floats(halves, digits):
    x_train, x = halves
    from_bytes = pca(digits.x_train[:200], 5)(x)
    np.testing.assert_array_equal(from_bytes, pca(x_train, 5)(x))
    assert 0 <= from_bytes.min() and from_bytes.max() <= 1


def test_pca_of_too_many_images_takes_a_sample(halves, monkeypatch):
    x_train, x = halves
    exact = pca(x_train, 5)(x)
    monkeypatch.setattr(baselines, "PCA_BYTES", 4 * 784 * 50)
    first, again, other = (pca(x_train, 5, seed=seed)(x) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    # Nearly as good, and never fewer images than components.
    assert mse(x, first).mean() < 1.5 * mse(x, exact).mean()
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
    message = f"`latent_dim` .* 1 to {limit} .*Received: {latent_dim}"
    with pytest.raises(ValueError, match=message):
        pca(x, latent_dim)
    assert pca(x, limit)(x).shape == shape


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (5, 7, 3)])
@pytest.mark.parametrize("latent_dim", fewer([2, 32]))
@pytest.mark.parametrize("parameters", fewer([20_000, 123_457]))
def test_dense_autoencoder_uses_the_allowed_parameters(
    image_shape, latent_dim, parameters
):
    autoencoder = dense_autoencoder(image_shape, latent_dim, parameters)
    assert autoencoder.output_shape == (None, *image_shape)
    assert autoencoder.get_layer("code").output.shape == (None, latent_dim)
    pixels = np.prod(image_shape)
    one_unit = 2 * (pixels + latent_dim) + 2  # one on each side, with biases
    assert parameters - one_unit < autoencoder.count_params() <= parameters


@pytest.mark.float32  # it sets the policy
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_outputs_of_dense_autoencoder_are_pixels(policy):
    use_policy(policy)
    autoencoder = dense_autoencoder((5, 7, 3), 2, 2000)
    assert autoencoder.output.dtype == "float32"
    weights = [np.full(w.shape, -9.0) for w in autoencoder.weights]
    for sign in (1, -1):
        autoencoder.set_weights([sign * w for w in weights])
        y = autoencoder(np.ones((2, 5, 7, 3), "float32"))
        y = keras.ops.convert_to_numpy(y)
        assert 0 <= y.min() <= y.max() <= 1


def test_dense_autoencoder_with_too_few_parameters():
    with pytest.raises(ValueError, match="`parameters` .*326.*Received: 325"):
        dense_autoencoder((5, 7, 3), 3, 325)
    autoencoder = dense_autoencoder((5, 7, 3), 3, 326)
    assert autoencoder.layers[2].units == 1


# --- classical denoisers -----------------------------------------------------


@pytest.fixture(scope="module")
def noisy_digits(digits):
    """`(noisy, clean)`, 16 to tune on and 12 others; sigma 0.25, not clipped."""
    clean, noise = to_float(digits.x_val[:28]), GaussianNoise(0.25, clip=False)
    noisy = noise(clean, seed=5)
    return (noisy[:16], clean[:16]), (noisy[16:], clean[16:])


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_remove_noise(name, noisy_digits):
    validation, (noisy, clean) = noisy_digits
    denoise = classical_denoiser(name, *validation)
    y = denoise(noisy)
    assert y.shape == noisy.shape and y.dtype == "float32"
    assert 0 <= y.min() and y.max() <= 1
    before = psnr(clean, noisy.clip(0, 1)).mean()
    assert psnr(clean, y).mean() > before + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", DENOISERS)
def test_the_best_strength_is_chosen(name, noisy_digits):
    noisy, clean = noisy_digits[0]
    one, strengths = DENOISERS[name]
    sigma = float(np.std(noisy - clean))
    values = {}
    for strength in strengths:
        y = np.stack([one(image, strength, sigma) for image in noisy])
        y = y.reshape(clean.shape).clip(0, 1)
        values[strength] = psnr(clean, y).mean()
    best = max(values, key=values.get)
    denoise = classical_denoiser(name, noisy, clean)
    assert denoise.strength == best
    # It makes a difference.
    assert values[best] > min(values.values()) + 0.1
    assert psnr(clean, denoise(noisy)).mean() == pytest.approx(values[best], abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", DENOISERS)
def test_more_noise_is_filtered_more(name, digits):
    clean = to_float(digits.x_val[:8])
    weak, strong = (
        classical_denoiser(name, GaussianNoise(stddev, clip=False)(clean), clean)
        for stddev in (0.02, 0.6)
    )
    # Of the others the strength is in units of the noise.
    x = GaussianNoise(0.3, clip=False)(clean)
    assert strong(x).std() < weak(x).std()
    assert strong.strength >= weak.strength or "filter" not in name


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_of_color_images(name):
    random = np.random.default_rng(0)
    clean = np.full((3, 24, 20, 3), 0.5) + [0.2, 0.0, -0.2]
    clean[:, 8:16] = 0.3
    noisy = clean + random.normal(0, 0.1, clean.shape)
    y = classical_denoiser(name, noisy, clean)(noisy)
    assert y.shape == clean.shape
    assert mse(clean, y).mean() < 0.75 * mse(clean, noisy).mean()
    # No channel leaks into another.
    means = y[:, :6].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(means, [0.7, 0.5, 0.3], atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", DENOISERS)
def test_a_line_takes_out_the_bias_of_clipped_noise(name, digits):
    clean, noise = to_float(digits.x_val[:24]), GaussianNoise(0.5)
    noisy = noise(clean, seed=1)
    plain, corrected = (
        classical_denoiser(name, noisy[:16], clean[:16], correct)(noisy[16:])
        for correct in (False, True)
    )
    clean = clean[16:]
    assert psnr(clean, corrected).mean() > psnr(clean, plain).mean() + 0.3
    black = clean == 0
    assert corrected[black].mean() < 0.7 * plain[black].mean()
    assert corrected.dtype == "float32" and corrected.max() <= 1


def test_no_line_through_one_gray():
    """Answers that are all alike have no slope: they are left as they are."""
    black = np.zeros((2, 8, 8, 1), "float32")
    denoise = classical_denoiser("median filter", black, black, correct=True)
    np.testing.assert_array_equal(denoise(black), black)


def test_unknown_denoiser(noisy_digits):
    with pytest.raises(ValueError, match="`name` .*'bilateral'"):
        classical_denoiser("bilateral", *noisy_digits[0])


# --- ridge -------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_ridge_is_the_closed_form(alpha):
    """Inputs of another size; targets far from 0 and 1, so that none is clipped."""
    random = np.random.default_rng(0)
    inputs = random.random((40, 2, 3, 1))
    targets = 0.5 + 0.05 * random.normal(size=(40, 4, 2, 2))
    x, y = inputs.reshape(40, 6), targets.reshape(40, 16)
    centered = x - x.mean(axis=0)
    penalty = alpha * np.eye(6)
    weights = np.linalg.solve(centered.T @ centered + penalty, centered.T @ y)
    new = random.random((5, 2, 3, 1))
    expected = (new.reshape(5, 6) - x.mean(axis=0)) @ weights + y.mean(axis=0)
    found = ridge(inputs, targets, alpha)(new)
    assert found.shape == (5, 4, 2, 2) and found.dtype == "float32"
    np.testing.assert_allclose(found.reshape(5, 16), expected, atol=1e-6)


def test_ridge_beats_a_fixed_linear_map(halves):
    """Here at enlarging digits; its outputs are in [0, 1]."""
    (x_train, x), small = halves, Downsample(2)
    restored = ridge(small(x_train), x_train)(small(x))
    assert restored.shape == x.shape
    assert 0 <= restored.min() and restored.max() <= 1
    nearest = enlarge(small(x), 2, "nearest")
    assert mse(x, restored).mean() < mse(x, nearest).mean()


# --- enlarging ---------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_nearest_repeats_pixels(scale, channels):
    x = np.random.default_rng(0).random((2, 5, 7, channels), "float32")
    expected = np.repeat(np.repeat(x, scale, axis=1), scale, axis=2)
    np.testing.assert_array_equal(enlarge(x, scale, "nearest"), expected)


def triangle(length, scale):
    """`(scale * length, length)`, the matrix of linear interpolation."""
    places = (np.arange(scale * length) + 0.5) / scale - 0.5
    near = np.clip(places, 0, length - 1)[:, np.newaxis] - np.arange(length)
    return np.clip(1 - np.abs(near), 0, 1)


def test_bilinear_is_linear_interpolation():
    x = np.random.default_rng(0).random((2, 5, 7, 1), "float32")
    rows, columns = triangle(5, 3), triangle(7, 3)
    expected = np.einsum("yi,nijc,xj->nyxc", rows, x, columns)
    np.testing.assert_allclose(enlarge(x, 3, "bilinear"), expected, atol=1e-6)


@pytest.mark.parametrize("method", RESAMPLING)
@pytest.mark.parametrize("value", [0, 0.3, 1])
def test_constant_images_stay_constant(method, value):
    y = enlarge(np.full((2, 4, 6, 3), value), 3, method)
    assert y.shape == (2, 12, 18, 3) and y.dtype == "float32"
    np.testing.assert_allclose(y, value, atol=1e-6)


@pytest.mark.parametrize("method", RESAMPLING)
def test_enlarging(method, halves):
    """Channels are independent, and shrinking gives the input back."""
    _, x = halves
    color = np.concatenate([x[:5], 1 - x[:5], x[5:10]], axis=-1)
    y = enlarge(color, 2, method)
    assert y.shape == (5, 56, 56, 3) and 0 <= y.min() and y.max() <= 1
    for i in range(3):
        one = enlarge(color[..., i : i + 1], 2, method)
        np.testing.assert_array_equal(one[..., 0], y[..., i])
    back = Downsample(2)(y)
    assert np.abs(back - color).mean() < 0.05


def test_methods_differ_and_overshoots_are_clipped():
    x = np.zeros((1, 8, 8, 1), "float32")
    x[:, :, 4:] = 1
    found = [enlarge(x, 2, method) for method in RESAMPLING]
    assert len({y.tobytes() for y in found}) == len(RESAMPLING) == 4
    # Bicubic interpolation overshoots beside an edge, visibly between gray levels.
    softer = enlarge(0.2 + 0.6 * x, 2, "bicubic")
    assert softer.min() < 0.19 and found[2].min() == 0


def test_unknown_method():
    with pytest.raises(ValueError, match="`method` .*'fractal'"):
        enlarge(np.zeros((1, 4, 4, 1)), 2, "fractal")


# --- image files -------------------------------------------------------------


@pytest.mark.parametrize("name", ["PNG", "WebP lossless"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files(name, channels):
    random = np.random.RandomState(0)
    x = random.randint(256, size=(3, 9, 12, channels)).astype("uint8")
    found, sizes = image_codec(x, name)
    np.testing.assert_array_equal(found, x)
    assert sizes.shape == (3,) and (sizes > 9 * 12 * channels).all()


@pytest.mark.parametrize("name", [n for n in ("JPEG", "WebP", "AVIF") if n in CODECS])
def test_lossy_files(digits, name):
    x = digits.x_test[:20]
    (low, small), (high, large) = (image_codec(x, name, q) for q in (5, 90))
    assert low.shape == high.shape == x.shape
    assert small.mean() < 0.8 * large.mean()
    # The median: AVIF returns some digits exactly, whose PSNR is infinite.
    better = np.median(psnr(x / 255, high / 255))
    assert better > np.median(psnr(x / 255, low / 255)) + 5


@pytest.mark.skipif("AVIF" not in CODECS, reason="this Pillow cannot write AVIF")
def test_avif_of_gray_and_of_color():
    ramp = np.add.outer(np.arange(64), 2 * np.arange(48)).astype("uint8")
    gray = ramp[None, ..., None]
    color = np.stack([ramp, ramp[::-1], 0 * ramp], axis=-1)[None]
    found, (size,) = image_codec(gray, "AVIF", 60)
    assert found.shape == gray.shape and psnr(gray / 255, found / 255).mean() > 35
    as_color = image_codec(gray.repeat(3, axis=-1), "AVIF", 60)[1][0]
    assert size <= as_color
    found, _ = image_codec(color, "AVIF", 60)
    assert found.shape == color.shape and psnr(color / 255, found / 255).mean() > 25


def test_unknown_codec():
    with pytest.raises(ValueError, match="`name` .*'GIF'"):
        image_codec(np.zeros((1, 8, 8, 1), "uint8"), "GIF")
