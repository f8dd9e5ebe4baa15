"""Image files: find them, open them, and convert any of them to 8 bits a channel."""

import contextlib
import glob
import os
from pathlib import Path, PurePath

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps
from tqdm import tqdm

from convae_keras.validation import require

# Pillow's names of the formats that are read, and the suffixes of their files.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")

# From a `color` argument to Pillow's mode. "grayscale" is Keras's spelling.
MODES = {"grayscale": "L", "rgb": "RGB", "grey": "L"}

# From a `fit` argument to the function that resizes an image.
FITS = {"crop": ImageOps.fit, "pad": ImageOps.pad}

# Reading up to this many files shows no progress bar.
SILENT_UP_TO = 2000


def mode_of(channels):
    """Returns Pillow's mode for a number of channels.

    Args:
        channels: int.

    Returns:
        `"L"` for 1 channel, `"RGB"` for 3, and None for any other number.
    """
    return {1: "L", 3: "RGB"}.get(channels)


def check_color(color):
    """Validates a `color` argument.

    Args:
        color: `"grayscale"` (or `"grey"`), `"rgb"`, or None.

    Raises:
        ValueError: for any other value.
    """
    known = color in (None, *MODES)
    require(known, f"`color` must be None or one of {[*MODES]}. Received: {color!r}")


def image_paths(folder):
    """Finds the images in a folder and its subfolders, except hidden ones.

    Args:
        folder: path.

    Returns:
        Sorted list of str, paths relative to `folder`, separated by `/`.
    """
    names = glob.glob("**", root_dir=folder, recursive=True)
    paths = sorted(PurePath(name).as_posix() for name in names)
    return [path for path in paths if path.lower().endswith(EXTENSIONS)]


def images_in(source):
    """Finds the images at a path: one file, or all images in a folder.

    Args:
        source: path of an image or a folder.

    Returns:
        `(folder, names)`: `Path`; list of str, paths relative to it, separated
        by `/`.

    Raises:
        ValueError: if there is no such file, or no image in the folder.
    """
    source = Path(source)
    require(source.exists(), f"No such file: {source}")
    if source.is_file():
        return source.parent, [source.name]
    names = image_paths(source)
    require(names, f"`source` must be a folder with images. None found in '{source}'.")
    return source, names


def check_paths(source, destination):
    """Raises an error for an empty path, which would mean the working directory.

    Args:
        source, destination: str or `Path`.

    Raises:
        ValueError: if one is empty.
    """
    for name, path in (("source", source), ("destination", destination)):
        require(str(path), f"`{name}` must be a path. Received: {path!r}")


def check_writable(path):
    """Raises an error if a file, or the folders on the way to it, cannot be created.

    Args:
        path: `Path` of the file.

    Raises:
        ValueError: if permission is denied.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    writable = os.access(folder, os.W_OK)
    require(writable, f"Cannot write to '{folder}': permission denied.")


def check_not_existing(paths, overwrite):
    """Raises an error if files would be overwritten.

    Args:
        paths: list of `Path`, the files to be written.
        overwrite: bool, whether existing files may be replaced.

    Raises:
        ValueError: naming the first five that exist.
    """
    existing = [str(path) for path in paths if os.path.lexists(path)]
    expected = "`destination` must be files that do not exist yet"
    hint = f"(`overwrite` or --overwrite replaces them): {', '.join(existing[:5])}"
    require(overwrite or not existing, f"{expected} {hint}")


def skipped_message(skipped, count, source):
    """Returns the text of a warning about skipped files.

    Args:
        skipped: dict from each path to the reason. The first ten are named.
        count: int, number of images, including those skipped.
        source: path they were read from.

    Returns:
        str.
    """
    named = ", ".join(f"{path} ({why})" for path, why in [*skipped.items()][:10])
    more = ", …" if len(skipped) > 10 else ""
    return f"Skipped {len(skipped)} of {count} images in '{source}': {named}{more}"


@contextlib.contextmanager
def open_image(path):
    """Opens an image file of one of the `FORMATS`, and closes it afterwards.

    Args:
        path: `Path`.

    Yields:
        `PIL.Image.Image`.
    """
    # Given a name, Pillow would map an uncompressed file into memory, and
    # corrupts rotated grayscale TIFFs.
    with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
        yield image


def as_mode(image, mode):
    """Converts an image to 8 bits a channel, composited over white.

    Args:
        image: `PIL.Image.Image`.
        mode: `"L"` (grayscale) or `"RGB"`.

    Returns:
        `PIL.Image.Image`.

    Raises:
        ValueError: if its pixels are floats.
    """
    require(image.mode != "F", "floating-point pixels, of unknown range")
    if image.mode.startswith("I"):
        # 16 bits, which Pillow would clip to 255: 65,535 is 257 times that.
        pixels = np.clip(np.asarray(image), 0, 65535).astype("int32")
        image = Image.fromarray(((pixels + 128) // 257).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # Not every color mode converts directly to grayscale.
    return image if image.mode == mode else image.convert("RGB").convert(mode)


def read_image(path, size, mode, fit="crop"):
    """Reads an image file at a given size and mode, oriented as its EXIF data says.

    Args:
        path: `Path`.
        size: `(width, height)`, in pixels.
        mode: `"L"` (grayscale) or `"RGB"`.
        fit: `"crop"` to crop to the center, or `"pad"` to add black margins.

    Returns:
        `PIL.Image.Image`.

    Raises:
        ValueError, OSError and other errors of Pillow's: if it cannot be read.
    """
    with open_image(path) as image:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is faster.
        image.draft(mode, (2 * max(size), 2 * max(size)))
        ImageOps.exif_transpose(image, in_place=True)
        return FITS[fit](as_mode(image, mode), size, Image.Resampling.LANCZOS)


def in_threads(function, items, action):
    """Calls a function for every item, several at a time.

    Args:
        function: called with one item.
        items: list.
        action: str, label of the progress bar shown for many items.

    Returns:
        List of return values, or of the error's class name where it raised one.
    """

    def attempt(item):
        try:
            return function(item)
        except Exception as error:  # Pillow raises many kinds for broken files
            return type(error).__name__

    threads = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
    results = threads(delayed(attempt)(item) for item in items)
    return list(tqdm(results, action, len(items), disable=len(items) <= SILENT_UP_TO))
