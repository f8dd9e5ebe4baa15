"""Layers of a codec: exact integer arithmetic, the rate, and their policy."""

import keras
import numpy as np
import pytest
from helpers import use_policy

from convae_keras.compression.layers import LIMIT, EntropyBottleneck, IntegerConv2D


def reference(x, layer):
    """The same in 64-bit integers."""
    kernel, bias = (np.asarray(w, "float32") for w in layer.get_weights())
    kernel = np.clip(np.round(np.float32(64) * kernel), -63, 63).astype("int64")
    bias = np.round(np.float32(64 * layer.largest) * bias).astype("int64")
    size = layer.kernel_size
    margin = size // 2
    width = (margin, margin)
    padded = np.pad(x.astype("int64"), [(0, 0), width, width, (0, 0)])
    height, width = x.shape[1:3]
    total = bias + sum(
        padded[:, i : i + height, j : j + width]
        @ kernel.reshape(size, size, x.shape[-1], -1)[i, j]
        for i in range(size)
        for j in range(size)
    )
    return np.clip((total + 2 ** (layer.shift - 1)) >> layer.shift, 0, 255)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("size, channels", [(1, 5), (3, 64), (5, 8), (3, 115)])
def test_convolution_is_integer_arithmetic(size, channels, policy):
    use_policy(policy)
    random = np.random.RandomState(0)
    layer = IntegerConv2D(7, size, shift=9)
    x = random.randint(256, size=(2, 6, 5, channels)).astype("float32")
    layer.build(x.shape)
    values = random.normal(scale=0.8, size=layer.kernel.shape), random.normal(size=7)
    layer.set_weights([v.astype("float32") for v in values])
    output = keras.ops.convert_to_numpy(layer(x))
    assert (
        output.dtype == "float32"
        and output.shape[1:] == layer.compute_output_shape((None, 6, 5, channels))[1:]
    )
    np.testing.assert_array_equal(output, reference(x, layer))
    assert len(np.unique(output)) > 20


def test_the_largest_sum_is_exact():
    layer = IntegerConv2D(1, 3, shift=16)
    x = np.full((1, 3, 3, 115), 255, "float32")
    layer.build(x.shape)
    layer.set_weights([np.full(layer.kernel.shape, 9.0), np.full(1, 0.001)])
    assert 63 * 255 * 9 * 115 < LIMIT
    output = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(output, reference(x, layer))


def test_a_sum_that_is_not_exact_is_an_error():
    with pytest.raises(ValueError, match="must be below 1044"):
        IntegerConv2D(1).build((None, 8, 8, 116))


@pytest.mark.slow
@pytest.mark.float32  # codecs are never in half precision
def test_convolution_learns_and_is_saved(tmp_path):
    inputs = keras.Input((6, 6, 2))
    pixels = IntegerConv2D(1)(inputs)
    outputs = keras.layers.Rescaling(1 / 255, dtype="float32")(pixels)
    model = keras.Model(inputs, outputs)
    x = np.random.RandomState(0).randint(256, size=(64, 6, 6, 2)).astype("float32")
    y = x.mean(axis=-1, keepdims=True) / 255
    model.compile(keras.optimizers.Adam(0.02), "mse")
    losses = model.fit(x, y, batch_size=16, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 10
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    outputs = (m.predict_on_batch(x) for m in (loaded, model))
    np.testing.assert_array_equal(*outputs)


def rate(rate_weight, scale):
    """What the layer adds to the loss, for codes of that standard deviation."""
    layer = EntropyBottleneck(pixels=16, rate_weight=rate_weight)
    x = scale * np.random.RandomState(0).normal(size=(500, 8)).astype("float32")
    layer(x)
    (loss,) = layer.losses
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    return float(keras.ops.convert_to_numpy(loss))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_wide_codes_cost_more(policy):
    use_policy(policy)
    assert rate(1, 0.1) < rate(1, 1) < rate(1, 3)
    assert rate(2, 1) == pytest.approx(2 * rate(1, 1))
    assert rate(0, 1) == 0


def test_codes_are_clipped():
    layer = EntropyBottleneck(pixels=1, rate_weight=1, largest=2)
    x = np.array([[-9.0, -1.6, 0.4, 7.0]], "float32")
    output = keras.ops.convert_to_numpy(layer(x))
    assert output.tolist() == [[-2, -2, 0, 2]]
