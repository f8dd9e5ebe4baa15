"""Files that are complete or absent: JSON, Keras models, and their hashes."""

import contextlib
import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

import keras
import numpy as np

from convae_keras.validation import require

# The module of each class when run folders began to store a hash of their
# network. Classes may move; classes that are newer than this list have no module.
_LAYERS = ("BicubicUpsampling2D", "CropLike", "UpsampleConv2D")
HASHED_MODULES = dict.fromkeys(_LAYERS, "convae_keras.layers")
HASHED_MODULES |= dict.fromkeys(("Codec", "Tables", "WholeCode"), "convae_keras.codecs")
HASHED_MODULES |= dict.fromkeys(("ExactConv2D", "SideBySide"), "convae_keras.exact")
HASHED_MODULES |= {"Autoencoder": "convae_keras.models"}
# Classes and arguments that have been renamed since then.
HASHED_NAMES = {"DepthToSpace": "SideBySide", "EntropyBottleneck": "WholeCode"}
HASHED_NAMES |= {"EntropyTables": "Tables", "IntegerConv2D": "ExactConv2D"}
HASHED_ARGUMENTS = {"rate_weight": "price"}


@contextlib.contextmanager
def dtype_policy(name):
    """Sets the global dtype policy, such as "float32", for a `with` block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def atomic_write(path):
    """Writes to a temporary file, then renames it to `path`.

    The file at `path` is complete at any moment: an older one stays until the
    new one is on disk. If the block raises, the temporary file is deleted.

    Args:
        path: str or `Path`, the file to write or replace.

    Yields:
        `Path` of the temporary file, in the same folder and of the same suffix.

    Raises:
        OSError: naming the file, if it cannot be written, as on a full disk.

    Example:

    >>> with atomic_write("notes.txt") as temporary:
    ...     _ = temporary.write_text("complete")
    """
    path = Path(path)
    # A fixed name: the next write replaces what a killed process left there.
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    """Writes a JSON file, atomically.

    Args:
        path: str or `Path`.
        value: dicts, lists, str, finite numbers, bools and None.

    Raises:
        ValueError: if `value` has NaN or infinite numbers, which JSON lacks.
        OSError: if the file cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Reads a JSON file that holds an object.

    Args:
        path: str or `Path`.

    Returns:
        dict of the values: dicts, lists, str, numbers, bools and None.

    Raises:
        ValueError: naming the file, if it is missing, not JSON, or no object.
    """
    try:
        value = json.loads(Path(path).read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"Cannot read the JSON file {path}: {error}") from None
    found = type(value).__name__
    require(isinstance(value, dict), f"{path} must hold an object. Received: {found}")
    return value


def load_model(path, sha256=None):
    """Loads a `.keras` file.

    Args:
        path: str or `Path`.
        sha256: str, the SHA-256 that the file must have, 64 hexadecimal digits;
            None for any.

    Returns:
        `keras.Model`.

    Raises:
        ValueError: if the file is missing, damaged, or has another hash.
    """
    path = Path(path)
    require(path.is_file(), f"No such file: {path}")
    if sha256 is not None:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        expected = f"{path} is not the expected file: its SHA-256 must be {sha256}"
        require(found == sha256, f"{expected}. Received: {found}")
    try:
        # The dtype policies of layers are in the file. That of the model is the global
        # one, and decides how many variables its optimizer has.
        with zipfile.ZipFile(path) as file:
            half = b"mixed_float16" in file.read("config.json")
        with dtype_policy("mixed_float16" if half else "float32"):
            return keras.models.load_model(path)
    except Exception as error:  # of Keras, h5py or zipfile
        raise ValueError(f"Cannot load the model {path}: {error!r:.300}") from error


def save_small(model, path):
    """Saves a model for distribution: in half the bytes of its float32 weights.

    The optimizer is left out, float32 weights are rounded to float16, and the
    file is compressed. `keras.models.load_model` opens it; the loaded weights
    are float32 again.

    Args:
        model: `keras.Model`, which stays as it is.
        path: str or `Path` of a `.keras` file.

    Returns:
        str, the SHA-256 of the file, 64 hexadecimal digits.

    Raises:
        OSError: if the file cannot be written.
    """
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    small = keras.saving.deserialize_keras_object(config)
    weights = model.get_weights()
    small.set_weights([w.astype("f2") if w.dtype == "f4" else w for w in weights])
    with atomic_write(path) as temporary:
        small.save(temporary)
        # Keras does not compress; half of the bytes of each weight are now 0, which
        # LZMA notices.
        with zipfile.ZipFile(temporary) as file:
            members = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return hashlib.sha256(temporary.read_bytes()).hexdigest()


def fingerprint(model):
    """Returns a hash that identifies a trained model by its weights.

    Args:
        model: `keras.Model`.

    Returns:
        str, 64 hexadecimal digits: the SHA-256 of the weights' dtypes, shapes
        and values, in order. The same under every backend.
    """
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(f"{weights.dtype.name}{weights.shape}".encode())
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


def architecture_hash(model):
    """Returns a hash that identifies a network, whatever its weights.

    It depends on the layers, their arguments and connections; not on where in
    this package a class is defined, nor on the names that Keras numbers.

    Args:
        model: `keras.Model`.

    Returns:
        str, 16 hexadecimal digits (SHA-256, truncated).
    """
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    text = json.dumps(_without_location(config), sort_keys=True)
    # Keras numbers the layers of a session in their default names.
    text = re.sub(r"_\d+\b", "", text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_location(config):
    """Replaces the module and name of each of our classes in a Keras config."""
    if isinstance(config, list):
        return [_without_location(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _without_location(value) for key, value in config.items()}
    package, _, name = (config.get("registered_name") or "").partition(">")
    if package == "convae_keras":
        arguments = config["config"].items()
        arguments = {HASHED_ARGUMENTS.get(key, key): v for key, v in arguments}
        name = HASHED_NAMES.get(name, name)
        config |= {"class_name": name, "registered_name": f"{package}>{name}"}
        config |= {"module": HASHED_MODULES.get(name), "config": arguments}
    return config
