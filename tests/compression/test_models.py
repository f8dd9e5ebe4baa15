"""Codecs: whole numbers in, the same picture out everywhere, and a price on bits."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from convae_keras.compression.bitstream import codes_of, images_of
from convae_keras.compression.layers import EntropyBottleneck
from convae_keras.compression.models import Codec, conv_codec
from convae_keras.models import count_trainable
from convae_keras.pipelines import to_float
from convae_keras.saving import fingerprint

SMALL = {"filters": (4, 8), "code_filters": (8,), "latent_dim": 6}


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 9, 3), (None, None, 3)])
def test_shapes(shape):
    codec = conv_codec(shape, **SMALL, seed=0)
    x = np.random.RandomState(0).rand(2, *(side or 21 for side in shape))
    assert codec.predict(x, verbose=0).shape == x.shape
    codes = codec.encoder.predict(x, verbose=0)
    assert codes.shape == ((2, 6, 6, 6) if shape[0] is None else (2, 6))
    assert (codes == np.round(codes)).all()
    assert codec.output_shape == (None, *shape)


def test_pixels_are_whole_numbers_of_255():
    codec = conv_codec(**SMALL, seed=1)
    random = np.random.RandomState(0)
    codes = random.randint(-15, 16, size=(5, 6)).astype("float32")
    y = 255 * codec.decoder.predict(codes, verbose=0)
    assert np.abs(y - np.round(y)).max() < 1e-3
    assert len(np.unique(np.round(y))) > 5


def test_half_a_million_parameters_are_learnt():
    codec = conv_codec()
    learnt = sum(np.prod(w.shape) for w in codec.trainable_weights)
    assert count_trainable(codec) == learnt <= 500_000
    assert learnt < codec.count_params()  # which has the tables, too


@pytest.mark.parametrize(
    "options, said",
    [
        ({"price": -1}, "`price` must be 0 or larger. Received: -1"),
        ({"price": float("nan")}, "`price` must be"),
        ({"largest": 128}, "`largest` must be an int from 1 to 127. Received: 128"),
        ({"latent_dim": 0}, "`latent_dim` must be a positive int. Received: 0"),
        ({"filters": ()}, "`filters` must hold one stage at least"),
    ],
)
def test_what_cannot_be(options, said):
    with pytest.raises(ValueError) as error:
        conv_codec(**options)
    assert said in str(error.value)


def bits(price, scale):
    """What the layer adds to the loss, for codes so wide."""
    layer = EntropyBottleneck(pixels=16, price=price)
    x = scale * np.random.RandomState(0).normal(size=(500, 8)).astype("float32")
    layer(x)
    return float(layer.losses[0])


def test_wide_codes_cost_more():
    assert bits(1, 0.1) < bits(1, 1) < bits(1, 3)
    assert bits(2, 1) == pytest.approx(2 * bits(1, 1))
    assert bits(0, 1) == 0


def test_codes_are_cut_off():
    layer = EntropyBottleneck(pixels=1, price=1, largest=2)
    found = keras.ops.convert_to_numpy(layer(np.array([[-9.0, -1.6, 0.4, 7.0]])))
    assert found.tolist() == [[-2, -2, 0, 2]]


def test_a_higher_price_makes_codes_cheaper(digits):
    x = to_float(digits.x_train[:512])
    widths = []
    for price in (0.0, 2000.0):
        codec = conv_codec(**SMALL, price=price, seed=0)
        codec.compile(keras.optimizers.Adam(0.01), "mse")
        codec.fit(x, x, batch_size=32, epochs=3, verbose=0)
        widths.append(codec.encoder.predict(x, verbose=0).std())
    assert widths[1] < 0.5 * widths[0]


def test_it_comes_back_from_the_disk(codec, tmp_path, digits):
    codec.save(tmp_path / "codec.keras")
    again = keras.saving.load_model(tmp_path / "codec.keras")
    assert isinstance(again, Codec) and fingerprint(again) == fingerprint(codec)
    for a, b in zip(
        again.tables.get_weights(), codec.tables.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    x = digits.x_test[:5]
    np.testing.assert_array_equal(codes_of(again, x), codes_of(codec, x))


ELSEWHERE = """
import os, sys
if sys.argv[3] != "0":
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[3]))
import keras, numpy as np
from convae_keras import codecs, compression
codec = keras.saving.load_model(sys.argv[1])
codes = np.load(sys.argv[2])
print(keras.backend.backend(), file=sys.stderr)
np.save(sys.argv[4], compression.images_of(codec, codes, (len(codes), 28, 28, 1)))
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("backend, threads", [("jax", 0), ("tensorflow", 1)])
def test_the_same_images_elsewhere(codec, digits, tmp_path, backend, threads):
    codes = codes_of(codec, digits.x_test[:200])
    here = images_of(codec, codes, (200, 28, 28, 1))
    codec.save(tmp_path / "codec.keras")
    np.save(tmp_path / "codes.npy", codes)
    files = ("codec.keras", "codes.npy")
    paths = [*(str(tmp_path / name) for name in files), str(threads)]
    command = [sys.executable, "-c", ELSEWHERE, *paths, str(tmp_path / "images.npy")]
    env = os.environ | {"KERAS_BACKEND": backend, "TF_ENABLE_ONEDNN_OPTS": "0"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ran.returncode == 0 and backend in ran.stderr, ran.stderr[-2000:]
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), here)
    assert len(np.unique(here)) > 100
