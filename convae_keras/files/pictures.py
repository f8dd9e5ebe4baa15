"""Image files taken apart and put together again: pixels, alpha, and what is kept."""

import functools
import io
import itertools
import struct

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps, JpegImagePlugin
from scipy.ndimage import distance_transform_edt

from convae_keras.data import image_files

# High enough that compression does not undo a restoration.
QUALITY = 95

# Where colors are hidden: pixels on each side of what is filled at once, and of the
# margin around it, wider than what a restored pixel depends on (`tiling.MARGIN`).
BLOCK, MARGIN = 1024, 64

# EXIF tags of the size of the image, in its two directories; and of how the pixels
# were stored: bits, compression, photometric interpretation, strips, thumbnail.
SIZES = {ExifTags.IFD.Exif: (40962, 40963), None: (256, 257)}
STORAGE = (258, 259, 262, 273, 277, 278, 279, 284, 513, 514)

# Formats in which Pillow writes EXIF data. Pictures in others are turned upright.
WITH_EXIF = ("AVIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")


def read_picture(path, white=None, background=None):
    """Reads an image file, to be changed and written again.

    What is hidden under fully transparent pixels is replaced by the nearest colors
    that can be seen, or else it would show at the edges of what comes out. Farther
    than 64 pixels from all of these it may be any of the colors that can be seen.

    Args:
        path: `Path`.
        white, background: as in `image_files.check_decoding`.

    Returns:
        `(pixels, alpha, kept, highest)`: uint8 `(height, width, 1 or 3)`; image of
        the alpha channel, or None; dict of options of Pillow's `save` that keep
        resolution, color profile and EXIF data, and under "JPEG" and "WEBP" those
        of the format; as in `image_files.decode`.

    Raises:
        ValueError, OSError and other errors of Pillow's: if it cannot be read.
    """
    with image_files.open_image(path) as (image, info):
        image.load()
        kept = {**_metadata(image), "JPEG": _jpeg(image), "WEBP": _webp(path)}
        image, highest = image_files.decode(image, info, None, white, background)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        alpha = image.getchannel("A")
    image = image.convert("RGB")
    image = image.convert("L") if info.is_gray else image
    pixels = np.atleast_3d(np.asarray(image))
    if alpha is not None and alpha.getbbox():  # something can be seen
        pixels = pixels.copy()
        _replace_hidden(pixels, np.asarray(alpha))
    return pixels, alpha, kept, highest


def _replace_hidden(pixels, alpha):
    """Changes pixels in place, block by block, with little memory beside them."""
    height, width = alpha.shape
    most_opaque = pixels[np.unravel_index(alpha.argmax(), alpha.shape)]
    corners = itertools.product(range(0, height, BLOCK), range(0, width, BLOCK))
    for top, left in corners:
        up, back = min(top, MARGIN), min(left, MARGIN)
        rows = slice(top - up, top + BLOCK + MARGIN)
        columns = slice(left - back, left + BLOCK + MARGIN)
        block = pixels[top : top + BLOCK, left : left + BLOCK]
        hidden = alpha[rows, columns] == 0
        if hidden.all():
            block[...] = most_opaque
        elif hidden.any():
            options = {"return_distances": False, "return_indices": True}
            nearest = tuple(distance_transform_edt(hidden, **options))
            filled = pixels[rows, columns][nearest]
            block[...] = filled[up:, back:][:BLOCK, :BLOCK]


def _metadata(image):
    kept = {}
    if "icc_profile" in image.info:
        kept["icc_profile"] = image.info["icc_profile"]
    try:
        dpi = tuple(float(number) for number in image.info["dpi"])
    except (KeyError, TypeError, ValueError):
        dpi = ()
    if len(dpi) == 2 and min(dpi) >= 1 and max(dpi) < 2**16:
        kept["dpi"] = dpi
    if image.format != "TIFF" and len(image.getexif()):
        kept["exif"] = image.getexif()
    return kept


def _jpeg(image):
    """Returns options: no coarser than the image was, if it was a JPEG, or 95."""
    tables = [*getattr(image, "quantization", {}).values()]
    # -1, which is unknown, becomes 0: no subsampling.
    options = {"subsampling": max(0, JpegImagePlugin.get_sampling(image))}
    if not tables:
        return {"quality": QUALITY, **options}
    pairs = zip(_fine_tables(), (tables[0], tables[-1]), strict=True)
    return {"qtables": [[*map(min, *pair)] for pair in pairs], **options}


@functools.cache
def _fine_tables():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=QUALITY)
    return [*Image.open(file).quantization.values()]


def _webp(path):
    """Returns options: without loss, if the file is a WebP of one image without."""
    with open(path, "rb") as file:
        kind = file.read(12)[:4]  # then the size of the file, and "WEBP"
        while kind == b"RIFF" and len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name in (b"VP8 ", b"VP8L"):
                return {"lossless": True} if name == b"VP8L" else {"quality": QUALITY}
            file.seek(size + size % 2, io.SEEK_CUR)
    return {"quality": QUALITY}


def picture_bytes(pixels, suffix, alpha=None, kept=None, background=None):
    """Returns an image file, of what `read_picture` returned or of pixels alone.

    Args:
        pixels: uint8 `(height, width, 1 or 3)`, of any size.
        suffix: str, of a format that Pillow knows, such as ".png".
        alpha, kept: as `read_picture` returns them, or None.
        background: str, the color that transparent pixels lie on where the format
            has no transparency; None for white.

    Returns:
        bytes.

    Raises:
        OSError, ValueError: if the format cannot hold this.
        KeyError: for an unknown suffix.
    """
    format, kept = Image.registered_extensions()[suffix.lower()], kept or {}
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if alpha is not None:
        image.putalpha(alpha.resize(image.size, Image.Resampling.BICUBIC))
    try:
        return _save(image, format, kept)
    except OSError:  # Pillow's word for a mode that the format lacks
        if alpha is None:
            raise
    ground = ImageColor.getrgb(background or "white")[:3]
    mode = "L" if image.mode == "LA" and len({*ground}) == 1 else "RGB"
    ground = Image.new("RGBA", image.size, ground)
    image = Image.alpha_composite(ground, image.convert("RGBA")).convert(mode)
    return _save(image, format, kept)


def _save(image, format, kept):
    if format == "WEBP" and image.mode in ("L", "LA"):  # it has no grayscale
        image = image.convert("RGB" if image.mode == "L" else "RGBA")
    if "exif" in kept and format not in WITH_EXIF:
        turned = kept["exif"].get(image_files.ORIENTATION, 1)
        image.getexif()[image_files.ORIENTATION] = turned
        ImageOps.exif_transpose(image, in_place=True)
    options = {"dpi": kept["dpi"]} if "dpi" in kept else {}
    # The profile's color space: that of a CMYK file does not fit what comes out.
    profile = kept.get("icc_profile", b"")
    if profile[16:20] == (b"GRAY" if image.mode[0] == "L" else b"RGB "):
        options["icc_profile"] = profile
    exif = _exif(kept["exif"], image.size) if "exif" in kept else None
    options |= {"exif": exif} if exif else {}
    file = io.BytesIO()
    image.save(file, format, **options, **kept.get(format, {}))
    return file.getvalue()


def _exif(exif, size):
    """Returns EXIF data of an image of this size, without the thumbnail of the old."""
    try:
        for ifd, tags in SIZES.items():
            if ifd in exif or ifd is None:
                directory = exif.get_ifd(ifd) if ifd else exif
                new = dict(zip(tags, size, strict=True))
                directory.update({k: v for k, v in new.items() if k in directory})
        for tag in STORAGE:
            exif.pop(tag, None)
        return exif.tobytes()
    except Exception:  # Pillow raises many kinds for damaged data
        return None
