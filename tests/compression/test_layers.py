"""Exact convolutions: integer arithmetic, whatever the order of a sum."""

import keras
import numpy as np
import pytest

from convae_keras.compression.layers import LIMIT, IntegerConv2D


def reference(x, layer):
    """The same in 64-bit integers."""
    kernel, bias = (np.asarray(w, "float32") for w in layer.get_weights())
    kernel = np.clip(np.round(np.float32(64) * kernel), -63, 63).astype("int64")
    bias = np.round(np.float32(64 * layer.largest) * bias).astype("int64")
    size = layer.kernel_size
    reach = size // 2
    padded = np.pad(x.astype("int64"), [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    height, width = x.shape[1:3]
    total = bias + sum(
        padded[:, i : i + height, j : j + width]
        @ kernel.reshape(size, size, x.shape[-1], -1)[i, j]
        for i in range(size)
        for j in range(size)
    )
    return np.clip((total + 2 ** (layer.shift - 1)) >> layer.shift, 0, 255)


@pytest.mark.parametrize("size, channels", [(1, 5), (3, 64), (5, 8), (3, 115)])
def test_it_is_integer_arithmetic(size, channels):
    random = np.random.RandomState(0)
    layer = IntegerConv2D(7, size, shift=9)
    x = random.randint(256, size=(2, 6, 5, channels)).astype("float32")
    layer.build(x.shape)
    values = random.normal(scale=0.8, size=layer.kernel.shape), random.normal(size=7)
    layer.set_weights([v.astype("float32") for v in values])
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(found, reference(x, layer))
    assert len(np.unique(found)) > 20


def test_the_largest_sum_is_exact():
    layer = IntegerConv2D(1, 3, shift=16)
    x = np.full((1, 3, 3, 115), 255, "float32")
    layer.build(x.shape)
    layer.set_weights([np.full(layer.kernel.shape, 9.0), np.full(1, 0.001)])
    assert 63 * 255 * 9 * 115 < LIMIT
    found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(found, reference(x, layer))


def test_a_sum_that_could_be_too_large():
    with pytest.raises(ValueError, match="1044 products in a sum at most"):
        IntegerConv2D(1).build((None, 8, 8, 116))


def test_it_learns_and_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    outputs = keras.layers.Rescaling(1 / 255)(IntegerConv2D(1)(inputs))
    model = keras.Model(inputs, outputs)
    x = np.random.RandomState(0).randint(256, size=(64, 6, 6, 2)).astype("float32")
    y = x.mean(axis=-1, keepdims=True) / 255
    model.compile(keras.optimizers.Adam(0.02), "mse")
    losses = model.fit(x, y, batch_size=16, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 10
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
