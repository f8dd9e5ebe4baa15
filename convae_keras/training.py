"""Compile and fit with sound defaults; stop at any moment and go on."""

import time

import keras
import numpy as np

from convae_keras.data import Images, check_images, make_pipeline
from convae_keras.models import pixel_range
from convae_keras.runs import (
    load_checkpoint,
    load_run,
    open_run,
    read_json,
    save_checkpoint,
    save_run,
)

# Python hands the backend this many steps at once. An epoch is made a multiple.
STEPS_PER_EXECUTION = 8


def set_up_device():
    """Readies the GPUs there are, and prints what it chose in one line.

    Memory is taken as it is needed, not all at once, and where every GPU has
    units for half precision (compute capability 7 and up) new models compute
    in `mixed_float16`; their last layer stays float32. On a CPU nothing
    changes. Call it before a model is built.
    """
    backend = keras.backend.backend()
    find = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
    capabilities = find[backend]()
    if capabilities and min(capabilities) >= 7:
        keras.mixed_precision.set_global_policy("mixed_float16")
    device = f"{len(capabilities)} GPU" if capabilities else "the CPU"
    policy = keras.mixed_precision.global_policy().name
    print(f"Keras {keras.__version__} with {backend} on {device}, {policy}")


def _tensorflow_gpus():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [detail.get("compute_capability", (0,))[0] for detail in details]


def _jax_gpus():
    import jax

    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [float(getattr(gpu, "compute_capability", 0)) for gpu in gpus]


def _torch_gpus():
    import torch

    count = torch.cuda.device_count()
    return [torch.cuda.get_device_capability(i)[0] for i in range(count)]


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
    batch_size=64,
    *,
    learning_rate=None,
    loss=None,
    seed=0,
    run=None,
    tensorboard=False,
    verbose=1,
):
    """Trains an autoencoder to give back what it is shown.

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
        batch_size: int.
        learning_rate: float, the highest of the schedule; None for 0.03 up to
            10,000 parameters and 0.005 above.
        loss: `"mse"`, or `"binary_crossentropy"` for outputs in [0, 1]; None
            for the latter where it fits.
        seed: int, for the order of the images.
        run: str or `Path`, a run folder, or None.
        tensorboard: bool, write logs for TensorBoard to `run/logs`.
        verbose: 0, 1 (a bar an epoch) or 2 (a line an epoch), as in `fit`.

    Returns:
        dict of lists, one number an epoch: `loss`, `val_loss`, `seconds` (of
        training alone).

    Raises:
        ValueError: before training, for images, sizes, a loss or a folder that
            do not fit; after it, if the loss was not a number.
        KeyboardInterrupt: when it is stopped with Ctrl-C, after the run folder
            was brought to a usable state.
    """
    images = _checked(autoencoder, images)
    settings = {
        "data": str(images),
        "fingerprint": images.fingerprint,
        "parameters": autoencoder.count_params(),
        "pixel_range": pixel_range(autoencoder),
        "epochs": _positive("epochs", epochs),
        "batch_size": min(_positive("batch_size", batch_size), len(images.x_train)),
        "learning_rate": learning_rate or _learning_rate(autoencoder),
        "loss": _loss(autoencoder, loss),
        "seed": seed,
        "backend": keras.backend.backend(),
    }
    if tensorboard and run is None:
        raise ValueError("`tensorboard=True` needs a `run` folder. Received: None")
    if run is not None:
        run = open_run(run, settings)
        if (run / "history.json").exists():
            history = read_json(run / "history.json")
            if len(history["loss"]) == epochs:
                autoencoder.set_weights(load_run(run).get_weights())
                return history
    return _fit(autoencoder, images, settings, run, tensorboard, verbose)


def _fit(autoencoder, images, settings, run, tensorboard, verbose):
    epochs, batch_size = settings["epochs"], settings["batch_size"]
    steps = len(images.x_train) // batch_size
    if steps >= 4 * STEPS_PER_EXECUTION:
        steps -= steps % STEPS_PER_EXECUTION
    schedule = warmup_cosine(settings["learning_rate"], epochs * steps)
    autoencoder.compile(
        # Few epochs leave no time for the usual 0.999: see notebook 01.
        keras.optimizers.Adam(schedule, beta_2=0.95),
        loss=settings["loss"],
        steps_per_execution=_steps_per_execution(steps),
        # XLA compiles for minutes and then runs slower on a CPU.
        jit_compile=False,
    )
    keeper = _Keeper(run)
    callbacks = [keeper]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run / "logs"))
    first_epoch = keeper.resume(autoencoder)
    scaled = {"batch_size": batch_size, "pixel_range": settings["pixel_range"]}
    try:
        if first_epoch < epochs:
            autoencoder.fit(
                make_pipeline(
                    images.x_train,
                    **scaled,
                    seed=settings["seed"],
                    first_epoch=first_epoch,
                    steps_per_epoch=steps,
                ),
                validation_data=make_pipeline(images.x_val, **scaled),
                initial_epoch=first_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                callbacks=callbacks,
                shuffle=False,  # the pipeline did
                verbose=verbose,
            )
    finally:  # after Ctrl-C too
        keeper.finish(epochs)
    return keeper.history


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
        if self.best is not None:
            self.model.set_weights(self.best)
        if self.run:
            save_run(self.run, self.model, self.history)
            if len(self.history["loss"]) == epochs:
                (self.run / "checkpoint.npz").unlink(missing_ok=True)


def _checked(autoencoder, images):
    if not isinstance(images, Images):
        x = check_images(images, "images")
        if len(x) < 2:
            raise ValueError(f"Expected 2 images at least. Received: {len(x)}")
        cut = len(x) - max(1, len(x) // 12)
        images = Images("array", x[:cut], None, x[cut:], None, x[cut:], None)
    expected, received = autoencoder.input_shape[1:], images.image_shape
    sides = zip(expected, received, strict=True)
    if any(side not in (None, other) for side, other in sides):
        raise ValueError(
            f"The model takes images of shape {expected}. Received: {received}"
        )
    return images


def _positive(name, size):
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"`{name}` must be a positive int. Received: {size!r}")
    return size


def _learning_rate(autoencoder):
    return 0.03 if autoencoder.count_params() <= 10_000 else 0.005


def _loss(autoencoder, loss):
    value_range = pixel_range(autoencoder)
    loss = loss or ("binary_crossentropy" if value_range == (0, 1) else "mse")
    if loss not in ("mse", "binary_crossentropy"):
        raise ValueError(
            f"`loss` must be 'mse' or 'binary_crossentropy'. Received: {loss!r}"
        )
    if loss == "binary_crossentropy" and value_range != (0, 1):
        raise ValueError(
            "Binary cross-entropy reads pixels as probabilities and needs outputs "
            f"in [0, 1]. This model's lie in {list(value_range)}: use loss='mse'."
        )
    return loss


def _steps_per_execution(steps):
    if keras.backend.backend() == "torch":
        return 1
    return STEPS_PER_EXECUTION if steps % STEPS_PER_EXECUTION == 0 else 1
