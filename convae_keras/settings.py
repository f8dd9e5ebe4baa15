"""What a training is told, checked before any long work."""

import hashlib
import json
import math
import re

import keras
import numpy as np

from convae_keras.data import Images
from convae_keras.models import pixel_range
from convae_keras.pipelines import check_images, check_turn, expect

LOSSES = ("mse", "mae", "binary_crossentropy", "psnr")


def checked_images(autoencoder, images, corrupt=None):
    """`Images` that fit a model, made from what a user gave.

    Args:
        autoencoder: `keras.Model`.
        images: `Images`, or one array, whose last twelfth then validates.
        corrupt: `Corruption` that the model's inputs will have gone through, or
            None.

    Returns:
        `Images`.

    Raises:
        ValueError: for an array that holds no images, of another shape than
            the model takes or gives, or if both `corrupt` and the images' own
            inputs are there.
    """
    if not isinstance(images, Images):
        x = check_images(images, "images")
        if len(x) < 2:
            raise ValueError(f"Expected 2 images at least. Received: {len(x)}")
        cut = len(x) - max(1, len(x) // 12)
        images = Images("array", x[:cut], None, x[cut:], None, x[cut:], None)
    shown = images.x_val[:1] if images.inputs_val is None else images.inputs_val[:1]
    if corrupt is not None:
        if images.inputs_val is not None:
            raise ValueError(
                f"Expected images alone, to be damaged by {corrupt}. Received: "
                f"{images}, with inputs of their own"
            )
        shown = corrupt(shown)
    _check_shape("takes", autoencoder.input_shape[1:], shown.shape[1:])
    output_shape = autoencoder.compute_output_shape(shown.shape)[1:]
    _check_shape("gives", output_shape, images.image_shape)
    return images


def _check_shape(verb, expected, received):
    sides = zip(expected, received, strict=False)
    fit = all(side in (None, other) for side, other in sides)
    if len(expected) != len(received) or not fit:
        raise ValueError(
            f"The model {verb} images of shape {expected}. Received: {received}"
        )


def checked_settings(
    autoencoder, images, epochs, batch_size, learning_rate, loss, seed, corrupt, turn
):
    """All that decides a training's outcome, with the defaults filled in.

    Args:
        autoencoder, images, epochs, batch_size, learning_rate, loss, seed, corrupt,
            turn: as in `train`.

    Returns:
        dict of plain values, fit for `settings.json`.

    Raises:
        ValueError: for numbers below one, a loss that does not fit, or images to
            turn that are not square.
    """
    check_turn(turn, images.image_shape)
    small = autoencoder.count_params() <= 10_000
    rate, size = (0.03, 64) if small else (0.005, 128)
    batch_size = size if batch_size is None else batch_size
    learning_rate = rate if learning_rate is None else learning_rate
    positive = 0 < learning_rate < np.inf
    expect(positive, "learning_rate", "positive", learning_rate)
    expect(isinstance(seed, int), "seed", "an int", repr(seed))
    for name, size in (("epochs", epochs), ("batch_size", batch_size)):
        whole = isinstance(size, int) and size > 0
        expect(whole, name, "a positive int", repr(size))
    return {
        "data": str(images),
        "fingerprint": images.fingerprint,
        "architecture": _architecture(autoencoder),
        "parameters": learnt_parameters(autoencoder),
        "pixel_range": pixel_range(autoencoder),
        "epochs": epochs,
        "batch_size": min(batch_size, len(images.x_train)),
        "learning_rate": learning_rate,
        "loss": _checked_loss(autoencoder, loss),
        "seed": seed,
        "corruption": corrupt and corrupt.config(),
        "turn": bool(turn),
        "paired": images.inputs_train is not None,
        "backend": keras.backend.backend(),
    }


def learnt_parameters(model):
    """How many numbers training changes: not those that are counted afterwards.

    Args:
        model: `keras.Model`.

    Returns:
        int.
    """
    return sum(math.prod(weights.shape) for weights in model.trainable_weights)


def _architecture(autoencoder):
    """16 hexadecimal digits that change with any layer (SHA-256, cut)."""
    config = keras.saving.serialize_keras_object(autoencoder)
    config.pop("compile_config", None)
    # Keras counts the layers of a session in the names it gives them.
    text = re.sub(r"_\d+\b", "", json.dumps(config, sort_keys=True))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _checked_loss(autoencoder, loss):
    probabilities = _last_activation(autoencoder) is keras.activations.sigmoid
    loss = loss or ("binary_crossentropy" if probabilities else "mse")
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be in {LOSSES}. Received: {loss!r}")
    if loss == "binary_crossentropy" and not probabilities:
        raise ValueError(
            "Binary cross-entropy reads pixels as probabilities and needs outputs "
            "in [0, 1]. This model does not end in a sigmoid: use loss='mse'."
        )
    return loss


def _last_activation(model):
    """Of the last layer that has one; a nested model counts as its layers."""
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            return _last_activation(layer)
        if hasattr(layer, "activation"):
            return layer.activation
    return None
