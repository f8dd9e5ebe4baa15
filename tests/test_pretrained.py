"""The trained models that come along: whole, small, and as good as their cards say."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from convae_keras import pretrained as shipped
from convae_keras.baselines import enlarge, image_codec
from convae_keras.compression.bitstream import pack, unpack
from convae_keras.corruption import Downsample, GaussianNoise
from convae_keras.data.patches import photographs
from convae_keras.evaluation import reconstruct
from convae_keras.metrics import mse, psnr
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.pipelines import to_float
from convae_keras.pretrained import (
    find_pretrained,
    load_pretrained,
    pretrained_names,
    ship,
)
from convae_keras.runs import open_run, save_run
from convae_keras.saving import fingerprint, read_json, write_json
from convae_keras.tiling import restore

SMALL = {"image_shape": (4, 4, 1), "filters": (3,), "code_filters": (), "seed": 0}


def test_the_reference_model(digits):
    autoencoder = load_pretrained("reference")
    assert isinstance(autoencoder, Autoencoder) and not autoencoder.compiled
    assert autoencoder.encoder.output_shape == (None, 32)
    x = to_float(digits.x_test[:500])
    error = mse(x, reconstruct(autoencoder, x)).mean()
    # Half precision on disk costs nothing that its card could show.
    claimed = read_json(shipped.PRETRAINED / "reference" / "results.json")
    assert error < 1.5 * claimed["autoencoder"]["mse"] < 0.01


def test_the_reference_model_is_small_and_has_a_card():
    folder = shipped.PRETRAINED / "reference"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
    results = read_json(folder / "results.json")
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert f"| autoencoder | {results['autoencoder']['mse']:.5f} |" in card
    assert "mnist: 55,000 training" in card


@pytest.mark.parametrize("name", pretrained_names())
def test_files_that_a_model_packed_name_it(name):
    model = fingerprint(load_pretrained(name))
    assert find_pretrained(model[:32]) == name
    if name in ("digits", "photographs"):
        card = (shipped.PRETRAINED / name / "card.md").read_text(encoding="utf-8")
        assert model[:32] in card


def test_a_changed_model_is_not_loaded(tmp_path, monkeypatch):
    shutil.copytree(shipped.PRETRAINED / "reference", tmp_path / "reference")
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path)
    load_pretrained("reference")
    weights = tmp_path / "reference" / "weights.npz"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="'reference' are not those that were shipped"):
        load_pretrained("reference")


def test_the_denoiser_that_comes_along():
    photo = photographs("test")["chelsea.png"][60:188, 90:218]
    noisy = np.round(255 * GaussianNoise(25 / 255)(photo[None])[0]).astype("uint8")
    restored = restore(load_pretrained("denoiser"), noisy)
    before, after = (psnr(photo[None] / 255, x[None] / 255) for x in (noisy, restored))
    assert after > before + 8


@pytest.mark.parametrize("name, photo", photographs("test").items())
def test_in_colour_it_harms_no_photograph_that_has_little_noise(name, photo):
    photo = photo[:256, :256]
    noisy = np.round(255 * GaussianNoise(10 / 255)(photo[None])[0]).astype("uint8")
    restored = restore(load_pretrained("denoiser"), noisy)
    before, after = (psnr(photo[None] / 255, x[None] / 255) for x in (noisy, restored))
    assert after > before + 1


def test_the_denoiser_of_grey_photographs():
    photo = photographs("val", "grey")["camera.png"][100:228, 180:308]
    noisy = np.round(255 * GaussianNoise(25 / 255)(photo[None])[0]).astype("uint8")
    restored = restore(load_pretrained("denoiser_grey"), noisy)
    before, after = (psnr(photo[None] / 255, x[None] / 255) for x in (noisy, restored))
    assert after > before + 6


@pytest.mark.parametrize("scale", [2, 3])
def test_the_enlargers_that_come_along(scale):
    photo = photographs("test", "grey")["chelsea.png"][60:186, 90:216]
    small = Downsample(scale)(photo[None])
    model = load_pretrained(f"enlarger_x{scale}")
    restored = restore(model, np.round(255 * small[0]).astype("uint8"))
    rival, ours = enlarge(small, scale, "bicubic"), restored[None] / 255
    assert psnr(photo[None] / 255, ours) > psnr(photo[None] / 255, rival) + 0.3


def test_the_codec_for_digits(digits):
    codec, x = load_pretrained("digits"), digits.x_test
    data = pack(codec, x)
    found = unpack(codec, data, x.shape)
    assert len(data) < 11 * len(x) and psnr(x / 255, found / 255).mean() > 23
    data = pack(codec, x, lossless=True)
    assert 8 * len(data) < 1.3 * x.size
    np.testing.assert_array_equal(unpack(codec, data, x.shape, lossless=True), x)


def test_the_codec_for_photographs():
    codec, x = load_pretrained("photographs"), photographs("test")["chelsea.png"][None]
    x = x[:, :256, :256]
    data = pack(codec, x)
    found, bits = unpack(codec, data, x.shape), 8 * len(data) / x[0, ..., 0].size
    assert bits < 1 and psnr(x / 255, found / 255).mean() > 25
    assert len(pack(codec, x, lossless=True)) < image_codec(x, "PNG")[1][0]


def test_any_of_them_loads_first_thing():
    """In a process that has imported nothing else."""
    code = "from convae_keras import load_pretrained\n"
    code += f"for name in {pretrained_names()}: load_pretrained(name)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["", "mine", "../pretrained"])
def test_no_such_trained_model(name):
    with pytest.raises(ValueError, match=rf"'reference'\]. Received: '{name}'"):
        load_pretrained(name)


def test_a_run_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "PRETRAINED", tmp_path / "pretrained")
    run, autoencoder = (
        open_run(tmp_path / "run", {"seed": 0}),
        conv_autoencoder(**SMALL),
    )
    save_run(run, autoencoder, {"loss": [0.5]})
    write_json(run / "results.json", {"autoencoder": {"mse": 0.25}})
    card = f"# 4 × 4: {fingerprint(autoencoder)[:32]}"
    (run / "card.md").write_text(card, encoding="utf-8")
    ship(run, "mine")
    loaded = load_pretrained("mine")
    assert isinstance(loaded, Autoencoder) and not loaded.compiled
    weights = zip(loaded.get_weights(), autoencoder.get_weights(), strict=True)
    for found, whole in weights:
        np.testing.assert_array_equal(found, whole.astype("float16"))
    assert {w.dtype for w in loaded.get_weights()} == {np.dtype("float32")}
    folder = tmp_path / "pretrained" / "mine"
    for file in ("results.json", "history.json"):
        assert (folder / file).read_bytes() == (run / file).read_bytes()
    settings = read_json(folder / "settings.json")
    assert settings["seed"] == 0 and settings["model"] == fingerprint(loaded)
    # Half precision makes another model of it.
    card = f"# 4 × 4: {fingerprint(loaded)[:32]}"
    assert (folder / "card.md").read_text(encoding="utf-8") == card
    assert find_pretrained(fingerprint(loaded)) == "mine"
    assert find_pretrained(fingerprint(autoencoder)) is None
    with np.load(folder / "weights.npz", allow_pickle=False) as file:
        assert {file[name].dtype for name in file.files} == {np.dtype("float16")}
