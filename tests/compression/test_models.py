"""Codecs: integer codes, exact decoders, a weight on the rate, and earlier files."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_keras import load_pretrained, load_run, train
from convae_keras.baselines import image_codec
from convae_keras.compression.bitstream import (
    codes_of,
    fit_tables,
    images_of,
    pack,
    unpack,
)
from convae_keras.compression.models import Codec, conv_codec
from convae_keras.data.patches import photographs
from convae_keras.ledger import finished_run
from convae_keras.metrics import psnr
from convae_keras.models import count_trainable
from convae_keras.pipelines import to_float
from convae_keras.saving import architecture_hash, fingerprint, read_json

SMALL = {"filters": (4, 8), "code_filters": (8,), "latent_dim": 6}
EARLIER = Path(__file__).parents[1] / "fixtures" / "run_codec"


@pytest.mark.parametrize("shape", fewer([(13, 9, 3), (28, 28, 1), (None, None, 3)]))
def test_shapes(shape):
    codec = conv_codec(shape, **SMALL, seed=0)
    x = np.random.RandomState(0).rand(2, *(side or 21 for side in shape))
    assert codec.predict_on_batch(x).shape == x.shape
    codes = codec.encoder.predict_on_batch(x)
    assert codes.shape == ((2, 6, 6, 6) if shape[0] is None else (2, 6))
    assert (codes == np.round(codes)).all()
    assert codec.output_shape == (None, *shape)


def test_pixels_are_multiples_of_1_255():
    codec = conv_codec(**SMALL, seed=1)
    random = np.random.RandomState(0)
    codes = random.randint(-15, 16, size=(5, 6)).astype("float32")
    y = 255 * codec.decoder.predict_on_batch(codes)
    assert np.abs(y - np.round(y)).max() < 1e-3
    assert len(np.unique(np.round(y))) > 5


def test_half_a_million_trainable_parameters():
    codec = conv_codec()
    trainable = sum(np.prod(w.shape) for w in codec.trainable_weights)
    assert count_trainable(codec) == trainable <= 500_000
    assert trainable < codec.count_params()  # which includes the tables


@pytest.mark.parametrize(
    "options, name",
    [
        ({"rate_weight": -1}, "rate_weight"),
        ({"rate_weight": float("nan")}, "rate_weight"),
        ({"price": -1}, "price"),
        ({"price": 8.0, "rate_weight": 8.0}, "price"),
        ({"largest": 128}, "largest"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"filters": ()}, "filters"),
    ],
)
def test_invalid_arguments(options, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        conv_codec(**options)


def test_rate_weight_and_its_earlier_name():
    codecs = [conv_codec(**SMALL, **o) for o in ({"price": 8.0}, {"rate_weight": 8.0})]
    weights = [c.encoder.get_layer("whole").rate_weight for c in codecs]
    assert weights == [8.0, 8.0]
    assert conv_codec(**SMALL).encoder.get_layer("whole").rate_weight == 50.0


@pytest.mark.slow
@pytest.mark.static
def test_a_higher_rate_weight_makes_codes_narrower(digits):
    x = to_float(digits.x_train[:512, ::2, ::2])
    options = {"filters": (4,), "code_filters": (), "latent_dim": 4, "seed": 0}
    widths = []
    for rate_weight in (0.0, 2000.0):
        codec = conv_codec((14, 14, 1), **options, rate_weight=rate_weight)
        codec.compile(keras.optimizers.Adam(0.01), "mse")
        codec.fit(x, x, batch_size=32, epochs=6, verbose=0)
        widths.append(codec.encoder.predict_on_batch(x).std())
    assert widths[1] < 0.5 * widths[0]


def test_it_is_saved_and_loaded(codec, tmp_path, digits):
    codec.save(tmp_path / "codec.keras")
    loaded = keras.saving.load_model(tmp_path / "codec.keras")
    assert isinstance(loaded, Codec) and fingerprint(loaded) == fingerprint(codec)
    tables = loaded.tables.get_weights(), codec.tables.get_weights()
    for table, expected in zip(*tables, strict=True):
        np.testing.assert_array_equal(table, expected)
    x = digits.x_test[:5]
    np.testing.assert_array_equal(codes_of(loaded, x), codes_of(codec, x))


def layers_of(model):
    """Every layer, also of models inside."""
    for layer in model.layers:
        yield from layers_of(layer) if isinstance(layer, keras.Model) else [layer]


@pytest.mark.slow
@pytest.mark.float32  # it sets the policy
def test_it_trains_and_is_exact_in_half_precision():
    use_policy("mixed_float16")
    x = np.random.RandomState(0).randint(256, size=(10, 8, 8, 1)).astype("uint8")
    codec = conv_codec((8, 8, 1), filters=(4,), code_filters=(), latent_dim=3, seed=0)
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert {layer.dtype_policy.name for layer in layers_of(codec)} == {"float32"}
    before = codec.get_weights()[0]
    train(codec, x, epochs=1, batch_size=3, loss="psnr", verbose=0)
    assert np.abs(codec.get_weights()[0] - before).max() > 0
    fit_tables(codec, x)
    data = pack(codec, x, lossless=True)
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)


@pytest.mark.float32  # it sets the policy
def test_the_policy_does_not_change_a_shipped_codec(digits):
    x, packed = digits.x_test[:20], []
    for policy in ("float32", "mixed_float16"):
        use_policy(policy)
        packed.append(pack(load_pretrained("digits"), x, lossless=True))
    assert packed[0] == packed[1]


@pytest.mark.static
def test_a_codec_that_an_earlier_version_trained(digits):
    """Its layers had other class names, and `rate_weight` was `price`."""
    codec, x = load_run(EARLIER), digits.x_test[:3]
    expected = np.load(EARLIER / "reconstructions.npy")
    y = codec.predict_on_batch(to_float(x))
    np.testing.assert_allclose(y, expected, atol=1e-6)
    assert isinstance(codec, Codec)
    assert codec.encoder.get_layer("whole").rate_weight == 0.5
    new = conv_codec(
        filters=(4, 8), code_filters=(8,), latent_dim=4, rate_weight=0.5, seed=0
    )
    expected = read_json(EARLIER / "settings.json")["architecture"]
    assert {architecture_hash(model) for model in (codec, new)} == {expected}
    data = pack(codec, x, lossless=True)
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)


# The model, a shape, codes, and SHA-256 of what the decoders make of random ones.
DECODED = {
    "digits": ((200, 28, 28, 1), 200, "af6227e0641a5b2f6788e5444f7b6c1e"),
    "photographs": ((2, 60, 44, 3), 96, "7257f980bba0925ca6af21589dae58f7"),
}


def for_photographs():
    return finished_run("codec_photographs")[0]


@pytest.mark.parametrize("name", DECODED)
def test_the_same_images_under_every_backend(name):
    """In half precision's run also without oneDNN, whose sums have another order."""
    shape, positions, expected = DECODED[name]
    codec = load_pretrained(name) if name == "digits" else for_photographs()
    size = positions, codec.encoder.output_shape[-1]
    codes = np.random.RandomState(0).randint(31, size=size)
    images = images_of(codec, codes, shape)
    assert len(np.unique(images)) == 256
    assert hashlib.sha256(images.tobytes()).hexdigest()[:32] == expected


def test_photographs():
    codec, x = for_photographs(), photographs("test")["chelsea.png"][None, :256, :256]
    data = pack(codec, x)
    found, bits = unpack(codec, data, x.shape), 8 * len(data) / x[0, ..., 0].size
    assert bits < 1 and psnr(x / 255, found / 255).mean() > 25
    assert len(pack(codec, x, lossless=True)) < image_codec(x, "PNG")[1][0]
