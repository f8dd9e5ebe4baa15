"""Reads a folder of images into arrays of one size, split in three."""

import math
import shutil
import tempfile
import warnings
from pathlib import Path, PurePath

import numpy as np
from PIL import ImageOps

from convae_keras.data import image_files
from convae_keras.data.image_files import FITS, FORMATS, MODES, in_threads
from convae_keras.validation import require

SPLITS = ("train", "val", "test")

# Missing splits are taken from the training images in this order: one image in
# 10 for testing, then one in 12 of the rest for validation.
ONE_IN = {"test": 10, "val": 12}

# Images that all have one size, at most this on each side, keep it; all others
# are resized to 64 × 64.
LARGEST_KEPT_SIZE = 128

# Bytes. Larger sets of decoded images are kept in a file instead of in memory.
MEMORY_LIMIT = 2**30


def read_folder(folder, image_size=None, color=None, fit="crop", seed=0):
    """Reads the images in a folder and its subfolders.

    PNG, JPEG, WebP, BMP and TIFF files are read, of any size and color mode
    (grayscale, color, palette, CMYK, 1 to 16 bits a channel). Images are rotated
    as their EXIF orientation says, composited over white where they are
    transparent, and resized to one size. Hidden files and folders are ignored.
    Files that cannot be read are skipped, and named in a warning.

    Subfolders `train/`, `val/` and `test/` are the splits; images outside of
    them are left out with a warning. Without `train/`, all images are training
    images. If there is no `test/`, a tenth of the training images become the
    test set, and if there is no `val/`, a twelfth of the rest the validation set.

    Subfolders of a split are class names: the label of an image is the path from
    the split to its folder. A split without subfolders has no labels.

    Args:
        folder: path.
        image_size: int or `(height, width)`. None for the size of the files if
            it is the same for all and neither side exceeds 128, else 64 × 64.
        color: `"grayscale"` (or `"grey"`), `"rgb"`, or None for grayscale if
            all files are grayscale (WebP files never are).
        fit: `"crop"` to crop to the center, or `"pad"` to add black margins.
        seed: int. Each split is shuffled with it, since the order of the files
            is often the order of the labels.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, height, width,
        channels)`; `y_train`, `y_val`, `y_test`: int64 `(n,)`, or None without
        labels; `class_names`: tuple of str, the name of each label. With more
        than 1 GiB of pixels (`MEMORY_LIMIT`) the `x` are `np.memmap`; their
        unnamed files are in the system's temporary folder (`TMPDIR`) and are
        deleted with the arrays.

    Raises:
        ValueError: if the folder does not exist, or has no readable image or too
            few to split; for invalid options; or if the disk has no space for
            the temporary file.
    """
    folder, size = Path(folder), _check_options(image_size, color, fit)
    expected = "`folder` must be a folder of images"
    require(folder.is_dir(), f"{expected}. Received: '{folder}'")
    splits = find_splits(folder, seed)
    files = [folder / path for inside in splits.values() for path, _ in inside]
    headers = in_threads(_read_header, files, "reading sizes")
    headers = [header for header in headers if not isinstance(header, str)]
    size = size or _common_size({size for size, _ in headers})
    found = "grayscale" if all(is_gray for _, is_gray in headers) else "rgb"
    mode = MODES[color or found]
    shape = (*size, len(mode))  # "L" has one channel, "RGB" three
    on_disk = len(files) * math.prod(shape) > MEMORY_LIMIT

    parts, skipped = {}, {}
    labels = {label for inside in splits.values() for _, label in inside} - {None}
    numbers = {label: number for number, label in enumerate(sorted(labels))}
    for split, inside in splits.items():
        x = _allocate((len(inside), *shape), on_disk)
        errors = _fill(x, [folder / path for path, _ in inside], mode, fit)
        skipped |= {str(inside[i][0]): error for i, error in errors.items()}
        y = [numbers.get(file[1]) for i, file in enumerate(inside) if i not in errors]
        if y:
            parts[f"x_{split}"] = x[: len(y)]
            parts[f"y_{split}"] = None if None in y else np.array(y, "int64")
    if skipped:
        skipped = dict(sorted(skipped.items()))
        message = image_files.skipped_message(skipped, len(files), folder)
        warnings.warn(message, stacklevel=2)
    formats = ", ".join(FORMATS)
    readable = f"`folder` must contain readable images ({formats}) to train on"
    require("x_train" in parts, f"{readable}. None found in '{folder}'.")
    return {**carve(parts, folder), "class_names": tuple(numbers)}


def carve(parts, origin):
    """Takes the splits that are missing from the end of the training images.

    Args:
        parts: dict of `x_train`, `y_train` and optionally the same of `val` and
            `test`. The `y` may be None. Anything else is kept as it is.
        origin: str, where they come from, for error messages.

    Returns:
        dict with all six; the splits taken from `x_train` are views.

    Raises:
        ValueError: if there are too few training images, or their labels are
            more or fewer.
    """
    missing = [split for split in ONE_IN if f"x_{split}" not in parts]
    n, needed = len(parts["x_train"]), 1 + len(missing)
    expected = f"`x_train` needs at least {needed} images, to split off {missing}"
    require(n >= needed, f"{expected}. Received: {n} in '{origin}'")
    labels = n if parts["y_train"] is None else len(parts["y_train"])
    require(labels == n, f"`y_train` must have {n} labels. Received: {labels}")
    parts = dict(parts)
    for split in missing:
        n -= max(1, n // ONE_IN[split])
        for kind in "xy":
            rows = parts[f"{kind}_train"]
            pair = (None, None) if rows is None else (rows[:n], rows[n:])
            parts[f"{kind}_train"], parts[f"{kind}_{split}"] = pair
    return parts


def find_splits(folder, seed):
    """Finds the images in a folder and its subfolders, by split and label.

    Args:
        folder: `Path`.
        seed: int, for the order.

    Returns:
        dict from each existing split to its files, shuffled: pairs of a path,
        relative to `folder`, and a label or None.

    Raises:
        ValueError: if there is a `val/` or `test/` but no `train/`.
    """
    paths = image_files.image_paths(folder)
    tops = {path.split("/")[0] for path in paths if "/" in path} & set(SPLITS)
    expected = "`folder` must contain `train/` beside `val/` or `test/`"
    require("train" in tops or not tops, f"{expected}. Received: {sorted(tops)}")
    splits = {"train": paths}
    if tops:
        splits = {s: [p for p in paths if p.startswith(f"{s}/")] for s in SPLITS}
        outside = len(paths) - sum(map(len, splits.values()))
        if outside:
            left_out = f"Left out {outside} images outside train/, val/ and test/"
            warnings.warn(f"{left_out} of '{folder}'", stacklevel=3)
    for split, inside in splits.items():
        start = len(f"{split}/") if tops else 0
        labels = [PurePath(path[start:]).parent.as_posix() for path in inside]
        # Images beside the folders of labels form a class of their own, ".".
        labels = [None] * len(labels) if {*labels} == {"."} else labels
        # Unlike `default_rng`, it promises the same order in every NumPy.
        order = np.random.RandomState(seed).permutation(len(inside))
        splits[split] = [(inside[i], labels[i]) for i in order]
    return splits


def _check_options(image_size, color, fit):
    """Validates the options; returns `(height, width)`, or None."""
    image_files.check_color(color)
    require(fit in FITS, f"`fit` must be one of {[*FITS]}. Received: {fit!r}")
    if image_size is None:
        return None
    size = np.ravel(image_size)
    valid = size.dtype.kind in "iu" and size.size in (1, 2) and size.min() >= 1
    expected = "`image_size` must be a positive int or (height, width)"
    require(valid, f"{expected}. Received: {image_size!r}")
    return tuple(np.broadcast_to(size, 2).tolist())


def _read_header(path):
    """Returns `(height, width)`, and whether the file is grayscale."""
    with image_files.open_image(path) as image:
        is_gray = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
        width, height = image.size
        # The orientation matters only where the size may be kept.
        if width != height and max(image.size) <= LARGEST_KEPT_SIZE:
            width, height = ImageOps.exif_transpose(image).size
    return (height, width), is_gray


def _common_size(sizes):
    size = next(iter(sizes), (64, 64))
    return size if len(sizes) == 1 and max(size) <= LARGEST_KEPT_SIZE else (64, 64)


def _fill(x, paths, mode, fit):
    """Reads images into the first rows of `x`; returns `{i: error}` of the others."""
    height, width = x.shape[1:3]

    def read(i):
        image = image_files.read_image(paths[i], (width, height), mode, fit)
        x[i] = np.asarray(image).reshape(x.shape[1:])

    results = in_threads(read, range(len(paths)), "reading")
    errors = {i: error for i, error in enumerate(results) if error is not None}
    kept = (i for i in range(len(paths)) if i not in errors)
    for row, i in enumerate(kept):
        if row != i:  # closes a gap in place, without a second copy of the array
            x[row] = x[i]
    return errors


def _allocate(shape, on_disk):
    """Returns an uninitialized uint8 array, in memory or in a temporary file."""
    if not on_disk or 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, "uint8")
    place, size = tempfile.gettempdir(), math.prod(shape)
    free = shutil.disk_usage(place).free
    expected = f"`TMPDIR` must have {size:,} bytes free, for {shape[0]:,} images"
    require(size <= free, f"{expected}. Received: '{place}' with {free:,}")
    # The file has no name, or loses it here; its mapping remains valid.
    with tempfile.TemporaryFile(dir=place) as file:
        return np.memmap(file, "uint8", "w+", shape=shape)
