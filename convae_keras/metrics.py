"""Metrics of reconstructions: MSE, PSNR, SSIM and binary cross-entropy.

Images are NHWC in [0, 1], at least one. Each function returns one number an image,
`(n,)`, so that the caller can average them or show their spread.
"""

import numpy as np
from scipy.special import entr, xlog1py, xlogy
from skimage.metrics import structural_similarity

# Keras, too, clips probabilities by this before taking the logarithm.
EPSILON = 1e-7


def _per_image(values):
    """Averages `(n, …)` over everything but the images: float64 `(n,)`."""
    return values.reshape(len(values), -1).mean(axis=1, dtype="float64")


def mse(x, reconstructions):
    """Returns the mean squared error of each image.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, squared error averaged over pixels and channels. Its
        mean over images is Keras's `"mse"`.
    """
    return _per_image((np.asarray(x) - np.asarray(reconstructions)) ** 2)


def psnr(x, reconstructions):
    """Returns the peak signal-to-noise ratio of each image.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, in decibels: `10 * log10(1 / mse)`; infinite for equal
        images.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(x, reconstructions))


def ssim(x, reconstructions):
    """Returns the structural similarity of each image.

    It is scikit-image's, with uniform windows of 7 × 7 pixels.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, at most 1, for equal images; NaN if height or width is
        below 7.

    References:
        - [Wang et al., 2004](https://doi.org/10.1109/TIP.2003.819861)
    """
    if min(np.shape(x)[1:3]) < 7:
        return np.full(len(x), np.nan)
    pairs = zip(np.asarray(x), np.asarray(reconstructions), strict=True)
    options = {"data_range": 1.0, "channel_axis": -1}
    return np.array([structural_similarity(*p, **options) for p in pairs], "float64")


def bce(x, reconstructions):
    """Returns the binary cross-entropy of each image.

    Args:
        x: float `(n, height, width, channels)` in [0, 1], the targets.
        reconstructions: float, the same shape, the probabilities.

    Returns:
        float64 `(n,)`, in nats a pixel, averaged over pixels and channels. Its
        mean over images is Keras's `"binary_crossentropy"`.
    """
    p = np.clip(np.asarray(reconstructions, "float64"), EPSILON, 1 - EPSILON)
    return _per_image(-xlogy(x, p) - xlog1py(1 - np.asarray(x, "float64"), -p))


def bce_floor(x):
    """Returns the lowest binary cross-entropy that any reconstruction can have.

    It is the entropy of the targets, taken as probabilities. That of black and
    white pixels is 0, that of gray pixels is not: the loss never reaches 0.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].

    Returns:
        float64 `(n,)`, in nats a pixel, averaged over pixels and channels.
    """
    x = np.asarray(x, "float64")
    return _per_image(entr(x) + entr(1 - x))
