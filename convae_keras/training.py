"""Training of an autoencoder: `compile`, `fit`."""

import contextlib

import keras
import numpy as np

from convae_keras import distribution
from convae_keras.data.sources import Images
from convae_keras.keras_settings import standard_settings
from convae_keras.pipelines import make_pipeline
from convae_keras.progress import EpochLine
from convae_keras.runs import (
    RunKeeper,
    finished_history,
    initial_weights,
    load_run,
    open_run,
    remember_weights,
)
from convae_keras.saving import locked
from convae_keras.training_settings import training_settings
from convae_keras.validation import as_path, check_images, require

# Steps that the backend runs in one call. Long epochs are a multiple of them.
STEPS_PER_EXECUTION = 8
# Steps of a training below which such calls take longer to compile than they save.
FEW_STEPS = 1000


def warmup_cosine(learning_rate, steps):
    """Returns a schedule: a linear rise over a tenth of the steps, then a cosine to 0.

    Args:
        learning_rate: float, the maximum.
        steps: int, in all epochs.

    Returns:
        `keras.optimizers.schedules.CosineDecay`.

    References:
        - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983)
        - [Goyal et al., 2017](https://arxiv.org/abs/1706.02677), warm-up
    """
    warmup_steps = max(1, steps // 10)
    warmup = {"warmup_target": learning_rate, "warmup_steps": warmup_steps}
    decay_steps = max(1, steps - warmup_steps)
    return keras.optimizers.schedules.CosineDecay(0.0, decay_steps, **warmup)


@keras.saving.register_keras_serializable(package="convae_keras")
def negative_psnr(y_true, y_pred):
    """Returns minus the PSNR of each image, up to 60 dB, computed in float32.

    Unlike the mean squared error, it weights a decibel the same for images that
    are easy and hard to reconstruct.

    Args:
        y_true, y_pred: float tensors `(n, height, width, channels)` in [0, 1].

    Returns:
        float32 tensor `(n,)`, in decibels.
    """
    y_true, y_pred = (keras.ops.cast(y, "float32") for y in (y_true, y_pred))
    axes = tuple(range(1, len(y_true.shape)))
    errors = keras.ops.mean(keras.ops.square(y_true - y_pred), axis=axes)
    return 10 * keras.ops.log10(errors + 1e-6)


@keras.saving.register_keras_serializable(package="convae_keras")
def negative_psnr_signed(y_true, y_pred):
    """Returns what `negative_psnr` does, of images in [-1, 1], in place of [0, 1]."""
    return negative_psnr(y_true / 2, y_pred / 2)


@distribution.watched()
@standard_settings()
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
    augment=False,
    patience=None,
    run=None,
    tensorboard=False,
    verbose=1,
):
    """Trains an autoencoder to reconstruct its input, or the clean image behind it.

    The input is the image itself, a corruption of it (`corrupt`), or an image
    that comes with it (`Images` with `inputs_train`). The target is always the
    image.

    Adam with a warmed-up cosine schedule, validation after each epoch, and at
    the end the weights of the best epoch. The same seed, data and initial
    weights give the same result on one machine; on a CPU bit for bit.

    With a `run` folder, each epoch saves a checkpoint. Run the same call again
    to resume an interrupted training after its last complete epoch: the result
    is that of a training that was not interrupted. A finished run is loaded,
    not trained again.

    Several processes, on one host or several, train one model if each calls
    `convae_keras.distribution.join` first, and this function with the same
    arguments; all must see the same `run` folder.

    Args:
        autoencoder: functional `keras.Model` from images to images. It is
            compiled here, unless a finished run is loaded.
        images: `Images`, `Sequences`, or one array of images, uint8 or float in
            [0, 1], `(n, height, width)` or `(n, height, width, channels)`, whose
            last twelfth is used for validation.
        epochs: int.
        batch_size: int, over all processes; None for 64 up to 10,000 parameters
            and 128 above. More than the training images counts as that many. An
            epoch leaves out images that fill no batch and, of 32 batches or more,
            up to 7 batches; the next one leaves out others.
        learning_rate: float, the maximum of the schedule; None for 0.03 up to
            10,000 parameters and 0.005 above.
        loss: `"mse"`, `"mae"`, `"psnr"` (minus the PSNR in dB, of pixels in
            [0, 1] also where the model's are in [-1, 1]), `"binary_crossentropy"`
            for a model that ends in a sigmoid, or `"categorical_crossentropy"` for
            one that ends in a softmax; None for the one of the last two that fits,
            and else the first.
        seed: int, for the order of the images, `corrupt` and `augment`.
        corrupt: `Corruption` of `convae_keras.corruption`, drawn anew in every
            epoch for training images, and the same in every epoch for
            validation images; or None.
        augment: bool, apply a random flip and 90° rotation to the training
            images, the same to inputs and targets. For photographs, not digits:
            a rotated digit is another digit, or none.
        patience: int, the epochs without a better one after which training stops;
            None to train all `epochs`. The schedule is that of all `epochs`.
        run: str or `Path`, a run folder, or None.
        tensorboard: bool, write logs for TensorBoard to `run/logs`.
        verbose: 0, 1 (Keras's progress bar) or 2 (one line an epoch, with the
            time left).

    Returns:
        dict of lists, one number an epoch: `loss`, `val_loss`, and `seconds`,
        of training alone.

    Raises:
        ValueError: before training, for images, sizes, a loss or a folder that
            do not fit, or a folder in which another process trains; during
            training, if the loss is not a number.
        ConnectionError: if another process that trains the model is lost; with a
            `run` folder the last complete epoch is saved.
        KeyboardInterrupt: if interrupted, after the run folder is saved.
    """
    images = checked_images(autoencoder, images, corrupt)
    run = None if run is None else as_path(run, "run")
    options = {"epochs": epochs, "batch_size": batch_size, "loss": loss, "seed": seed}
    # "turn" is what run folders have called `augment` from the beginning.
    options |= {"learning_rate": learning_rate, "turn": bool(augment)}
    if patience is not None:  # earlier run folders do not say that there is none
        options["patience"] = patience
    settings = training_settings(autoencoder, images, corrupt, options)
    settings["initial_weights"] = initial_weights(autoencoder, run)
    message = "`tensorboard=True` needs a `run` folder. Received: None"
    require(run is not None or not tensorboard, message)
    distribution.check_settings(settings, run)
    arguments = (autoencoder, images, corrupt, settings, run, tensorboard, verbose)
    if run is None:
        return _fit(*arguments)
    with _opened(run, settings):
        try:
            history = finished_history(run, epochs, settings.get("patience"))
            if history:
                autoencoder.set_weights(load_run(run).get_weights())
                return history
            return _fit(*arguments)
        finally:
            remember_weights(autoencoder, run, settings["initial_weights"])


@contextlib.contextmanager
def _opened(run, settings):
    """Opens and locks a run folder, in the first of several processes only."""
    if distribution.share()[0]:
        yield
        return
    with locked(run, argument="run"):
        open_run(run, settings)
        yield


def _fit(autoencoder, images, corrupt, settings, run, tensorboard, verbose):
    epochs, steps = settings["epochs"], _steps(settings, len(images.x_train))
    _compile(autoencoder, settings, steps)
    first = distribution.share()[0] == 0
    verbose = verbose if first else 0
    keeper = RunKeeper(run, epochs, settings.get("patience"), writes=first)
    callbacks = [keeper]
    if verbose == 2:
        callbacks.append(EpochLine())
    if tensorboard and first:
        callbacks.append(keras.callbacks.TensorBoard(run / "logs"))
    first_epoch = keeper.resume(autoencoder)
    try:
        if not keeper.is_finished():
            autoencoder.fit(
                **_pipelines(images, corrupt, settings, first_epoch, steps),
                initial_epoch=first_epoch,
                epochs=epochs,
                callbacks=callbacks,
                shuffle=False,  # the pipeline does
                verbose=verbose if verbose == 1 else 0,
            )
    except RuntimeError as error:
        if "between 0 and 1" not in str(error):
            raise
        # PyTorch refuses the cross-entropy of what is not a number.
        nan = {"loss": np.nan, "val_loss": np.nan}
        keeper.on_epoch_end(len(keeper.history["loss"]), nan)
    else:  # else TensorFlow compiles several steps into one for `predict`, too
        autoencoder.compile(autoencoder.optimizer, autoencoder.loss)
    finally:  # also after Ctrl-C
        keeper.finish()
    return keeper.history


def _steps(settings, count):
    """Training steps an epoch; images that are left over wait for the next."""
    steps = count // settings["batch_size"]
    return steps if steps < 32 else steps - steps % STEPS_PER_EXECUTION


def _compile(autoencoder, settings, steps):
    schedule = warmup_cosine(settings["learning_rate"], settings["epochs"] * steps)
    at_once = steps % STEPS_PER_EXECUTION == 0 and keras.backend.backend() != "torch"
    at_once = at_once and settings["epochs"] * steps > FEW_STEPS
    psnr = negative_psnr if settings["pixel_range"] == (0, 1) else negative_psnr_signed
    # In half precision Keras adds a `LossScaleOptimizer` around this one.
    compile_model(
        autoencoder,
        # The usual 0.999 is too slow for a training of few epochs.
        keras.optimizers.Adam(schedule, beta_2=0.95),
        loss=psnr if settings["loss"] == "psnr" else settings["loss"],
        steps_per_execution=STEPS_PER_EXECUTION if at_once else 1,
    )


def _pipelines(images, corrupt, settings, first_epoch, steps):
    shared = {key: settings[key] for key in ("batch_size", "pixel_range")}
    shared |= {"corrupt": corrupt, "validate": False}  # `Images` are valid
    shuffled = {"seed": settings["seed"], "first_epoch": first_epoch}
    shuffled |= {"steps_per_epoch": steps, "augment": settings["turn"]}
    shuffled |= {"inputs": images.inputs_train, "share": distribution.share()}
    train = make_pipeline(images.x_train, **shared, **shuffled)
    validation = make_pipeline(images.x_val, inputs=images.inputs_val, **shared)
    return {"x": train, "validation_data": validation, "steps_per_epoch": steps}


def compile_model(model, optimizer, loss=None, **options):
    """Compiles a model, and makes the variables of its optimizer.

    Made in the first step, as by Keras's `fit`, TensorFlow traces that step twice.

    Args:
        model: `keras.Model`.
        optimizer, loss, **options: as in `keras.Model.compile`.
    """
    model.compile(optimizer, loss, **options)
    # In half precision Keras has put another optimizer around the given one.
    model.optimizer.build(model.trainable_variables)


def checked_images(autoencoder, images, corrupt=None):
    """Validates images against a model, and splits a single array.

    Args:
        autoencoder: `keras.Model`.
        images: `Images`, or one array of images, uint8 or float in [0, 1],
            `(n, height, width)` or `(n, height, width, channels)`, whose last
            twelfth is used for validation.
        corrupt: `Corruption` of the model's inputs, or None.

    Returns:
        `Images`.

    Raises:
        ValueError: for an array that is not images, a shape that the model
            neither takes nor returns, inputs of one split only, or if there are
            both `corrupt` and `inputs`.
    """
    if not isinstance(images, Images):
        message = f"`images` must be `Sequences`. Received: {type(images).__name__}"
        require(len(autoencoder.input_shape) == 4, message)
        x = check_images(images, "images")
        require(len(x) > 1, f"`images` must be at least 2. Received: {len(x)}")
        cut = len(x) - max(1, len(x) // 12)
        images = Images("array", x[:cut], None, x[cut:], None, x[cut:], None)
    has_inputs = images.inputs_val is not None
    message = "`images` must have both `inputs_train` and `inputs_val`, or neither"
    both = has_inputs == (images.inputs_train is not None)
    require(both, f"{message}. Received: only one of them")
    model_inputs = images.inputs_val[:1] if has_inputs else images.x_val[:1]
    if corrupt is not None:
        kind = "images with inputs of their own" if has_inputs else images.unit
        message = f"`corrupt` must be None for {kind}. Received: {corrupt} and {images}"
        require(images.unit == "images" and not has_inputs, message)
        model_inputs = corrupt(model_inputs)
    received, unit = model_inputs.shape, images.unit
    _check_shape(f"takes {unit}", autoencoder.input_shape[1:], received[1:])
    output_shape = autoencoder.compute_output_shape(received)[1:]
    _check_shape(f"returns {unit}", output_shape, images.image_shape)
    return images


def _check_shape(does, expected, received):
    sizes = zip(expected, received, strict=False)
    fits = all(size in (None, other) for size, other in sizes)
    message = f"The model {does} of shape {expected}. Received: {received}"
    require(fits and len(expected) == len(received), message)
