"""Anomalies: images that are unlike the training images, and where in them."""

import keras
import numpy as np
from keras import layers, ops
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from convae_keras.evaluation import reconstruct
from convae_keras.features import encode, feature_model
from convae_keras.keras_settings import standard_settings
from convae_keras.models import check_unit_range, copy_model
from convae_keras.pipelines import to_float
from convae_keras.validation import check_input, check_ints, is_number, require

# Training images that a detector is fitted to, at most; their features are kept in it.
MOST_IMAGES = 5000

# Positions in those images that local statistics are fitted to.
POSITIONS = 50_000

# Images that are computed at once.
BATCH_SIZE = 100

# The fraction of validation images in whose map no position is above 1.
USUAL = 0.9

# The power of their standard deviation that principal components are divided by; 1
# would whiten them. Of 0, 1/4 and 1 the best for notebook 10's synthetic anomalies.
WHITENING = 0.25

# Standard deviation of the window that local statistics are averaged in, in pixels.
WINDOW = 2.0


@keras.saving.register_keras_serializable(package="convae_keras")
class NeighborDistance(layers.Layer):
    """Mean Euclidean distance to the nearest of the features that it keeps.

    Args:
        count: int, the number of kept features, which are a weight.
        neighbors: int, the number of nearest ones.
        **kwargs: as in `keras.layers.Layer`, such as `name`.

    Input shape:
        float32 `(n, d)`.

    Output shape:
        float32 `(n,)`.

    Raises:
        ValueError: for numbers that are no positive ints, or `neighbors` above
            `count`.
    """

    def __init__(self, count, neighbors, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        check_ints(count=count)
        check_ints(1, count, neighbors=neighbors)
        self.count, self.neighbors = count, neighbors

    def build(self, input_shape):
        shape = self.count, input_shape[-1]
        self.kept = self.add_weight(shape=shape, trainable=False, name="kept")

    def call(self, inputs):
        products = ops.matmul(inputs, ops.transpose(self.kept))
        squares = [ops.sum(ops.square(x), axis=1) for x in (inputs, self.kept)]
        squared = squares[0][:, None] + squares[1][None] - 2 * products
        nearest = -ops.top_k(-squared, self.neighbors)[0]
        return ops.mean(ops.sqrt(ops.maximum(nearest, 0)), axis=1)

    def get_config(self):
        own = {"count": self.count, "neighbors": self.neighbors}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="convae_keras")
class LocalDistance(layers.Layer):
    """Mahalanobis distance of each position in an image to those in normal images.

    A position is described by the mean, and the logarithm of the variance, of the
    image and of its reconstruction's error in a Gaussian window.

    Args:
        window: float, standard deviation of the window in pixels.
        **kwargs: as in `keras.layers.Layer`, such as `name`.

    Input shape:
        float32 `[images, reconstructions]`, both `(n, height, width, channels)`.

    Output shape:
        float32 `(n, height, width)`.

    Raises:
        ValueError: for a `window` that is not above 0 and at most 32.
    """

    def __init__(self, window=WINDOW, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        fits = is_number(window) and 0 < window <= 32
        require(fits, f"`window` must be above 0 and at most 32. Received: {window!r}")
        self.window = window

    def build(self, input_shape):
        numbers = 4 * input_shape[0][-1]
        options = {"trainable": False}
        # Added to variances, so that flat regions are not infinitely far.
        self.floor = self.add_weight((numbers // 2,), "ones", name="floor", **options)
        self.center = self.add_weight((numbers,), "zeros", name="center", **options)
        shape = numbers, numbers
        self.whiten = self.add_weight(shape, "identity", name="whiten", **options)
        self.unit = self.add_weight((), "ones", name="unit", **options)

    def describe(self, images, reconstructions):
        """Returns the description of each position, `(n, height, width, numbers)`."""
        x = ops.concatenate([images, reconstructions - images], axis=-1)
        means = self._blur(ops.concatenate([x, ops.square(x)], axis=-1))
        mean, square = ops.split(means, 2, axis=-1)
        variance = ops.maximum(square - ops.square(mean), 0)
        return ops.concatenate([mean, ops.log(variance + self.floor)], axis=-1)

    def _blur(self, x):
        """Averages in the window, of which only the part in the image counts."""
        steps = np.arange(-int(3 * self.window), int(3 * self.window) + 1)
        line = np.exp(-0.5 * (steps / self.window) ** 2).astype("float32")

        def sums(x):
            for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):  # columns, then rows
                kernel = np.repeat(line.reshape(shape), x.shape[-1], axis=2)
                x = ops.depthwise_conv(x, ops.convert_to_tensor(kernel), padding="same")
            return x

        return sums(x) / sums(ops.ones_like(x[:1, ..., :1]))

    def call(self, inputs):
        x = ops.matmul(self.describe(*inputs) - self.center, self.whiten)
        return ops.sqrt(ops.sum(ops.square(x), axis=-1)) / self.unit

    def adapt(self, images, reconstructions, seed=0):
        """Fits the layer to normal images.

        Args:
            images, reconstructions: float32 `(n, height, width, channels)`.
            seed: int, of the sample of positions.
        """
        self.build([images.shape, reconstructions.shape])
        both = np.concatenate([images, reconstructions - images], axis=-1)
        self.floor.assign(1e-3 * both.var(axis=(0, 1, 2)) + 1e-8)
        each = max(1, POSITIONS // len(images))
        random, positions = np.random.RandomState(seed), []
        for start in range(0, len(images), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            x = self.describe(images[batch], reconstructions[batch])
            x = ops.convert_to_numpy(x)
            x = x.reshape(len(x), -1, x.shape[-1])
            drawn = random.randint(x.shape[1], size=(len(x), each))
            positions.append(np.take_along_axis(x, drawn[..., None], axis=1))
        positions = np.concatenate(positions).reshape(-1, x.shape[-1]).astype("float64")
        fitted = LedoitWolf().fit(positions)
        self.center.assign(fitted.location_)
        # With this factor of the inverse, squared distances are sums of squares.
        self.whiten.assign(np.linalg.cholesky(fitted.precision_))

    def get_config(self):
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable(package="convae_keras")
class LargestValue(layers.Layer):
    """The largest value of a map: float32 `(n, height, width)` to `(n,)`."""

    def call(self, inputs):
        return ops.max(inputs, axis=(1, 2))


@keras.saving.register_keras_serializable(package="convae_keras")
class PValue(layers.Layer):
    """The fraction of normal images whose score is as high, counting the image itself.

    Args:
        count: int, the number of scores of normal images, which are a weight.
        **kwargs: as in `keras.layers.Layer`, such as `name`.

    Input shape:
        float32 `(n,)`, scores.

    Output shape:
        float32 `(n,)`, from `1 / (count + 1)` to 1.

    Raises:
        ValueError: for a `count` that is no positive int.

    References:
        - [Vovk et al., 2005](https://doi.org/10.1007/b106715), conformal p-values
    """

    def __init__(self, count, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        check_ints(count=count)
        self.count = count

    def build(self, input_shape):
        options = {"trainable": False, "name": "scores"}
        self.scores = self.add_weight(shape=(self.count,), **options)

    def call(self, inputs):
        as_high = ops.cast(self.scores[None] >= inputs[:, None], "float32")
        return (1 + ops.sum(as_high, axis=1)) / (self.count + 1)

    def get_config(self):
        return {**super().get_config(), "count": self.count}


def anomaly_detector(
    autoencoder, x_train, x_val, *, neighbors=5, dimensions=256, seed=0
):
    """Builds a model that says how unlike its training images an image is, and where.

    The score depends on the network. If its code is a vector, the last
    convolution's feature maps, divided by their norm and projected on their
    principal components, are compared with those of training images: the score is
    the mean distance to the nearest. Components are partly whitened, divided by their
    standard deviation to the power of 1/4. Networks with a code for each block of
    pixels know no whole image; their score is the largest value of the map.

    The map describes each position by the local mean and variance of the image and of
    its reconstruction's error, and measures the Mahalanobis distance to those
    of training images. In units of the largest one in most validation images (nine
    of ten): a value above 1 is rare in normal images.

    Args:
        autoencoder: trained `keras.Model` of images in [0, 1].
        x_train: normal images, as `check_images` takes them; a random sample if
            they are more than 5,000.
        x_val: normal images that the autoencoder has not learned, for p-values; the
            first 5,000 if they are more.
        neighbors: int, training images that an image is compared with.
        dimensions: int, principal components; fewer if there are fewer images.
        seed: int, of the sample and of scikit-learn's solver.

    Returns:
        An uncompiled functional `keras.Model`. Input: images as the autoencoder's.
        Outputs: dict of float32 `"score"` `(n,)`; `"p_value"` `(n,)`, the fraction of
        normal images that score as high, counting the image itself; `"map"` `(n,
        height, width)`.

    Raises:
        ValueError: for arrays that are not images of the autoencoder's size, fewer
            than `neighbors` + 1 or two training images, a range other than [0, 1],
            or a model without an `encoder` of convolutions.

    References:
        - [Sun et al., 2022](https://arxiv.org/abs/2204.06507), neighbors of
          normalized features
        - [Defard et al., 2021](https://arxiv.org/abs/2011.08785), Mahalanobis
          distance by position

    Example:

    >>> x = np.random.RandomState(0).rand(30, 28, 28, 1)
    >>> detector = anomaly_detector(conv_autoencoder(), x[:20], x[20:])
    >>> found = detect(detector, x)
    >>> found["score"].shape, found["p_value"].shape, found["map"].shape
    ((30,), (30,), (30, 28, 28))
    """
    check_ints(neighbors=neighbors, dimensions=dimensions)
    expected = "`autoencoder` must have an `encoder`, as `conv_autoencoder` builds it"
    require(hasattr(autoencoder, "encoder"), f"{expected}. Received: {autoencoder!r}")
    check_unit_range(autoencoder)
    x_train = check_input(autoencoder, x_train, "x_train")
    x_val = check_input(autoencoder, x_val, "x_val")
    least = max(2, neighbors + 1)
    expected = f"`x_train` must be at least {least} images"
    require(len(x_train) >= least, f"{expected}. Received: {len(x_train)}")
    kept = np.random.RandomState(seed).permutation(len(x_train))[:MOST_IMAGES]
    x_train, x_val = to_float(x_train[np.sort(kept)]), to_float(x_val[:MOST_IMAGES])
    with standard_settings(policy="float32"):
        images = keras.Input(autoencoder.input_shape[1:], name="images")
        found = _map(autoencoder, x_train, x_val, seed)([images, autoencoder(images)])
        if len(autoencoder.encoder.output_shape) == 2:
            score = _distance(autoencoder, x_train, neighbors, dimensions, seed)(images)
        else:
            score = LargestValue(name="score")(found)
        outputs = {"score": score, "map": found}
        scores = detect(keras.Model(images, outputs), x_val)["score"]
        p_value = PValue(len(scores), name="p_value")
        outputs["p_value"] = p_value(score)
        p_value.set_weights([scores])
        return keras.Model(images, outputs, name="anomaly_detector")


def _distance(autoencoder, x_train, neighbors, dimensions, seed):
    """A model from images to their distance to the nearest training images."""
    maps = [
        each
        for each in autoencoder.encoder.layers
        if len(each.output.shape) == 4 and not isinstance(each, layers.InputLayer)
    ]
    expected = "`autoencoder` must have an encoder of convolutions"
    require(maps, f"{expected}. Received: {autoencoder!r}")
    features = encode(autoencoder, x_train, maps[-1].name)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    dimensions = min(dimensions, *features.shape)
    pca = PCA(dimensions, svd_solver="randomized", random_state=seed).fit(features)
    # A copy, since the autoencoder is in the detector as well, and Keras saves the
    # weights of a layer in one place only.
    part = copy_model(feature_model(autoencoder, maps[-1].name))
    projection = layers.Dense(dimensions, trainable=False, name="projection")
    nearest = NeighborDistance(len(features), neighbors, name="distance")
    x = layers.UnitNormalization(name="unit")(part.output)
    model = keras.Model(part.input, nearest(projection(x)), name="score")
    scale = np.maximum(pca.explained_variance_, 1e-12) ** (-WHITENING / 2)
    kernel = pca.components_.T * scale
    projection.set_weights([kernel, -pca.mean_ @ kernel])
    nearest.set_weights([pca.transform(features) * scale])
    return model


def _map(autoencoder, x_train, x_val, seed):
    """A layer from images and reconstructions to the map."""
    layer = LocalDistance(name="map")
    layer.adapt(x_train, reconstruct(autoencoder, x_train), seed)
    restored, largest = reconstruct(autoencoder, x_val), []
    for start in range(0, len(x_val), BATCH_SIZE):
        pair = [x[start : start + BATCH_SIZE] for x in (x_val, restored)]
        largest += ops.convert_to_numpy(layer(pair)).max(axis=(1, 2)).tolist()
    layer.unit.assign(np.quantile(largest, USUAL))
    return layer


def is_detector(model):
    """Returns whether a model is one of `anomaly_detector`."""
    return any(isinstance(each, PValue) for each in getattr(model, "layers", []))


@standard_settings()
def detect(detector, x):
    """Scores images.

    Args:
        detector: `keras.Model`, as `anomaly_detector` builds it.
        x: images, as `check_images` takes them, of its size.

    Returns:
        dict of float32 arrays, the detector's outputs.

    Raises:
        ValueError: for arrays that are not images, or not of that size.
    """
    x = to_float(check_input(detector, x))
    return detector.predict(x, batch_size=BATCH_SIZE, verbose=0)
