"""Adversarial training: which loss trains what, and kernels that stay small."""

import keras
import numpy as np
import pytest

from convae_keras.generation.adversarial import (
    Adversaries,
    SpectralConstraint,
    discriminator,
    refine_decoder,
    train_adversaries,
)
from convae_keras.models import conv_autoencoder

pytestmark = pytest.mark.slow


def line(size, name, value):
    """A model of one dense layer without a bias."""
    inputs, start = keras.Input((size,)), keras.initializers.Constant(value)
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=start)
    return keras.Model(inputs, dense(inputs), name=name)


@pytest.mark.float32
@pytest.mark.parametrize("weight", [0, 2])
def test_each_loss_trains_its_own_network(weight):
    """One step of gradient descent, beside what it is by hand."""
    noise, generated = keras.Input((1,)), line(1, "generated", 0.5)
    generator = keras.Model(noise, {"samples": generated(noise)})
    judge = line(1, "judge", 0.25)
    model = Adversaries(generator, judge, weight)
    model.compile(keras.optimizers.SGD(0.1))
    z, x = np.array([[1.0], [3.0]], "float32"), np.array([[2.0], [4.5]], "float32")
    history = model.fit(z, x, batch_size=2, epochs=1, verbose=0).history
    # D(x) is 0.5 and 1.125: the second image is judged real enough, and counts for
    # nothing. The samples are 0.5 and 1.5, all judged too real.
    judged = 0.25 - 0.1 * (-2.0 / 2 + 1.0)
    made = 0.5 - 0.1 * weight * -0.25 * 2.0
    assert judge.get_weights()[0][0, 0] == pytest.approx(judged)
    assert generated.get_weights()[0][0, 0] == pytest.approx(made)
    hinges = 0.5 / 2 + (1.125 + 1.375) / 2
    assert history["discriminator"] == [pytest.approx(hinges)]
    assert history["generator"] == [pytest.approx(-0.25)]


def adversaries(weight):
    autoencoder = conv_autoencoder("keras", image_shape=(8, 8, 1), seed=0)
    codes = keras.Input(autoencoder.encoder.output_shape[1:])
    images = keras.Input((8, 8, 1))
    known = {"reconstruction": autoencoder(images)}
    known["samples"] = autoencoder.decoder(codes)
    generator = keras.Model([images, codes], known)
    judge = discriminator((8, 8, 1), (4, 8), seed=0)
    return autoencoder, Adversaries(generator, judge, weight)


def test_an_autoencoder_against_a_discriminator():
    random = np.random.RandomState(0)
    x = random.uniform(size=(64, 8, 8, 1)).astype("float32")
    codes = random.normal(size=(64, 4, 4, 8)).astype("float32")
    autoencoder, model = adversaries(0.1)
    before = autoencoder.get_weights()
    options = {"batch_size": 16, "learning_rate": 0.01, "average": 0.0}
    history = train_adversaries(model, [x, codes], x, 12, **options)
    assert {*history} >= {"discriminator", "generator", "reconstruction"}
    assert len(history["loss"]) == 1 and np.isfinite([*history.values()]).all()
    after = autoencoder.get_weights()
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    norms = [
        np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        for kernel in model.discriminator.get_weights()
        if kernel.ndim > 1
    ]
    assert max(norms) < 1.1


def test_a_constrained_kernel():
    random = np.random.RandomState(0)
    kernel = random.normal(size=(3, 3, 4, 8)).astype("float32")
    found = np.asarray(SpectralConstraint()(keras.ops.convert_to_tensor(kernel)))
    assert np.linalg.norm(found.reshape(36, 8), 2) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(
        found / found[0, 0, 0, 0], kernel / kernel[0, 0, 0, 0], rtol=1e-3
    )
    small = keras.ops.convert_to_tensor(kernel / 100)
    np.testing.assert_array_equal(np.asarray(SpectralConstraint()(small)), small)


def test_an_unconstrained_discriminator():
    judge = discriminator((9, 9, 3), (4,), constrained=False)
    assert judge.get_layer("conv_1").kernel_constraint is None
    assert judge.output_shape == (None, 1)


def test_a_refined_decoder():
    sizes = {"image_shape": (8, 8, 1), "latent_dim": 3, "filters": (4,)}
    autoencoder = conv_autoencoder(**sizes, code_filters=(), seed=0)
    x = np.random.RandomState(0).randint(0, 255, (20, 8, 8, 1)).astype("uint8")
    before, samples = autoencoder.get_weights(), np.ones((20, 3), "float32")
    options = {"steps": 4, "batch_size": 4, "average": 0.5}
    decoder, history = refine_decoder(autoencoder, x, samples, **options)
    assert len(history["reconstruction"]) == 1
    for old, new in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    old, new = (
        each.predict(samples, verbose=0) for each in (autoencoder.decoder, decoder)
    )
    assert old.shape == new.shape and (old != new).any()
    expected = r"`samples` must be codes of \(20, 3\). Received: \(19, 3\)"
    with pytest.raises(ValueError, match=expected):
        refine_decoder(autoencoder, x, samples[1:])


def test_images_without_an_axis_for_channels():
    sizes = {"image_shape": (8, 8, 1), "latent_dim": 3, "filters": (4,)}
    autoencoder = conv_autoencoder(**sizes, code_filters=(), seed=0)
    x, samples = np.zeros((20, 8, 8), "uint8"), np.ones((20, 3), "float32")
    decoder, _ = refine_decoder(autoencoder, x, samples, steps=1, batch_size=4)
    assert decoder.output_shape == (None, 8, 8, 1)


def test_a_decoder_of_another_range():
    sizes = {"image_shape": (8, 8, 1), "latent_dim": 3, "output_range": (-1, 1)}
    x, samples = np.zeros((20, 8, 8, 1), "uint8"), np.ones((20, 3), "float32")
    with pytest.raises(ValueError, match=r"must work in \(0, 1\). Received: \(-1, 1\)"):
        refine_decoder(conv_autoencoder(**sizes), x, samples, steps=1)


@pytest.mark.parametrize("name", ["steps", "batch_size"])
def test_sizes_are_positive_ints(name):
    x, message = np.zeros((8, 8, 8, 1)), f"`{name}` must be a positive int"
    with pytest.raises(ValueError, match=f"{message}. Received: 0"):
        train_adversaries(adversaries(1)[1], x, x, **{name: 0})


def test_steps_that_would_be_left_out():
    x = np.zeros((8, 8, 8, 1))
    with pytest.raises(ValueError, match="`steps` must be a multiple of 100"):
        train_adversaries(adversaries(1)[1], x, x, steps=150)


@pytest.mark.parametrize(
    "inputs, x, message",
    [
        (np.zeros((3, 1)), np.zeros((4, 1)), r"as many, at least one.*\[3, 4\]"),
        ([np.zeros((0, 1))], np.zeros((0, 1)), r"as many, at least one.*\[0, 0\]"),
        (np.full((4, 1), np.nan), np.zeros((4, 1)), "finite. Received: NaN"),
    ],
)
def test_arrays_that_do_not_fit(inputs, x, message):
    with pytest.raises(ValueError, match=f"`inputs` and `x` must be {message}"):
        train_adversaries(None, inputs, x)


def test_pixels_and_an_average_out_of_range():
    x = np.full((4, 1), 255, "uint8")
    with pytest.raises(ValueError, match=r"\[0, 1\]. Received: from 255 to 255"):
        train_adversaries(None, x, x)
    with pytest.raises(ValueError, match=r"`average` must be in \[0, 1\)"):
        train_adversaries(None, x, x, average=1)


@pytest.mark.parametrize("weight", [-1, "1", None])
def test_the_weight_is_a_number(weight):
    with pytest.raises(ValueError, match="`weight` must be a number of at least 0"):
        Adversaries(line(1, "a", 1), line(1, "b", 1), weight)
