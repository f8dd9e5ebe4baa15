"""Cuts photographs into patches at full resolution, to train restorers on."""

import math
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from convae_keras.data import image_files
from convae_keras.data.image_files import MODES, SkippedFiles, decode, open_image
from convae_keras.data.splits import SPLITS, carve, find_splits
from convae_keras.validation import as_path, check_ints, reason, require

# The photographs that scikit-image and scikit-learn ship, split by file. Images
# that are mostly black or flat are left out: a network trained on them takes
# every detail for noise.
PHOTOGRAPHS = {
    "train": tuple(
        "astronaut.png brick.png coins.png grass.png gravel.png ihc.png "
        "motorcycle_left.png motorcycle_right.png rocket.jpg".split()
    ),
    "val": ("camera.png", "flower.jpg"),
    "test": ("chelsea.png", "china.jpg", "coffee.png"),
}

# Pixels on each side. Divisible by 2, 3 and 4, the usual scales.
PATCH_SIZE = 72

# Patches that are taken from a folder, about: of each of n files at most an n-th.
MOST_PATCHES = 20_000

# Subfolders of corrupted images and of the clean images of the same names.
PAIRED = ("input", "target")


def photographs(split, color="rgb"):
    """Returns photographs that come with scikit-image and scikit-learn.

    Args:
        split: `"train"` (nine, four of them grayscale), `"val"` (two, one of
            them grayscale) or `"test"` (three).
        color: `"rgb"`, or `"grayscale"` (or `"grey"`) for their luma.

    Returns:
        dict from file name to uint8 `(height, width, channels)`.

    Raises:
        ValueError: for an unknown split or color.
    """
    for name, value, known in (("split", split, PHOTOGRAPHS), ("color", color, MODES)):
        message = f"`{name}` must be one of {[*known]}. Received: {value!r}"
        require(value in known, message)
    # Found, not imported, which takes longer.
    places = ("skimage", "data"), ("sklearn", "datasets/images")
    folders = [Path(find_spec(name).origin).parent / data for name, data in places]
    found = {}
    for name in PHOTOGRAPHS[split]:
        path = next(p / name for p in folders if (p / name).exists())
        with open_image(path) as (image, info):
            image, _ = decode(image, info, MODES[color])
            found[name] = np.atleast_3d(np.asarray(image))
    return found


def photograph_patches(patch_size=PATCH_SIZE, color="rgb"):
    """Returns patches of those photographs, split by photograph.

    Args:
        patch_size: int from 3 to 150, pixels on each side.
        color: `"rgb"`, or `"grayscale"` (or `"grey"`) for their luma.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, patch_size, patch_size,
        channels)`. The training patches overlap, are taken from each photograph
        at full and at half size, and half of them have their colors changed at
        random.

    Raises:
        ValueError: if `patch_size` is not an int from 3 to 150, a size that fits
            every photograph at half size; or for an unknown color.
    """
    check_ints(3, 150, patch_size=patch_size)
    parts = {}
    for split in SPLITS:
        images = photographs(split, color).values()
        stride = None
        if split == "train":
            halves = [np.atleast_3d(_half(np.squeeze(image))) for image in images]
            images, stride = [*images, *halves], patch_size // 3
        patches = [cut(image, patch_size, stride) for image in images]
        parts[f"x_{split}"] = np.concatenate(patches)
    return parts | {"x_train": _vary_colors(parts["x_train"])}


def _half(image):
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _vary_colors(patches):
    """Permutes the channels of half of the patches, and reduces their contrast.

    So few photographs contain few colors, and a network trained mostly on gray
    ones would desaturate a red flower.
    """
    n, channels = len(patches), patches.shape[-1]
    random = np.random.RandomState(1)
    gain = random.uniform(0.3, 1, (n, 1, 1, channels))
    offset = random.uniform(0, 255 * (1 - gain))
    orders = np.argsort(random.uniform(size=(n, 1, 1, channels)), axis=-1)
    chosen = random.uniform(size=n) < 0.5
    varied = np.take_along_axis(patches[chosen], orders[chosen], axis=-1)
    patches[chosen] = np.round(varied * gain[chosen] + offset[chosen]).astype("uint8")
    return patches


def cut(image, size, stride=None):
    """Returns all patches on a grid; a remainder at the bottom and right is lost.

    Args:
        image: array `(height, width, channels)`, each side at least `size`.
        size: int, pixels on each side of a patch.
        stride: int, pixels from one patch to the next; None for `size`.

    Returns:
        array `(n, size, size, channels)`, row by row.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))
    stride = stride or size
    patches = np.moveaxis(windows[::stride, ::stride], 2, -1)
    return patches.reshape(-1, size, size, image.shape[2])


def is_paired(folder):
    """Returns whether a folder has subfolders `input/` and `target/`."""
    return all((Path(folder) / name).is_dir() for name in PAIRED)


def read_patches(
    folder, patch_size=PATCH_SIZE, color=None, seed=0, white=None, background=None
):
    """Cuts the images in a folder into patches, without resizing them.

    Subfolders `input/` and `target/` contain the corrupted and the clean version
    of each image under the same name. If the targets are larger by an integer
    factor, so are their patches. Splits are by file, as in `read_folder`; labels
    are not read.

    Args:
        folder: path.
        patch_size: int, pixels on each side of a patch (of an input, for pairs).
            Smaller images are skipped, and named in a warning.
        color: `"grayscale"` (or `"grey"`), `"rgb"`, or None for `"rgb"`.
        seed: int from 0 to 2³² - 1, for the order of the files, and for the choice
            of patches if a file has more than its part of 20,000 (`MOST_PATCHES`).
        white, background: as in `read_folder`.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, height, width,
        channels)`, and for pairs `inputs_train`, `inputs_val`, `inputs_test`.

    Raises:
        ValueError: if an image has no partner, or their sizes do not match; if
            pairs differ in scale; if a split has no patch; or for invalid options.
    """
    check_ints(0, 2**32 - 1, seed=seed)
    folder, rng = as_path(folder, "folder"), np.random.default_rng(seed)
    image_files.check_color(color)
    decoding = {"white": white, "background": background}
    image_files.check_decoding(**decoding)
    check_ints(patch_size=patch_size)
    files, skipped = _find_files(folder, seed)
    decoding |= {"mode": MODES[color or "rgb"]}
    count = sum(map(len, files.values())) + len(skipped)
    parts, highest = _read_splits(folder, files, patch_size, decoding, skipped, rng)
    if "train" in parts and len(parts) < len(SPLITS) <= count - len(skipped):
        # All files of a split were skipped: the others are split anew.
        files, _ = _find_files(folder, seed, skipped)
        parts, highest = _read_splits(folder, files, patch_size, decoding, skipped, rng)
    for split in SPLITS:
        expected = f"`folder` must have {split} images of {patch_size} pixels"
        why = SkippedFiles(skipped, count, folder).short
        require(split in parts, f"{expected} (--patch-size). {why}")
    image_files.warn_if_dark(highest)
    if skipped:
        warnings.warn(SkippedFiles(skipped, count, folder), stacklevel=2)
    arrays = {}
    for split in SPLITS:
        found = zip(*parts.pop(split), strict=True)
        for name, patches in zip(("x", "inputs"), found, strict=False):
            arrays[f"{name}_{split}"] = np.concatenate(patches)
    return arrays


def _read_splits(folder, files, patch_size, decoding, skipped, rng):
    """Reads the images of all splits, and cuts them.

    Returns:
        `(parts, highest)`: dict from each split that has one to a list of
        `[patches]`, or `[patches, patches of the input]`, of each image; list of
        the highest values of those that are darker than they might be.
    """
    parts, highest, scales = {}, [], {}
    most = math.ceil(MOST_PATCHES / sum(map(len, files.values())))
    for split, paths in files.items():
        for path in paths:
            images = _read(folder, path, patch_size, decoding, skipped, highest)
            if images is not None:
                scales.setdefault(_scale(path, images), path)
                found = [f"{scale} times ({path})" for scale, path in scales.items()]
                expected = "`folder` must have targets that are larger by one factor"
                require(len(found) == 1, f"{expected}. Received: {' and '.join(found)}")
                patches = _cut_alike(images, patch_size, most, rng)
                parts.setdefault(split, []).append(patches)
    return parts, highest


def _find_files(folder, seed, unusable=()):
    """Finds the images of a folder, but for the unusable ones, and checks pairs.

    Returns:
        `(files, skipped)`: dict from each split to the paths of its images; dict
        from the path of each file that is no image to the reason.
    """
    paired = is_paired(folder)
    paths, skipped = image_files.image_paths(folder / "target" if paired else folder)
    splits = find_splits(paths, seed, unusable)
    names = {part for path in paths for part in path.split("/")}
    misplaced = sorted(name for name in names if name.lower() in PAIRED)
    expected = "`folder` must have input/ and target/, so spelled, at its top level"
    hint = f"and all images inside them. Received: '{folder}' with {misplaced}"
    require(paired or not misplaced, f"{expected}, {hint}")
    if paired:
        inputs, _ = image_files.image_paths(folder / "input")
        alone = sorted({*inputs} ^ {*paths})
        expected = "`folder` must have the same names in input/ and target/"
        require(not alone, f"{expected}. Without a partner: {alone[:10]}")
    expected = "`folder` must be a folder of images"
    require("train" in splits, f"{expected}. None found in '{folder}'.")
    files = {f"x_{s}": [path for path, _ in inside] for s, inside in splits.items()}
    files = carve(files | {"y_train": None}, folder)
    return {split: files[f"x_{split}"] for split in SPLITS}, skipped


def _read(folder, path, patch_size, decoding, skipped, highest):
    """Returns `[image]`, or `[target, input]`; None if one cannot be used."""
    images = []
    try:
        for subfolder in ("target", "input") if is_paired(folder) else (".",):
            with open_image(folder / subfolder / path) as (image, info):
                ImageOps.exif_transpose(image, in_place=True)
                image, high = decode(image, info, **decoding)
                images.append(np.atleast_3d(np.asarray(image)))
                highest += [] if high is None else [high]
    except Exception as error:  # Pillow raises many kinds for broken files
        skipped[path] = reason(error)
        return None
    if min(images[-1].shape[:2]) < patch_size:
        skipped[path] = f"smaller than {patch_size} pixels"
        return None
    return images


def _scale(path, images):
    """Returns by what a target is larger than its input; an error if by no integer."""
    target, size = images[0].shape[:2], images[-1].shape[:2]
    scale = max(1, target[0] // size[0])
    expected = f"`target/{path}` must be {scale} times as large as its input, {size}"
    fits = target == (scale * size[0], scale * size[1])
    require(fits, f"{expected}. Received: {target}")
    return scale


def _cut_alike(images, size, most, rng):
    """Returns the same patches of each image: `most` of them, drawn by `rng`."""
    scale = len(images[0]) // len(images[-1])
    sizes = [size] if len(images) == 1 else [scale * size, size]
    patches = [cut(*pair) for pair in zip(images, sizes, strict=True)]
    chosen = np.sort(rng.permutation(len(patches[0]))[:most])
    return [one[chosen] for one in patches]
