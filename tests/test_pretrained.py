"""The shipped models: unchanged, small, and as good as their cards say."""

import functools
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convae_keras import load_images, pretrained
from convae_keras.baselines import enlarge
from convae_keras.compression.bitstream import pack, unpack
from convae_keras.corruption import Downsample, GaussianNoise
from convae_keras.data.patches import photographs
from convae_keras.evaluation import reconstruct
from convae_keras.features import encode
from convae_keras.generation import frechet_distance, generate
from convae_keras.metrics import mse, psnr
from convae_keras.model_card import model_card
from convae_keras.models import Autoencoder
from convae_keras.pipelines import to_float
from convae_keras.pretrained import find_pretrained, load_pretrained, pretrained_names
from convae_keras.saving import fingerprint, read_json
from convae_keras.tiling import restore

# Each is loaded once; no test changes it.
load = functools.cache(load_pretrained)


@pytest.mark.static
@pytest.mark.parametrize("name", pretrained_names())
def test_files_of_a_shipped_model(name):
    folder, model = pretrained.PRETRAINED / name, load(name)
    names = ["card.md", "history.json", "model.keras", "results.json", "settings.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    assert not model.compiled
    for weights in model.get_weights():
        if weights.dtype == "float32":
            np.testing.assert_array_equal(weights, weights.astype("float16"))
    settings, results = (
        read_json(folder / f"{x}.json") for x in ("settings", "results")
    )
    assert settings["model"] == fingerprint(model)
    assert find_pretrained(fingerprint(model)[:32]) == name
    # `python results/build_pretrained.py` writes the cards.
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card == model_card(name, model, settings, results)
    assert (fingerprint(model)[:32] in card) == (name == "digits")


def test_no_model_has_that_fingerprint():
    assert find_pretrained("0" * 32) is None


def test_the_reference_model(digits):
    autoencoder = load("reference")
    assert isinstance(autoencoder, Autoencoder)
    assert autoencoder.encoder.output_shape == (None, 32)
    x = to_float(digits.x_test[:500])
    error = mse(x, reconstruct(autoencoder, x)).mean()
    claimed = read_json(pretrained.PRETRAINED / "reference" / "results.json")
    # Rounding the weights makes no difference that the card would show.
    assert error < 1.5 * claimed["autoencoder"]["mse"] < 0.01


def test_a_changed_model_is_refused(tmp_path, monkeypatch):
    shutil.copytree(pretrained.PRETRAINED / "reference", tmp_path / "reference")
    monkeypatch.setattr(pretrained, "PRETRAINED", tmp_path)
    path = tmp_path / "reference" / "model.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.keras .*SHA-256"):
        load_pretrained("reference")


@pytest.mark.parametrize("name", ["", "mine", "../pretrained"])
def test_unknown_model(name):
    with pytest.raises(ValueError, match=f"'{name}'.*'reference'"):
        load_pretrained(name)


# A fresh process, which may not touch the network.
IMPORT = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
import convae_keras, keras

known = map(keras.saving.get_registered_object, sys.argv[1:])
sys.exit(not all(known))
"""


@pytest.mark.slow
@pytest.mark.static
def test_import_registers_the_classes_of_all_models():
    """Keras itself imports no module that a file names."""
    needed = set()
    for path in pretrained.PRETRAINED.glob("*/model.keras"):
        with zipfile.ZipFile(path) as file:
            needed |= set(
                re.findall(r"convae_keras>\w+", str(file.read("config.json")))
            )
    assert {"convae_keras>Autoencoder", "convae_keras>Codec"} <= needed
    subprocess.run([sys.executable, "-c", IMPORT, *needed], check=True)


# --- quality -----------------------------------------------------------------


def gain(model, photo, stddev):
    """PSNR in dB that a denoiser gains on a uint8 photograph."""
    noisy = np.round(255 * GaussianNoise(stddev / 255)(photo[None])[0]).astype("uint8")
    restored = restore(model, noisy)
    before, after = (psnr(photo[None] / 255, x[None] / 255) for x in (noisy, restored))
    return after - before


def test_denoiser():
    photo = photographs("test")["chelsea.png"][60:188, 90:218]
    assert gain(load("denoiser"), photo, 25) > 8


@pytest.mark.parametrize("name, photo", photographs("test").items())
def test_denoiser_on_photographs_with_little_noise(name, photo):
    assert gain(load("denoiser"), photo[:256, :256], 10) > 1


def test_denoiser_of_grayscale_photographs():
    photo = photographs("val", "grey")["camera.png"][100:228, 180:308]
    assert gain(load("denoiser_grey"), photo, 25) > 6


@pytest.mark.parametrize("scale", [2, 3])
def test_enlargers(scale):
    photo = photographs("test", "grey")["chelsea.png"][60:186, 90:216]
    small = Downsample(scale)(photo[None])
    model = load(f"enlarger_x{scale}")
    restored = restore(model, np.round(255 * small[0]).astype("uint8"))
    bicubic, ours = enlarge(small, scale, "bicubic"), restored[None] / 255
    assert psnr(photo[None] / 255, ours) > psnr(photo[None] / 255, bicubic) + 0.3


def test_classifier(digits):
    found = load("classifier").predict(to_float(digits.x_test), verbose=0)
    # All 5,000 digits are training images of MNIST.
    assert (found.argmax(axis=1) == digits.y_test).mean() > 0.99


@pytest.mark.float32
def test_every_backend_draws_the_same_digits():
    expected = np.load(Path(__file__).parent / "fixtures" / "generated.npz")
    images, labels = generate(load("generator"), 8, seed=0)
    np.testing.assert_allclose(images, expected["images"], atol=1e-3)
    np.testing.assert_array_equal(labels, expected["labels"])


@pytest.mark.slow
def test_generator_of_digits():
    """The classifier, which it has never seen, reads what it was told to draw."""
    generator, judge = load("generator"), load("classifier")
    images, labels = generate(generator, 300, seed=0)
    assert set(labels) == {*range(10)}
    found = judge.predict(images, verbose=0)
    assert (found.argmax(axis=1) == labels).mean() > 0.94
    assert (found.max(axis=1) > 0.9).mean() > 0.92
    real = encode(judge, load_images("mnist5k").x_train[:2000], "features")
    one_image = frechet_distance(real, encode(judge, images[[0] * 300], "features"))
    assert frechet_distance(real, encode(judge, images, "features")) < one_image / 20


@pytest.mark.slow
def test_codec_for_digits(digits):
    codec, x = load("digits"), digits.x_test[:300]
    data = pack(codec, x)
    found = unpack(codec, data, x.shape)
    assert len(data) < 11 * len(x) and psnr(x / 255, found / 255).mean() > 23
    data = pack(codec, x, lossless=True)
    assert 8 * len(data) < 1.3 * x.size
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)
