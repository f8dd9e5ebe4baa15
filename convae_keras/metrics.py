"""How good a reconstruction is. All take images in [0, 1], NHWC.

Each function gives one number an image, `(n,)`, so that the caller chooses how
to average and can show the spread.
"""

import numpy as np
from scipy.special import entr, xlog1py, xlogy
from skimage.metrics import structural_similarity

# Keras clips probabilities there too, before it takes their logarithm.
EPSILON = 1e-7


def _per_image(values):
    return values.reshape(len(values), -1).mean(axis=1, dtype="float64")


def mse(x, reconstructions):
    """Mean squared error of each image.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, squared error averaged over pixels and channels. The
        mean of it over images is what Keras calls `"mse"`. A sum over the 784
        pixels of a digit is 784 times as large.
    """
    return _per_image((np.asarray(x) - np.asarray(reconstructions)) ** 2)


def psnr(x, reconstructions):
    """Peak signal-to-noise ratio of each image.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, in decibels: `10 * log10(1 / mse)`; infinite where the
        two are equal.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse(x, reconstructions))


def ssim(x, reconstructions):
    """Structural similarity of each image (scikit-image's, 7 × 7 windows).

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        reconstructions: float, the same shape.

    Returns:
        float64 `(n,)`, at most 1, which only equal images reach; NaN for images
        with a side below 7.

    Reference:
        - [Wang et al., 2004](https://doi.org/10.1109/TIP.2003.819861)
    """
    if min(np.shape(x)[1:3]) < 7:
        return np.full(len(x), np.nan)
    pairs = zip(np.asarray(x), np.asarray(reconstructions), strict=True)
    options = {"data_range": 1.0, "channel_axis": -1}
    return np.array([structural_similarity(*p, **options) for p in pairs], "float64")


def bce(x, reconstructions):
    """Binary cross-entropy of each image, in nats a pixel.

    Args:
        x: float `(n, height, width, channels)` in [0, 1], the targets.
        reconstructions: float, the same shape, the probabilities.

    Returns:
        float64 `(n,)`, averaged over pixels: what Keras calls
        `"binary_crossentropy"`.
    """
    p = np.clip(np.asarray(reconstructions, "float64"), EPSILON, 1 - EPSILON)
    return _per_image(-xlogy(x, p) - xlog1py(1 - np.asarray(x, "float64"), -p))


def bce_floor(x):
    """The lowest binary cross-entropy that any reconstruction can reach.

    It is the entropy of the targets, read as probabilities. Black and white
    pixels have none; grey ones do, so the loss never comes to zero.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].

    Returns:
        float64 `(n,)`, in nats a pixel.
    """
    x = np.asarray(x, "float64")
    return _per_image(entr(x) + entr(1 - x))
