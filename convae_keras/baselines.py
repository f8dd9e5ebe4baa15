"""Baselines that a model is compared with: thin calls into libraries."""

import io

import keras
import numpy as np
from joblib import Parallel, delayed
from keras import layers
from PIL import Image
from scipy import ndimage
from skimage import restoration
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from convae_keras.keras_settings import standard_settings
from convae_keras.metrics import psnr
from convae_keras.pipelines import to_float
from convae_keras.validation import chunks, require

# Bytes of training images, as floats, that PCA is fitted to at once.
PCA_BYTES = 2**30


def mean_image(x_train):
    """Reconstructs every image as the mean of the training images.

    Args:
        x_train: uint8 or float32 `(n, height, width, channels)`.

    Returns:
        A function from images, float in [0, 1], to reconstructions.
    """
    sums = [to_float(x).sum(axis=0, dtype="float64") for x in chunks(x_train)]
    mean = (np.sum(sums, axis=0) / len(x_train)).astype("float32")
    return lambda x: np.broadcast_to(mean, x.shape)


def pca(x_train, latent_dim, seed=0):
    """Fits the optimal *linear* autoencoder, a principal component analysis.

    Args:
        x_train: uint8 or float32 `(n, height, width, channels)`. PCA is fitted
            to a random sample if all images would take over 1 GiB as floats.
        latent_dim: int, size of the code; less than the number of images and
            the number of pixels.
        seed: int, for the sample and for scikit-learn's solver.

    Returns:
        A function from images, float in [0, 1], to reconstructions in [0, 1].

    Raises:
        ValueError: if `latent_dim` is out of range.

    References:
        - [Baldi and Hornik, 1989](https://doi.org/10.1016/0893-6080(89)90014-2)
    """
    pixels = int(np.prod(x_train.shape[1:]))
    limit = min(len(x_train), pixels)
    expected = f"`latent_dim` must be from 1 to {limit - 1} for {len(x_train)} images"
    message = f"{expected} of {pixels} pixels. Received: {latent_dim}"
    require(0 < latent_dim < limit, message)
    count = min(len(x_train), max(latent_dim + 1, PCA_BYTES // (4 * pixels)))
    sample = np.random.default_rng(seed).permutation(len(x_train))[:count]
    x = to_float(x_train[np.sort(sample)]).reshape(count, pixels)
    model = PCA(latent_dim, random_state=seed).fit(x)

    def reconstruct(x):
        codes = model.transform(x.reshape(len(x), pixels))
        return model.inverse_transform(codes).clip(0, 1).reshape(x.shape)

    return reconstruct


def dense_autoencoder(image_shape, latent_dim, parameters, seed=None):
    """Builds a fully connected autoencoder, one hidden layer on each side.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: int, size of the code.
        parameters: int, the largest number of parameters. The two hidden layers
            are as wide as it allows.
        seed: int for the same initial weights at every call, or None.

    Returns:
        An uncompiled functional `keras.Model`. Input and output: float32
        `(n, *image_shape)` in [0, 1].

    Raises:
        ValueError: if `parameters` does not allow one hidden unit.

    References:
        - [Hinton and Salakhutdinov, 2006](
          https://doi.org/10.1126/science.1127647)
    """
    pixels = int(np.prod(image_shape))
    # 2·(pixels + latent_dim)·width weights, and biases.
    width = (parameters - pixels - latent_dim) // (2 * (pixels + latent_dim + 1))
    least, size = 3 * (pixels + latent_dim) + 2, f"{pixels} pixels"
    expected = f"`parameters` must be at least {least} for {size} and a code of"
    require(width >= 1, f"{expected} {latent_dim}. Received: {parameters}")
    he = {"kernel_initializer": "he_normal"}
    with standard_settings(seed=seed):
        inputs = keras.Input(image_shape, name="images")
        x = layers.Flatten()(inputs)
        x = layers.Dense(width, activation="relu", **he)(x)
        x = layers.Dense(latent_dim, name="code", **he)(x)
        x = layers.Dense(width, activation="relu", **he)(x)
        x = layers.Dense(pixels, activation="sigmoid", dtype="float32", **he)(x)
        outputs = layers.Reshape(image_shape, dtype="float32")(x)
        return keras.Model(inputs, outputs, name="dense_autoencoder")


def _gaussian(image, strength, sigma):
    return ndimage.gaussian_filter(image, (strength, strength, 0))


def _median(image, strength, sigma):
    return ndimage.median_filter(image, (strength, strength, 1))


def _non_local_means(image, strength, sigma):
    options = {"patch_size": 5, "patch_distance": 6, "channel_axis": -1}
    options |= {"h": strength * sigma, "sigma": sigma, "fast_mode": True}
    return restoration.denoise_nl_means(image, **options)


def _wavelet(image, strength, sigma):
    options = {"convert2ycbcr": image.shape[-1] == 3, "channel_axis": -1}
    return restoration.denoise_wavelet(image, sigma=strength * sigma, **options)


def _total_variation(image, strength, sigma):
    weight = strength * sigma
    return restoration.denoise_tv_chambolle(image, weight=weight, channel_axis=-1)


# Each with the strengths to choose from. Those of the last three are multiples of
# the standard deviation of the noise.
DENOISERS = {
    "Gaussian filter": (_gaussian, (0.5, 0.7, 1.0, 1.4, 2.0)),
    "median filter": (_median, (3, 5, 7)),
    "non-local means": (_non_local_means, (0.2, 0.3, 0.5, 0.7, 0.9, 1.1)),
    "wavelet": (_wavelet, (0.5, 0.75, 1.0, 1.5)),
    "total variation": (_total_variation, (0.3, 0.45, 0.6, 0.9, 1.2, 1.6)),
}


def classical_denoiser(name, noisy, clean, correct=False):
    """Tunes a classical denoiser on validation images.

    The strength with the highest mean PSNR is chosen. The last three methods
    also use the standard deviation of the noise, measured on these images.

    Args:
        name: str, a key of `DENOISERS`: `"Gaussian filter"`, `"median filter"`,
            `"non-local means"`, `"wavelet"` or `"total variation"`.
        noisy: float `(n, height, width, channels)`, noisy validation images.
        clean: float, the same images without noise.
        correct: bool, whether a straight line from the method's answers to the
            clean images, fitted for each strength, follows. It takes out a bias,
            such as that of clipped noise.

    Returns:
        A function from noisy images, float, to denoised images, float32 in
        [0, 1], computed on all cores. Its attribute `strength` is the chosen
        strength.

    Raises:
        ValueError: for an unknown `name`.

    References:
        - [Buades et al., 2005](https://doi.org/10.1109/CVPR.2005.38)
        - [Chang et al., 2000](https://doi.org/10.1109/83.862633), wavelets
        - [Chambolle, 2004](https://doi.org/10.1023/B:JMIV.0000011325.36760.1e)
    """
    require(name in DENOISERS, f"`name` must be in {[*DENOISERS]}. Received: {name!r}")
    denoise_one, strengths = DENOISERS[name]
    sigma = float(np.std(noisy - clean))

    def denoise(x, strength, line=(1, 0)):
        jobs = (delayed(denoise_one)(image, strength, sigma) for image in x)
        images = Parallel(n_jobs=-1, prefer="threads", batch_size=32)(jobs)
        images = np.reshape(images, x.shape).clip(0, 1)
        return np.polyval(line, images).clip(0, 1).astype("float32")

    lines, values = {}, {}
    for strength in strengths:
        y, line = denoise(noisy, strength), (1, 0)
        if correct and y.std() > 0:
            line = np.polyfit(y.ravel(), clean.ravel(), 1)
        lines[strength] = line
        values[strength] = psnr(clean, np.polyval(line, y).clip(0, 1)).mean()
    best = max(values, key=values.get)

    def denoise_best(x):
        return denoise(x, best, lines[best])

    denoise_best.strength = best
    return denoise_best


def ridge(inputs, targets, alpha=1.0):
    """Fits a *linear* map from corrupted to clean images, by ridge regression.

    Args:
        inputs: float `(n, height, width, channels)`, corrupted images.
        targets: float `(n, …)`, the clean images; their size may differ.
        alpha: float, weight of the squared L2 norm of the coefficients.

    Returns:
        A function from corrupted images, float, to restored images, float32 in
        [0, 1].

    References:
        - [Hoerl and Kennard, 1970](https://doi.org/10.1080/00401706.1970.10488634)
    """
    n, shape = len(inputs), targets.shape[1:]
    model = Ridge(alpha).fit(inputs.reshape(n, -1), targets.reshape(n, -1))

    def restore(x):
        pixels = model.predict(x.reshape(len(x), -1))
        return pixels.reshape(len(x), *shape).clip(0, 1).astype("float32")

    return restore


_METHODS = ("nearest", "bilinear", "bicubic", "Lanczos")
RESAMPLING = {name: Image.Resampling[name.upper()] for name in _METHODS}


def enlarge(x, scale, method="bicubic"):
    """Enlarges images by interpolation, with Pillow.

    Args:
        x: float `(n, height, width, channels)` in [0, 1].
        scale: int, the factor for height and width.
        method: `"nearest"`, `"bilinear"`, `"bicubic"` or `"Lanczos"`.

    Returns:
        float32 `(n, scale * height, scale * width, channels)` in [0, 1].

    Raises:
        ValueError: for an unknown `method`.

    References:
        - [Keys, 1981](https://doi.org/10.1109/TASSP.1981.1163711), bicubic
        - [Duchon, 1979](
          https://doi.org/10.1175/1520-0450(1979)018%3C1016:LFIOAT%3E2.0.CO;2), Lanczos
    """
    message = f"`method` must be in {[*RESAMPLING]}. Received: {method!r}"
    require(method in RESAMPLING, message)
    n, height, width, channels = x.shape
    size, resample = (scale * width, scale * height), RESAMPLING[method]
    planes = np.moveaxis(np.asarray(x, "float32"), -1, 1).reshape(-1, height, width)
    # Pillow's mode "F": float32 in, float32 out, without rounding to bytes.
    large = (Image.fromarray(each).resize(size, resample) for each in planes)
    large = np.stack([np.asarray(image) for image in large])
    large = large.reshape(n, channels, scale * height, scale * width)
    return np.moveaxis(large, 1, -1).clip(0, 1)


# Pillow's options for the smallest files.
CODECS = {
    "JPEG": {"format": "JPEG", "optimize": True},
    "WebP": {"format": "WEBP", "method": 6},
    "AVIF": {"format": "AVIF", "speed": 4, "autotiling": False, "max_threads": 1},
    "PNG": {"format": "PNG", "optimize": True},
    "WebP lossless": {"format": "WEBP", "method": 6, "lossless": True, "quality": 100},
}

Image.init()
if "AVIF" not in Image.SAVE:  # before Pillow 11.3, and where it was built without
    del CODECS["AVIF"]


def image_codec(x, name="WebP", quality=0):
    """Encodes each image as a file, in memory, and decodes it again.

    Args:
        x: uint8 `(n, height, width, channels)`, 1 or 3 channels.
        name: `"JPEG"`, `"WebP"` or `"AVIF"`, which are lossy; `"PNG"` or
            `"WebP lossless"`. AVIF needs Pillow 11.3 or later.
        quality: int from 0 to 100, for the lossy codecs.

    Returns:
        `(reconstructions, sizes)`: uint8 of the shape of `x`; int `(n,)`, file
        sizes in bytes.

    Raises:
        ValueError: for a `name` that is unknown, or that this Pillow cannot write.
    """
    require(name in CODECS, f"`name` must be in {[*CODECS]}. Received: {name!r}")
    options = {"quality": quality} | CODECS[name]
    mode = "RGB" if x.shape[3] == 3 else "L"
    if (name, mode) == ("AVIF", "L"):
        options["subsampling"] = "4:0:0"  # no color channels, which would take bytes
    files = [io.BytesIO() for _ in x]
    for file, pixels in zip(files, x, strict=True):
        Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(file, **options)
    found = [np.asarray(Image.open(file).convert(mode)) for file in files]
    sizes = np.array([file.getbuffer().nbytes for file in files])
    return np.stack(found).reshape(x.shape), sizes
