"""The pad, and pictures that follow it; tests/browser has the same in a browser."""

import io
import re
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pytest
from PIL import Image

import convae_keras
from convae_keras.pipelines import to_float
from convae_keras.playground import SIDE, DrawingPad, Live, as_digit, picture

pytestmark = pytest.mark.static

SCRIPT = Path(convae_keras.__file__).with_name("pad.js").read_text("utf-8")


def larger(image, zoom=4):
    return image[..., 0].repeat(zoom, 0).repeat(zoom, 1)


def test_digits_stay_as_mnist_has_them(digits):
    x = digits.x_test[:200]
    found = np.stack([as_digit(larger(each)) for each in x])
    np.testing.assert_allclose(found, to_float(x), atol=1e-6)


def test_size_and_place_do_not_matter(digits):
    for x in digits.x_test[:20]:
        sheet = np.zeros((300, 260), "uint8")
        sheet[13:237, 7:231] = larger(x, 8)
        np.testing.assert_array_equal(as_digit(sheet), as_digit(larger(x)))


@pytest.mark.parametrize("shape", [(1, 112), (112, 1), (7, 5), (28, 28)])
def test_drawings_of_any_shape_fill_the_box(shape):
    found = as_digit(np.ones(shape))
    assert found.shape == (28, 28, 1) and found.dtype == np.float32
    assert (found.max(axis=(1, 2)) > 0).sum() <= 20
    sides = [np.flatnonzero(found.max(axis=axis)).size for axis in ((1, 2), (0, 2))]
    assert max(sides) == 20


def test_nothing_is_drawn():
    assert not as_digit(np.zeros((112, 112), "uint8")).any()


@pytest.mark.parametrize("drawing", [np.zeros((3, 3, 2, 2)), np.full((4, 4), np.nan)])
def test_what_is_no_drawing_is_refused(drawing):
    with pytest.raises(ValueError, match="must be"):
        as_digit(drawing)


def test_a_picture_has_every_image_and_its_color():
    red = np.zeros((28, 28, 3), "uint8")
    red[..., 0] = 255
    data = picture({"too bright": np.full((28, 28, 1), 1.5), "red": red})
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == (248, 138)
        assert opened.getpixel((30, 30)) == (255, 255, 255)
        assert opened.getpixel((180, 60)) == (255, 0, 0)


def test_the_pad_in_python_and_in_the_browser_are_as_large():
    assert re.search(r"SIDE = (\d+);", SCRIPT)[1] == str(SIDE)


def test_a_picture_follows_pad_and_slider(digits):
    pad, seen = DrawingPad(to_float(digits.x_test[:1])[0]), []
    np.testing.assert_array_equal(pad.value, as_digit(larger(digits.x_test[0])))

    def compute(drawing, part):
        seen.append(part)
        return {"part": part * drawing}

    live = Live(compute, drawing=pad, part=widgets.FloatSlider(0.5, min=0, max=1))
    first = live.image.value
    # What a browser sends is a view of memory.
    pad.set_state({"pixels": memoryview(larger(digits.x_test[1]).tobytes())})
    second = live.image.value
    assert len(live.delays("part", [0.25, 0.75])) == 2
    assert seen == [0.5, 0.5, 0.25, 0.75]
    assert len({first, second, live.image.value}) == 3


def test_a_picture_is_stored_for_those_who_only_read(strokes):
    live = Live(lambda drawing: {"": drawing}, drawing=DrawingPad(strokes[0] / 255))
    assert {"image/png", "text/plain"} < {*live._repr_mimebundle_()}
