"""The rivals shown beside the model: thin calls into libraries."""

import keras
import numpy as np
from keras import layers
from sklearn.decomposition import PCA

from convae_keras.pipelines import to_float

# PCA wants its training images as floats in memory, all at once.
PCA_BYTES = 2**30


def mean_image(x_train):
    """Answers every image with the mean of the training images.

    Args:
        x_train: uint8 or float32 `(n, height, width, channels)`.

    Returns:
        A function from images, float in [0, 1], to reconstructions.
    """
    scale = 255 if x_train.dtype == np.uint8 else 1
    mean = (x_train.mean(axis=0, dtype="float64") / scale).astype("float32")
    return lambda x: np.broadcast_to(mean, x.shape)


def pca(x_train, latent_dim, seed=0):
    """The best *linear* autoencoder with a code of `latent_dim` numbers.

    Args:
        x_train: uint8 or float32 `(n, height, width, channels)`. If all of it
            would take more than 1 GiB as floats, a seeded sample of that size.
        latent_dim: int, below the number of images and of pixels.
        seed: int, for the sample and for scikit-learn's solver.

    Returns:
        A function from images, float in [0, 1], to reconstructions in [0, 1].

    Raises:
        ValueError: if `latent_dim` is too large for the images.

    Reference:
        - [Baldi and Hornik, 1989](https://doi.org/10.1016/0893-6080(89)90014-2)
    """
    pixels = int(np.prod(x_train.shape[1:]))
    limit = min(len(x_train), pixels)
    if not 0 < latent_dim < limit:
        raise ValueError(
            f"`latent_dim` must be in 1 … {limit - 1} for {len(x_train)} images of "
            f"{pixels} pixels. Received: {latent_dim}"
        )
    count = min(len(x_train), max(latent_dim + 1, PCA_BYTES // (4 * pixels)))
    sample = np.random.default_rng(seed).permutation(len(x_train))[:count]
    x = to_float(x_train[np.sort(sample)]).reshape(count, pixels)
    model = PCA(latent_dim, random_state=seed).fit(x)

    def reconstruct(x):
        codes = model.transform(x.reshape(len(x), pixels))
        return model.inverse_transform(codes).clip(0, 1).reshape(x.shape)

    return reconstruct


def dense_autoencoder(image_shape, latent_dim, parameters):
    """The "traditional" autoencoder: one hidden layer on either side.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: int, size of the code.
        parameters: int, how many the network may have. The hidden layers are
            as wide as that allows.

    Returns:
        An uncompiled functional `keras.Model` with sigmoid outputs.

    Raises:
        ValueError: if one hidden unit is too many.

    Reference:
        - [Hinton and Salakhutdinov, 2006](
          https://doi.org/10.1126/science.1127647)
    """
    pixels = int(np.prod(image_shape))
    # 2·(pixels + latent_dim)·width weights, and biases.
    width = (parameters - pixels - latent_dim) // (2 * (pixels + latent_dim + 1))
    if width < 1:
        raise ValueError(
            f"`parameters` must be at least {3 * (pixels + latent_dim) + 2} for "
            f"{pixels} pixels and {latent_dim} codes. Received: {parameters}"
        )
    he = {"kernel_initializer": "he_normal"}
    inputs = keras.Input(image_shape, name="images")
    x = layers.Flatten()(inputs)
    x = layers.Dense(width, activation="relu", **he)(x)
    x = layers.Dense(latent_dim, name="code", **he)(x)
    x = layers.Dense(width, activation="relu", **he)(x)
    x = layers.Dense(pixels, activation="sigmoid", dtype="float32", **he)(x)
    outputs = layers.Reshape(image_shape)(x)
    return keras.Model(inputs, outputs, name="dense_autoencoder")
