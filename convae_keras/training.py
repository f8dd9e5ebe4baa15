"""What a training is told, checked before any long work."""

import hashlib
import json
import re
import time

import keras
import numpy as np

from convae_keras.data.sources import Images
from convae_keras.models import count_trainable, pixel_range
from convae_keras.pipelines import check_augment, make_pipeline
from convae_keras.runs import RunKeeper, finished_history, load_run, open_run
from convae_keras.validation import check_images, expect

# Python hands the backend this many steps at once. An epoch is made a multiple.
STEPS_PER_EXECUTION = 8


LOSSES = ("mse", "mae", "binary_crossentropy", "psnr")


def warmup_cosine(learning_rate, steps):
    """A rate that climbs for a tenth of the steps and then falls to zero.

    Args:
        learning_rate: float, the highest.
        steps: int, of the whole training.

    Returns:
        `keras.optimizers.schedules.CosineDecay`.

    References:
        - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983)
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677), warm-up
    """
    warmup_steps = max(1, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )


def train(
    autoencoder,
    images,
    epochs=10,
    batch_size=None,
    *,
    learning_rate=None,
    loss=None,
    seed=0,
    corrupt=None,
    turn=False,
    run=None,
    tensorboard=False,
    verbose=1,
):
    """Trains an autoencoder to give back what it is shown, or what that was.

    With `corrupt`, or where the images come with inputs of their own, the model
    is shown those and has to give back the images: a denoiser, or whatever the
    damage asks for.

    Adam with a warmed-up cosine, validation after each epoch on images held
    out of the training set, and at the end the weights of the best epoch. The
    training itself is deterministic: on one machine the same seed, data and
    initial weights give the same result, on a CPU bit for bit.

    With `run`, a folder, every epoch leaves a checkpoint there. When training
    is stopped, in whatever way, the same call goes on after the last whole
    epoch and ends with the same weights as if it had never been stopped. A
    finished run is loaded and not trained again.

    Args:
        autoencoder: functional `keras.Model` from images to images; it is
            compiled here.
        images: `Images`, or one array of images, uint8 or float in [0, 1],
            `(n, height, width, channels)`, whose last twelfth then validates.
        epochs: int.
        batch_size: int; None for 64 up to 10,000 parameters and 128 above.
        learning_rate: float, the highest of the schedule; None for 0.03 up to
            10,000 parameters and 0.005 above.
        loss: `"mse"`, `"mae"`, or `"binary_crossentropy"` for a model that ends
            in a sigmoid; None for the last where it fits, and else the first.
        seed: int, for the order of the images and what `corrupt` draws.
        corrupt: `Corruption` of `convae_keras.corruption`, drawn anew in every
            epoch, on the validation images always the same; or None.
        turn: bool, show the training images turned and mirrored, in one of the
            eight ways that a square can lie, drawn anew in every epoch. For
            photographs; a digit upside down is another digit, or none.
        run: str or `Path`, a run folder, or None.
        tensorboard: bool, write logs for TensorBoard to `run/logs`.
        verbose: 0, 1 (Keras's progress bar) or 2 (one line an epoch, with the
            time that is left).

    Returns:
        dict of lists, one number an epoch: `loss`, `val_loss`, `seconds` (of
        training alone).

    Raises:
        ValueError: before training, for images, sizes, a loss or a folder that
            do not fit; after it, if the loss was not a number.
        KeyboardInterrupt: when it is stopped with Ctrl-C, after the run folder
            was brought to a usable state.
    """
    images = checked_images(autoencoder, images, corrupt)
    told = (epochs, batch_size, learning_rate, loss, seed, corrupt, turn)
    settings = checked_settings(autoencoder, images, *told)
    if tensorboard and run is None:
        raise ValueError("`tensorboard=True` needs a `run` folder. Received: None")
    if run is not None:
        run = open_run(run, settings)
        history = finished_history(run, epochs)
        if history:
            autoencoder.set_weights(load_run(run).get_weights())
            return history
    return _fit(autoencoder, images, corrupt, settings, run, tensorboard, verbose)


def _fit(autoencoder, images, corrupt, settings, run, tensorboard, verbose):
    epochs = settings["epochs"]
    steps = _steps(settings, len(images.x_train))
    _compile(autoencoder, settings, steps)
    keeper = RunKeeper(run)
    callbacks = [keeper]
    if verbose == 2:
        callbacks.append(EpochLine())
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run / "logs"))
    first_epoch = keeper.resume(autoencoder)
    try:
        if first_epoch < epochs:
            autoencoder.fit(
                **_pipelines(images, corrupt, settings, first_epoch, steps),
                initial_epoch=first_epoch,
                epochs=epochs,
                callbacks=callbacks,
                shuffle=False,  # the pipeline did
                verbose=verbose if verbose == 1 else 0,
            )
    finally:  # after Ctrl-C too
        keeper.finish(epochs)
    return keeper.history


def _steps(settings, count):
    steps = count // settings["batch_size"]
    return steps if steps < 32 else steps - steps % STEPS_PER_EXECUTION


def _compile(autoencoder, settings, steps):
    schedule = warmup_cosine(settings["learning_rate"], settings["epochs"] * steps)
    backend = keras.backend.backend()
    at_once = steps % STEPS_PER_EXECUTION == 0 and backend != "torch"
    autoencoder.compile(
        # A training of few epochs is too short for the usual 0.999.
        keras.optimizers.Adam(schedule, beta_2=0.95),
        loss=negative_psnr if settings["loss"] == "psnr" else settings["loss"],
        steps_per_execution=STEPS_PER_EXECUTION if at_once else 1,
    )


def _pipelines(images, corrupt, settings, first_epoch, steps):
    shared = {key: settings[key] for key in ("batch_size", "pixel_range")}
    shared["corrupt"] = corrupt
    order = {"seed": settings["seed"], "first_epoch": first_epoch}
    order |= {"steps_per_epoch": steps, "turn": settings["turn"]}
    train = make_pipeline(images.x_train, **shared, **order, inputs=images.inputs_train)
    validation = make_pipeline(images.x_val, **shared, inputs=images.inputs_val)
    return {"x": train, "validation_data": validation, "steps_per_epoch": steps}


@keras.saving.register_keras_serializable(package="convae_keras")
def negative_psnr(y_true, y_pred):
    """Minus each image's PSNR, up to 60 dB, so that a decibel is worth the same."""
    errors = keras.ops.mean(keras.ops.square(y_true - y_pred), axis=(1, 2, 3))
    return 10 * keras.ops.log10(errors + 1e-6)


class EpochLine(keras.callbacks.Callback):
    """Prints one line an epoch: the losses, its seconds, and the time left."""

    def on_train_begin(self, logs=None):
        self._times = [time.perf_counter()]

    def on_epoch_end(self, epoch, logs=None):
        self._times.append(time.perf_counter())
        epochs = self.params["epochs"]
        mean = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
        losses = "  ".join(f"{key} {value:.5f}" for key, value in logs.items())
        left = mean * (epochs - epoch - 1)
        left = f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
        seconds = self._times[-1] - self._times[-2]
        print(
            f"epoch {epoch + 1:>3}/{epochs}  {losses}  {seconds:.0f} s, {left}",
            flush=True,
        )


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
    check_augment(turn, images.image_shape)
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
        "parameters": count_trainable(autoencoder),
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
