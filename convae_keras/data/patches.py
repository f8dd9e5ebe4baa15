"""Photographs cut into patches at their own size, to learn restoration from."""

import math
import warnings
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image, ImageOps

from convae_keras.data.folders import SPLITS, arrange, carve
from convae_keras.data.image_files import MODES, as_mode, open_image, skipped_message
from convae_keras.validation import expect

# What scikit-image and scikit-learn ship, in parts drawn by name, once. Left out
# are pictures that are mostly black or flat: learning from them, a network takes
# every detail for noise.
PHOTOGRAPHS = {
    "train": (
        "astronaut.png",
        "brick.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "ihc.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "rocket.jpg",
    ),
    "val": ("camera.png", "flower.jpg"),
    "test": ("chelsea.png", "china.jpg", "coffee.png"),
}


# Pixels a side. It divides by 2, 3 and 4, the usual scales.
PATCH_SIZE = 72


# A folder of large photographs gives no more patches than this, in all.
MOST_PATCHES = 20_000


PAIRED = ("input", "target")


def photographs(split, color="rgb"):
    """Photographs that come with scikit-image and scikit-learn, in colour.

    Args:
        split: `"train"` (nine, four of them grey), `"val"` (two, one of them
            grey) or `"test"` (three).
        color: `"rgb"`, or `"grey"` for their luma alone.

    Returns:
        dict from a file's name to uint8 `(height, width, channels)`.

    Raises:
        ValueError: if there is no such split or color.
    """
    expect(split in PHOTOGRAPHS, "split", f"in {[*PHOTOGRAPHS]}", repr(split))
    expect(color in MODES, "color", f"in {[*MODES]}", repr(color))
    homes = (
        Path(skimage.__file__).parent / "data",
        Path(sklearn.datasets.__file__).parent / "images",
    )
    found = {}
    for name in PHOTOGRAPHS[split]:
        path = next(home / name for home in homes if (home / name).exists())
        with open_image(path) as image:
            found[name] = np.atleast_3d(np.asarray(as_mode(image, MODES[color])))
    return found


def photograph_patches(patch_size=PATCH_SIZE, color="rgb"):
    """Patches of those photographs.

    Args:
        patch_size: int, a side in pixels.
        color: `"rgb"`, or `"grey"` for their luma alone.

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, patch_size, patch_size,
        channels)`, no two of them with a photograph in common. Those to train on
        overlap, are taken from each photograph at its own and at half its size,
        and half of them are coloured by chance.

    Raises:
        ValueError: if `patch_size` is larger than the smallest of them at half
            its size, or no positive int.
    """
    good = isinstance(patch_size, int) and 3 <= patch_size <= 150
    expect(good, "patch_size", "an int from 3 to 150", repr(patch_size))
    parts = {}
    for split in SPLITS:
        images = photographs(split, color).values()
        if split == "train":
            halves = [np.atleast_3d(_half(np.squeeze(image))) for image in images]
            patches = [cut(i, patch_size, patch_size // 3) for i in [*images, *halves]]
            parts["x_train"] = _coloured(np.concatenate(patches))
        else:
            patches = [cut(image, patch_size) for image in images]
            parts[f"x_{split}"] = np.concatenate(patches)
    return parts


def _half(image):
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _coloured(patches):
    """Half of the patches with their channels exchanged, dimmed and lifted.

    So few photographs hold few colours, and a network that has mostly seen grey
    ones bleaches a red flower.
    """
    n, channels = len(patches), patches.shape[-1]
    random = np.random.RandomState(1)
    gain = random.uniform(0.3, 1, (n, 1, 1, channels))
    lift = random.uniform(0, 255 * (1 - gain))
    orders = np.argsort(random.uniform(size=(n, 1, 1, channels)), axis=-1)
    chosen = random.uniform(size=n) < 0.5
    coloured = np.take_along_axis(patches[chosen], orders[chosen], axis=-1)
    coloured = np.round(coloured * gain[chosen] + lift[chosen])
    patches[chosen] = coloured.astype("uint8")
    return patches


def cut(image, size, stride=None):
    """All patches on a grid; what is left at the bottom and right is left out.

    Args:
        image: array `(height, width, channels)`, no side below `size`.
        size: int, a patch's side, in pixels.
        stride: int, from one patch to the next; None for `size`.

    Returns:
        array `(n, size, size, channels)`, row by row.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))
    stride = stride or size
    patches = np.moveaxis(windows[::stride, ::stride], 2, -1)
    return patches.reshape(-1, size, size, image.shape[2])


def is_paired(folder):
    """Whether a folder holds damaged images in `input/`, whole in `target/`."""
    return all((Path(folder) / name).is_dir() for name in PAIRED)


def read_patches(folder, patch_size=PATCH_SIZE, color=None, seed=0):
    """Cuts the images in a folder into patches, without resizing them.

    Folders `input/` and `target/` hold the damaged and the whole version of
    each image under the same name. Where the whole ones are larger, by one
    whole factor, so are their patches. Splits are by file, as in `read_folder`;
    labels are not read.

    Args:
        folder: path.
        patch_size: int, a side in pixels, of the damaged where there are pairs.
            Smaller images are skipped, and named in a warning.
        color: `"grey"`, `"rgb"`, or None for `"rgb"`.
        seed: int, for the order of the files, and for which patches are taken
            where there are more than 20,000 in all (`MOST_PATCHES`).

    Returns:
        dict of `x_train`, `x_val`, `x_test`: uint8 `(n, height, width,
        channels)`, and for pairs `inputs_train`, `inputs_val`, `inputs_test`.

    Raises:
        ValueError: if an image has no partner, or the two do not fit; if a
            split is left without a patch, or for an option that does not exist.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    expect(color in (None, *MODES), "color", f"None or in {[*MODES]}", repr(color))
    whole = isinstance(patch_size, int) and patch_size > 0
    expect(whole, "patch_size", "a positive int", repr(patch_size))
    files, parts, skipped = _files(folder, seed), {}, {}
    count = sum(map(len, files.values()))
    most = math.ceil(MOST_PATCHES / count)
    for split in SPLITS:
        found = []
        for path in files[f"x_{split}"]:
            try:
                images = _read(folder, path, MODES[color or "rgb"])
            except Exception as error:  # Pillow meets broken files with many kinds
                skipped[path] = type(error).__name__
                continue
            if min(images[-1].shape[:2]) < patch_size:
                skipped[path] = f"smaller than {patch_size} pixels"
                continue
            _check_pair(path, images)
            found.append(_cut_alike(images, patch_size, most, rng))
        wanted = f"with images of {patch_size} pixels (--patch-size) to {split} on"
        expect(found, "folder", wanted, skipped_message(skipped, count, folder))
        names = ("x", "inputs")[: len(found[0])]
        for name, patches in zip(names, zip(*found, strict=True), strict=True):
            parts[f"{name}_{split}"] = np.concatenate(patches)
    if skipped:
        warnings.warn(skipped_message(skipped, count, folder), stacklevel=2)
    return parts


def _files(folder, seed):
    """Paths by split, of the whole images; each of a pair was looked for."""
    home = folder / "target" if is_paired(folder) else folder
    splits = arrange(home, seed)
    paths = "/".join(path for inside in splits.values() for path, _ in inside)
    lost = sorted(part for part in {*paths.split("/")} if part.lower() in PAIRED)
    top = "with input/ and target/, so spelt, at its top and all else inside them"
    expect(is_paired(folder) or not lost, "folder", top, f"'{folder}' with {lost}")
    files = {f"x_{s}": [path for path, _ in inside] for s, inside in splits.items()}
    if is_paired(folder):
        inputs = arrange(folder / "input", seed).values()
        inputs = {path for inside in inputs for path, _ in inside}
        alone = sorted(inputs ^ set(sum(files.values(), [])))
        wanted = "one with the same names in input/ and target/"
        expect(not alone, "folder", wanted, f"'{folder}', where alone are {alone[:10]}")
    files = {key: paths for key, paths in files.items() if paths}
    expect("x_train" in files, "folder", "a folder of images", f"none in '{folder}'")
    labels = dict.fromkeys([f"y_{split}" for split in SPLITS])
    files = carve(labels | files, folder)
    return {key: files[key] for key in files if key not in labels}


def _read(folder, path, mode):
    """The image, or of a pair the whole one and then the damaged one."""
    homes = ("target", "input") if is_paired(folder) else (".",)
    images = []
    for home in homes:
        with open_image(folder / home / path) as image:
            image = as_mode(ImageOps.exif_transpose(image), mode)
            images.append(np.atleast_3d(np.asarray(image)))
    return images


def _check_pair(path, images):
    whole, damaged = images[0].shape[:2], images[-1].shape[:2]
    scale = max(1, whole[0] // damaged[0])
    fits = f"{scale} times its input's {damaged}, like every whole factor"
    good = whole == tuple(scale * side for side in damaged)
    expect(good, f"target/{path}", fits, f"{whole}")


def _cut_alike(images, size, most, rng):
    """The same patches of each image; `most` of them, drawn by `rng`."""
    scale = len(images[0]) // len(images[-1])
    sizes = [size] if len(images) == 1 else [scale * size, size]
    patches = [cut(*pair) for pair in zip(images, sizes, strict=True)]
    chosen = np.sort(rng.permutation(len(patches[0]))[:most])
    return [one[chosen] for one in patches]
