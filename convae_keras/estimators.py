"""The autoencoder as a scikit-learn transformer."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from convae_keras.features import encode, feature_model
from convae_keras.models import conv_autoencoder, pixel_range
from convae_keras.training import train
from convae_keras.validation import check_images, expect


class ConvAutoencoderFeatures(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Learns an autoencoder from images, without labels, and gives their codes.

    It goes into a `Pipeline` and a grid search, can be cloned, and survives
    `pickle` and `joblib` with its weights.

    Args:
        preset: as in `conv_autoencoder`.
        latent_dim: int, size of the code; None for the preset's own.
        image_shape: `(height, width)` or `(height, width, channels)`, for images
            that come as rows of a table; None for images that come as images.
        epochs: int.
        batch_size, learning_rate, corrupt, seed, verbose: as in `train`.
        layer, pooling: as in `feature_model`.

    Attributes:
        autoencoder_: the trained `keras.Model`.
        history_: dict of lists, as `train` returns it.
        n_features_in_: int, pixels an image.

    Example:

    >>> features = ConvAutoencoderFeatures("reference", latent_dim=8, epochs=1)
    >>> features.fit(np.zeros((20, 28, 28), "uint8")).transform(
    ...     np.zeros((3, 28, 28), "uint8")
    ... ).shape
    (3, 8)
    """

    def __init__(
        self,
        preset="reference",
        latent_dim=None,
        image_shape=None,
        epochs=10,
        batch_size=None,
        learning_rate=None,
        corrupt=None,
        layer=None,
        pooling=None,
        seed=0,
        verbose=0,
    ):
        self.preset = preset
        self.latent_dim = latent_dim
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.corrupt = corrupt
        self.layer = layer
        self.pooling = pooling
        self.seed = seed
        self.verbose = verbose

    def fit(self, X, y=None):
        """Trains the autoencoder.

        Args:
            X: images, as `check_images` takes them; with `image_shape`, rows
                `(n, pixels)` of them.
            y: ignored: no label is looked at.

        Returns:
            self.

        Raises:
            ValueError: for arrays that are not such images, or other options.
        """
        x = self._images(X)
        switches = {} if self.latent_dim is None else {"latent_dim": self.latent_dim}
        model = conv_autoencoder(
            self.preset, image_shape=x.shape[1:], seed=self.seed, **switches
        )
        options = {"learning_rate": self.learning_rate, "corrupt": self.corrupt}
        options |= {"seed": self.seed, "verbose": self.verbose}
        self.history_ = train(model, x, self.epochs, self.batch_size, **options)
        self.autoencoder_ = model
        self.n_features_in_ = int(np.prod(x.shape[1:]))
        part = feature_model(model, self.layer, self.pooling)
        self._n_features_out = part.output_shape[1]
        return self

    def transform(self, X):
        """float32 `(n, features)`, of images as in `fit`."""
        check_is_fitted(self)
        return encode(self.autoencoder_, self._images(X), self.layer, self.pooling)

    def inverse_transform(self, X):
        """Images from codes.

        Args:
            X: float `(n, features)`, as `transform` gives them.

        Returns:
            float32 in [0, 1]: `(n, height, width, channels)`; with `image_shape`,
            `(n, pixels)`.

        Raises:
            ValueError: if the features are not the whole code.
        """
        check_is_fitted(self)
        code = (self.layer, self.pooling)
        expect(code == (None, None), "layer` and `pooling", "None, to go back", code)
        model, codes = self.autoencoder_, np.asarray(X, "float32")
        codes = codes.reshape(-1, *model.decoder.input_shape[1:])
        low, high = pixel_range(model)
        images = model.decoder.predict(codes, batch_size=256, verbose=0)
        images = (images - low) / (high - low)
        return images if self.image_shape is None else images.reshape(len(images), -1)

    def _images(self, X):
        if self.image_shape is None:
            wanted = "images, or rows of pixels and `image_shape` given"
            expect(np.ndim(X) != 2, "X", wanted, np.shape(X))
            return check_images(X, "X")
        X, shape = np.asarray(X), tuple(self.image_shape)
        rows = X.ndim == 2 and X.shape[1] == np.prod(shape)
        expect(rows, "X", f"rows of {np.prod(shape)} pixels, {shape}", X.shape)
        return check_images(X.reshape(-1, *shape), "X")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self):
        """Keras's own bytes in place of the model."""
        state = super().__getstate__().copy()
        if "autoencoder_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                state["autoencoder_"].save(path)
                state["autoencoder_"] = path.read_bytes()
        return state

    def __setstate__(self, state):
        if "autoencoder_" in state:
            state = state.copy()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(state["autoencoder_"])
                state["autoencoder_"] = keras.saving.load_model(path)
        super().__setstate__(state)
