"""The arguments of `train` that its result depends on, checked and complete."""

import keras

from convae_keras.models import count_trainable, pixel_range
from convae_keras.pipelines import check_augment
from convae_keras.saving import architecture_hash
from convae_keras.validation import check_ints, check_seed, is_number, plain, require

# The last activation that a loss needs.
ENDS = {"binary_crossentropy": keras.activations.sigmoid}
ENDS |= {"categorical_crossentropy": keras.activations.softmax}
LOSSES = ("mse", "mae", *ENDS, "psnr")


def training_settings(autoencoder, images, corrupt, options):
    """Validates the arguments of `train` and fills in defaults.

    Args:
        autoencoder: `keras.Model`.
        images: `Images` that fit it.
        corrupt: `Corruption`, or None.
        options: dict of the other arguments that a result depends on.

    Returns:
        dict of plain values, for `settings.json`: all that the result depends on.

    Raises:
        ValueError: for a size, rate, seed or loss that does not fit.
    """
    small = autoencoder.count_params() <= 10_000
    defaults = {"learning_rate": 0.03 if small else 0.005}
    defaults |= {"batch_size": 64 if small else 128}
    last = _last_activation(autoencoder)
    defaults |= {"loss": {end: loss for loss, end in ENDS.items()}.get(last, "mse")}
    options = {k: defaults.get(k) if v is None else v for k, v in options.items()}
    options = {key: plain(value) for key, value in options.items()}
    _check_options(autoencoder, images, **options)
    return {
        "data": str(images),
        "fingerprint": images.fingerprint,
        "architecture": architecture_hash(autoencoder),
        "parameters": count_trainable(autoencoder),
        "pixel_range": pixel_range(autoencoder),
        **options,
        "batch_size": min(options["batch_size"], len(images.x_train)),
        "corruption": corrupt and corrupt.config(),
        "paired": images.inputs_train is not None,
        "backend": keras.backend.backend(),
    }


def _check_options(autoencoder, images, learning_rate, loss, seed, turn, **sizes):
    check_ints(**sizes)  # epochs, batch_size, patience
    message = f"`learning_rate` must be positive. Received: {learning_rate!r}"
    require(is_number(learning_rate) and learning_rate > 0, message)
    require(loss in LOSSES, f"`loss` must be one of {LOSSES}. Received: {loss!r}")
    needed, last = ENDS.get(loss), _last_activation(autoencoder)
    ends = f"this model does not end in a {getattr(needed, '__name__', None)}"
    hint = f"needs outputs in [0, 1], and {ends}. Use loss='mse'."
    require(needed in (None, last), f"`loss={loss!r}` {hint}")
    if needed and images.unit == "sequences":  # images are in [0, 1] anyway
        parts = [x for x in (images.x_train, images.x_val) if x.dtype != "uint8"]
        outside = any(x.min() < 0 or x.max() > 1 for x in parts)
        expected = f"`loss={loss!r}` needs sequences in [0, 1]"
        require(not outside, f"{expected}. Received: {images}, some values outside")
    check_seed(seed)
    check_augment(turn, images.image_shape)


def _last_activation(model):
    """Returns that of the last layer with one, also in nested models, or None."""
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            return _last_activation(layer)
        if hasattr(layer, "activation"):
            return layer.activation
