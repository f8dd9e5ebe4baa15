"""The autoencoder as a scikit-learn transformer."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn import base
from sklearn.utils.validation import check_is_fitted, validate_data

from convae_keras.features import encode, feature_model
from convae_keras.keras_settings import standard_settings
from convae_keras.models import conv_autoencoder, pixel_range
from convae_keras.pipelines import from_model_range
from convae_keras.saving import load_model
from convae_keras.training import train
from convae_keras.validation import check_images, require

# Parameters that `train` takes under the same names.
TRAINING = ("epochs", "batch_size", "learning_rate", "corrupt", "seed", "verbose")


class ConvAutoencoderFeatures(
    base.ClassNamePrefixFeaturesOutMixin, base.TransformerMixin, base.BaseEstimator
):
    """Trains an autoencoder on unlabeled images and transforms images to codes.

    Works in a `Pipeline` and a grid search; can be cloned, and saved with its
    weights by `pickle` and `joblib`.

    Args:
        preset: as in `conv_autoencoder`.
        latent_dim: int, size of the code; None for the preset's default.
        image_shape: `(height, width)` or `(height, width, channels)`, the shape
            of images given as rows of pixels; None for images given as images.
        epochs, batch_size, learning_rate, corrupt: as in `train`.
        layer, pooling: as in `feature_model`.
        seed, verbose: as in `train`.

    Attributes:
        autoencoder_: the trained `keras.Model`.
        history_: dict of lists, as `train` returns it.
        n_features_in_: int, the number of values of an image.
        feature_names_in_: array of str, only if fitted to a table with such names.

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
        self.preset, self.latent_dim, self.image_shape = preset, latent_dim, image_shape
        self.epochs, self.batch_size = epochs, batch_size
        self.learning_rate, self.corrupt = learning_rate, corrupt
        self.layer, self.pooling = layer, pooling
        self.seed, self.verbose = seed, verbose

    def fit(self, X, y=None):
        """Trains the autoencoder.

        Args:
            X: images, as `check_images` takes them; with `image_shape`, rows of
                pixels `(n, pixels)`.
            y: ignored.

        Returns:
            self.

        Raises:
            ValueError: before training, for arrays that are not such images, or
                invalid parameters.
        """
        x = self._images(X, reset=True)
        switches = {} if self.latent_dim is None else {"latent_dim": self.latent_dim}
        switches |= {"image_shape": x.shape[1:], "seed": self.seed}
        model = conv_autoencoder(self.preset, **switches)
        part = self.layer, self.pooling
        width = feature_model(model, *part).output_shape[1]
        options = {name: getattr(self, name) for name in TRAINING}
        self.history_ = train(model, x, **options)
        self.autoencoder_, self._part, self._n_features_out = model, part, width
        self.n_features_in_ = int(np.prod(x.shape[1:]))
        return self

    def transform(self, X):
        """Computes features.

        Args:
            X: as in `fit`.

        Returns:
            float32 `(n, features)`.

        Raises:
            ValueError: for arrays that are not such images.
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        return encode(self.autoencoder_, self._images(X), *self._part)

    @standard_settings()
    def inverse_transform(self, X):
        """Reconstructs images from codes.

        Args:
            X: float `(n, features)`, as `transform` returns it.

        Returns:
            float32 in [0, 1]: `(n, height, width, channels)`; with `image_shape`,
            `(n, pixels)`.

        Raises:
            ValueError: if `layer` or `pooling` is set: the features are not the
                code then; or for codes of another size.
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        expected = "`layer` and `pooling` must be None in `inverse_transform`"
        require(self._part == (None, None), f"{expected}. Received: {self._part}")
        model, codes = self.autoencoder_, np.asarray(X, "float32")
        expected = f"`X` must be (n, {self._n_features_out})"
        fits = codes.ndim == 2 and codes.shape[1] == self._n_features_out
        require(fits, f"{expected}. Received: {codes.shape}")
        codes = codes.reshape(-1, *model.decoder.input_shape[1:])
        outputs = model.decoder.predict(codes, batch_size=256, verbose=0)
        images = from_model_range(outputs, pixel_range(model))
        return images if self.image_shape is None else images.reshape(len(images), -1)

    def _images(self, X, reset=False):
        if self.image_shape is None:
            expected = "`X` must be images; rows of pixels need `image_shape`"
            require(np.ndim(X) != 2, f"{expected}. Received: {np.shape(X)}")
            return check_images(X, "X")
        X = validate_data(self, X, dtype=None, reset=reset)  # as scikit-learn's own
        shape, count = tuple(self.image_shape), X.shape[1]
        message = f"`image_shape` must hold the {count} values of a row of `X`"
        require(np.prod(shape) == count, f"{message}. Received: {shape}")
        return check_images(X.reshape(-1, *shape), "X")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self):
        """Keras's own bytes in place of the model.

        Keras can pickle a model itself, but opens such a pickle without its
        safe mode.
        """
        state = super().__getstate__().copy()
        if "autoencoder_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                state["autoencoder_"].save(path)
                state["autoencoder_"] = path.read_bytes()
        return state

    def __setstate__(self, state):
        if "autoencoder_" in state:
            # Earlier versions did not store the part, which is the parameters' then.
            state = {"_part": (state["layer"], state["pooling"]), **state}
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(state["autoencoder_"])
                state["autoencoder_"] = load_model(path)
        super().__setstate__(state)
