"""The run folder: settings, checkpoints, history and the trained model."""

import json
import os
import reprlib
import time
import weakref

import keras
import numpy as np

from convae_keras import untrusted
from convae_keras.distribution import alone
from convae_keras.saving import (
    atomic_write,
    fingerprint,
    load_model,
    read_json,
    write_json,
)
from convae_keras.validation import as_path, format_shape, reason, require

# From a model that `train` has trained: the run folder, and the hashes of its
# weights before and after.
_TRAINED = weakref.WeakKeyDictionary()

# What `history.json` holds: one number an epoch.
HISTORY = {"loss": [float], "val_loss": [float], "seconds": [float]}

# What is read of the `settings.json` of any run, with or without these keys.
SETTINGS = {"corruption": ({"name": str}, None), "paired": (bool, None)}


def open_run(run, settings):
    """Creates a run folder, or opens one that was created with these settings.

    Args:
        run: str or `Path`, the folder.
        settings: dict of plain values, written to `settings.json`.

    Returns:
        `Path`.

    Raises:
        ValueError: if the folder cannot be written, or was created with
            different settings, which the message names.
    """
    run = as_path(run, "run")
    settings = json.loads(json.dumps(settings))  # tuples become lists
    if os.path.exists(run / "settings.json"):  # `Path.exists` can raise
        _check_settings(run, settings)
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "settings.json", settings)
    except OSError as error:
        expected = "`run` must be a folder that can be written"
        raise ValueError(f"{expected}. Received: {run} ({error})") from None
    return run


def _check_settings(run, settings):
    found = read_json(run / "settings.json")
    # "data" is a description for the reader; "fingerprint" identifies the images.
    # Earlier versions did not write the hash of the initial weights.
    ignored = {"data"} | {"initial_weights"} - found.keys()
    keys = sorted((settings.keys() | found.keys()) - ignored)
    pairs = [(key, found.get(key), settings.get(key)) for key in keys]
    different = [
        f"{reason(key)}={reprlib.repr(a)} on disk, {b!r} requested"
        for key, a, b in pairs
        if a != b
    ]
    message = f"Run folder was created with different settings: {'; '.join(different)}"
    require(not different, f"{message}. Choose another folder, or delete {run}.")


def initial_weights(autoencoder, run):
    """Returns a hash of the weights that a training starts from.

    Args:
        autoencoder: `keras.Model`. One that has been trained in this run folder,
            and not been changed since, counts as it was before that: so the same
            call resumes, or returns, a training.
        run: str or `Path`, or None.

    Returns:
        str, 16 hexadecimal digits.
    """
    now = fingerprint(autoencoder)[:16]
    folder, before, after = _TRAINED.get(autoencoder, (None, None, None))
    return before if (folder, after) == (str(run), now) else now


def remember_weights(autoencoder, run, before):
    """Notes that a model has been trained in a run folder, for `initial_weights`.

    Args:
        autoencoder: `keras.Model`, trained.
        run: str or `Path`.
        before: str, what `initial_weights` returned before the training.
    """
    _TRAINED[autoencoder] = str(run), before, fingerprint(autoencoder)[:16]


def is_finished(history, epochs, patience=None):
    """Whether a training with such a history is over.

    Args:
        history: dict of lists, one number an epoch.
        epochs: int, the most there can be.
        patience: int, the epochs that may pass without a better one; None for
            any number.

    Returns:
        bool.
    """
    losses = history["val_loss"]
    since_best = len(losses) - 1 - np.argmin(losses) if losses else 0
    return len(losses) == epochs or (patience is not None and since_best >= patience)


def finished_history(run, epochs, patience=None):
    """Reads the history of a finished run.

    Args:
        run: `Path`, the run folder.
        epochs, patience: as in `is_finished`.

    Returns:
        dict of lists, one number an epoch; None if the run is not finished.

    Raises:
        ValueError: if `history.json` holds something else.
    """
    saved = all((run / file).exists() for file in ("model.keras", "history.json"))
    if (run / "checkpoint.npz").exists() or not saved:
        return None
    history = read_json(run / "history.json", HISTORY)
    _check_lengths(history, run / "history.json")
    return history if is_finished(history, epochs, patience) else None


def _check_lengths(history, path):
    lengths = {key: len(history[key]) for key in HISTORY}
    message = f"The lists of the history in {path} must be equally long"
    require(len({*lengths.values()}) == 1, f"{message}. Received: {lengths}")


def save_checkpoint(run, autoencoder, history, best):
    """Writes `checkpoint.npz`: everything that the next epoch depends on.

    Args:
        run: `Path`, the run folder.
        autoencoder: compiled `keras.Model`. Its weights, the optimizer's
            variables (with the loss scale, in half precision) and the states of
            random layers are saved.
        history: dict of lists, one number an epoch.
        best: list of arrays, the best weights so far.
    """
    arrays = {"history": np.array(json.dumps(history))}
    for name, values in (("state", _state(autoencoder)), ("best", best)):
        arrays |= {f"{name}_{i:03}": np.asarray(v) for i, v in enumerate(values)}
    with atomic_write(run / "checkpoint.npz") as temporary:
        np.savez(temporary, **arrays)


def load_checkpoint(run, autoencoder):
    """Restores a compiled model from `checkpoint.npz`.

    Args:
        run: `Path`, the run folder.
        autoencoder: `keras.Model`, compiled as it was when saved.

    Returns:
        `(history, best)`, as given to `save_checkpoint`.

    Raises:
        ValueError: if the checkpoint is damaged, or of another network.
    """
    path = run / "checkpoint.npz"
    variables, weights = _state(autoencoder), autoencoder.get_weights()
    known = sum(np.asarray(v).nbytes for v in (*variables, *weights))
    with untrusted.named(f"Cannot read {path}"):
        arrays = untrusted.read_npz(path, known=known)
        history = untrusted.parse_json(str(arrays.pop("history")))
        untrusted.check_shape(history, HISTORY, "`history`")
        _check_lengths(history, path)
        # In the order of saving: by name, state_1000 would come before state_999.
        state = [arrays[name] for name in arrays if name.startswith("state_")]
        best = [arrays[name] for name in arrays if name.startswith("best_")]
    for found, own in ((state, variables), (best, weights)):
        expected, received = _kinds(own), _kinds(found)
        message = f"{path} is of another network: expected {expected:.500}"
        require(expected == received, f"{message}. Received: {received:.500}")
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)
    return history, best


def _kinds(arrays):
    """Describes arrays or variables: each by its shape and kind of number."""
    arrays = [np.asarray(array) for array in arrays]
    return ", ".join(f"{format_shape(a.shape)} {a.dtype.kind}" for a in arrays)


def _state(autoencoder):
    """All variables of a compiled model and of its optimizer."""
    return [*autoencoder.variables, *autoencoder.optimizer.variables]


def save_run(run, autoencoder, history):
    """Writes `model.keras` and `history.json`.

    Args:
        run: `Path`, the run folder.
        autoencoder: `keras.Model`.
        history: dict of lists, one number an epoch.
    """
    save_model(run, autoencoder)
    write_json(run / "history.json", history)


def save_model(run, model, name="model.keras"):
    """Writes a model into a run folder.

    Args:
        run: `Path`, the run folder.
        model: `keras.Model`.
        name: str, its file.
    """
    with atomic_write(run / name) as temporary, alone():
        model.save(temporary)


def load_run(run):
    """Loads the model of a run folder.

    Args:
        run: str or `Path`, a run folder.

    Returns:
        `keras.Model`, with the weights of its best epoch.

    Raises:
        ValueError: if there is no `model.keras`, or it is damaged or no model of
            images or sequences.
    """
    path = as_path(run, "run") / "model.keras"
    message = f"`run` must be a run folder with a model.keras. Received: {run}"
    require(path.is_file(), message)
    model = load_model(path)
    shape = getattr(model, "input_shape", None) if model.built else None
    known = isinstance(shape, tuple) and len(shape) in (3, 4) and shape[-1] is not None
    expected = f"{path} must be a model of images or sequences"
    require(known, f"{expected}. Received: inputs of {shape}")
    return model


class RunKeeper(keras.callbacks.Callback):
    """Records losses, times and the best weights, and saves them after each epoch.

    Keras's `BackupAndRestore` saves neither the history nor the best weights,
    and its two files can be of two epochs.

    Args:
        run: `Path`, the run folder; None to save nothing.
        epochs, patience: as in `is_finished`; the training stops when it is.
        writes: bool. False only reads the run folder, which another process of
            the same training writes.

    Attributes:
        history: dict of lists, one number an epoch: `loss`, `val_loss`, and
            `seconds`, of training alone.
        best: list of arrays, the weights of the epoch with the lowest
            `val_loss`.
    """

    def __init__(self, run, epochs, patience=None, writes=True):
        super().__init__()
        self.writes = run is not None and writes
        self.run, self.epochs, self.patience = run, epochs, patience
        self.history = {key: [] for key in HISTORY}
        self.best = None

    def resume(self, autoencoder):
        """Restores the checkpoint, if there is one.

        Args:
            autoencoder: compiled `keras.Model`.

        Returns:
            int, the epochs that are done.
        """
        self.set_model(autoencoder)
        # Before the first epoch is complete, the best weights are the initial
        # ones: a training that is interrupted then can start again from them.
        self.best = autoencoder.get_weights()
        if self.run and (self.run / "checkpoint.npz").exists():
            self.history, self.best = load_checkpoint(self.run, autoencoder)
        return len(self.history["loss"])

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch, logs=None):
        logs = {key: float(logs[key]) for key in ("loss", "val_loss")}
        message = f"The loss is not a number after epoch {epoch + 1}: {logs}"
        finite = np.isfinite(list(logs.values())).all()
        require(finite, f"{message}. Try a lower `learning_rate`.")
        if logs["val_loss"] < min(self.history["val_loss"], default=np.inf):
            self.best = self.model.get_weights()
        for key, value in {**logs, "seconds": self._seconds}.items():
            self.history[key].append(value)
        if self.writes:
            save_checkpoint(self.run, self.model, self.history, self.best)
        self.model.stop_training = self.is_finished()

    def is_finished(self):
        """Returns whether the training is over: bool."""
        return is_finished(self.history, self.epochs, self.patience)

    def finish(self):
        """Gives the model its best weights, and saves it.

        Of a finished training the checkpoint is deleted.
        """
        self.model.set_weights(self.best)
        if self.writes:
            save_run(self.run, self.model, self.history)
            if self.is_finished():
                (self.run / "checkpoint.npz").unlink(missing_ok=True)
