"""Metrics, compared with other implementations and with formulas."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import uniform_filter
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from convae_keras.metrics import bce, bce_floor, mse, psnr, ssim

pytestmark = pytest.mark.static

METRICS = [mse, psnr, ssim, bce]


@pytest.fixture
def pair(digits):
    """Six digits in [0, 1], and the same with noise; float32 `(6, 28, 28, 1)`."""
    x = digits.x_test[:6] / np.float32(255)
    noise = np.random.default_rng(0).normal(0, 0.1, x.shape)
    return x, (x + noise).clip(0, 1).astype("float32")


def flat(value, n=1, channels=1):
    return np.full((n, 8, 8, channels), value, "float32")


@pytest.mark.parametrize(
    "metric, x, y, expected",
    [
        (mse, 0.5, 0.5, 0),
        (mse, 0.0, 1.0, 1),
        (mse, 0.25, 0.75, 0.25),
        (psnr, 0.5, 0.5, np.inf),
        (psnr, 0.0, 1.0, 0),
        (psnr, 0.5, 0.6, 20),
        (psnr, 0.5, 0.51, 40),
        (ssim, 0.5, 0.5, 1),
        (ssim, 0.0, 1.0, 1e-4 / (1 + 1e-4)),
        (bce, 1.0, 0.5, np.log(2)),
        (bce, 0.25, 0.5, np.log(2)),
        (bce, 1.0, 0.25, np.log(4)),
        (bce, 0.0, 0.0, 1e-7),
        (bce, 0.0, 1.0, -np.log(1e-7)),
    ],
)
def test_known_values(metric, x, y, expected):
    for channels in (1, 3):
        found = metric(flat(x, 2, channels), flat(y, 2, channels))
        assert found.shape == (2,) and found.dtype == "float64"
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("x, expected", [(0, 0), (1, 0), (0.5, np.log(2))])
def test_known_floors(x, expected):
    np.testing.assert_allclose(bce_floor(flat(x, 3)), [expected] * 3)


@pytest.mark.parametrize("metric", METRICS)
def test_one_number_an_image(metric, pair):
    x, y = pair
    alone = [metric(x[i : i + 1], y[i : i + 1])[0] for i in range(len(x))]
    np.testing.assert_allclose(metric(x, y), alone)
    assert len(set(alone)) == len(x)


def test_mse_and_psnr_are_those_of_scikit_image(pair):
    both = list(zip(*pair, strict=True))
    expected = [mean_squared_error(*each) for each in both]
    np.testing.assert_allclose(mse(*pair), expected, rtol=1e-5)
    expected = [peak_signal_noise_ratio(*each, data_range=1) for each in both]
    np.testing.assert_allclose(psnr(*pair), expected, rtol=1e-5)


def test_mse_and_bce_are_those_of_keras(pair):
    x, y = pair
    loss = keras.losses.MeanSquaredError()(x, y)
    assert mse(x, y).mean() == pytest.approx(float(loss), rel=1e-5)
    # Where y is 0 or 1, Keras clips in float32, in which 1 - 1e-7 is less exact.
    for p, tolerance in [(y, 2e-3), (y.clip(0.01, 0.99), 1e-5)]:
        loss = keras.losses.BinaryCrossentropy()(x, p)
        assert bce(x, p).mean() == pytest.approx(float(loss), rel=tolerance)


def windowed_ssim(x, y):
    """Wang et al. (2004), 7 × 7 windows inside the image, one channel."""
    mean = [uniform_filter(np.float64(image), 7) for image in (x, y)]
    products = [uniform_filter(np.float64(a * b), 7) for a, b in ((x, x), (y, y))]
    of_both = uniform_filter(np.float64(x) * y, 7)
    unbiased = 49 / 48
    variance = [unbiased * (p - m**2) for p, m in zip(products, mean, strict=True)]
    covariance = unbiased * (of_both - mean[0] * mean[1])
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mean[0] * mean[1] + c1) * (2 * covariance + c2)
    values /= (mean[0] ** 2 + mean[1] ** 2 + c1) * (variance[0] + variance[1] + c2)
    return values[3:-3, 3:-3].mean()


def test_ssim_is_the_formula(pair):
    x, y = (images[..., 0] for images in pair)
    expected = [windowed_ssim(a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ssim(*pair), expected, atol=1e-4)
    color = [np.concatenate([images[:2], images[2:4]], axis=-1) for images in pair]
    expected = np.reshape(expected[:4], (2, 2)).mean(axis=0)
    np.testing.assert_allclose(ssim(*color), expected, atol=1e-4)


# --- properties --------------------------------------------------------------

PIXELS = st.floats(0, 1, width=32)
SHAPES = array_shapes(min_dims=4, max_dims=4, max_side=4)
TWO_SETS = SHAPES.flatmap(
    lambda shape: st.tuples(*[arrays("float32", shape, elements=PIXELS)] * 2)
)


@given(TWO_SETS)
def test_errors_are_not_negative(pair):
    x, y = pair
    assert (mse(x, y) >= 0).all() and (mse(x, y) <= 1).all()
    assert (psnr(x, y) >= 0).all()
    np.testing.assert_array_equal(mse(x, y), mse(y, x))
    np.testing.assert_array_equal(mse(x, x), 0)
    assert (psnr(x, x) == np.inf).all()


@given(TWO_SETS)
def test_no_reconstruction_is_below_the_floor(pair):
    x, y = pair
    floor = bce_floor(x)
    assert (floor >= 0).all() and (floor <= np.log(2) + 1e-12).all()
    assert (bce(x, y) >= floor - 1e-12).all()
    # A copy reaches it, except for the clipping at 1e-7, as in Keras.
    np.testing.assert_allclose(bce(x, x), floor, atol=2e-6)
