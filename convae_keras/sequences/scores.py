"""How unusual each step of a sequence is: scores with and without a network."""

from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from convae_keras.features import nearest
from convae_keras.keras_settings import standard_settings
from convae_keras.sequences.data import check_sequences, overlap_mean, windows
from convae_keras.validation import as_array, check_finite, check_ints, require

# Windows that a model is applied to at once.
BATCH = 512


def robust_z_score(values):
    """Counts robust standard deviations from the median of each sequence.

    Args:
        values: float `(n, steps)` or `(n, steps, channels)`.

    Returns:
        float of the same shape. A sequence is its own measure: of one that is all
        alike, such as a channel that is constant, what differs counts a lot, and
        may hide whatever else there is.

    Raises:
        ValueError: for an array of other dimensions, or with NaN or infinity.

    References:
        - [Rousseeuw and Croux, 1993](https://doi.org/10.1080/01621459.1993.10476408)

    Example:

    >>> robust_z_score(np.array([[1.0, 2, 3, 4, 50]])).round(2).tolist()
    [[-1.35, -0.67, 0.0, 0.67, 31.7]]
    """
    expected = "`values` must be (n, steps) or (n, steps, channels)"
    values = as_array(values, expected)
    require(values.ndim in (2, 3), f"{expected}. Received: {values.shape}")
    check_finite(values=values)
    middle = np.median(values, axis=1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=1, keepdims=True)
    return (values - middle) / (spread + 1e-9)


def two_sided(error, widths=(4, 16)):
    """Scores errors that are unusually large, or unusually small.

    Args:
        error: float `(n, steps, channels)`.
        widths: iterable of float, standard deviations in steps of the Gaussian
            windows in which squared errors are averaged.

    Returns:
        float `(n, steps)`: the largest absolute `robust_z_score` of the logarithm of
        the mean squared error, over all windows and channels.

    Raises:
        ValueError: for an array of other dimensions, or widths that are not
            positive.
    """
    error, found = np.asarray(error), []
    expected = "`error` must be float, (n, steps, channels)"
    fits = error.ndim == 3 and error.dtype.kind == "f"
    require(fits, f"{expected}. Received: {error.dtype} {error.shape}")
    valid = np.ndim(widths) == 1 and len(widths) and np.min(widths) > 0
    require(valid, f"`widths` must be positive numbers. Received: {widths!r}")
    for width in widths:
        strength = gaussian_filter1d(np.square(error), width, axis=1)
        found.append(np.abs(robust_z_score(np.log(strength + 1e-6))).max(axis=-1))
    return np.max(found, axis=0)


def fine_detail(x):
    """Scores fine detail that is unusually strong or weak, without a network.

    Args:
        x: sequences, as `check_sequences` takes them.

    Returns:
        float `(n, steps)`: `two_sided` of what a Gaussian filter of 3 steps removes.

    Raises:
        ValueError: for arrays that are not sequences.
    """
    x = _floats(x)
    return two_sided(x - gaussian_filter1d(x, 3, axis=1))


def moving_z_score(x, length=64):
    """Counts standard deviations from the mean of the steps around, without a network.

    Args:
        x: sequences, as `check_sequences` takes them.
        length: int, steps around.

    Returns:
        float `(n, steps)`, the largest of all channels.

    Raises:
        ValueError: for arrays that are not sequences, or a length below 2.
    """
    check_ints(2, length=length)
    x = _floats(x).astype("float64")
    x = x - x.mean(axis=1, keepdims=True)  # a difference of squares needs all digits
    mean = uniform_filter1d(x, length, axis=1)
    variance = uniform_filter1d(np.square(x), length, axis=1) - np.square(mean)
    return (np.abs(x - mean) / np.sqrt(np.maximum(variance, 1e-6))).max(axis=-1)


class WindowScores:
    """Scores of steps by the windows that hold them, without a network.

    Args:
        x_train: sequences that are normal, as `check_sequences` takes them.
        length: int, steps of a window.
        step: int, from a window to the next.
        centered: bool, whether the mean of each window and channel is taken away.
        neighbors: int, how many of the nearest training windows count.
        fitted: int, training windows to search, drawn at random.
        seed: int.

    Raises:
        ValueError: for sequences shorter than a window, fewer windows than
            neighbors, or sizes that are no positive ints. Its methods: for arrays
            that are not sequences, shorter ones, or other channels.
    """

    def __init__(
        self,
        x_train,
        length,
        step=4,
        *,
        centered=False,
        neighbors=5,
        fitted=20_000,
        seed=0,
    ):
        self.length, self.step, self.centered = length, step, centered
        self.seed, self.channels = seed, _floats(x_train, "x_train").shape[2]
        known = self._cut(x_train, "x_train")
        self.known = known.reshape(-1, known.shape[2] * known.shape[3])
        self.count, self.few = neighbors, _few(self.known, neighbors, fitted, seed)

    # What follows takes sequences, as `check_sequences` does, of the channels that
    # were learned, and returns float `(n, steps)`.

    def neighbors(self, x):
        """Returns the mean distance from the nearest training windows."""
        return self._each(x, lambda w: nearest(self.few, w, self.count)[1].mean(axis=1))

    def centers(self, x):
        """Returns the distance from the nearest of the centers (k-means).

        They are a quarter as many as the training windows, at most 100.
        """
        return self._each(x, lambda w: self._means.transform(w).min(axis=1))

    def residual(self, x):
        """Returns the squared error of a reconstruction by PCA."""
        cut = self._cut(x)
        flat = cut.reshape(-1, self.known.shape[1])
        rest = flat - self._pca.inverse_transform(self._pca.transform(flat))
        rest = np.square(rest).reshape(cut.shape)
        return overlap_mean(rest, np.shape(x)[1], self.step).mean(axis=-1)

    @cached_property
    def _means(self):
        count = min(100, -(-len(self.known) // 4))
        return KMeans(count, n_init=1, random_state=self.seed).fit(self.known[::4])

    @cached_property
    def _pca(self):
        size = self.known.shape[1]
        count = min(max(2, size // 8), size, len(self.known))
        return PCA(count, random_state=self.seed).fit(self.known)

    def _cut(self, x, name="x"):
        x = _floats(x, name, self.channels)
        cut = windows(x, self.length, self.step, cover=True, name=name)
        return cut - cut.mean(axis=2, keepdims=True) if self.centered else cut

    def _each(self, x, function):
        flat = self._cut(x).reshape(-1, self.known.shape[1])
        return spread(function(flat), x, self.length, self.step)


class NetworkScores:
    """Scores of steps by an autoencoder of windows.

    Args:
        autoencoder: `keras.Model` of windows, such as `sequence_autoencoder` builds,
            with an `encoder` to a dense code.
        x_train: the sequences it was trained on, as `check_sequences` takes them.
        step: int, from a window to the next.
        neighbors: int, how many of the nearest training codes count.
        fitted: int, training codes to search, drawn at random.
        seed: int.

    Raises:
        ValueError: for sequences shorter than a window, or of other channels,
            fewer windows than neighbors, or sizes that are no positive ints. Its
            methods: for arrays that are not sequences, shorter ones, or other
            channels.

    Example:

    >>> autoencoder = sequence_autoencoder((32, 1), latent_dim=4, seed=0)
    >>> x = np.sin(np.arange(400.0) / 5)[None]
    >>> NetworkScores(autoencoder, x).surprise(x).shape
    (1, 400)
    """

    def __init__(
        self, autoencoder, x_train, step=4, *, neighbors=5, fitted=20_000, seed=0
    ):
        encoder = getattr(autoencoder, "encoder", None)
        shape = getattr(autoencoder, "input_shape", ())
        expected = "`autoencoder` must have windows as input, and an `encoder`"
        fits = encoder is not None and len(shape) == 3 and None not in shape[1:]
        fits = fits and len(encoder.output_shape) == 2
        require(fits, f"{expected} to a dense code. Received: {autoencoder!r}")
        self.model, self.step = autoencoder, step
        self.length, self.channels = autoencoder.input_shape[1:]
        codes = self._encode(self._cut(x_train, "x_train"))
        message = f"`x_train` must have at least 2 windows. Received: {len(codes)}"
        require(len(codes) > 1, message)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(codes.T)))
        self.whiten = vectors / np.sqrt(np.maximum(values, 1e-6))
        few = _few(codes @ self.whiten, neighbors, fitted, seed)
        self.count, self.few = neighbors, few

    # What follows takes sequences, as `check_sequences` does, of the model's channels,
    # and returns float `(n, steps)`. uint8 is scaled to [0, 1], as in training.

    def error(self, x):
        """Returns the mean squared error around each step."""
        return gaussian_filter1d(np.square(self.residual(x)), 8, axis=1).mean(axis=-1)

    def residual(self, x):
        """Returns what the reconstruction misses `(n, steps, channels)`."""
        cut = self._cut(x)
        y = _predict(self.model, cut).reshape(cut.shape)
        return _floats(x) - overlap_mean(y, np.shape(x)[1], self.step)

    def far(self, x):
        """Returns how far codes are from the nearest training codes."""
        codes = self._encode(self._cut(x)) @ self.whiten
        distances = nearest(self.few, codes, self.count)[1]
        return spread(distances.mean(axis=1), x, self.length, self.step)

    def surprise(self, x):
        """Returns the largest of three deviations.

        Those of the error in a narrow and in a wide window, in either direction,
        and that of the distance of the code.
        """
        far = robust_z_score(np.log(self.far(x) + 1e-9))
        return np.maximum(two_sided(self.residual(x)), far)

    def _cut(self, x, name="x"):
        x = _floats(x, name, self.channels)
        return windows(x, self.length, self.step, cover=True, name=name)

    def _encode(self, cut):
        return _predict(self.model.encoder, cut)


@standard_settings()
def _predict(model, cut):
    """Applies a model to windows, in batches of one size, which is compiled once."""
    flat = cut.reshape(-1, *cut.shape[2:])
    batches = np.resize(flat, (-(-len(flat) // BATCH), BATCH, *flat.shape[1:]))
    outputs = [model.predict_on_batch(batch) for batch in batches]
    return np.concatenate(outputs)[: len(flat)]


def _floats(x, name="x", channels=None):
    """Returns sequences as models take them: uint8 scaled to [0, 1]."""
    x = check_sequences(x, name)
    expected = f"`{name}` must have {channels} channels"
    require(channels in (None, x.shape[2]), f"{expected}. Received: {x.shape[2]}")
    return x / np.float32(255) if x.dtype == "uint8" else x


def spread(values, x, length, step):
    """Turns one value a window into one a step: the mean of the windows that hold it.

    Args:
        values: float, one for each window of each sequence.
        x: the sequences `(n, steps)` or `(n, steps, channels)`.
        length, step: ints, as in `windows`.

    Returns:
        float32 `(n, steps)`.
    """
    values = np.reshape(values, (len(x), -1, 1, 1))
    whole = np.broadcast_to(values, (*values.shape[:2], length, 1))
    return overlap_mean(whole, np.shape(x)[1], step)[..., 0]


def _few(known, neighbors, fitted, seed):
    check_ints(neighbors=neighbors, fitted=fitted)
    few = np.random.default_rng(seed).permutation(len(known))[:fitted]
    expected = f"`x_train` must have at least {neighbors} windows, one a neighbor"
    require(len(few) >= neighbors, f"{expected}. Received: {len(few)}")
    return known[few]
