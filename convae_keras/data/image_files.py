"""Image files: which are read, and how any of them becomes 8 bits a channel."""

import contextlib
import glob
import os
from pathlib import Path, PurePath

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageOps
from tqdm import tqdm

from convae_keras.validation import expect

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")


MODES = {"grey": "L", "rgb": "RGB"}


FITS = {"crop": ImageOps.fit, "pad": ImageOps.pad}


# Files. Fewer are read before a progress bar would be of use.
SILENT_UP_TO = 2000


def image_paths(folder):
    """Finds the images in a folder and in the folders inside it, but hidden ones.

    Args:
        folder: path.

    Returns:
        Sorted list of str, paths from the folder on, with `/`.
    """
    names = glob.glob("**", root_dir=folder, recursive=True)
    paths = sorted(PurePath(name).as_posix() for name in names)
    return [path for path in paths if path.lower().endswith(EXTENSIONS)]


def images_in(source):
    """The images that a path stands for: itself, or all that a folder holds.

    Args:
        source: path of an image or a folder.

    Returns:
        `(folder, names)`: `Path`; list of str, paths from there on, with `/`.

    Raises:
        ValueError: if there is none.
    """
    source = Path(source)
    expect(source.exists(), "source", "an image or a folder of images", f"'{source}'")
    if source.is_file():
        return source.parent, [source.name]
    names = image_paths(source)
    expect(names, "source", "a folder with images", f"none in '{source}'")
    return source, names


def check_paths(source, destination):
    """Refuses an empty path, which would mean the folder one happens to be in.

    Args:
        source, destination: str or `Path`.

    Raises:
        ValueError: if one is empty.
    """
    for name, path in (("source", source), ("destination", destination)):
        expect(str(path), name, "a path", repr(path))


def check_not_existing(paths, overwrite):
    """Refuses to write over files.

    Args:
        paths: list of `Path`, what is to be written.
        overwrite: bool, whether it may be.

    Raises:
        ValueError: naming the first five that exist.
    """
    taken = [str(path) for path in paths if os.path.lexists(path)]
    free = "files that do not exist yet, or `overwrite` (--overwrite) given"
    expect(overwrite or not taken, "destination", free, ", ".join(taken[:5]))


def skipped_message(skipped, count, source):
    """What a warning says of files that could not be read.

    Args:
        skipped: dict from the path of each to why not. Ten are named.
        count: int, how many images there are, those included.
        source: path they came from.

    Returns:
        str.
    """
    named = ", ".join(f"{path} ({why})" for path, why in [*skipped.items()][:10])
    more = ", …" if len(skipped) > 10 else ""
    return f"Skipped {len(skipped)} of {count} images in '{source}': {named}{more}"


@contextlib.contextmanager
def open_image(path):
    """Opens an image file of one of the `FORMATS`, and closes it in the end.

    Args:
        path: `Path`.

    Yields:
        `PIL.Image.Image`.
    """
    # By its name, Pillow would map an uncompressed file into memory, and
    # garbles grey TIFFs that lie on their side.
    with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
        yield image


def as_mode(image, mode):
    """Any image as one of 8 bits a channel, laid over white.

    Args:
        image: `PIL.Image.Image`.
        mode: `"L"`, grey, or `"RGB"`, colour.

    Returns:
        `PIL.Image.Image`.

    Raises:
        ValueError: if its pixels are floats.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range nobody knows")
    if image.mode.startswith("I"):
        # 16 bits, which Pillow would clip to 255: 65,535 is 257 times that.
        pixels = np.clip(np.asarray(image), 0, 65535).astype("int32")
        image = Image.fromarray(((pixels + 128) // 257).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    # Not every kind of colour has a direct way to grey.
    return image if image.mode == mode else image.convert("RGB").convert(mode)


def read_image(path, size, mode, fit="crop"):
    """Any image at one size and of one kind, upright.

    Args:
        path: `Path`.
        size: `(width, height)`, in pixels.
        mode: `"L"`, grey, or `"RGB"`, colour.
        fit: `"crop"` to cut what stands over around the centre, or `"pad"` to
            add black margins.

    Returns:
        `PIL.Image.Image`.

    Raises:
        ValueError, OSError and other errors of Pillow's: if it cannot be read.
    """
    with open_image(path) as image:
        # A JPEG can be decoded at a half, a quarter or an eighth: much sooner.
        image.draft(mode, (2 * max(size), 2 * max(size)))
        ImageOps.exif_transpose(image, in_place=True)
        return FITS[fit](as_mode(image, mode), size, Image.Resampling.LANCZOS)


def in_threads(function, items, action):
    """Calls a function for every item, a few at a time.

    Args:
        function: called with one item.
        items: list.
        action: str, what a progress bar says, if there are many.

    Returns:
        List of what it returned, or of the error's name where it raised one.
    """

    def attempt(item):
        try:
            return function(item)
        except Exception as error:  # Pillow meets broken files with many kinds
            return type(error).__name__

    threads = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
    results = threads(delayed(attempt)(item) for item in items)
    return list(tqdm(results, action, len(items), disable=len(items) <= SILENT_UP_TO))
