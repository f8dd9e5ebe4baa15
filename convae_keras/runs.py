"""The run folder: what a training leaves on disk, and finds there again."""

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np


@contextlib.contextmanager
def replacing(path):
    """Writes a file aside and renames it: whole under its name, or not there.

    Args:
        path: str or `Path`, the final name. What stood there stays, untouched,
            until the new file is complete on disk.

    Yields:
        `Path`, where to write instead; of the same suffix.

    Raises:
        OSError: naming the file, if it cannot be written, as on a full disk.

    Example:

    >>> with replacing("notes.txt") as aside:
    ...     _ = aside.write_text("whole")
    """
    path = Path(path)
    # One name: what a killed process left there is written over.
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def write_json(path, value):
    """Writes plain values as JSON, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Reads a JSON file; a `ValueError` names one that is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"Expected a JSON file at {path}. Received: {error}") from None


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
    with replacing(run / "checkpoint.npz") as aside:
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
    with replacing(run / "model.keras") as aside:
        model.save(aside)


def save_small(model, path):
    """Writes a model for sharing: weights in half precision, without optimizer.

    Args:
        model: `keras.Model`. Its float32 weights are rounded to float16 values;
            integers stay as they are.
        path: path of a `.keras` file.

    Returns:
        str, the SHA-256 of the file.
    """
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    small = keras.saving.deserialize_keras_object(config)
    small.set_weights(
        [
            w.astype("float16") if w.dtype == "float32" else w
            for w in model.get_weights()
        ]
    )
    with replacing(path) as aside:
        small.save(aside)
        # Keras stores its archive's members as they are; half of each weight
        # is zeros now.
        with zipfile.ZipFile(aside) as file:
            members = {info: file.read(info) for info in file.infolist()}
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for info, data in members.items():
                file.writestr(info.filename, data)
        return hashlib.sha256(aside.read_bytes()).hexdigest()


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


def load_model(path, sha256=None):
    """Loads a `.keras` file.

    Args:
        path: str or `Path`.
        sha256: str, the hash that the file must have; None for any.

    Returns:
        `keras.Model`.

    Raises:
        ValueError: if the file is damaged, or is not the expected one.
    """
    if sha256 is not None:
        found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if found != sha256:
            raise ValueError(
                f"{path} was changed: expected SHA-256 {sha256}. Received: {found}"
            )
    try:
        return keras.models.load_model(path)
    except Exception as error:  # of Keras, of h5py or of zipfile
        raise ValueError(f"{path} cannot be read: {error!r:.300}") from error


def fingerprint(model):
    """Tells one trained model from another.

    Args:
        model: `keras.Model`.

    Returns:
        str, 64 hexadecimal digits: the SHA-256 of the weights, their shapes and
        their order. The same under every backend.
    """
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(f"{weights.dtype.name}{weights.shape}".encode())
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()
