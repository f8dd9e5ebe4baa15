"""Tiles leave no seams; cuts cover every pixel and every code once."""

import functools

import keras
import numpy as np
import pytest
from helpers import differ, fewer, fixed, negative, twice

from convae_keras import tiling
from convae_keras.models import conv_autoencoder
from convae_keras.restorers import restorer
from convae_keras.tiling import (
    BATCH_PIXELS,
    CODE_MARGIN,
    CODE_TILE,
    MARGIN,
    TILE,
    cuts,
    restore,
)


@functools.cache
def network(scale=1, channels=1, residual=False):
    """Untrained, but with weights large enough that its output varies."""
    options = {"filters": (4, 8), "convs": (1, 1), "seed": 0, "residual": residual}
    model = restorer((None, None, channels), scale=scale, **options)
    random = np.random.default_rng(1)
    weights = [
        1.6 * w if w.ndim > 1 else random.normal(0, 0.1, w.shape)
        for w in model.get_weights()
    ]
    model.set_weights(weights)
    return model


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def at_once(model, image, margin=0):
    """The whole image in one piece, mirrored at its borders, by the model alone."""
    margins = [(margin, margin), (margin, margin), (0, 0)]
    x = np.pad(np.float32(image) / 255, margins, "symmetric")[np.newaxis]
    y = np.asarray(model(x))[0].clip(0, 1)
    cut = len(y) // len(x[0]) * margin
    y = y[cut : len(y) - cut, cut : y.shape[1] - cut]
    return np.round(255 * y).astype("uint8")


def rounding():
    """Of 255. Some CPUs round half precision otherwise in tiles of another size."""
    half = keras.config.dtype_policy().compute_dtype == "float16"
    return 6 if half else 1


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiling, "TILE", 64)


# --- restore -----------------------------------------------------------------


@pytest.mark.parametrize("scale, residual", [(1, False), (1, True), (2, False)])
@pytest.mark.parametrize("height, width", fewer([(75, 200), (129, 127)]))
def test_tiles_leave_no_seams(scale, residual, height, width, small_tiles):
    model = network(scale, residual=residual)
    image = noise(height, width, 1)
    restored = restore(model, image)
    assert restored.dtype == "uint8"
    assert restored.shape == (scale * height, scale * width, 1)
    assert restored.std() > 10
    # Everywhere, if the image is mirrored; else away from its borders.
    assert differ(restored, at_once(model, image, MARGIN)).max() <= rounding()
    inner = (slice(scale * MARGIN, -scale * MARGIN),) * 2
    assert differ(restored, at_once(model, image))[inner].max() <= rounding()


@pytest.mark.parametrize("shape", [(40, 60, 1), (75, 20, 1)])
def test_tiles_of_an_enlarger_that_adds_to_a_bicubic(shape, small_tiles):
    model, image = network(2, residual=True), noise(*shape)
    expected = at_once(model, image, MARGIN)
    assert differ(restore(model, image), expected).max() <= rounding()


@pytest.mark.parametrize(
    "height, width", fewer([(40, 61), (32, 32), (37, 51), (1, 1), (33, 64), (5, 3)])
)
@pytest.mark.parametrize("scale", [1, 2])
def test_small_images(height, width, scale, small_tiles):
    """Odd sizes too, and those that must be mirrored more than once."""
    model = network(scale)
    image = noise(height, width, 1)
    restored = restore(model, image)
    assert restored.shape == (scale * height, scale * width, 1)
    assert differ(restored, at_once(model, image, MARGIN)).max() <= rounding()


@pytest.mark.parametrize("switches", [{}, {"scale": 2, "head": "nearest"}])
def test_the_margin_is_more_than_our_networks_see(switches):
    """All weights are positive, so that no dependence cancels."""
    model = restorer(activation="linear", seed=0, **switches)
    model.set_weights([np.abs(w) for w in model.get_weights()])
    model.get_layer("pixels").activation = keras.activations.linear
    places = (56, 57, 58, 59)  # every offset relative to the poolings
    x = np.zeros((5, 120, 120, 1), "float32")
    for i, at in enumerate(places):
        x[i, at, at] = 1  # the last stays black
    y = np.asarray(model(x))[..., 0]
    scale = y.shape[1] // 120
    for i, at in enumerate(places):
        rows = np.unique(np.argwhere(y[-1] != y[i])) / scale
        assert 0 < np.abs(rows - at).max() < MARGIN


def test_every_pixel_is_in_its_place():
    image = noise(TILE + 3, 2 * TILE + 1, 3)
    np.testing.assert_array_equal(restore(negative(3), image), 255 - image)
    gray = image[..., :1]
    large = np.repeat(np.repeat(gray, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(restore(twice(), gray), large)


def test_memory_holds_one_tile(monkeypatch):
    """The model's input does not grow with the image."""
    shapes, work = [], tiling._predict

    def record(model, image):
        shapes.append(image.shape)
        return work(model, image)

    monkeypatch.setattr(tiling, "_predict", record)
    restore(negative(), noise(3 * TILE, TILE + 1, 1))
    assert shapes == [(TILE + 2 * MARGIN, TILE + 2 * MARGIN, 1)] * 6


def test_color_goes_through_a_grayscale_model_channel_by_channel(small_tiles):
    image, model = noise(30, 40, 3), network()
    planes = [restore(model, image[..., i : i + 1]) for i in range(3)]
    expected = np.concatenate(planes, axis=-1)
    np.testing.assert_array_equal(restore(model, image), expected)


def test_grayscale_goes_through_a_color_model_three_times(small_tiles):
    image, model = noise(30, 40, 1), network(channels=3)
    restored = restore(model, image)
    assert restored.shape == (30, 40, 1)
    color = restore(model, np.repeat(image, 3, axis=-1))
    np.testing.assert_array_equal(restored[..., 0], color.mean(axis=-1).round())
    assert (color != restored).any()


def test_a_model_of_one_size():
    image = noise(12, 16, 1)
    np.testing.assert_array_equal(restore(fixed(), image), 255 - image)
    for shape in [(16, 12, 1), (12, 17, 1), (24, 32, 1)]:
        with pytest.raises(ValueError, match="`image` must be 12 x 16 x 1.*: \\d+ x"):
            restore(fixed(), noise(*shape))


def test_a_model_of_one_size_and_an_image_of_other_channels():
    image = noise(12, 16, 3)
    np.testing.assert_array_equal(restore(fixed(), image), 255 - image)


def test_a_model_in_minus_one_to_one():
    switches = {"filters": (3,), "code_filters": (2,), "output_range": (-1, 1)}
    model = conv_autoencoder("keras", image_shape=(12, 16, 1), seed=0, **switches)
    image = noise(12, 16, 1)
    y = np.asarray(model(2 * np.float32(image)[np.newaxis] / 255 - 1))[0]
    expected = 255 * (y + 1) / 2
    assert differ(restore(model, image), expected).max() < 1
    assert expected.std() > 1


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match="`image` must have 1 channels. Received: 4"):
        restore(negative(), noise(12, 16, 4))
    with pytest.raises(ValueError, match="`image` must have 2 channels. Received: 1"):
        restore(negative(2), noise(12, 16, 1))


# --- cuts --------------------------------------------------------------------


@pytest.mark.parametrize("stride", [2, 8])
@pytest.mark.parametrize("size", [(600, 411), (3, 90_000), (1001, 1000), (40, 30)])
def test_every_pixel_and_code_is_covered_once(size, stride):
    n, rows, columns = 2, *(-(-side // stride) for side in size)
    seen = np.zeros((n, *size), "uint8"), np.zeros((n, rows, columns), "uint8")
    largest = 0
    for cut in cuts((n, *size, 1), (n, rows, columns, 5)):
        for counts, own in zip(seen, (cut.own_images, cut.own_codes), strict=True):
            counts[own] += 1
        largest = max(largest, seen[0][cut.images].size)
        # Only the margin is thrown away, at the same place in both.
        inner = np.ones_like(seen[1][cut.codes])[cut.inner_codes]
        assert inner.shape == seen[1][cut.own_codes].shape
        if len(cut.codes) > 1:
            before = [
                a.start - b.start
                for a, b in zip(cut.own_codes[1:], cut.codes[1:], strict=True)
            ]
            assert before == [place.start for place in cut.inner_codes[1:]]
            assert all(by in (0, CODE_MARGIN) for by in before)
    assert all((counts == 1).all() for counts in seen)
    assert largest <= max(BATCH_PIXELS, (stride * (CODE_TILE + 2 * CODE_MARGIN)) ** 2)


def test_flat_codes_are_cut_by_image():
    found = [*cuts((900, 28, 28, 1), (900, 32))]
    assert [cut.images for cut in found] == [cut.codes for cut in found]
    assert sum(len(range(900)[cut.images[0]]) for cut in found) == 900
    assert len(found) > 1
