"""A small classifier: its features measure samples, its accuracy what they teach."""

import random

import keras
import numpy as np
from keras import layers

from convae_keras.keras_settings import standard_settings
from convae_keras.pipelines import to_float
from convae_keras.progress import EpochLine
from convae_keras.training import compile_model, warmup_cosine
from convae_keras.validation import as_image_shape, check_ints, check_layers, require


def image_classifier(image_shape=(28, 28, 1), classes=10, *, seed=None):
    """Builds a plain convolutional classifier.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 8.
        classes: int.
        seed: int for the same initial weights at every call, or None.

    Returns:
        An uncompiled functional `keras.Model`. Input: float32 `(n,
        *image_shape)` in [0, 1]. Output: float32 `(n, classes)`, probabilities.
        Its layer `features`, of 64 numbers, is what samples are compared by.

    Raises:
        ValueError: for smaller images, or no classes.
    """
    image_shape = as_image_shape(image_shape, fixed=True)
    expected = "`image_shape` must have height and width of at least 8 pixels"
    require(min(image_shape[:2]) >= 8, f"{expected}. Received: {image_shape}")
    check_ints(classes=classes)
    check_layers((image_shape[2], 16, 32, 64), 9)
    # The dense layer sees 64 channels at h/8 · w/8 positions, h · w values.
    check_layers((image_shape[0] * image_shape[1], 64, classes))
    with standard_settings(seed=seed):
        inputs = x = keras.Input(image_shape, name="images")
        for i, filters in enumerate((16, 32, 64), 1):
            conv = {"padding": "same", "activation": "relu", "name": f"conv_{i}"}
            x = layers.Conv2D(filters, 3, **conv)(x)
            x = layers.MaxPooling2D(2, name=f"pool_{i}")(x)
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(64, "relu", name="features")(x)
        options = {"activation": "softmax", "name": "classes", "dtype": "float32"}
        x = layers.Dense(classes, **options)(x)
        return keras.Model(inputs, x, name="classifier")


@standard_settings()
def train_classifier(
    images, epochs=10, *, batch_size=128, learning_rate=0.003, seed=0, verbose=0
):
    """Trains an `image_classifier` on labeled images.

    The global generators of Python and NumPy are afterwards as they were; the
    backend's has been seeded.

    Args:
        images: `Images` with labels, indices of classes.
        epochs, batch_size: ints.
        learning_rate: float, the maximum of the schedule.
        seed: int, of the initial weights and the order.
        verbose: 0, 1 (Keras's progress bar) or 2 (one line an epoch).

    Returns:
        `(classifier, history)`: `keras.Model` with the weights of the epoch with
        the lowest validation loss; dict of lists, one number an epoch.

    Raises:
        ValueError: for images without labels, or `epochs` or a `batch_size` that
            is no positive int.
    """
    check_ints(epochs=epochs, batch_size=batch_size)
    labeled = images.y_train is not None and images.y_val is not None
    require(labeled, f"`images` must have labels. Received: {images}")
    largest = max(images.y_train.max(), images.y_val.max())
    classes = len(images.class_names) or int(largest) + 1
    classifier = image_classifier(images.image_shape, classes, seed=seed)
    rate = warmup_cosine(learning_rate, epochs * -(-len(images.x_train) // batch_size))
    loss = "sparse_categorical_crossentropy"
    # By name it would be made in the first step.
    accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    compile_model(classifier, keras.optimizers.Adam(rate), loss, metrics=[accuracy])
    best = {"patience": epochs, "restore_best_weights": True}
    callbacks = [keras.callbacks.EarlyStopping("val_loss", **best)]
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        history = classifier.fit(
            to_float(images.x_train),
            images.y_train,
            batch_size,
            epochs,
            validation_data=(to_float(images.x_val), images.y_val),
            callbacks=callbacks + ([EpochLine()] if verbose == 2 else []),
            verbose=verbose if verbose == 1 else 0,
        ).history
    finally:  # whoever calls this draws on
        random.setstate(states[0])
        np.random.set_state(states[1])
    return classifier, history
