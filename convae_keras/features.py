"""Features of images: codes and activations that other methods can use."""

import weakref

import keras
import numpy as np
from keras import layers
from sklearn.neighbors import NearestNeighbors

from convae_keras.keras_settings import standard_settings
from convae_keras.models import copy_model, pixel_range
from convae_keras.pipelines import to_float
from convae_keras.validation import check_input, check_ints, plain, require

POOLS = {"average": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}

# From encoders to the models of their layers that `encode` has used, as long as they
# live: a new one would be traced at every call.
_parts = weakref.WeakKeyDictionary()


@standard_settings()
def feature_model(model, layer=None, pooling=None):
    """Builds the part of a model that maps images to features.

    Args:
        model: autoencoder, or any `keras.Model` that takes images.
        layer: str, the name of a layer of the encoder (of the model, if it has
            no encoder) whose output is used; None for the last layer, which is
            an autoencoder's code.
        pooling: `"average"` or `"max"`, global pooling over height and width;
            None to flatten the layer's output.

    Returns:
        Functional `keras.Model` from images `(n, height, width, channels)` to
        `(n, features)`, which shares its weights with `model`.

    Raises:
        ValueError: for an unknown layer or pooling, or if the number of
            features would depend on the image size.
    """
    encoder = getattr(model, "encoder", model)
    names = [each.name for each in encoder.layers]
    message = f"`layer` must be None or one of {names}. Received: {layer!r}"
    require(layer in (None, *names), message)
    message = f"`pooling` must be None or one of {[*POOLS]}. Received: {pooling!r}"
    require(pooling in (None, *POOLS), message)
    if layer is None and len(encoder.output_shape) == 2:
        return encoder  # its compiled `predict` function is used again
    outputs = encoder.output if layer is None else encoder.get_layer(layer).output
    if len(outputs.shape) == 4 and pooling:
        outputs = POOLS[pooling]()(outputs)
    expected = f"`pooling` must be one of {[*POOLS]} for a model of images of any size"
    require(None not in outputs.shape[1:], f"{expected}. Received: {pooling!r}")
    if len(outputs.shape) > 2:
        outputs = layers.Flatten()(outputs)
    return keras.Model(encoder.input, outputs, name="features")


def encode(model, x, layer=None, pooling=None, batch_size=256):
    """Computes features of images, one batch at a time.

    Args:
        model: as in `feature_model`.
        x: images, as `check_images` takes them, in memory or a `np.memmap`.
        layer, pooling: as in `feature_model`.
        batch_size: int.

    Returns:
        float32 `(n, features)`.

    Raises:
        ValueError: for arrays that are not images, or not of the model's input
            size; as `feature_model`.

    Example:

    >>> autoencoder = conv_autoencoder("reference")
    >>> encode(autoencoder, np.zeros((5, 28, 28), "uint8")).shape
    (5, 32)
    """
    x = check_input(model, x)
    batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
    return np.concatenate([*encode_batches(model, batches, layer, pooling)])


def encode_batches(model, batches, layer=None, pooling=None):
    """Computes features of images that arrive in batches.

    Args:
        model: as in `feature_model`.
        batches: iterable of images `(n, height, width, channels)`, uint8 or
            float in [0, 1], of the model's input size.
        layer, pooling: as in `feature_model`.

    Yields:
        float32 `(n, features)`, for each batch.

    Raises:
        ValueError: as `feature_model`, or for batches that are not images.
    """
    part, low_high = _part(model, layer, pooling), pixel_range(model)
    for x in batches:
        with standard_settings():
            outputs = part.predict_on_batch(to_float(x, low_high))
        # Under half precision the model computes, and returns, float16.
        yield keras.ops.convert_to_numpy(outputs).astype("float32", copy=False)


def _part(model, layer, pooling):
    """Returns a `feature_model`, the same for the same arguments."""
    encoder, key = getattr(model, "encoder", model), repr((layer, pooling))
    parts = _parts.setdefault(encoder, {})
    if key not in parts:
        part = feature_model(model, layer, pooling)
        if part is encoder:  # it would keep itself alive
            return part
        parts[key] = part
    return parts[key]


def stratified(y, count, seed=0):
    """Draws a small labeled set with equally many examples of each class.

    Args:
        y: int `(n,)`, labels.
        count: int, the number of examples; a multiple of the number of classes.
        seed: int.

    Returns:
        int64 `(count,)`, sorted indices into `y`.

    Raises:
        ValueError: if `count` is not such a multiple, or a class is too small.
    """
    classes, sizes = np.unique(y, return_counts=True)
    each = count // len(classes)
    message = f"`count` must be a multiple of {len(classes)} classes. Received: {count}"
    require(each > 0 and count == each * len(classes), message)
    most = int(sizes.min()) * len(classes)
    require(count <= most, f"`count` must be at most {most}. Received: {count}")
    # `RandomState`, unlike `default_rng`, draws the same in every NumPy version.
    random = np.random.RandomState(seed)
    drawn = [random.choice(np.flatnonzero(y == c), each, False) for c in classes]
    return np.sort(np.concatenate(drawn))


def precision_at(features, y, queries, y_queries, count=10):
    """Computes the mean precision of the `count` nearest neighbors.

    Args:
        features: float `(n, d)`, of the images that are searched.
        y: int `(n,)`, their labels.
        queries: float `(m, d)`; none of them among `features`.
        y_queries: int `(m,)`.
        count: int, the number of neighbors, by Euclidean distance.

    Returns:
        float in [0, 1], the fraction of neighbors of the query's class, averaged
        over the queries.

    Raises:
        ValueError: if `count` is out of range.
    """
    neighbors = nearest(features, queries, count)[0]
    return float((np.asarray(y)[neighbors] == np.asarray(y_queries)[:, None]).mean())


def nearest(features, queries, count=10):
    """Finds nearest neighbors by the Euclidean distance between features.

    Args:
        features: float `(n, d)`.
        queries: float `(m, d)`.
        count: int, from 1 to `n`.

    Returns:
        `(indices, distances)`: int64 and float32 `(m, count)`, nearest first.

    Raises:
        ValueError: if `count` is out of range.
    """
    n = len(features)
    require(1 <= count <= n, f"`count` must be from 1 to {n}. Received: {count}")
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    distances, indices = search.kneighbors(queries)
    return indices, distances.astype("float32")


def classifier(model, classes, trainable="whole", seed=None):
    """Builds a classifier on a copy of an encoder, for fine-tuning.

    Args:
        model: autoencoder or encoder; its weights are copied and not changed.
        classes: int, the number of classes.
        trainable: which layers of the encoder are trained: `"whole"`, `"last"`
            (the last one with weights) or `"none"`. The new head always is.
        seed: int for reproducible initial weights of the head, or None.

    Returns:
        An uncompiled functional `keras.Model`. Output: float32 `(n, classes)`,
        probabilities.

    Raises:
        ValueError: for other values.
    """
    parts = ("whole", "last", "none")
    message = f"`trainable` must be one of {parts}. Received: {trainable!r}"
    require(trainable in parts, message)
    check_ints(2, classes=classes)
    with standard_settings(seed=seed):
        encoder = copy_model(feature_model(model))
        trained = [each for each in encoder.layers if each.weights]
        trained = {"whole": trained, "last": trained[-1:], "none": []}[trainable]
        for each in encoder.layers:
            each.trainable = each in trained
        options = {"activation": "softmax", "name": "classes", "dtype": "float32"}
        head = layers.Dense(plain(classes), **options)
        return keras.Model(encoder.input, head(encoder.output), name="classifier")
