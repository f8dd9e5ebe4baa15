"""Image files: which are read, and how any of them becomes 8 bits a channel."""

import contextlib

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
MODES = {"grey": "L", "rgb": "RGB"}


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
