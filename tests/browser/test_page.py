"""The playground's page computes what Python computes, and can be used on a phone."""

import numpy as np
import pytest

from convae_keras import load_pretrained
from convae_keras.ledger import finished_run
from convae_keras.playground import as_digit

pytestmark = pytest.mark.static

# Strokes, as `draw` takes them.
DIGITS = {
    "one": [[(0.5, 0.15), (0.5, 0.85)]],
    "two": [[(0.25, 0.3), (0.5, 0.15), (0.7, 0.3), (0.25, 0.8), (0.75, 0.8)]],
    "four": [[(0.35, 0.15), (0.25, 0.5), (0.7, 0.5)], [(0.65, 0.15), (0.65, 0.85)]],
    "seven, small and in a corner": [[(0.6, 0.6), (0.85, 0.6), (0.7, 0.95)]],
}
SEEN = "name => Array.from(playground.state[name])"


def _settle(page):
    page.wait_for_function("window.playground?.state.input && !playground.state.busy")


def _images(page, *names):
    _settle(page)
    found = [np.array(page.evaluate(SEEN, name), "float32") for name in names]
    return [image.reshape(1, 28, 28, 1) for image in found]


@pytest.fixture
def page(open_page, playground):
    page = open_page(playground)
    _settle(page)
    return page


def test_digits_are_reconstructed_and_denoised_as_in_python(page, draw):
    autoencoder, denoiser = load_pretrained(), finished_run("denoiser_range")[0]
    for strokes in DIGITS.values():
        page.click("#clear")
        draw(page, page.locator(".pad"), strokes)
        names = "input", "reconstruction", "noisy", "denoised"
        digit, reconstruction, noisy, denoised = _images(page, *names)
        drawing = np.array(page.evaluate("Array.from(playground.pad.read())"), "uint8")
        assert drawing.max() == 255
        expected = as_digit(drawing.reshape(112, 112))
        np.testing.assert_allclose(digit[0], expected, atol=1e-6)
        expected = autoencoder.predict_on_batch(digit)
        np.testing.assert_allclose(reconstruction, expected, atol=1e-3)
        expected = denoiser.predict_on_batch(noisy)
        np.testing.assert_allclose(denoised, expected, atol=1e-3)


def test_generated_digits_and_the_way_to_them(page):
    classifier = load_pretrained("classifier")
    for label in (0, 4, 7):
        page.click(f"#labels button >> nth={label}")
        (generated,) = _images(page, "generated")
        assert np.asarray(classifier.predict_on_batch(generated)).argmax() == label
    for way, end in (("0", "reconstruction"), ("1", None)):
        page.fill("#way", way)
        morphed, blended, expected = _images(
            page, "morphed", "blended", end or "generated"
        )
        if end:
            np.testing.assert_allclose(morphed, expected, atol=1e-6)
        else:
            np.testing.assert_allclose(blended, expected, atol=1e-6)


def test_a_slider_changes_the_picture(page):
    before = page.locator("#noisy").screenshot()
    page.fill("#noise", "0.8")
    _settle(page)
    assert page.locator("#noisy").screenshot() != before
    assert page.text_content("#stddev") == "0.80"


def test_chinese_and_a_dark_screen(open_page, playground):
    page = open_page(playground, locale="zh-CN", color_scheme="dark")
    _settle(page)
    assert page.text_content("h1") == "写一个数字"
    for title in ("Draw a digit", "写一个数字"):
        page.click("#language")
        assert page.text_content("h1") == title
        texts = page.locator("[data-text]").all_text_contents()
        assert all(text.strip() and text != "undefined" for text in texts)


def test_a_finger_draws_on_a_phone(open_page, playground):
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}
    page = open_page(playground, has_touch=True, **phone)
    _settle(page)
    wide = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(wide) <= 0
    page.tap("#clear")
    page.wait_for_function("!playground.pad.read().some(Boolean)")
    page.locator(".pad").scroll_into_view_if_needed()
    box = page.locator(".pad").bounding_box()
    fingers = page.context.new_cdp_session(page)
    for kind, y in (("Start", 0.2), ("Move", 0.5), ("Move", 0.8), ("End", None)):
        point = {"x": box["x"] + box["width"] / 2}
        points = [] if y is None else [point | {"y": box["y"] + y * box["height"]}]
        event = {"type": f"touch{kind}", "touchPoints": points}
        fingers.send("Input.dispatchTouchEvent", event)
    (digit,) = _images(page, "input")
    rows = np.flatnonzero(digit.max(axis=(0, 2, 3)))
    assert len(rows) == 20  # one stroke, from top to bottom
