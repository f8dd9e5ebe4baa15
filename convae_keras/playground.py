"""The playground of notebook 14: a pad to draw on, and pictures that follow it."""

import base64
import io
import time
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
from PIL import Image, ImageDraw, ImageFont

from convae_keras.pipelines import to_uint8
from convae_keras.validation import check_images

# Pixels on each side of the pad; pad.js has the same.
SIDE = 112

# Pixels on each side of an image, and of the box that MNIST scales digits to.
SIZE, BOX = 28, 20

# Samples on each side of a pixel, where a drawing is scaled down.
SAMPLES = 4

# Pixels on each side of an image in a picture, between two, and below for a label.
TILE, GAP, LINE = 112, 8, 18


def as_digit(drawing):
    """Brings a drawing to the size and position of MNIST's digits.

    Its longer side becomes 20 pixels, and its center of mass comes to the middle of
    the image, to a whole pixel, as MNIST rounds.

    Args:
        drawing: uint8 in [0, 255] or float in [0, 1], `(height, width)`, white on
            black.

    Returns:
        float32 `(28, 28, 1)` in [0, 1]. Black if the drawing is.

    Raises:
        ValueError: for an array that is not an image.

    References:
        - [LeCun et al., 1998](https://doi.org/10.1109/5.726791), MNIST

    Example:

    >>> drawing = np.zeros((112, 112), "uint8")
    >>> drawing[:60, :6] = 255
    >>> as_digit(drawing).max(axis=(1, 2)).sum()
    np.float32(20.0)
    """
    drawing = to_uint8(check_images(np.asarray(drawing)[None], "drawing"))[0, ..., 0]
    if not drawing.any():
        return np.zeros((SIZE, SIZE, 1), "float32")
    # Of integers, so that they are the same numbers in JavaScript.
    sums = [drawing.sum(axis=axis, dtype="int64") for axis in (1, 0)]
    inside = [np.flatnonzero(each) for each in sums]
    step = max(each[-1] + 1 - each[0] for each in inside) / BOX
    padded, places = np.pad(drawing, 1), []
    for each, found in zip(sums, inside, strict=True):
        middle = (each * (np.arange(len(each)) + 0.5)).sum() / each.sum()
        start = np.ceil(SIZE / 2 - (middle - found[0]) / step)
        samples = (np.arange(SIZE * SAMPLES) + 0.5) / SAMPLES - start
        nearest = np.floor(found[0] + step * samples).astype(int)
        places.append(nearest.clip(-1, len(each)) + 1)
    samples = padded[np.ix_(*places)].reshape(SIZE, SAMPLES, SIZE, SAMPLES)
    return (samples.mean(axis=(1, 3)) / 255).astype("float32")[..., None]


def picture(images):
    """Draws images side by side, fast: without matplotlib.

    Args:
        images: dict from a label to an image, uint8 in [0, 255] or float in
            [0, 1], `(height, width, channels)`.

    Returns:
        bytes, a PNG file.
    """
    width = len(images) * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, TILE + LINE + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, (label, image) in enumerate(images.items()):
        pixels = to_uint8(np.clip(image, 0, 255 if image.dtype == "uint8" else 1))
        tile = Image.fromarray(pixels.repeat(3 // pixels.shape[2], axis=2))
        left = GAP + i * (TILE + GAP)
        sheet.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), (left, GAP))
        draw.text((left, TILE + GAP + 1), label, "black", font)
    file = io.BytesIO()
    sheet.save(file, "png", compress_level=1)
    return file.getvalue()


class DrawingPad(anywidget.AnyWidget):
    """A pad to draw on, in notebooks. Its `value` is what `as_digit` makes of it.

    Args:
        image: `(28, 28, 1)`, what is on it at first, or None.
        **kwargs: as in `ipywidgets.DOMWidget`.
    """

    _esm = Path(__file__).parent / "pad.js"
    pixels = traitlets.CBytes(bytes(SIDE * SIDE)).tag(sync=True)
    value = traitlets.Any()

    def __init__(self, image=None, **kwargs):
        super().__init__(**kwargs)
        self.observe(self._follow, "pixels")
        self.show(np.zeros((SIZE, SIZE, 1)) if image is None else image)

    def show(self, image):
        """Replaces what is on the pad by an image, `(28, 28, 1)`."""
        zoom = SIDE // SIZE
        self.pixels = to_uint8(image[..., 0]).repeat(zoom, 0).repeat(zoom, 1).tobytes()
        self._follow()

    def _follow(self, change=None):
        self.value = as_digit(np.frombuffer(self.pixels, "uint8").reshape(SIDE, SIDE))


class Live(widgets.HBox):
    """Images that follow their controls.

    Where no widget can be shown, such as on a page of a notebook that is not
    running, the picture of the moment is.

    Args:
        compute: function of the controls' values, by name, that returns images as
            `picture` takes them.
        **controls: widgets with a `value`: sliders, lists, a `DrawingPad`.
    """

    def __init__(self, compute, **controls):
        self.compute, self.controls = compute, controls
        self.image = widgets.Image(format="png")
        self.update()
        pads = [each for each in controls.values() if isinstance(each, DrawingPad)]
        others = [each for each in controls.values() if each not in pads]
        super().__init__([*pads, widgets.VBox([*others, self.image])])
        for control in controls.values():
            control.observe(self.update, "value")

    def update(self, change=None):
        """Computes the picture again."""
        values = {name: control.value for name, control in self.controls.items()}
        self.image.value = picture(self.compute(**values))

    def delays(self, name, values):
        """Moves a control.

        Args:
            name: str, the control's.
            values: iterable of values, each other than the one before.

        Returns:
            list of float, from the callback to each picture's bytes, in milliseconds
            of the processor's time: other programs do not count.
        """
        delays = []
        for value in values:
            start = time.process_time()
            self.controls[name].value = value
            delays.append(1000 * (time.process_time() - start))
        return delays

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "image/png": base64.b64encode(self.image.value).decode(),
            "text/plain": "a picture that follows its controls",
        }
