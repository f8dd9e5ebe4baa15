"""Layers that Keras lacks, compared with those it has and with NumPy."""

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from convae_keras.baselines import enlarge
from convae_keras.layers import BicubicUpsampling2D, CropLike, UpsampleConv2D
from convae_keras.models import conv_autoencoder

# Compared to more digits than half precision has; one test sets it itself.
pytestmark = pytest.mark.float32

# (height, width, channels), filters
SHAPES = fewer([((5, 4, 2), 3), ((1, 1, 2), 3), ((14, 14, 8), 1)])
KERNEL_SIZES = [1, 3, 5]


def images(shape, n=2):
    return np.random.default_rng(1).normal(size=(n, *shape)).astype("float32")


def randomize(model):
    """Random weights and biases, none of them 0."""
    random, shapes = np.random.default_rng(2), [w.shape for w in model.weights]
    model.set_weights([random.uniform(-0.5, 0.5, shape) for shape in shapes])
    return model


def with_front(shape, *back):
    """A trainable layer in front, whose gradient passes through the others."""
    front = layers.Conv2D(shape[-1], 3, padding="same")
    return keras.Sequential([keras.Input(shape), front, *back])


def fused_and_pair(shape, filters, kernel_size, activation=None):
    options = {"activation": activation}
    fused = with_front(shape, UpsampleConv2D(filters, kernel_size, **options))
    conv = layers.Conv2D(filters, kernel_size, padding="same", **options)
    pair = with_front(shape, layers.UpSampling2D(2), conv)
    pair.set_weights(randomize(fused).get_weights())
    return fused, pair


# --- UpsampleConv2D ----------------------------------------------------------


@pytest.mark.parametrize("shape, filters", SHAPES)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_is_equal_to_the_pair(shape, filters, kernel_size):
    fused, pair = fused_and_pair(shape, filters, kernel_size, "tanh")
    x = images(shape)
    assert fused(x).shape == (2, 2 * shape[0], 2 * shape[1], filters)
    np.testing.assert_allclose(fused(x), pair(x), atol=1e-5)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_has_the_gradients_of_the_pair(kernel_size):
    shape, filters = (5, 4, 2), 3
    models = fused_and_pair(shape, filters, kernel_size)
    x, y = images(shape), np.ones((2, 10, 8, filters), "float32")
    before = models[0].get_weights()
    for model in models:  # one step of plain descent at rate 1: the gradient itself
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.train_on_batch(x, y)
    fused, pair = (model.get_weights() for model in models)
    # Weights of the layer in front, by the gradient of the inputs, and its own.
    assert len(fused) == 4
    for old, new, expected in zip(before, fused, pair, strict=True):
        assert np.abs(old - new).max() > 0.01
        np.testing.assert_allclose(new, expected, atol=1e-5)


def upsample_then_correlate(x, kernel, bias):
    """float64: every pixel twice, zeros around, a sum of shifted products."""
    x = np.repeat(np.repeat(np.float64(x), 2, axis=1), 2, axis=2)
    _, height, width, _ = x.shape
    around = len(kernel) // 2
    x = np.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
    outputs = np.zeros((*x.shape[:1], height, width, len(bias)))
    for i, row in enumerate(kernel):
        for j, weights in enumerate(row):
            outputs += x[:, i : i + height, j : j + width] @ np.float64(weights)
    return outputs + bias


@settings(max_examples=15)
@given(
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    kernel_size=st.sampled_from(KERNEL_SIZES),
)
def test_is_equal_to_the_formula(height, width, kernel_size):
    layer = UpsampleConv2D(3, kernel_size)
    x = images((height, width, 2))
    layer.build(x.shape)
    expected = upsample_then_correlate(x, *randomize(layer).get_weights())
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_has_the_weights_of_the_convolution():
    layer, conv = UpsampleConv2D(4, 5), layers.Conv2D(4, 5)
    for each in (layer, conv):
        each.build((None, 7, 7, 3))
    assert [w.name for w in layer.weights] == [w.name for w in conv.weights]
    assert [w.shape for w in layer.weights] == [w.shape for w in conv.weights]


@pytest.mark.parametrize("size", [(None, None), (3, None), (3, 5)])
def test_output_shape(size):
    shape = (None, *(side and 2 * side for side in size), 4)
    assert UpsampleConv2D(4).compute_output_shape((None, *size, 3)) == shape
    assert UpsampleConv2D(4)(keras.Input((*size, 3))).shape == shape


def test_comes_back_from_a_file(tmp_path):
    options = {"activation": "silu", "kernel_initializer": "he_normal", "name": "up"}
    model = keras.Sequential([keras.Input((3, 4, 2)), UpsampleConv2D(5, 1, **options)])
    randomize(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    layer = loaded.get_layer("up")
    assert isinstance(layer, UpsampleConv2D)
    assert layer.get_config() == model.get_layer("up").get_config()
    x = images((3, 4, 2))
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "filters, kernel_size, name",
    [
        (0, 3, "filters"),
        (-3, 3, "filters"),
        (1.5, 3, "filters"),
        (3, 2, "kernel_size"),
        (3, 0, "kernel_size"),
        (3, -1, "kernel_size"),
        (3, 1.0, "kernel_size"),
    ],
)
def test_bad_options(filters, kernel_size, name):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: "):
        UpsampleConv2D(filters, kernel_size)


# --- half precision ----------------------------------------------------------


@pytest.mark.parametrize(
    "build", [lambda: UpsampleConv2D(4, 5, "silu"), lambda: BicubicUpsampling2D(3)]
)
def test_half_precision_is_close_to_float32(build):
    x = np.random.default_rng(0).random((2, 6, 5, 3), "float32")
    single = build()
    single.build(x.shape)
    use_policy("mixed_float16")
    half = build()
    half.build(x.shape)
    half.set_weights([w / 3 for w in randomize(single).get_weights()])
    single.set_weights(half.get_weights())
    y = half(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert {weight.dtype for weight in half.weights} <= {"float32"}
    # float16 has 11 bits; sums of 75 products lose one or two of them.
    expected = np.asarray(single(x))
    error = np.asarray(y, "float32") - expected
    assert np.abs(error).max() < 3e-3 * np.abs(expected).max()


# --- CropLike ----------------------------------------------------------------


def test_crops_to_sizes_known_at_run_time():
    inputs, reference = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    model = keras.Model([inputs, reference], CropLike()(inputs, reference))
    assert model.output_shape == (None, None, None, 3)
    x = images((8, 6, 3))
    for height, width in [(8, 6), (7, 4), (3, 5), (1, 1)]:
        cropped = model([x, np.zeros((2, height, width, 1), "float32")])
        np.testing.assert_array_equal(cropped, x[:, :height, :width])


def test_crops_to_fixed_sizes():
    cropped = CropLike()(keras.Input((8, 6, 3)), keras.Input((7, 5, 1)))
    assert cropped.shape == (None, 7, 5, 3)


# --- BicubicUpsampling2D -----------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(2, 2, 1), (2, 9, 3), (7, 5, 3)])
def test_is_equal_to_pillow(scale, shape):
    """At the borders, where Pillow has other rules, the image is mirrored."""
    x = np.random.default_rng(0).uniform(0.2, 0.8, (2, *shape)).astype("float32")
    y = BicubicUpsampling2D(scale)(x)
    assert y.shape == (2, scale * shape[0], scale * shape[1], shape[2])
    mirrored = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), "symmetric")
    cut = slice(4 * scale, -4 * scale)
    np.testing.assert_allclose(y, enlarge(mirrored, scale)[:, cut, cut], atol=1e-5)


def test_enlarges_sizes_known_at_run_time(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, BicubicUpsampling2D(3, name="up")(inputs))
    assert model.output_shape == (None, None, None, 3) and not model.weights
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for height, width in [(8, 6), (2, 5), (7, 7)]:
        x = images((height, width, 3))
        expected = BicubicUpsampling2D(3)(x)
        for each in (model, loaded):
            y = each.predict_on_batch(x)
            np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 0, -2, 65, 2.5, "2"])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match=f"`scale`.*Received: {scale!r}"):
        BicubicUpsampling2D(scale)


# --- the transposed convolution of the PyTorch network -----------------------


def torch_conv_transpose(x, kernel, bias):
    """`ConvTranspose2d(…, 3, stride=2, padding=1, output_padding=1)`, NHWC.

    From PyTorch's documentation, in float64: pixel (i, j) adds its value times
    `kernel[a, b]` to output (2i − 1 + a, 2j − 1 + b), where there is one.
    """
    n, height, width, _ = x.shape
    outputs = np.zeros((n, 2 * height, 2 * width, len(bias)))
    for i, j, a, b in np.ndindex(height, width, 3, 3):
        row, column = 2 * i - 1 + a, 2 * j - 1 + b
        if row >= 0 and column >= 0:  # never beyond the other end
            outputs[:, row, column] += x[:, i, j] @ np.float64(kernel[a, b]).T
    return outputs + bias


@pytest.mark.parametrize("size", [(28, 28), (8, 12)])
def test_the_decoder_is_aligned_as_in_pytorch(size):
    decoder = conv_autoencoder("pytorch", image_shape=(*size, 1), seed=3).decoder
    codes = images((size[0] // 4, size[1] // 4, 32))
    first, second = (decoder.get_layer(name) for name in ("up_2", "pixels"))
    for layer in (first, second):
        layer.bias.assign(ops.full(layer.bias.shape, 0.1))
    expected = np.maximum(torch_conv_transpose(codes, *first.get_weights()), 0)
    logits = torch_conv_transpose(expected, *second.get_weights())
    np.testing.assert_allclose(decoder(codes), 1 / (1 + np.exp(-logits)), atol=1e-6)
