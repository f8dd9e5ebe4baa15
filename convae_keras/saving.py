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
def atomic_write(path):
    """Writes a file aside and renames it: whole under its name, or not there.

    Args:
        path: str or `Path`, the final name. What stood there stays, untouched,
            until the new file is complete on disk.

    Yields:
        `Path`, where to write instead; of the same suffix.

    Raises:
        OSError: naming the file, if it cannot be written, as on a full disk.

    Example:

    >>> with atomic_write("notes.txt") as aside:
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
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Reads a JSON file; a `ValueError` names one that is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"Expected a JSON file at {path}. Received: {error}") from None


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
    with atomic_write(path) as aside:
        small.save(aside)
        # Keras stores its archive's members as they are; half of each weight
        # is zeros now.
        with zipfile.ZipFile(aside) as file:
            members = {info: file.read(info) for info in file.infolist()}
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for info, data in members.items():
                file.writestr(info.filename, data)
        return hashlib.sha256(aside.read_bytes()).hexdigest()


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
