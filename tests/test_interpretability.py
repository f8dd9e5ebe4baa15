"""Gradients with respect to images, maps made of them, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from convae_keras.interpretability import (
    deletion_curve,
    effective_receptive_field,
    float32_copy,
    input_gradients,
    integrated_gradients,
    maximize_activation,
    randomize_weights,
    receptive_field,
    scores,
)
from convae_keras.models import block_autoencoder, conv_autoencoder
from convae_keras.pretrained import load_pretrained

SHAPE = (12, 10, 2)
WEIGHTS = np.random.RandomState(1).randn(*SHAPE).astype("float32")
FILL = np.full(SHAPE, 0.25, "float32")


def pictures(count=5, seed=0):
    return np.random.RandomState(seed).rand(count, *SHAPE).astype("float32")


def squared(x):
    """Half a weighted sum of squares: its gradient is the weights times the image."""
    return ops.sum(ops.multiply(WEIGHTS, ops.square(x)), axis=(1, 2, 3)) / 2


def small(**switches):
    options = {"filters": (4, 6), "code_filters": (5,), "latent_dim": 3, "seed": 0}
    return conv_autoencoder("reference", **{**options, **switches})


def test_gradients_of_a_known_function():
    x = pictures()
    found = input_gradients(squared, x)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, WEIGHTS * x, atol=1e-5)
    np.testing.assert_allclose(
        scores(squared, x), (WEIGHTS * x**2).sum(axis=(1, 2, 3)) / 2, rtol=1e-4
    )


def test_batches_and_further_arrays(monkeypatch):
    x, factors = pictures(7), np.arange(7)

    def scaled(x, factor):
        return squared(x) * factor

    monkeypatch.setattr("convae_keras.interpretability.BATCH_SIZE", 3)
    found = input_gradients(scaled, x, factors)
    np.testing.assert_allclose(
        found, WEIGHTS * x * factors[:, None, None, None], atol=1e-4
    )


def test_uint8_images_and_unused_ones():
    x = np.full((2, 12, 10, 2), 255, "uint8")
    assert scores(lambda x: x[:, 0, 0, 0], x).tolist() == [1, 1]
    found = input_gradients(lambda x: ops.sum(x, axis=(1, 2, 3)) * 0, x)
    assert not found.any()


@pytest.mark.tensorflow
def test_a_score_that_left_tensorflow():
    network = small()
    x = np.zeros((2, 28, 28, 1))
    for function in (
        lambda x: network.encoder.predict(x, verbose=0)[:, 0],
        lambda x: np.asarray(x)[:, 0, 0, 0],
    ):
        with pytest.raises(ValueError, match="without NumPy or `predict`"):
            input_gradients(function, x)
        with pytest.raises(ValueError, match="without NumPy or `predict`"):
            maximize_activation(function, x, smoothness=1, steps=2)


def test_maps_of_other_types_rank_as_floats():
    x, maps = np.ones((1, 8, 8, 1)), np.zeros((1, 8, 8), "uint8")
    maps[:, 4:] = 200
    x[:, :4] = 0.5
    mean = lambda x: ops.mean(x, axis=(1, 2, 3))  # noqa: E731
    wanted = [[0.75, 0.25, 0]]
    for each in (maps, maps > 100, maps.astype("float32")):
        found = deletion_curve(mean, x, each, fill=np.zeros((8, 8, 1)), steps=2)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_transposed_convolution_has_no_such_field():
    x = inputs = keras.Input((16, 16, 1))
    x = keras.layers.Conv2DTranspose(2, 2, strides=2, name="up")(x)
    x = keras.layers.Conv2D(2, 3, name="z")(x)
    with pytest.raises(ValueError, match="before any Conv2DTranspose"):
        receptive_field(keras.Model(inputs, x), "z")


def test_shipped_models_can_be_copied():
    denoiser = load_pretrained("denoiser")
    copy = float32_copy(denoiser)
    x = np.full((1, 16, 16, copy.input_shape[3]), 0.5, "float32")
    np.testing.assert_allclose(copy(x), denoiser(x), atol=1e-2)


def test_the_gradient_of_a_network_is_the_slope():
    network = float32_copy(small())
    x = np.random.RandomState(0).rand(1, 28, 28, 1).astype("float32") / 2 + 0.25

    def number(x):
        return network.encoder(x)[:, 0]

    direction = np.random.RandomState(1).randn(*x.shape)
    direction /= np.abs(direction).max()
    up, down = (scores(number, x + 0.02 * sign * direction) for sign in (1, -1))
    slope = (input_gradients(number, x) * direction).sum()
    np.testing.assert_allclose((up - down)[0] / 0.04, slope, rtol=0.03, atol=1e-3)


def test_integrated_gradients_are_those_of_numpy():
    """Of a sum of squares the integral is known, and the midpoint rule is exact."""
    x = pictures()
    found = integrated_gradients(squared, x, fill=FILL, steps=3)
    np.testing.assert_allclose(found, WEIGHTS * (x**2 - FILL**2) / 2, atol=1e-5)


@pytest.mark.slow
def test_integrated_gradients_are_complete():
    network = float32_copy(small(image_shape=SHAPE))
    x = pictures()
    code = network.encoder.predict(x, verbose=0)

    def agreement(x, fixed):
        return ops.sum(network.encoder(x) * fixed, axis=1)

    found = integrated_gradients(agreement, x, code, fill=FILL, steps=50)
    there = scores(agreement, x, code)
    there = there - scores(agreement, np.repeat(FILL[None], 5, axis=0), code)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), there, rtol=0.01, atol=1e-3)


def test_a_deletion_curve_is_that_of_numpy():
    x, maps = pictures(3), np.random.RandomState(2).rand(3, 12, 10)
    found = deletion_curve(squared, x, maps, fill=FILL, steps=4)
    assert found.shape == (3, 5)
    for i in range(3):
        order = maps[i].ravel().argsort()[::-1]
        for step in range(5):
            image = x[i].reshape(120, 2).copy()
            image[order[: step * 30]] = FILL[0, 0]
            value = (WEIGHTS * image.reshape(SHAPE) ** 2).sum() / 2
            np.testing.assert_allclose(found[i, step], value, rtol=1e-3, atol=1e-3)


def test_the_best_order_has_the_smallest_area_and_equal_values_are_drawn():
    x, flat = pictures(4), np.zeros((4, 12, 10))
    best = (WEIGHTS * (x**2 - FILL**2)).sum(axis=-1)
    areas = [
        deletion_curve(squared, x, maps, fill=FILL, steps=20).mean()
        for maps in (best, flat, -best)
    ]
    assert areas == sorted(areas)
    one, same, other = (
        deletion_curve(squared, x, flat, fill=FILL, steps=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert (one == same).all() and not (one == other).all()


def test_one_fill_for_each_image():
    x, fill, maps = pictures(3), pictures(3, seed=5), np.random.rand(3, 12, 10)
    there, back = (
        deletion_curve(squared, a, m, fill=b, steps=4)
        for a, b, m in ((x, fill, maps), (fill, x, -maps))
    )
    np.testing.assert_allclose(there, back[:, ::-1], rtol=1e-4, atol=1e-4)
    parts = integrated_gradients(squared, x, fill=fill, steps=3)
    np.testing.assert_allclose(parts, WEIGHTS * (x**2 - fill**2) / 2, atol=1e-5)


@pytest.mark.slow
def test_activation_is_maximized():
    x = np.full((2, *SHAPE), 0.5)
    sharp = maximize_activation(squared, x, steps=80)
    np.testing.assert_array_equal(sharp[0], sharp[1])
    assert sharp.min() >= 0 and sharp.max() <= 1
    assert ((sharp[0] > 0.9) == (WEIGHTS > 0)).mean() > 0.9
    smooth = maximize_activation(squared, x, smoothness=200.0, steps=80)
    assert (
        np.abs(np.diff(smooth, axis=1)).mean() < np.abs(np.diff(sharp, axis=1)).mean()
    )
    assert (scores(squared, sharp) > scores(squared, smooth)).all()


def test_a_copy_computes_in_float32_and_shares_nothing():
    model = small()
    copy = float32_copy(model)
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    parts = (*copy.layers, *copy.encoder.layers, *copy.decoder.layers)
    computed = {each.compute_dtype for each in parts}
    assert computed == {"float32"}
    copy.set_weights([0 * each for each in copy.get_weights()])
    assert np.abs(model.get_weights()[0]).max() > 0
    assert type(copy) is type(model) and copy.decoder.name == "decoder"


def test_weights_are_drawn_anew():
    kernel = keras.initializers.HeNormal(seed=3)  # a seed of its own
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, kernel_initializer=kernel, name="conv")(inputs)
    model = keras.Model(inputs, layers.BatchNormalization()(x))
    one, same, other = (randomize_weights(model, seed) for seed in (1, 1, 2))
    first = [each.get_weights()[0] for each in (model, one, other, same)]
    assert not np.allclose(first[0], first[1]) and not np.allclose(first[1], first[2])
    np.testing.assert_array_equal(first[1], first[3])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [("conv_1", (3, 1)), ("pool_1", (4, 2)), ("conv_2", (8, 2)), ("code_1", (18, 4))],
)
def test_receptive_fields(layer, expected):
    model = small()
    size, jump = receptive_field(model, layer)
    assert (size[0], jump[0]) == (size[1], jump[1]) == expected
    x = np.random.RandomState(0).rand(9, 28, 28, 1)
    field, side = effective_receptive_field(model, layer, x)
    seen = np.argwhere(field > 0)
    # Half precision rounds small gradients to 0, so that some rows may be missing.
    assert (np.ptp(seen, axis=0) < size).all() and 0 < side <= size[0]
    assert field.max() == 1


def test_effective_receptive_field_of_another_range():
    """The encoder sees the same numbers, whatever the range in which it wants them."""
    plain, signed = small(), small(output_range=(-1, 1))
    signed.set_weights(plain.get_weights())
    x = np.random.RandomState(0).rand(3, 28, 28, 1).astype("float32")
    expected, _ = effective_receptive_field(plain, "conv_2", x)
    found, _ = effective_receptive_field(signed, "conv_2", (x + 1) / 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_receptive_field_with_strides_and_dilation():
    inputs = keras.Input((40, 40, 1))
    x = layers.Conv2D(2, (5, 3), strides=2, name="a")(inputs)
    x = layers.Activation("relu", name="b")(x)
    x = layers.Conv2D(2, 3, dilation_rate=(2, 1), name="c")(x)
    assert receptive_field(keras.Model(inputs, x), "b") == ((5, 3), (2, 2))
    assert receptive_field(keras.Model(inputs, x), "c") == ((13, 7), (2, 2))


@pytest.mark.static
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: scores(squared, x[0, 0, 0]), "`x` must be images"),
        (lambda x: scores(squared, x, [1, 2]), "must be as many as the images, 5"),
        (lambda x: scores(lambda x: x, x), r"one number an image, \(5,\)"),
        (lambda x: input_gradients(ops.sum, x), r"one number an image, \(5,\)"),
        (
            lambda x: integrated_gradients(squared, x, fill=FILL[:3]),
            r"`fill` must be one image of shape \(12, 10, 2\)",
        ),
        (
            lambda x: integrated_gradients(squared, x, fill=FILL, steps=0),
            "`steps` must be a positive int. Received: 0",
        ),
        (
            lambda x: deletion_curve(squared, x, x, fill=FILL),
            r"`maps` must be real numbers of shape \(5, 12, 10\)",
        ),
        (
            lambda x: deletion_curve(squared, x, x[..., 0] / 0, fill=FILL),
            "`maps` must be finite",
        ),
        (
            lambda x: deletion_curve(squared, x, x[..., 0], fill=FILL, steps=121),
            "`steps` must be an int from 1 to 120. Received: 121",
        ),
        (
            lambda x: maximize_activation(squared, x, smoothness=-1),
            "`smoothness` must be a number from 0. Received: -1",
        ),
        (lambda x: maximize_activation(squared, x, steps=1.5), "`steps` must be a pos"),
        (lambda x: randomize_weights(small(), seed="a"), "`seed` must be an int"),
        (lambda x: float32_copy(squared), "`model` must be a functional keras.Model"),
        (lambda x: receptive_field(small(), "conv_9"), "`layer` must be one of"),
        (lambda x: receptive_field(small(), "code"), "must be before any Flatten"),
        (
            lambda x: receptive_field(block_autoencoder(filters=(4, 4)), "linear"),
            "must be a chain. Received: 'linear' after",
        ),
        (
            lambda x: effective_receptive_field(small(), "code", x),
            "`layer` must be one of",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(pictures())


def test_fill_may_be_one_number():
    x = np.ones((2, 8, 8, 1), "float32")
    expected = np.full((8, 8, 1), 0.25, "float32")
    found, same = (
        integrated_gradients(lambda x: x[:, 0, 0, 0], x, fill=fill)
        for fill in (0.25, expected)
    )
    np.testing.assert_array_equal(found, same)
    zero = integrated_gradients(lambda x: x[:, 0, 0, 0], x, fill=0.0)
    assert zero.sum(axis=(1, 2, 3)) == pytest.approx(1)
    for fill in (True, np.nan, -1.0, "0"):
        with pytest.raises(ValueError, match="`fill` must be"):
            integrated_gradients(lambda x: x[:, 0, 0, 0], x, fill=fill)
