"""A run becomes a shipped model: weights rounded, hash and card beside it."""

import sys

import build_pretrained
import numpy as np
import pytest

from convae_keras.models import conv_autoencoder
from convae_keras.runs import open_run, save_run
from convae_keras.saving import fingerprint, load_model, read_json, write_json

SCORES = {"mse": 0.25, "psnr": 6.0, "ssim": None, "bce": 0.5}


@pytest.fixture
def autoencoder():
    small = {"filters": (3,), "code_filters": (), "seed": 0}
    return conv_autoencoder(image_shape=(4, 4, 1), **small)


@pytest.fixture
def run(autoencoder, tmp_path):
    settings = {"seed": 0, "parameters": 7, "data": "mine", "pixel_range": [0, 1]}
    settings |= {"epochs": 1, "batch_size": 2, "loss": "mse", "learning_rate": 0.1}
    run = open_run(tmp_path / "run", settings)
    save_run(run, autoencoder, {"loss": [0.5]})
    write_json(run / "results.json", {"autoencoder": SCORES})
    return run


def test_ship(run, autoencoder, tmp_path):
    build_pretrained.ship(run, "mine", tmp_path)
    folder = tmp_path / "mine"
    settings = read_json(folder / "settings.json")
    loaded = load_model(folder / "model.keras", settings["sha256"])
    for found, exact in zip(
        loaded.get_weights(), autoencoder.get_weights(), strict=True
    ):
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found, exact.astype("float16"))
    assert settings["seed"] == 0 and settings["model"] == fingerprint(loaded)
    for file in ("results.json", "history.json"):
        assert (folder / file).read_bytes() == (run / file).read_bytes()
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# mine\n") and "| autoencoder | 0.25000 |" in card


def test_pairs_of_run_and_name(monkeypatch, capsys):
    shipped = []
    monkeypatch.setattr(build_pretrained, "ship", lambda *pair: shipped.append(pair))
    monkeypatch.setattr(sys, "argv", ["build_pretrained.py", "a", "x", "b", "y"])
    assert build_pretrained.main() == 0
    assert shipped == [("a", "x"), ("b", "y")]
    monkeypatch.setattr(sys, "argv", ["build_pretrained.py", "a"])
    with pytest.raises(SystemExit):
        build_pretrained.main()
    assert "NAME" in capsys.readouterr().err
