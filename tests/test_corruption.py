"""Corruptions: drawn from a seed, of the given strength, the same everywhere."""

import json
import re
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convae_keras.corruption import (
    Corruption,
    Downsample,
    Fog,
    GaussianNoise,
    Hole,
    SaltAndPepper,
    Warp,
    from_config,
)
from convae_keras.pipelines import to_float

pytestmark = pytest.mark.static

DRAWN = [
    GaussianNoise(0.5),
    GaussianNoise(0.1, clip=False),
    GaussianNoise((0.0, 0.4)),
    SaltAndPepper(0.2),
    SaltAndPepper((0.1, 0.9)),
    Hole(3, 0.25),
    Fog(),
    Fog(blur=0.0, contrast=0.5, stddev=0.0),
    Warp(),
    Warp(5.0, (1.0, 1.0), 0.0, 0.5, (0.0, 0.1)),
]
STILL = [Downsample(), Downsample(3, "bicubic")]
EVERY = [*DRAWN, *STILL]


@pytest.fixture
def pixels():
    """uint8 `(6, 11, 14, 3)`, no two images alike."""
    return np.random.default_rng(0).integers(0, 256, (6, 11, 14, 3), "uint8")


def gray(n, height=20, width=24):
    """Images of one gray level, far from black and white; float32."""
    return np.full((n, height, width, 1), 0.5, "float32")


# --- every corruption --------------------------------------------------------


@pytest.mark.parametrize("corrupt", EVERY, ids=str)
def test_the_result_comes_from_the_seed(corrupt, pixels):
    first, again, other = (corrupt(pixels, seed=seed) for seed in (3, 3, 4))
    assert isinstance(first, np.ndarray) and first.dtype == "float32"
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (corrupt in STILL)


@pytest.mark.parametrize("corrupt", DRAWN, ids=str)
def test_every_image_of_a_batch_is_corrupted_differently(corrupt, pixels):
    same = np.repeat(pixels[:1], 50, axis=0)
    corrupted = corrupt(same, seed=1)
    # A hole of 3 has 108 places; the others never come out alike.
    least = 25 if isinstance(corrupt, Hole) else 50
    assert len({image.tobytes() for image in corrupted}) >= least


@pytest.mark.parametrize("corrupt", EVERY, ids=str)
def test_the_range(corrupt, pixels):
    # The hardest there is: black beside white.
    corrupted = corrupt(255 * (pixels > 127).astype("uint8"))
    clipped = getattr(corrupt, "clip", True)
    inside = 0 <= corrupted.min() and corrupted.max() <= 1
    assert inside == clipped and np.isfinite(corrupted).all()


@pytest.mark.parametrize("corrupt", EVERY, ids=str)
def test_bytes_and_floats_are_corrupted_alike(corrupt, pixels):
    expected, before = corrupt(pixels, seed=2), pixels.copy()
    np.testing.assert_array_equal(corrupt(to_float(pixels), seed=2), expected)
    np.testing.assert_array_equal(pixels, before)  # the originals are unchanged


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(11, 14), (None, None)])
@pytest.mark.parametrize("corrupt", EVERY, ids=str)
def test_pipelines_and_arrays_are_corrupted_alike(corrupt, sizes, pixels):
    """Inside `map`, where the number of images in a batch is not known."""
    x = to_float(pixels)
    signature = tf.TensorSpec((None, *sizes, 3))
    batches = tf.data.Dataset.from_generator(lambda: [x], output_signature=signature)
    batches = batches.map(lambda x: corrupt(x, tf.constant([0, 5], "int64")))
    (found,) = batches.as_numpy_iterator()
    np.testing.assert_allclose(found, corrupt(pixels, seed=5), atol=1e-6)


@pytest.mark.parametrize("corrupt", EVERY, ids=str)
def test_comes_back_from_json(corrupt):
    again = from_config(json.loads(json.dumps(corrupt.config())))
    assert again == corrupt and type(again) is type(corrupt)
    assert hash(again) == hash(corrupt)  # no list where there was a tuple


def test_no_corruption_has_no_config():
    assert from_config(None) is None
    with pytest.raises(ValueError, match="'Smear'.*'Fog'"):
        from_config({"name": "Smear"})
    with pytest.raises(ValueError, match="Unknown corruption None"):
        from_config({})
    with pytest.raises(ValueError, match="Unknown corruption 'Fog'"):
        from_config("Fog")
    with pytest.raises(ValueError, match="Hole.*'depth'"):
        from_config({"name": "Hole", "depth": 3})


@pytest.mark.parametrize(
    "kind, options",
    [
        (GaussianNoise, {"stddev": -0.1}),
        (GaussianNoise, {"stddev": 11}),
        (GaussianNoise, {"stddev": np.nan}),
        (GaussianNoise, {"stddev": None}),
        (GaussianNoise, {"stddev": "0.1"}),
        (GaussianNoise, {"stddev": (0.2, 0.1)}),
        (GaussianNoise, {"stddev": (0.1,)}),
        (GaussianNoise, {"stddev": (0, 0.1, 0.2)}),
        (GaussianNoise, {"stddev": ()}),
        (SaltAndPepper, {"amount": 1.1}),
        (SaltAndPepper, {"amount": (-0.1, 1)}),
        (Hole, {"side": 0}),
        (Hole, {"side": -2}),
        (Hole, {"side": 2.5}),
        (Hole, {"value": 1.5}),
        (Fog, {"blur": -1}),
        (Fog, {"blur": (1, 2)}),
        (GaussianNoise, {"clip": "no"}),
        (GaussianNoise, {"clip": 1}),
        (Fog, {"contrast": 0}),
        (Hole, {"value": (0.1, 0.3)}),
        (Hole, {"side": True}),
        (Fog, {"contrast": 1.2}),
        (Fog, {"contrast": (0.5, 1.2)}),
        (Fog, {"stddev": -1}),
        (Warp, {"rotation": 200}),
        (Warp, {"scale": 1.2}),
        (Warp, {"scale": (0, 1)}),
        (Warp, {"shear": -1}),
        (Warp, {"shift": "3"}),
        (Warp, {"stddev": -1}),
        (Downsample, {"factor": 1}),
        (Downsample, {"factor": 2.0}),
        (Downsample, {"method": "nearest"}),
    ],
)
def test_bad_options(kind, options):
    ((name, value),) = options.items()
    with pytest.raises(
        ValueError, match=f"`{name}`.*Received: {re.escape(repr(value))}"
    ):
        kind(**options)


def test_images_are_validated():
    with pytest.raises(ValueError, match="`x`"):
        Fog()(np.full((3, 8, 8, 1), 255.0))


# --- Gaussian noise ----------------------------------------------------------


@pytest.mark.parametrize("stddev", [0.05, 0.5, 2])
def test_the_noise_has_the_deviation_asked_for(stddev):
    noise = GaussianNoise(stddev, clip=False)(gray(200)) - 0.5
    n = noise.size  # 96,000: five standard errors on either side
    assert abs(noise.mean()) < 5 * stddev / n**0.5
    assert abs(noise.std() / stddev - 1) < 5 / (2 * n) ** 0.5
    # Of a normal distribution: 68.3 % within one deviation, 95.4 % within two.
    for deviations, fraction in [(1, 0.6827), (2, 0.9545)]:
        within = (np.abs(noise) < deviations * stddev).mean()
        assert within == pytest.approx(fraction, abs=0.01)


def test_pixels_and_channels_have_noise_of_their_own(pixels):
    x = np.full((300, 4, 4, 3), 0.5, "float32")
    noise = (GaussianNoise(0.3, clip=False)(x) - 0.5).reshape(300, -1)
    correlations = np.corrcoef(noise.T) - np.eye(48)
    assert np.abs(correlations).max() < 5.5 / 300**0.5


def test_clipping_is_the_last_step(pixels):
    free = GaussianNoise(0.5, clip=False)(pixels, seed=3)
    clipped = GaussianNoise(0.5)(pixels, seed=3)
    np.testing.assert_array_equal(clipped, free.clip(0, 1))
    assert (clipped != free).mean() > 0.1


def test_a_range_draws_a_deviation_for_each_image():
    noisy = GaussianNoise((0.1, 0.3), clip=False)(gray(400, 40, 40))
    found = noisy.std(axis=(1, 2, 3))
    # 1,600 pixels estimate a deviation to 2 %.
    assert 0.09 < found.min() < 0.11 and 0.28 < found.max() < 0.33
    # Evenly: a quarter of them in each quarter.
    counts = np.histogram(found, np.linspace(0.1, 0.3, 5))[0]
    assert counts.min() > 65


def test_no_noise(pixels):
    np.testing.assert_array_equal(GaussianNoise(0)(pixels), to_float(pixels))


# --- salt and pepper ---------------------------------------------------------


@pytest.mark.parametrize("amount", [0, 0.02, 0.3, 1])
def test_the_fraction_of_salt_and_of_pepper(amount):
    corrupted = SaltAndPepper(amount)(gray(200))
    for value in (0, 1):
        fraction = (corrupted == value).mean()
        assert fraction == pytest.approx(
            amount / 2, abs=5 * (amount / 2 / 96_000) ** 0.5
        )
    assert set(np.unique(corrupted)) <= {0, 0.5, 1}


def test_salt_and_pepper_change_all_channels_of_a_pixel():
    x = np.full((50, 9, 9, 3), 0.5, "float32")
    corrupted = SaltAndPepper(0.5)(x)
    assert (corrupted == corrupted[..., :1]).all() and (corrupted != 0.5).any()


def test_a_range_draws_an_amount_for_each_image():
    corrupted = SaltAndPepper((0.2, 0.8))(gray(300, 40, 40)) != 0.5
    fractions = corrupted.mean(axis=(1, 2, 3))
    assert 0.15 < fractions.min() < 0.23 and 0.77 < fractions.max() < 0.85


# --- holes -------------------------------------------------------------------


@settings(max_examples=25)
@given(
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    side=st.integers(1, 9),
    seed=st.integers(0, 2**31),
)
def test_a_hole_is_a_square_inside_the_image(height, width, side, seed):
    side = min(side, height, width)
    x = np.full((5, height, width, 3), 0.25, "float32")
    for image in Hole(side, 0.75)(x, seed):
        inside = (image == 0.75).all(axis=-1)
        assert (image[~inside] == 0.25).all()
        rows, columns = inside.any(axis=1), inside.any(axis=0)
        np.testing.assert_array_equal(inside, np.outer(rows, columns))
        for line in (rows, columns):
            (places,) = np.nonzero(line)
            assert len(places) == side == places[-1] - places[0] + 1


def test_holes_are_everywhere():
    """Also in the corners, and at each place as often."""
    x = np.zeros((6000, 5, 6, 1), "float32")
    corrupted = Hole(3, 1.0)(x)[..., 0]
    places = [tuple(np.argwhere(image)[0]) for image in corrupted]
    counts = np.zeros((5, 6), int)
    for place in places:
        counts[place] += 1
    # 3 × 4 places, 500 times each: five standard deviations.
    assert (np.abs(counts[:3, :4] - 500) < 5 * 500**0.5).all()
    assert counts[:3, :4].sum() == 6000


# --- a random affine transform -----------------------------------------------

STILL_WARP = {"rotation": 0, "scale": (1.0, 1.0), "shear": 0, "shift": 0, "stddev": 0}


def moments(**options):
    """Centers and covariances, in pixels, of 200 warped blobs, tall and narrow."""
    down, across = np.mgrid[:61, :81] - np.array([30, 40]).reshape(2, 1, 1)
    blob = np.exp(-(down**2) / (2 * 8**2) - across**2 / (2 * 3**2)).astype("float32")
    x = np.repeat(blob[np.newaxis, ..., np.newaxis], 200, axis=0)
    weights = Warp(**(STILL_WARP | options))(x, seed=1)[..., 0]
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    places = np.stack([down, across], axis=-1).reshape(-1, 2)
    weights = weights.reshape(200, -1)
    centers = weights @ places
    off = places - centers[:, np.newaxis]
    return centers, np.einsum("np,npi,npj->nij", weights, off, off)


def assert_fills(values, low, high, margin=0.03):
    """The values cover the range, and no more."""
    room = margin * (high - low)
    assert low - room / 3 < values.min() < low + room
    assert high - room < values.max() < high + room / 3


def test_a_warp_of_nothing(pixels):
    np.testing.assert_allclose(Warp(**STILL_WARP)(pixels), to_float(pixels), atol=1e-6)


def test_shifts():
    centers, covariances = moments(shift=4.0)
    for values in centers.T:
        assert_fills(values, -4, 4)
    assert abs(np.corrcoef(centers.T)[0, 1]) < 0.2
    np.testing.assert_allclose(covariances[:, 0, 0], 64, rtol=0.02)


def test_rotations():
    centers, covariances = moments(rotation=30.0)
    assert np.abs(centers).max() < 0.05  # about the center
    tilt = 2 * covariances[:, 0, 1], covariances[:, 0, 0] - covariances[:, 1, 1]
    assert_fills(np.degrees(np.arctan2(*tilt)) / 2, -30, 30)


def test_scales():
    _, covariances = moments(scale=(0.5, 1.5))
    assert_fills(np.sqrt(covariances[:, 1, 1]) / 3, 0.5, 1.5)
    ratios = np.sqrt(covariances[:, 0, 0] / covariances[:, 1, 1])
    np.testing.assert_allclose(ratios, 8 / 3, rtol=0.1)
    # As often half as large as twice: the logarithm is drawn evenly.
    _, covariances = moments(scale=(0.5, 2.0))
    assert np.median(np.sqrt(covariances[:, 1, 1])) / 3 == pytest.approx(1, abs=0.15)


def test_shears():
    _, covariances = moments(shear=0.5)
    np.testing.assert_allclose(covariances[:, 0, 0], 64, rtol=0.02)
    assert_fills(covariances[:, 0, 1] / 64, -0.5, 0.5)


def test_a_warp_adds_noise_at_the_end(pixels):
    black = np.zeros_like(to_float(pixels))
    noise = Warp(stddev=0.1)(black, seed=3)
    assert noise[noise > 0].std() == pytest.approx(0.06, abs=0.01)  # half a bell


# --- fog ---------------------------------------------------------------------


def blurred(image, stddev):
    """float64: one row, then one column at a time, mirrored at the borders."""
    radius = int(np.ceil(3 * stddev))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * stddev**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        margin = [(radius, radius) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(np.float64(image), margin, "symmetric")
        lines = (
            np.take(padded, range(i, i + image.shape[axis]), axis)
            for i in range(2 * radius + 1)
        )
        image = sum(w * line for w, line in zip(kernel, lines, strict=True))
    return image


@pytest.mark.parametrize("stddev", [0.4, 1, 2.3])
def test_fog_blurs(stddev, pixels):
    expected = [blurred(image, stddev) for image in to_float(pixels)]
    found = Fog(blur=stddev, contrast=1.0, stddev=0)(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_fog_takes_contrast_and_moves_what_is_left():
    x = np.zeros((300, 4, 4, 1), "float32")
    x[:, :2] = 1
    foggy = Fog(blur=0, contrast=(0.2, 0.6), stddev=0)(x)
    black, white = foggy[:, 3, 0, 0], foggy[:, 0, 0, 0]
    contrast = white - black
    assert 0.2 <= contrast.min() < 0.22 and 0.58 < contrast.max() <= 0.6001
    # Anywhere between black left black and white left white.
    place = black / (1 - contrast)
    assert place.min() < 0.02 and place.max() > 0.98
    assert abs(np.corrcoef(place, contrast)[0, 1]) < 5 / 300**0.5


def test_fog_ends_in_noise():
    foggy = Fog(blur=3, contrast=0.2, stddev=0.02)(gray(100))
    deviations = foggy.std(axis=(1, 2, 3))
    assert deviations.mean() == pytest.approx(0.02, rel=0.03)


# --- downsampling ------------------------------------------------------------


def means_of_blocks(x, factor):
    n, height, width, channels = x.shape
    x = x[:, : height // factor * factor, : width // factor * factor]
    shape = (n, height // factor, factor, width // factor, factor, channels)
    return x.reshape(shape).mean(axis=(2, 4))


def by_pillow(x, factor):
    height, width = (side // factor for side in x.shape[1:3])
    x = x[:, : height * factor, : width * factor]
    resize = [(width, height), Image.Resampling.BICUBIC]
    small = [
        [np.asarray(Image.fromarray(image[..., i]).resize(*resize)) for i in range(3)]
        for image in x
    ]
    return np.moveaxis(small, 1, -1).clip(0, 1)


@pytest.mark.parametrize("factor", [2, 3, 4, 11])
@pytest.mark.parametrize(
    "method, reference", [("box", means_of_blocks), ("bicubic", by_pillow)]
)
def test_downsampling(method, reference, factor, pixels):
    # Black and white, so that the bicubic overshoots.
    x = (to_float(pixels) > 0.5).astype("float32")
    found = Downsample(factor, method)(x)
    assert found.shape == (6, 11 // factor, 14 // factor, 3)
    np.testing.assert_allclose(found, reference(x, factor), atol=1e-5)


def test_bicubic_downsampling_overshoots_and_is_clipped():
    x = np.zeros((1, 8, 8, 3), "float32")
    x[:, :, 4:] = 1
    large = Image.fromarray(x[0, ..., 0])
    assert np.asarray(large.resize((4, 4), Image.Resampling.BICUBIC)).max() > 1.01
    assert Downsample(2, "bicubic")(x).max() == 1


# --- subclasses and sizes ----------------------------------------------------


def test_a_subclass(pixels):
    @dataclass(frozen=True)
    class Darken(Corruption):
        factor: float = 0.5

        def damage(self, x, seed):
            return x * self.factor

    np.testing.assert_allclose(Darken(0.25)(pixels), pixels / 1020, atol=1e-6)
    assert from_config({"name": "Darken", "factor": 0.1}) == Darken(0.1)


@pytest.mark.parametrize(
    "corrupt, name", [(Hole(12), "side"), (Downsample(20), "factor")]
)
def test_images_that_are_too_small(corrupt, name):
    with pytest.raises(ValueError, match=f"`{name}`.*8, 8"):
        corrupt(np.zeros((2, 8, 8, 1), "uint8"))
