"""Compiles and fits with sound defaults; can be stopped at any moment."""

import time

import keras
import numpy as np

from convae_keras.pipelines import make_pipeline
from convae_keras.runs import (
    finished_history,
    load_checkpoint,
    load_run,
    open_run,
    save_checkpoint,
    save_run,
)
from convae_keras.settings import checked_images, checked_settings

# Python hands the backend this many steps at once. An epoch is made a multiple.
STEPS_PER_EXECUTION = 8


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
    keeper = _Keeper(run)
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


class _Keeper(keras.callbacks.Callback):
    """Keeps history, times and the best weights, in the run folder as well."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.history = {"loss": [], "val_loss": [], "seconds": []}
        self.best = None

    def resume(self, autoencoder):
        """Takes up a checkpoint if there is one; the epoch to go on with."""
        self.set_model(autoencoder)
        autoencoder.optimizer.build(autoencoder.trainable_variables)
        # Until an epoch is whole, the best are those it began with: whoever is
        # stopped in the first one can go on from there.
        self.best = autoencoder.get_weights()
        if self.run and (self.run / "checkpoint.npz").exists():
            self.history, self.best = load_checkpoint(self.run, autoencoder)
        return len(self.history["loss"])

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        logs = {"loss": float(logs["loss"]), "val_loss": float(logs["val_loss"])}
        if not np.isfinite(list(logs.values())).all():
            raise ValueError(
                f"The loss is not a number after epoch {epoch + 1}: {logs}. Try a "
                "lower `learning_rate`."
            )
        if logs["val_loss"] < min(self.history["val_loss"], default=np.inf):
            self.best = self.model.get_weights()
        for key, value in {**logs, "seconds": self._seconds}.items():
            self.history[key].append(value)
        if self.run:
            save_checkpoint(self.run, self.model, self.history, self.best)

    def finish(self, epochs):
        """The best weights into the model, and the model into the folder."""
        self.model.set_weights(self.best)
        if self.run:
            save_run(self.run, self.model, self.history)
            if len(self.history["loss"]) == epochs:
                (self.run / "checkpoint.npz").unlink(missing_ok=True)
