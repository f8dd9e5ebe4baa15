"""Every builder: networks of any size come back from files; bad arguments are named."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras import (
    block_autoencoder,
    conv_autoencoder,
    conv_codec,
    sequence_autoencoder,
    validation,
    variational_autoencoder,
)
from convae_keras.generation import (
    discriminator,
    image_classifier,
    velocity_network,
)
from convae_keras.models import CHOICES
from convae_keras.restorers import HEADS, restorer
from convae_keras.sequences import text_autoencoder

few = settings(max_examples=4 if keras.backend.backend() == "tensorflow" else 1)

# Ints of NumPy's count as ints.
sides = st.integers(1, 20) | st.integers(1, 20).map(np.int64)
shapes = st.tuples(sides, sides, st.integers(1, 4))
stages = st.integers(1, 3).map(lambda count: (2,) * count)
codes = st.integers(1, 5)


def check(model, shape, output=None):
    """Images of the given shape, finite, from the encoder and decoder, and a file."""
    x = np.random.default_rng(0).random((2, *map(int, shape)), "float32")
    y = np.asarray(model(x))
    assert y.shape == (2, *(output or shape)) and np.isfinite(y).all()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.keras"))
        loaded = keras.models.load_model(Path(folder, "model.keras"))
    np.testing.assert_array_equal(loaded(x), y)
    for each in (model, loaded) if hasattr(model, "encoder") else ():
        decoded = np.asarray(each.decoder(each.encoder(x)))
        cut = tuple(slice(size) for size in y.shape)  # a codec crops at the end
        np.testing.assert_array_equal(decoded[cut], y)


@few
@given(shapes, stages, st.none() | codes, st.data())
def test_conv_autoencoder(shape, filters, latent_dim, data):
    drawn = {key: data.draw(st.sampled_from(each)) for key, each in CHOICES.items()}
    options = {"filters": filters, "code_filters": [3], "latent_dim": latent_dim}
    check(conv_autoencoder("keras", image_shape=shape, **options, **drawn), shape)


@few
@given(shapes, stages, st.none() | codes)
def test_block_autoencoder(shape, filters, latent_dim):
    options = {"filters": filters, "latent_dim": latent_dim}
    check(block_autoencoder(shape, **options), shape)


@pytest.mark.slow
@few
@given(shapes, stages, codes)
def test_conv_codec(shape, filters, latent_dim):
    options = {"filters": filters, "code_filters": (2,), "latent_dim": latent_dim}
    check(conv_codec(shape, **options), shape)


@pytest.mark.slow
@few
@given(shapes, stages, codes, st.floats(0, 4))
def test_variational_autoencoder(shape, filters, latent_dim, beta):
    options = {"filters": filters, "code_filters": (2,), "beta": beta}
    options |= {"image_shape": shape, "latent_dim": latent_dim}
    check(variational_autoencoder(**options), shape)


@few
@given(shapes, stages, st.integers(1, 4), st.sampled_from(HEADS), st.booleans())
def test_restorer(shape, filters, scale, head, residual):
    shape = tuple(max(2, side) for side in shape[:2]) + shape[2:]  # for bicubic
    options = {"filters": filters, "convs": (1,) * len(filters), "head": head}
    model = restorer(shape, **options, scale=scale, residual=residual)
    check(model, shape, (scale * shape[0], scale * shape[1], shape[2]))


@few
@given(st.tuples(sides, st.integers(1, 4)), stages, st.none() | codes, codes)
def test_sequence_autoencoder(shape, filters, latent_dim, kernel_size):
    options = {"filters": filters, "code_filters": (), "kernel_size": kernel_size}
    check(sequence_autoencoder(shape, latent_dim=latent_dim, **options), shape)


@pytest.mark.slow
@few
@given(codes, codes, st.integers(2, 9), codes, st.none() | st.integers(2, 5))
def test_text_autoencoder(block, count, characters, latent_dim, levels):
    shape, options = (block * count, characters), {"filters": 2, "block": block}
    check(
        text_autoencoder(shape, latent_dim=latent_dim, levels=levels, **options), shape
    )


@few
@given(shapes, stages)
def test_discriminator(shape, filters):
    check(discriminator(shape, filters), shape, (1,))


# --- bad arguments -----------------------------------------------------------

SMALL = {"filters": (2,), "code_filters": (2,), "latent_dim": 2}
SHAPES = ("image_shape", "filters", "code_filters", "latent_dim", "seed")
# What to call, its other arguments, and the arguments that sizes are given by.
BUILDERS = [
    (conv_autoencoder, {"preset": "keras", **SMALL}, SHAPES),
    (block_autoencoder, {}, ("image_shape", "filters", "latent_dim", "seed")),
    (conv_codec, SMALL, (*SHAPES, "largest", "rate_weight")),
    (variational_autoencoder, SMALL, (*SHAPES, "beta")),
    (restorer, {}, ("image_shape", "filters", "convs", "scale", "seed")),
    (discriminator, {}, ("image_shape", "filters", "seed")),
    (image_classifier, {}, ("image_shape", "classes", "seed")),
    (velocity_network, {"latent_dim": 2}, ("latent_dim", "classes", "units", "blocks")),
    (
        sequence_autoencoder,
        SMALL,
        ("sequence_shape", *SHAPES[1:], "kernel_size"),
    ),
    (
        text_autoencoder,
        {},
        ("line_shape", "block", "latent_dim", "levels", "filters", "seed"),
    ),
]
ARGUMENTS = [(f, rest, name) for f, rest, names in BUILDERS for name in names]
# None of them is a size, sizes, a seed or a weight.
NONSENSE = ["two", b"2", True, 2.5, np.float32(2.5), float("nan"), -float("inf"), -1]
NONSENSE += [{}, {2: 2}, {2}, [0, 0, 0], (2, -1, 2), [2.0] * 3, ["2"] * 3]
NONSENSE += [np.ones((3, 3)), np.zeros(3, int), np.array(None), [[2], [2], [2]]]


@pytest.mark.static
@settings(max_examples=300)
@given(st.sampled_from(ARGUMENTS), st.sampled_from(NONSENSE))
def test_nonsense_is_named(builder, value):
    function, rest, name = builder
    good = isinstance(value, float | np.float32) and value == 2.5
    if (good and name in ("beta", "rate_weight")) or (
        name == "seed" and isinstance(value, int)
    ):
        return
    with pytest.raises(ValueError, match=f"`{name}`.*Received: ") as raised:
        function(**{**rest, name: value})
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.static
@settings(max_examples=300)
@given(st.sampled_from(ARGUMENTS), st.integers(9, 30))
def test_what_would_not_fit_in_memory_is_refused(builder, digits):
    """Before it takes any."""
    function, rest, name = builder
    huge = 10**digits
    if name in ("seed", "rate_weight", "beta"):  # which are only numbers
        return
    value = {"image_shape": (8, 8, huge), "convs": (huge, 1), "line_shape": (8, huge)}
    value |= {"filters": (4, huge), "code_filters": (4, huge)}
    value |= {"sequence_shape": (8, huge)}
    value = value.get(name, huge) if function is not text_autoencoder else huge
    value = (8, huge) if name == "line_shape" else value
    message = f"`{name}`.*Received: |at most .* parameters|objects, and the limit"
    with pytest.raises(ValueError, match=message):
        function(**{**rest, name: value})


def test_a_raised_limit_allows_larger_layers(monkeypatch):
    monkeypatch.setattr(validation, "_limit", 2**10)
    with pytest.raises(ValueError, match="at most 256 parameters.*Received: 432"):
        conv_autoencoder("keras", filters=(16, 2), code_filters=())
    validation.set_limit(1)
    conv_autoencoder("keras", filters=(16, 2), code_filters=())
