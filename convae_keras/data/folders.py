"""A folder of somebody's images, read into arrays of one size and one kind."""

import math
import shutil
import tempfile
import warnings
from pathlib import Path, PurePath

import numpy as np
from PIL import ImageOps

from convae_keras.data.image_files import (
    FITS,
    FORMATS,
    MODES,
    image_paths,
    in_threads,
    open_image,
    read_image,
    skipped_message,
)
from convae_keras.validation import expect

SPLITS = ("train", "val", "test")


# What is missing is carved from the training images, in this order: a tenth of
# them, a twelfth of those that are left.
SHARES = {"test": 10, "val": 12}


# Images of one size keep it up to this side; all others come to 64 × 64.
LARGEST_KEPT_SIDE = 128


# Bytes. A larger set of decoded images lives in a file, not in memory.
MEMORY_LIMIT = 2**30


def read_folder(folder, image_size=None, color=None, fit="crop", seed=0):
    """Reads the images in a folder, and in the folders inside it.

    PNG, JPEG, WebP, BMP and TIFF are read, of any size and kind (grey, colour,
    palette, CMYK, 1 to 16 bits). They are turned as their EXIF orientation
    says, laid over white where they are transparent, and brought to one size.
    Hidden files and folders are left alone. A file that cannot be read is
    skipped, and a warning names it.

    A folder `train/` makes `train/`, `val/` and `test/` the splits, and what
    lies elsewhere is left out with a warning. Without `train/` all images are
    taken for training images. Of those, if there is no `test/`, a tenth become
    the test set, and then, if there is no `val/`, a twelfth the validation set.

    Folders inside a split are labels: the label of an image is the path from
    the split to its folder. A split without folders has no labels.

    Args:
        folder: path.
        image_size: int or `(height, width)`. None for the size of the files if
            it is the same for all, with no side above 128, and else 64 × 64.
        color: `"grey"`, `"rgb"`, or None for grey if every file is of a grey
            kind (WebP files never are).
        fit: `"crop"` to cut what stands over around the centre, or `"pad"` to
            add black margins.
        seed: int. Each split stands in an order drawn from it, never in the
            order of the files, which is often the order of the labels.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, height, width,
        channels)`; `y_train`, `y_val`, `y_test`: int64 `(n,)`, or None without
        labels; `class_names`: tuple of str, the label that each int stands for.
        Above 1 GiB of pixels (`MEMORY_LIMIT`) the `x` are `np.memmap`, whose
        nameless files lie among the system's temporary ones (`TMPDIR` says
        where) and are gone when the arrays are.

    Raises:
        ValueError: if there is no such folder, no readable image or too few to
            split, for an option that does not exist, or if the temporary file
            has no room on the disk.
    """
    folder, size = Path(folder), _checked(image_size, color, fit)
    expect(folder.is_dir(), "folder", "a folder of images", f"'{folder}'")
    splits = arrange(folder, seed)
    files = [folder / path for inside in splits.values() for path, _ in inside]
    headers = in_threads(_header, files, "looking at")
    headers = [header for header in headers if not isinstance(header, str)]
    size = size or _common_size({size for size, _ in headers})
    kind = "grey" if all(is_grey for _, is_grey in headers) else "rgb"
    mode = MODES[color or kind]
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
        warnings.warn(skipped_message(skipped, len(files), folder), stacklevel=2)
    readable = f"a folder of readable images ({', '.join(FORMATS)}) to train on"
    expect("x_train" in parts, "folder", readable, f"none in '{folder}'")
    return {**carve(parts, folder), "class_names": tuple(numbers)}


def carve(parts, origin):
    """Splits that are missing are taken from the end of the training images.

    Args:
        parts: dict of `x_train`, `y_train` and, if they are there, the same of
            `val` and `test`. The `y` may be None.
        origin: what a complaint names.

    Returns:
        dict of all six; what is carved is a view.

    Raises:
        ValueError: if there are fewer training images than splits to fill.
    """
    missing = [split for split in SHARES if f"x_{split}" not in parts]
    n, needed = len(parts["x_train"]), 1 + len(missing)
    enough = f"at least {needed} images, to be split into train, {', '.join(missing)}"
    expect(n >= needed, "x_train", enough, f"{n} in '{origin}'")
    parts = dict(parts)
    for split in missing:
        n -= max(1, n // SHARES[split])
        for letter in "xy":
            whole = parts[f"{letter}_train"]
            halves = (None, None) if whole is None else (whole[:n], whole[n:])
            parts[f"{letter}_train"], parts[f"{letter}_{split}"] = halves
    return parts


def _checked(image_size, color, fit):
    """`(height, width)` or None, after the options were looked at."""
    expect(color in (None, *MODES), "color", f"None or in {[*MODES]}", repr(color))
    expect(fit in FITS, "fit", f"in {[*FITS]}", repr(fit))
    if image_size is None:
        return None
    size = np.ravel(image_size)
    good = size.dtype.kind in "iu" and size.size in (1, 2) and size.min() >= 1
    expect(good, "image_size", "a positive int, or (height, width)", repr(image_size))
    return tuple(np.broadcast_to(size, 2).tolist())


def arrange(folder, seed):
    """Finds the images in a folder and in the folders inside it.

    Args:
        folder: `Path`.
        seed: int, for the order.

    Returns:
        dict from each split there is to its files, shuffled: pairs of a path,
        from the folder on, and a label or None.

    Raises:
        ValueError: if there is a `val/` or `test/` and no `train/`.
    """
    paths = image_paths(folder)
    tops = {path.split("/")[0] for path in paths if "/" in path} & set(SPLITS)
    expect("train" in tops or not tops, "folder", "one with `train/` too", sorted(tops))
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
        # Images beside the folders of labels make a class of their own, ".".
        labels = [None] * len(labels) if {*labels} == {"."} else labels
        # Unlike `default_rng`, it promises the same order in every NumPy.
        order = np.random.RandomState(seed).permutation(len(inside))
        splits[split] = [(inside[i], labels[i]) for i in order]
    return splits


def _header(path):
    """`(height, width)`, and whether the kind of file is grey."""
    with open_image(path) as image:
        is_grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
        width, height = image.size
        # Which way up matters only where the size may be kept.
        if width != height and max(image.size) <= LARGEST_KEPT_SIDE:
            width, height = ImageOps.exif_transpose(image).size
    return (height, width), is_grey


def _common_size(sizes):
    size = next(iter(sizes), (64, 64))
    return size if len(sizes) == 1 and max(size) <= LARGEST_KEPT_SIDE else (64, 64)


def _fill(x, paths, mode, fit):
    """Reads images into the first rows of `x`; `{i: why}` of those that cannot be."""
    height, width = x.shape[1:3]

    def read(i):
        image = read_image(paths[i], (width, height), mode, fit)
        x[i] = np.asarray(image).reshape(x.shape[1:])

    results = in_threads(read, range(len(paths)), "reading")
    errors = {i: error for i, error in enumerate(results) if error is not None}
    kept = (i for i in range(len(paths)) if i not in errors)
    for row, i in enumerate(kept):
        if row != i:  # closes a gap in place: no second copy of all
            x[row] = x[i]
    return errors


def _allocate(shape, on_disk):
    """An array of bytes to be filled."""
    if not on_disk or 0 in shape:  # a file of no bytes cannot be mapped
        return np.empty(shape, "uint8")
    place, size = tempfile.gettempdir(), math.prod(shape)
    free = shutil.disk_usage(place).free
    room = f"a folder with {size:,} bytes free, for {shape[0]:,} images"
    expect(size <= free, "TMPDIR", room, f"'{place}' with {free:,}")
    # The file has no name, or loses it here; what is mapped lives on.
    with tempfile.TemporaryFile(dir=place) as file:
        return np.memmap(file, "uint8", "w+", shape=shape)
