"""What a model knows of an image, as numbers that other methods can use."""

import keras
import numpy as np
from keras import layers
from sklearn.neighbors import NearestNeighbors

from convae_keras.models import pixel_range
from convae_keras.pipelines import to_float
from convae_keras.validation import check_images, expect

POOLS = {
    "average": layers.GlobalAveragePooling2D,
    "max": layers.GlobalMaxPooling2D,
}


def feature_model(model, layer=None, pooling=None):
    """The part of a model that turns images into features.

    Args:
        model: autoencoder, or any `keras.Model` that takes images.
        layer: name of a layer of its encoder (of the model, if it has none),
            whose output counts; None for the last, an autoencoder's code.
        pooling: `"average"` or `"max"` over the rows and columns of what comes
            out of it, None for all of it, flattened.

    Returns:
        Functional `keras.Model`, from images `(n, height, width, channels)` to
        float32 `(n, features)`; it shares its weights with `model`.

    Raises:
        ValueError: if there is no such layer or pooling, or if without pooling
            the number of features would depend on the image's size.
    """
    encoder = getattr(model, "encoder", model)
    names = [each.name for each in encoder.layers]
    expect(layer in (None, *names), "layer", f"None or in {names}", repr(layer))
    pools = (None, *POOLS)
    expect(pooling in pools, "pooling", f"in {pools}", repr(pooling))
    if layer is None and len(encoder.output_shape) == 2:
        return encoder  # and what is compiled for it
    outputs = encoder.output if layer is None else encoder.get_layer(layer).output
    if len(outputs.shape) == 4 and pooling:
        outputs = POOLS[pooling]()(outputs)
    fixed = None not in outputs.shape[1:]
    expect(fixed, "pooling", f"in {[*POOLS]}, for images of any size", pooling)
    if len(outputs.shape) > 2:
        outputs = layers.Flatten()(outputs)
    return keras.Model(encoder.input, outputs, name="features")


def encode(model, x, layer=None, pooling=None, batch_size=256):
    """Features of images, in batches: only those of a batch are in memory.

    Args:
        model: as in `feature_model`.
        x: images, as `check_images` takes them, in memory or a `np.memmap`.
        layer, pooling: as in `feature_model`.
        batch_size: int, images at a time.

    Returns:
        float32 `(n, features)`.

    Raises:
        ValueError: for arrays that are not images, or not of the size that the
            model takes; as `feature_model`.

    Example:

    >>> autoencoder = conv_autoencoder("reference")
    >>> encode(autoencoder, np.zeros((5, 28, 28), "uint8")).shape
    (5, 32)
    """
    x, shape = check_images(x), model.input_shape[1:]
    fits = all(a in (None, b) for a, b in zip(shape, x.shape[1:], strict=True))
    expect(fits, "x", f"images of {shape}", x.shape[1:])
    starts = range(0, len(x), batch_size)
    batches = (x[start : start + batch_size] for start in starts)
    return np.concatenate([*encode_batches(model, batches, layer, pooling)])


def encode_batches(model, batches, layer=None, pooling=None):
    """The same, of images that come batch by batch and go.

    Args:
        model, layer, pooling: as in `feature_model`.
        batches: iterable of images `(n, height, width, channels)`, uint8 or
            floats in [0, 1], of the size that the model takes.

    Yields:
        float32 `(n, features)`, for each batch.

    Raises:
        ValueError: as `feature_model`.
    """
    part, low_high = feature_model(model, layer, pooling), pixel_range(model)
    for x in batches:
        outputs = part.predict_on_batch(to_float(x, low_high))
        yield keras.ops.convert_to_numpy(outputs)


def stratified(y, count, seed=0):
    """Draws a few labelled examples, of each class as many.

    Args:
        y: int `(n,)`, labels.
        count: int, how many in all; a multiple of the number of classes.
        seed: int.

    Returns:
        int64 `(count,)`, indices into `y`, sorted.

    Raises:
        ValueError: if they cannot be shared out evenly, or there are too few.
    """
    classes, sizes = np.unique(y, return_counts=True)
    share = count // len(classes)
    even = share > 0 and count == share * len(classes)
    expect(even, "count", f"a multiple of {len(classes)} classes", count)
    most = int(sizes.min()) * len(classes)
    expect(share <= sizes.min(), "count", f"at most {most}", count)
    # Unlike `default_rng`, it promises the same draws in every NumPy.
    random = np.random.RandomState(seed)
    drawn = [random.choice(np.flatnonzero(y == c), share, False) for c in classes]
    return np.sort(np.concatenate(drawn))


def precision_at(features, y, queries, y_queries, count=10):
    """How many of the nearest images are of the query's class.

    Args:
        features: float `(n, d)`, of the images that are searched.
        y: int `(n,)`, their labels.
        queries: float `(m, d)`; none of them among `features`.
        y_queries: int `(m,)`.
        count: int, how many neighbours, by Euclidean distance.

    Returns:
        float in [0, 1], the mean share over the queries.
    """
    neighbours = nearest(features, queries, count)[0]
    return float((np.asarray(y)[neighbours] == np.asarray(y_queries)[:, None]).mean())


def nearest(features, queries, count=10):
    """The nearest images, by Euclidean distance between features.

    Args:
        features: float `(n, d)`.
        queries: float `(m, d)`.
        count: int, at most `n`.

    Returns:
        `(indices, distances)`: int64 and float32 `(m, count)`, nearest first.

    Raises:
        ValueError: for a count that is not from 1 to `n`.
    """
    n = len(features)
    expect(1 <= count <= n, "count", f"from 1 to {n}", count)
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    distances, indices = search.kneighbors(queries)
    return indices, distances.astype("float32")


def classifier(model, classes, trainable="whole", seed=None):
    """Builds a classifier on an encoder, to be fine-tuned.

    Args:
        model: autoencoder or encoder; its weights are taken over, and not
            touched: what is trained is a copy.
        classes: int.
        trainable: which of the encoder's layers learn: `"whole"`, `"last"` (the
            last one with weights) or `"none"`. The new head always does.
        seed: int for the same head at every call, or None.

    Returns:
        An uncompiled functional `keras.Model`. Output: float32 `(n, classes)`,
        probabilities.

    Raises:
        ValueError: for other values.
    """
    ways = ("whole", "last", "none")
    expect(trainable in ways, "trainable", f"in {ways}", repr(trainable))
    whole = isinstance(classes, int) and classes > 1
    expect(whole, "classes", "an int of 2 or more", repr(classes))
    if seed is not None:
        keras.utils.set_random_seed(seed)
    original = feature_model(model)
    encoder = keras.models.clone_model(original)
    encoder.set_weights(original.get_weights())
    learning = [each for each in encoder.layers if each.weights]
    learning = {"whole": learning, "last": learning[-1:], "none": []}[trainable]
    for each in encoder.layers:
        each.trainable = each in learning
    head = layers.Dense(classes, activation="softmax", name="classes")
    return keras.Model(encoder.input, head(encoder.output), name="classifier")
