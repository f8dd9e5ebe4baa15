"""Reads a folder of images into arrays of one size, split in three."""

import collections
import math
import shutil
import tempfile
import warnings

import numpy as np

from convae_keras.data import image_files
from convae_keras.data.image_files import FITS, FORMATS, MODES, SkippedFiles, in_threads
from convae_keras.data.splits import carve, find_splits, warn_of_copies
from convae_keras.validation import as_path, check_ints, chunks, is_int, require

# Images that all have one size, at most this on each side, keep it; all others
# are resized to 64 × 64.
LARGEST_KEPT_SIZE = 128

# Bytes. Larger sets of decoded images are kept in a file instead of in memory.
MEMORY_LIMIT = 2**30


def read_folder(
    folder, image_size=None, color=None, fit="crop", seed=0, white=None, background=None
):
    """Reads the images in a folder and its subfolders.

    PNG, JPEG, WebP, BMP, TIFF and GIF files are read, of any size and color mode
    (grayscale, color, palette, CMYK, 1 to 16 bits a channel). Images are rotated
    as their EXIF orientation says, composited over a background where they are
    transparent, and resized to one size. Hidden files and folders are ignored.
    All other files are skipped, and named in a warning; they decide nothing.

    If all images are in subfolders called `train/`, `val/` or `test/` (also
    `training/`, `valid/`, `validation/`, `testing/`, in any case), these are the
    splits; else all are training images. If there is no `test/`, a tenth of the
    training images become the test set, and if there is no `val/`, a twelfth of
    the rest the validation set. A warning names images of which another split
    has a copy.

    Subfolders of a split are class names: the label of an image is the path from
    the split to its folder. A split without subfolders has no labels.

    Args:
        folder: path.
        image_size: int or `(height, width)`. None for the size of the files if
            it is the same for all and neither side exceeds 128, else 64 × 64.
        color: `"grayscale"` (or `"grey"`), `"rgb"`, or None for grayscale if
            all files are grayscale (WebP files never are).
        fit: `"crop"` to crop to the center, or `"pad"` to add black margins.
        seed: int from 0 to 2³² - 1. Each split is shuffled with it, since the order
            of the files is often the order of the labels.
        white: number, the value of white in files of more than 8 bits a sample;
            None for the highest that their bits can hold. Files of signed
            numbers, of floats or of more than 16 bits need it.
        background: str, the color put behind transparent pixels, by name
            or as "#rrggbb"; None for white.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, height, width,
        channels)`; `y_train`, `y_val`, `y_test`: int64 `(n,)`, or None without
        labels; `class_names`: tuple of str, the name of each label; `about`:
        str, what the files are. With more than 1 GiB of pixels (`MEMORY_LIMIT`)
        the `x` are `np.memmap`; their unnamed files are in the system's temporary
        folder (`TMPDIR`) and are deleted with the arrays.

    Raises:
        ValueError: if the folder does not exist, or has no readable image or too
            few to split; if all pixels are the same; for invalid options; or if
            the disk has no space for the temporary file.
    """
    folder, size = as_path(folder, "folder"), _check_options(image_size, color, fit)
    decoding = {"white": white, "background": background}
    image_files.check_decoding(**decoding)
    check_ints(0, 2**32 - 1, seed=seed)
    expected = "`folder` must be a folder of images"
    require(folder.is_dir(), f"{expected}. Received: '{folder}'")
    paths, skipped = image_files.image_paths(folder)
    count = len(paths) + len(skipped)
    infos = _infos(folder, paths, skipped)
    while True:
        splits = find_splits(paths, seed, skipped)
        shape = _common_shape(infos.values(), size, color)
        parts, failed = _read(folder, splits, shape, {"fit": fit, **decoding})
        if not failed:
            break
        # Once more, since what cannot be decoded to its end must not decide.
        skipped |= failed
        infos = {path: infos[path] for path in infos if path not in failed}
    if skipped:
        warnings.warn(SkippedFiles(skipped, count, folder), stacklevel=2)
    readable = f"`folder` must contain readable images ({', '.join(FORMATS)})"
    require("x_train" in parts, f"{readable} to train on. None found in '{folder}'.")
    parts = carve(parts, folder)
    low, high = _extrema(parts)
    expected = f"`folder` must have images of more than one color in '{folder}'"
    hint = f"(transparent ones are laid on `background` {background or 'white'!r})"
    require(low < high, f"{expected}. All pixels are {low} {hint}")
    warn_of_copies(parts, folder)
    about = f"{_describe(infos.values())}, pixels {low} to {high}, splits "
    parts["about"] = about + ("as in the folder" if len(splits) > 1 else "drawn")
    return {key: parts[key] for key in parts if not key.startswith("names")}


def _infos(folder, paths, skipped):
    """Returns the `FileInfo` of each path; adds unreadable files to `skipped`."""

    def info(path):
        with image_files.open_image(folder / path) as (_, info):
            return info

    infos, failed = in_threads(info, paths, "opening")
    skipped |= failed
    return infos


def _common_shape(infos, size, color):
    """Returns `(height, width, channels)`: as asked, else by the files."""
    sizes = {info.size for info in infos}
    if size is None:
        alone = next(iter(sizes)) if len(sizes) == 1 else (64, 64)
        size = alone if max(alone) <= LARGEST_KEPT_SIZE else (64, 64)
    found = "grayscale" if all(info.is_gray for info in infos) else "rgb"
    return (*size, len(MODES[color or found]))  # "L" has one channel, "RGB" three


def _read(folder, splits, shape, options):
    """Reads the files of all splits.

    Returns:
        `(parts, failed)`: dict of `x_…`, `y_…` and `names_…` of each split, and
        `class_names`; dict from the path of each file that could not be decoded
        to the reason.
    """
    pairs = [pair for inside in splits.values() for pair in inside]
    on_disk = len(pairs) * math.prod(shape) > MEMORY_LIMIT
    labels = sorted({label for _, label in pairs} - {None})
    numbers = {label: number for number, label in enumerate(labels)}
    parts, failed, highest = {"class_names": tuple(labels)}, {}, []
    for split, inside in splits.items():
        names = [path for path, _ in inside]
        x = _allocate((len(inside), *shape), on_disk)
        values, broken = _fill(x, folder, names, options)
        highest += [value for value in values if value is not None]
        failed |= broken
        y = [numbers.get(label) for _, label in inside]
        parts |= {f"x_{split}": x, f"names_{split}": names}
        parts[f"y_{split}"] = None if None in y else np.array(y, "int64")
    if not failed:
        image_files.warn_if_dark(highest)
    return parts, failed


def _fill(x, folder, names, options):
    """Reads images into `x`. Returns their highest values, and what failed."""
    mode = image_files.mode_of(x.shape[3])

    def read(i):
        path, size = folder / names[i], x.shape[1:3]
        x[i], highest = image_files.read_image(path, size, mode, **options)
        return highest

    highest, failed = in_threads(read, range(len(names)), "reading")
    return highest.values(), {names[i]: why for i, why in failed.items()}


def _extrema(parts):
    every = [c for key in parts if key.startswith("x_") for c in chunks(parts[key])]
    return min(c.min() for c in every), max(c.max() for c in every)


def _describe(infos):
    """Returns how many files there are of each format and depth."""
    kinds = collections.Counter((info.format, info.bits) for info in infos)
    kinds = (f"{n} {format} of {bits} bits" for (format, bits), n in kinds.items())
    return ", ".join(kinds)


def _check_options(image_size, color, fit):
    """Validates the options; returns `(height, width)`, or None."""
    image_files.check_color(color)
    require(fit in FITS, f"`fit` must be one of {[*FITS]}. Received: {fit!r}")
    if image_size is None:
        return None
    size = np.ravel(image_size).tolist()
    valid = len(size) in (1, 2) and all(is_int(side, 1) for side in size)
    expected = "`image_size` must be a positive int or (height, width)"
    require(valid, f"{expected}. Received: {image_size!r}")
    return (size[0], size[-1])


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
