"""Files that anybody may have made: sizes are checked before memory is taken."""

import contextlib
import io
import json
import math
import os
import reprlib
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf
from numpy.lib import format as npy

from convae_keras.validation import check_limit, is_number, reason, require

# What NumPy writes, and what a `.keras` file may be: `save_small` uses LZMA.
ARRAYS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
MODELS = ARRAYS | {zipfile.ZIP_LZMA}

# The parts of a `.keras` file that are read, and what is limited of each.
PARTS = {"config.json": "config characters", "model.weights.h5": "bytes"}

# Bytes read at once from a zip file. LZMA unpacks them to 7,000 times as many.
PIECE = 4096

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

KINDS = {float: "a finite number", int: "an integer", str: "a text"}
KINDS |= {bool: "true or false", dict: "an object", None: "nothing"}


@contextlib.contextmanager
def named(message):
    """Turns whatever is raised about a file into one `ValueError` that names it.

    Libraries raise many kinds for broken files, `MemoryError` among them.

    Args:
        message: str, which says what was expected, and names the file.

    Raises:
        ValueError: `message`, with the reason after it.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"{message}: {reason(error)}") from error


# --- JSON --------------------------------------------------------------------


def parse_json(text):
    """Parses JSON, whose only numbers are finite.

    Args:
        text: str, or bytes in UTF-8.

    Returns:
        dict, list, str, number, bool or None.

    Raises:
        ValueError: if it is no JSON, or longer than the limit.
        RecursionError: for a thousand lists in one another.
    """
    check_limit(len(text), "characters")

    def finite(number):
        require(math.isfinite(float(number)), f"{number} is not a finite number")
        return float(number)

    return json.loads(text, parse_constant=finite, parse_float=finite)


def fits(value, shape):
    """Returns whether a value that was JSON is of a shape.

    Args:
        value: as `parse_json` returns it.
        shape: a type, where `float` is any finite number; `None`; `[shape]` for
            a list of such values, and `[shape, shape]` for one of two; a dict
            from keys to shapes, for an object with these keys and others (a
            missing one counts as None); or a tuple of shapes, any of which will
            do.

    Returns:
        bool.

    Example:

    >>> fits({"loss": [0.5, 1]}, {"loss": [float], "note": (str, None)})
    True
    """
    if isinstance(shape, tuple):
        return any(fits(value, each) for each in shape)
    if isinstance(shape, list):
        count = len(value) if isinstance(value, list) else -1
        shapes = shape if len(shape) > 1 else shape * count
        return count == len(shapes) and all(map(fits, value, shapes))
    if isinstance(shape, dict):
        pairs = shape.items()
        return isinstance(value, dict) and all(fits(value.get(k), s) for k, s in pairs)
    if shape is float:
        return is_number(value) and abs(value) <= sys.float_info.max
    return value is None if shape is None else type(value) is shape


def check_shape(value, shape, name):
    """Raises an error that names the first key of an object that does not fit.

    Args:
        value: as `parse_json` returns it.
        shape: dict from keys to shapes, as for `fits`.
        name: str, of the file.

    Raises:
        ValueError: if `value` is not of that shape.
    """
    found = type(value).__name__
    require(type(value) is dict, f"{name} must hold an object. Received: {found}")
    for key, expected in shape.items():
        found, message = value.get(key), f"`{key}` in {name} must be {_words(expected)}"
        require(fits(found, expected), f"{message}. Received: {reprlib.repr(found)}")


def _words(shape):
    if isinstance(shape, tuple):
        return " or ".join(_words(each) for each in shape)
    if isinstance(shape, list):
        count = f" of {len(shape)}" if len(shape) > 1 else ""
        return f"a list{count}, its entries {_words(shape[0])}"
    return f"an object with {[*shape]}" if isinstance(shape, dict) else KINDS[shape]


# --- arrays ------------------------------------------------------------------


def read_npz(path, names=None, known=0):
    """Reads arrays of an `.npz` file, after the headers of all.

    Args:
        path: `Path`.
        names: collection of the arrays to read, where they are there; None for
            all.
        known: int, bytes that are no reason to refuse it: of what is in memory
            already.

    Returns:
        dict from names to arrays.

    Raises:
        ValueError: if a header does not fit what follows it, for arrays of
            objects, and for more bytes than the limit; besides what `zipfile`,
            `zlib` and NumPy raise.
    """
    with _open_zip(path, ARRAYS) as file:
        members = {name.removesuffix(".npy"): name for name in file.namelist()}
        kept = [name for name in members if names is None or name in names]
        total = 0
        for name, member in members.items():
            # All, or one whose name is damaged would count as missing.
            with file.open(member) as opened:
                size = file.getinfo(member).file_size
                total += _promised(opened, size) if name in kept else 0
        check_limit(total - known, "bytes")
        arrays = {}
        for name in kept:
            with file.open(members[name]) as opened:
                arrays[name] = npy.read_array(opened, allow_pickle=False)
        return arrays


def map_npy(path):
    """Maps an `.npy` file into memory, after a look at its header.

    Args:
        path: `Path`.

    Returns:
        `np.memmap`.

    Raises:
        ValueError, OSError: if it is no such file, or damaged.
    """
    with _SmallReads(path) as file:
        _promised(file, os.path.getsize(path))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _promised(file, size):
    """Returns the bytes of memory that an array takes, by its header.

    Raises an error if they are not what is left of a file of that size.
    """
    version = npy.read_magic(file)
    require(version in HEADERS, f"version {version} of the .npy format")
    shape, _, dtype = HEADERS[version](file)
    require(not dtype.hasobject, "object arrays cannot be loaded")
    sides = all(type(side) is int and side >= 0 for side in shape)
    require(sides and dtype.itemsize > 0, f"an array of {dtype} of shape {shape}")
    promised, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    message = f"an array of {promised:,} bytes by its header, and {left:,} follow"
    require(promised == left, message)
    # Rows of no columns take memory as soon as they become a list.
    return math.prod(max(side, 1) for side in shape) * dtype.itemsize


# --- models ------------------------------------------------------------------


def unpack_model(path, folder):
    """Unpacks a `.keras` file into a folder, from where Keras loads it as well.

    Args:
        path: `Path`.
        folder: `Path` of an empty folder.

    Raises:
        ValueError, KeyError: if a part is missing, or larger than the limit;
            besides what `zipfile` and `zlib` raise.
    """
    with _open_zip(path, MODELS) as file:
        for name, unit in PARTS.items():
            check_limit(file.getinfo(name).file_size, unit)
            with file.open(name) as packed, open(Path(folder, name), "wb") as plain:
                # In pieces, since a part may unpack to more than it says.
                shutil.copyfileobj(packed, plain, PIECE)


def check_model(folder):
    """Raises an error for an unpacked model that would take too much memory.

    Args:
        folder: `Path`, as `unpack_model` left it.

    Raises:
        ValueError: if its layers, their outputs for one image, its parameters or
            its weights are more than the limit; besides what Keras and h5py raise.
    """
    config = parse_json(Path(folder, "config.json").read_bytes())
    objects = [each for each in _objects(config) if "class_name" in each]
    check_limit(sum(map(_steps, objects)), "objects")
    for each in objects:
        each.pop("compile_config", None)  # an optimizer needs variables at once
    # In a thread of its own, whose state Keras keeps apart and forgets.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_symbolically, _check_sizes, config).result()
    sizes = []

    def add(_, item):
        if isinstance(item, h5py.Dataset):
            require(not item.dtype.hasobject, "weights that are no numbers")
            sizes.append(item.nbytes)

    with h5py.File(Path(folder, "model.weights.h5")) as file:
        file.visititems(add)
    check_limit(sum(sizes), "bytes")


def _steps(item):
    """Returns the objects that Keras makes of one: a `Sequential` for each layer."""
    inner = item.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    return len(layers or ()) ** 2 if item["class_name"] == "Sequential" else 1


def _symbolically(function, *arguments):
    """Calls a function while tensors have only a shape; under PyTorch, as it is."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jax.eval_shape(lambda: function(*arguments))
    elif backend == "tensorflow":
        with tf.Graph().as_default():
            function(*arguments)
    else:
        function(*arguments)


def _check_sizes(config):
    # In this scope, variables have only a shape. Leaving it would create them.
    keras.StatelessScope().__enter__()
    model = keras.saving.deserialize_keras_object(config)
    require(isinstance(model, keras.Model), "it holds no model")
    count = sum(math.prod(variable.shape) for variable in model.variables)
    check_limit(count, "parameters")
    for output in _outputs(model):
        check_limit(math.prod(side or 1 for side in output.shape), "pixels")


def _outputs(model):
    for layer in model.layers:
        yield from keras.tree.flatten(getattr(layer, "output", []))
        yield from _outputs(layer) if isinstance(layer, keras.Model) else ()


def _objects(value):
    """Yields all dicts in a value that was JSON; without recursion."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


# --- zip files ---------------------------------------------------------------


class _SmallReads(io.FileIO):
    """A file of which no large part is read at once.

    `zipfile` reads the directory of an archive whole, and makes an object for
    each of its entries; NumPy reads a header that may claim to have gigabytes.
    """

    def read(self, size=-1):
        # Python would allocate what is asked for, though the file has less.
        left = os.fstat(self.fileno()).st_size - self.tell()
        size = left if size < 0 else min(size, left)
        check_limit(size, "characters")
        return super().read(size)


@contextlib.contextmanager
def _open_zip(path, methods):
    with _SmallReads(path) as opened, zipfile.ZipFile(opened) as file:
        others = {member.compress_type for member in file.infolist()} - methods
        require(not others, f"compressed by the unsupported methods {sorted(others)}")
        yield file
