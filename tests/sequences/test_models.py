import keras
import numpy as np
import pytest

from convae_keras import sequence_autoencoder, train
from convae_keras.sequences import (
    Quantize,
    Sequences,
    one_hot,
    text_autoencoder,
    to_lines,
)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [16, 17, 20, 23])
@pytest.mark.parametrize("latent_dim", [None, 3])
def test_any_length_comes_back(steps, latent_dim, tmp_path):
    sizes = {"filters": (3, 4), "code_filters": (5,), "latent_dim": latent_dim}
    autoencoder = sequence_autoencoder((steps, 2), seed=0, **sizes)
    x = np.random.RandomState(0).normal(size=(2, steps, 2)).astype("float32")
    y = np.asarray(autoencoder(x))
    assert y.shape == x.shape and y.dtype == "float32"
    code = (3,) if latent_dim else (-(-steps // 4), 5)
    assert autoencoder.encoder.output_shape[1:] == code
    autoencoder.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), y, atol=1e-6)
    assert loaded.encoder.output_shape == autoencoder.encoder.output_shape


def test_open_length():
    autoencoder = sequence_autoencoder((None, 1), latent_dim=None, filters=(2,))
    assert autoencoder(np.zeros((1, 10, 1), "float32")).shape == (1, 10, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sequence_shape": (8,)}, "must be .steps, channels."),
        ({"sequence_shape": (8, 0)}, "must be .steps, channels., positive ints"),
        ({"filters": ()}, "must not be empty"),
        ({"latent_dim": 0}, "`latent_dim` must be a positive int"),
        ({"sequence_shape": (None, 1)}, "sequences of a fixed length"),
        ({"kernel_size": 0}, "`kernel_size` must be a positive int"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        sequence_autoencoder(**options)


def test_quantize():
    x = np.linspace(-4, 4, 101, dtype="float32")
    for levels in (2, 3, 4, 7):
        y = np.asarray(Quantize(levels)(x))
        assert len(np.unique(np.round(y, 4))) == levels
        np.testing.assert_allclose([y[0], y[-1]], [-1, 1], atol=1e-6)
        assert (np.abs(y - np.tanh(x)) <= 1 / (levels - 1) + 1e-6).all()
    with pytest.raises(ValueError, match="`levels` must be"):
        Quantize(1)


@pytest.mark.slow
def test_text_autoencoder_learns(tmp_path):
    lines = ["ab" * 4, "ba" * 4, "aabb" * 2, "bbaa" * 2] * 64
    x = one_hot(lines, "abc")
    sequences = Sequences("lines", x, None, x[:8], None, x[:8], None)
    sizes = {"block": 4, "latent_dim": 6, "levels": 2, "filters": 16}
    autoencoder = text_autoencoder((8, 3), seed=0, **sizes)
    train(autoencoder, sequences, 15, batch_size=16, learning_rate=0.01, verbose=0)
    assert autoencoder.loss == "categorical_crossentropy"
    scaled = x[:4].astype("float32") / 255
    probabilities = autoencoder.predict(scaled, verbose=0)
    right = np.equal([*"".join(to_lines(probabilities, "abc"))], [*"".join(lines[:4])])
    assert right.mean() > 0.85
    codes = autoencoder.encoder.predict(scaled, verbose=0)
    assert codes.shape == (4, 2, 6) and set(np.unique(codes)) <= {-1, 1}
    autoencoder.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(scaled), probabilities, atol=1e-4)


def test_bad_text_options():
    with pytest.raises(ValueError, match="`block` must divide the line's length, 64"):
        text_autoencoder(block=5)
    with pytest.raises(ValueError, match="`latent_dim` must be a positive int"):
        text_autoencoder(latent_dim=0)
    with pytest.raises(ValueError, match="must be .length, characters."):
        text_autoencoder((64,))
