"""Image files: finds them, says what they are, and decodes them to 8 bits a channel."""

import contextlib
import os
import warnings
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from convae_keras.validation import as_path, check_limit, is_number, reason, require

# Pillow's names of the formats that are read, and the suffixes of their files. Of
# an animation, as of a TIFF of several pages, the first frame is read.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = tuple(".png .jpg .jpeg .jfif .webp .bmp .tif .tiff .gif".split())

# From a `color` argument to Pillow's mode. "grayscale" is Keras's spelling.
MODES = {"grayscale": "L", "rgb": "RGB", "grey": "L"}

# From a `fit` argument to the function that resizes an image.
FITS = {"crop": ImageOps.fit, "pad": ImageOps.pad}

# Reading up to this many files shows no progress bar.
SILENT_UP_TO = 2000

# A set of 16-bit files without a higher value was probably taken with fewer bits.
DARK_16_BITS = 16383

# Pixels that are laid on a background at once.
STRIP = 2**20

# TIFF tags.
BITS, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 258, 262, 274, 339


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


def check_decoding(white=None, background=None):
    """Validates how files are decoded.

    Args:
        white: number, the value of white in files of more than 8 bits a sample;
            None for what the file says.
        background: str, the color put behind transparent pixels, by name
            or as "#rrggbb"; None for white.

    Raises:
        ValueError: for any other value.
    """
    valid = white is None or (is_number(white) and white > 0)
    require(valid, f"`white` must be a positive number or None. Received: {white!r}")
    try:
        ImageColor.getrgb(background or "white")
    except (ValueError, AttributeError, TypeError):
        expected = "`background` must be the name of a color, or like '#ffffff'"
        raise ValueError(f"{expected}. Received: {background!r}") from None


class SkippedFiles(UserWarning):
    """A warning about files that were not used.

    Args:
        skipped: dict from the path of each to the reason.
        count: int, number of files, including those skipped.
        source: path that they were read from.
    """

    def __init__(self, skipped, count, source):
        self.skipped = skipped
        self.begin = f"Skipped {len(skipped)} of {count} files in '{source}': "
        super().__init__(self.begin + self._named([*skipped]))

    @property
    def short(self):
        """str, the message with ten names at most."""
        named = self._named([*self.skipped][:10])
        return self.begin + named + ", …" * (len(self.skipped) > 10)

    def _named(self, paths):
        return ", ".join(f"{path} ({self.skipped[path]})" for path in paths)


def image_paths(folder):
    """Finds the images in a folder and its subfolders.

    Hidden files and folders are ignored. A link counts once, and only if it
    leads to something in the folder that is not found under its own name.

    Args:
        folder: path.

    Returns:
        `(paths, skipped)`: sorted list of str, relative to `folder`, separated by
        `/`; dict from the path of every other file or link to the reason.
    """
    root = os.path.realpath(folder)
    paths, skipped, seen = [], {}, set()
    entries, links = [("", root)], []
    while entries or links:
        path, real = entries.pop() if entries else links.pop()
        real = real or os.path.realpath(os.path.join(folder, path))
        why = None
        if real != root and not real.startswith(os.path.join(root, "")):
            why = "a link that leads out of the folder"
        elif real in seen:
            why = "a link to what is there under another name"
        elif os.path.isdir(real):
            why = _add_entries(path, real, entries, links)
        elif not os.path.isfile(real):
            why = "not a regular file"
        elif path.lower().endswith(EXTENSIONS):
            paths.append(path)
        else:
            why = "not an image by its suffix"
        seen.add(real)
        skipped |= {path: why} if why else {}
    return sorted(paths), dict(sorted(skipped.items()))


def _add_entries(path, real, entries, links):
    """Adds pairs of paths, relative and real, of what is in a folder."""
    try:
        found = [*os.scandir(real)]
    except OSError as error:
        return error.strerror
    for entry in sorted(found, key=lambda entry: entry.name, reverse=True):
        inside = f"{path}/{entry.name}".lstrip("/")
        if entry.is_symlink() and not entry.name.startswith("."):
            links.append((inside, None))
        elif not entry.name.startswith("."):
            entries.append((inside, entry.path))
    return None


def images_in(source):
    """Finds the images at a path: one file, or all images in a folder.

    Args:
        source: path of an image or a folder.

    Returns:
        `(folder, names, skipped)`: `Path`; as `image_paths`.

    Raises:
        ValueError: if there is no such file, or no image in the folder.
    """
    source = as_path(source, "source")
    require(source.exists(), f"No such file: {source}")
    if source.is_file():
        return source.parent, [source.name], {}
    require(source.is_dir(), f"`source` must be a regular file. Received: {source}")
    names, skipped = image_paths(source)
    expected = f"`source` must be a folder with images. None found in '{source}'"
    more = f": {SkippedFiles(skipped, len(skipped), source).short}" if skipped else ""
    require(names, f"{expected}{more}")
    return source, names, skipped


@dataclass(frozen=True)
class FileInfo:
    """What an image file says of itself.

    Args:
        format: str, Pillow's name.
        size: `(height, width)`, upright as its EXIF orientation says.
        is_gray: bool, whether it has no colors.
        bits: int, of a sample.
        white: int, the value of white; None where the file does not say it: for
            signed samples, floats, and more than 16 bits.
        is_negative: bool, whether 0 is white, and Pillow leaves it so.
    """

    format: str
    size: tuple
    is_gray: bool
    bits: int
    white: int | None
    is_negative: bool


@contextlib.contextmanager
def open_image(path):
    """Opens an image file of one of the `FORMATS`, and closes it afterwards.

    Args:
        path: `Path`.

    Yields:
        `(image, info)`: `PIL.Image.Image`, not yet decoded; `FileInfo`.

    Raises:
        ValueError: if it is no regular file, of another format, or has more
            pixels than the limit, or than twice `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    require(os.path.isfile(path), "not a regular file")
    # Given a name, Pillow would map an uncompressed file into memory, and
    # corrupts rotated grayscale TIFFs.
    with open(path, "rb") as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(f"not one of {', '.join(FORMATS)}") from None
        except Image.DecompressionBombError as error:
            raise ValueError(f"{error} (PIL.Image.MAX_IMAGE_PIXELS)") from None
        with image:
            check_limit(image.width * image.height, "pixels")
            yield image, _file_info(image)


def _file_info(image):
    bits, unsigned, photometric = 8, True, None
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(BITS, (1,)))
        unsigned = {*image.tag_v2.get(SAMPLE_FORMAT, (1,))} <= {1, 4}  # 4: not said
        photometric = image.tag_v2.get(PHOTOMETRIC)
    elif ";16" in str(image.tile):  # Pillow's name for the samples of a PNG
        bits = 16
    # The four orientations that turn by 90°. Pillow has swapped a TIFF's size already.
    turned = image.getexif().get(ORIENTATION) in (5, 6, 7, 8) and image.format != "TIFF"
    return FileInfo(
        format=image.format,
        size=image.size if turned else image.size[::-1],
        is_gray=_is_gray(image),
        bits=bits,
        white=2 ** max(bits, 8) - 1 if unsigned and bits <= 16 else None,
        is_negative=photometric == 0 and bits > 8,
    )


def _is_gray(image):
    if image.mode == "P":  # a palette may hold grays only
        palette = np.reshape(image.getpalette(), (-1, 3))
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")


def decode(image, info, mode=None, white=None, background=None):
    """Converts an image to 8 bits a channel, transparent pixels over a background.

    Args:
        image: `PIL.Image.Image`.
        info: its `FileInfo`.
        mode: `"L"` (grayscale) or `"RGB"`; None to keep the mode, and with it
            the transparency.
        white, background: as in `check_decoding`.

    Returns:
        `(image, highest)`: `PIL.Image.Image`; int, the highest value of a file
        of 16 bits whose white was not given, None for other files.

    Raises:
        ValueError: if white is not known, or values lie beyond it. Of colors of
            more than 8 bits: if they are signed or floats, `white` is given, or
            one of them is transparent.
        OSError and other errors of Pillow's: if the pixels cannot be read.
    """
    image, highest = _to_8_bits(image, info, white)
    if mode is None:
        return image, highest
    if image.has_transparency_data:
        return _laid_on(background or "white", image, mode), highest
    # Not every color mode converts directly to grayscale.
    return image if image.mode == mode else image.convert("RGB").convert(mode), highest


def _laid_on(background, image, mode):
    """Lays an image on a color, in strips: the whole would be in memory five times."""
    color = ImageColor.getrgb(background)[:3]
    whole, rows = Image.new(mode, image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        box = 0, top, image.width, min(top + rows, image.height)
        strip = image.crop(box).convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, color), strip)
        whole.paste(strip.convert("RGB").convert(mode), box)
    return whole


def _to_8_bits(image, info, white):
    if info.bits <= 8 and info.white:
        return image, None
    if not (image.mode == "F" or image.mode.startswith("I")):
        return _colors_of_16_bits(image, info, white)
    pixels, known = np.asarray(image), white or info.white
    low, high = pixels.min(), pixels.max()
    unknown = f"values from {low} to {high}, and the file does not say what is white"
    require(known, f"{unknown}: `white` or --white does")
    # Not false for NaN.
    inside = low >= 0 and high <= known
    require(inside, f"values from {low} to {high}, where white is {known}")
    levels = np.rint(pixels * (255 / known)).astype("uint8")
    levels = Image.fromarray(255 - levels if info.is_negative else levels)
    if "transparency" in image.info:  # one value, before its bits were reduced
        opaque = (pixels != image.info["transparency"]).astype("uint8") * np.uint8(255)
        levels.putalpha(Image.fromarray(opaque))
    return levels, int(high) if info.white == 65535 and white is None else None


def _colors_of_16_bits(image, info, white):
    """Pillow has kept the higher 8 bits of each color."""
    require(info.white, f"samples of {info.bits} bits that are signed or floats")
    message = "colors of 16 bits, of which 8 are read, so that `white` cannot be used"
    require(white is None, message)
    message = "colors of 16 bits of which one is transparent"
    require("transparency" not in image.info, message)
    bands = image.convert("RGB") if image.mode not in ("LA", "RGBA") else image
    extrema = bands.getextrema()[: len(bands.mode.removesuffix("A"))]
    return image, 257 * max(high for _, high in extrema)


def warn_if_dark(highest):
    """Warns if files of 16 bits were probably taken with fewer.

    Args:
        highest: list of int, the highest value of each such file.
    """
    high = max(highest, default=0)
    if 0 < high <= DARK_16_BITS:
        white = next(2**bits - 1 for bits in (8, 10, 12, 14) if high < 2**bits)
        count = len(highest)
        message = f"No value in {count} files of 16 bits is above {high} of 65535"
        hint = f"If white is {white} there, say so: `white={white}` or --white {white}"
        warnings.warn(f"{message}. {hint}.", stacklevel=4)


def read_image(path, size, mode, fit="crop", **decoding):
    """Reads an image file at a given size and mode, oriented as its EXIF data says.

    Args:
        path: `Path`.
        size: `(height, width)`, in pixels.
        mode: `"L"` (grayscale) or `"RGB"`.
        fit: `"crop"` to crop to the center, or `"pad"` to add black margins.
        **decoding: `white` and `background`, as in `check_decoding`.

    Returns:
        `(pixels, highest)`: uint8 `(height, width, channels)`; as in `decode`.

    Raises:
        ValueError, OSError and other errors of Pillow's: if it cannot be read.
    """
    size = size[::-1]  # Pillow's order
    with open_image(path) as (image, info):
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is faster.
        image.draft(mode, (2 * max(size), 2 * max(size)))
        ImageOps.exif_transpose(image, in_place=True)
        image, highest = decode(image, info, mode, **decoding)
        image = FITS[fit](image, size, Image.Resampling.LANCZOS)
        return np.atleast_3d(np.asarray(image)), highest


def in_threads(function, items, action):
    """Calls a function for every item, several at a time.

    Args:
        function: called with one item.
        items: list, each of them once.
        action: str, label of the progress bar shown for many items.

    Returns:
        `(results, failed)`: dict from each item to what the function returned, in
        order; dict from each for which it raised an error to the reason.
    """

    def attempt(item):
        try:
            return function(item)
        except Exception as error:  # Pillow raises many kinds for broken files
            return error

    threads = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
    found = threads(delayed(attempt)(item) for item in items)
    found = tqdm(found, action, len(items), disable=len(items) <= SILENT_UP_TO)
    found = dict(zip(items, found, strict=True))
    failed = {i: reason(e) for i, e in found.items() if isinstance(e, Exception)}
    return {i: found[i] for i in found if i not in failed}, failed
