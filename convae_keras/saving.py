"""Files that are complete or absent: JSON, Keras models, and their hashes."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np

from convae_keras import untrusted
from convae_keras.keras_settings import standard_settings
from convae_keras.validation import check_limit, require

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

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
def atomic_write(path, overwrite=True):
    """Writes to a temporary file, then renames it to `path`.

    The file at `path` is complete at any moment: an older one stays until the
    new one is on disk. If the block raises, the temporary file is deleted; if
    the process is killed, it stays, hidden, and hinders nobody.

    Args:
        path: str or `Path`, the file to write or replace.
        overwrite: bool, whether a file that is there by then is replaced.

    Yields:
        `Path` of the temporary file, in the same folder and of the same suffix.

    Raises:
        OSError: naming the file, if it cannot be written, as on a full disk; with
            `errno.EEXIST` if it is there and must not be replaced.

    Example:

    >>> with atomic_write("notes.txt") as temporary:
    ...     _ = temporary.write_text("complete")
    """
    path = Path(path)
    # Nobody has a file of this name, nor can plant a link; and it is short enough
    # wherever `path` is. Keras and NumPy look at the suffix.
    name = f".convae-{secrets.token_hex(8)}.part{path.suffix[-16:]}"
    temporary = path.with_name(name)
    try:
        open(temporary, "xb").close()
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            _rename(temporary, path, overwrite)
        finally:
            temporary.unlink(missing_ok=True)
    except ConnectionError:  # of who computes the contents
        raise
    except OSError as error:
        why = error.strerror or error
        named = OSError(f"{path} could not be written: {why}")
        named.errno = error.errno
        raise named from error


def _rename(temporary, path, overwrite):
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # which, unlike a rename, replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(temporary, path)


@contextlib.contextmanager
def locked(folder, name="", argument="destination"):
    """Keeps other processes from writing a folder during a `with` block.

    A process that has ended, even if it was killed, keeps nobody out. A folder
    that is missing is created, and deleted again if it is empty at the end.

    Args:
        folder: str or `Path`.
        name: str, a file in it, which alone is locked; the empty str for the
            folder.
        argument: str, what the path is called in error messages.

    Raises:
        ValueError: if another process has the lock, or the folder cannot be
            written.
    """
    folder = Path(folder)
    key = name and "-" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    path, is_new = folder / f".convae{key}.lock", not os.path.lexists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_lock(path)
    except OSError as error:
        expected = f"`{argument}` must be where files can be written"
        raise ValueError(f"{expected}. Received: {folder} ({error})") from None
    message = f"`{argument}` must not be what another process is writing now"
    require(file is not None, f"{message}. Received: {folder / name}")
    try:
        yield
    finally:
        # A file of the user's would not be empty. Windows deletes ours itself.
        if fcntl and os.fstat(file).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(file)
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # fails if there is anything inside


def _open_lock(path):
    """Returns the descriptor of a file that is open in one process only, or None."""
    flags = os.O_CREAT | os.O_RDWR
    if fcntl is None:  # Windows deletes it with its process
        try:
            return os.open(path, flags | os.O_EXCL | os.O_TEMPORARY)
        except (FileExistsError, PermissionError):
            return None
    file = os.open(path, flags | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who had it before may have deleted it since we opened it.
        is_ours = os.path.samestat(os.fstat(file), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    except OSError:  # a file system without locks
        is_ours = True
    if not is_ours:
        os.close(file)
    return file if is_ours else None


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


def read_json(path, shape=None):
    """Reads a JSON file that holds an object.

    Args:
        path: str or `Path`.
        shape: dict from keys to shapes, as for `untrusted.fits`; None for any
            object.

    Returns:
        dict of the values: dicts, lists, str, numbers, bools and None.

    Raises:
        ValueError: naming the file, if it is missing, not JSON, larger than the
            limit, or of another shape.
    """
    with untrusted.named(f"Cannot read the JSON file {path}"):
        require(os.path.isfile(path), "no such file")
        check_limit(os.path.getsize(path), "characters")
        value = untrusted.parse_json(Path(path).read_text(encoding="utf-8"))
    untrusted.check_shape(value, shape or {}, path)
    return value


def load_model(path, sha256=None):
    """Loads a `.keras` file.

    Before anything of a file without a known hash is created, its layers, its
    parameters and its weights are counted.

    Args:
        path: str or `Path`.
        sha256: str, the SHA-256 that the file must have, 64 hexadecimal digits;
            None for any.

    Returns:
        `keras.Model`.

    Raises:
        ValueError: if the file is missing, damaged, has another hash, or would
            take more memory than the limit.
    """
    path = Path(path)
    require(path.is_file(), f"No such file: {path}")
    if sha256 is not None:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        expected = f"{path} is not the expected file: its SHA-256 must be {sha256}"
        require(found == sha256, f"{expected}. Received: {found}")
    with untrusted.named(f"Cannot load the model {path}"):
        if sha256 is not None:
            with zipfile.ZipFile(path) as file:
                return _load(path, file.read("config.json"))
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            untrusted.unpack_model(path, folder)
            config = Path(folder, "config.json").read_bytes()
            return _load(folder, config, untrusted.check_model)


def _load(path, config, check=lambda path: None):
    # The dtype policies of layers are in the file. That of the model is the global
    # one, and decides how many variables its optimizer has.
    half = b"mixed_float16" in config
    with standard_settings("mixed_float16" if half else "float32"):
        check(path)
        return keras.models.load_model(path)


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
    return hashlib.sha256(re.sub(r"_\d+\b", "", text).encode()).hexdigest()[:16]


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
