"""The run folder: what a training leaves on disk, and finds there again."""

import json
import os
import time
from pathlib import Path

import keras
import numpy as np

from convae_keras.saving import atomic_write, load_model, read_json, write_json


def open_run(run, settings):
    """Makes a run folder, or finds one that the same settings began.

    Args:
        run: str or `Path`, the folder.
        settings: dict of plain values, written to `settings.json`.

    Returns:
        `Path`.

    Raises:
        ValueError: if the folder cannot be written, or holds a run of other
            settings; the message names those that differ.
    """
    run = Path(run)
    settings = json.loads(json.dumps(settings))
    if os.path.exists(run / "settings.json"):  # of a `Path`, it can raise
        found = read_json(run / "settings.json")
        keys = sorted(settings.keys() | found.keys())
        differ = [
            f"{key}: there {found.get(key)!r}, asked {settings.get(key)!r}"
            for key in keys
            if found.get(key) != settings.get(key)
        ]
        if differ:
            raise ValueError(
                f"{run} holds a run of other settings. Choose another folder, or "
                f"delete that one. Different are {'; '.join(differ)}"
            )
    try:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "settings.json", settings)
    except OSError as error:
        raise ValueError(
            f"`run` must be a folder that can be written. Received: {run} ({error})"
        ) from None
    return run


def finished_history(run, epochs):
    """The history of a run that has had all its epochs; None of any other."""
    whole = all((run / file).exists() for file in ("model.keras", "history.json"))
    if (run / "checkpoint.npz").exists() or not whole:
        return None
    history = read_json(run / "history.json")
    return history if len(history["loss"]) == epochs else None


def save_checkpoint(run, autoencoder, history, best):
    """Writes everything that the next epoch depends on, as one file.

    Args:
        run: `Path`, the run folder.
        autoencoder: compiled `keras.Model`; its weights, the optimizer's
            variables and the states of its random layers are kept.
        history: dict of lists, one number an epoch.
        best: list of arrays, the best weights so far.
    """
    arrays = {"history": np.array(json.dumps(history))}
    for name, values in (("state", _state(autoencoder)), ("best", best)):
        arrays |= {f"{name}_{i:03}": np.asarray(v) for i, v in enumerate(values)}
    with atomic_write(run / "checkpoint.npz") as aside:
        np.savez(aside, **arrays)


def load_checkpoint(run, autoencoder):
    """Puts a compiled model back where `save_checkpoint` left it.

    Args:
        run: `Path`, the run folder.
        autoencoder: `keras.Model`, compiled as it was.

    Returns:
        `(history, best)` as they were saved; `({}, None)` if there is none.

    Raises:
        ValueError: if the checkpoint is of another network, or broken.
    """
    path = run / "checkpoint.npz"
    if not path.exists():
        return {}, None
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            arrays = {name: file[name] for name in sorted(file.files)}
        history = json.loads(str(arrays.pop("history")))
    except Exception as error:  # zipfile, zlib, NumPy: each has its own
        raise ValueError(f"{path} cannot be read: {error!r:.300}") from None
    state = [arrays[name] for name in arrays if name.startswith("state_")]
    best = [arrays[name] for name in arrays if name.startswith("best_")]
    variables = _state(autoencoder)
    expected, received = ([tuple(v.shape) for v in vs] for vs in (variables, state))
    if expected != received:
        raise ValueError(
            f"{path} is of another network: expected shapes {expected}. "
            f"Received: {received}"
        )
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)
    return history, best


def _state(autoencoder):
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


def save_model(run, model):
    """Writes `model.keras`."""
    with atomic_write(run / "model.keras") as aside:
        model.save(aside)


def load_run(run):
    """Loads the model of a run folder.

    Args:
        run: str or `Path`, a run folder.

    Returns:
        The `keras.Model`, with its best weights.

    Raises:
        ValueError: if there is no model there, or its file is damaged.
    """
    path = Path(run) / "model.keras"
    if not path.is_file():
        raise ValueError(f"Expected a run folder with a model.keras. Received: {run}")
    return load_model(path)


class RunKeeper(keras.callbacks.Callback):
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
