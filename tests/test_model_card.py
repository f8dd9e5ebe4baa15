"""What a run leaves to be read: scores, a figure and a model card."""

import json

import keras
import numpy as np
import pytest
from helpers import small
from PIL import Image

from convae_keras.corruption import GaussianNoise, Hole
from convae_keras.generation.classifier import image_classifier
from convae_keras.model_card import (
    markdown_table,
    model_card,
    score_rows,
    verdict,
    write_report,
)
from convae_keras.saving import fingerprint, write_json

SCORES = {"mse": 0.00123456, "psnr": 29.0849, "ssim": 0.98761, "bce": 0.0612345}
SETTINGS = {"parameters": 1977, "data": "25 digits", "pixel_range": [0, 1]}
SETTINGS |= {"epochs": 7, "batch_size": 33, "loss": "mse"}
SETTINGS |= {"learning_rate": 0.125, "seed": 41}


def halves():
    """A model for images of any size that halves its input."""
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def card_of(model, **settings):
    return model_card("mine", model, SETTINGS | settings, {"autoencoder": SCORES})


@pytest.fixture
def run(tmp_path):
    """A folder with the settings of a training only."""
    run = tmp_path / "mine"
    run.mkdir()
    write_json(run / "settings.json", SETTINGS)
    return run


# --- write_report ------------------------------------------------------------


@pytest.fixture
def scored(monkeypatch):
    """The arguments that `held_out_scores` was called with."""
    calls = []

    def held_out_scores(*arguments):
        calls.append(arguments)
        return {"autoencoder": SCORES, "input": SCORES | {"psnr": None}}

    monkeypatch.setattr("convae_keras.model_card.held_out_scores", held_out_scores)
    return calls


def test_report(run, few, scored):
    autoencoder = small()
    results = write_report(run, autoencoder, few)
    assert scored == [(autoencoder, few, None)]
    assert list(results) == ["autoencoder", "input"]
    names = ["card.md", "figure.png", "results.json", "settings.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    text = (run / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == results
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        figure.load()
        assert figure.width > 1000 and figure.height > 200
        assert len(np.unique(figure.convert("L"))) > 10
    card = (run / "card.md").read_text(encoding="utf-8")
    assert card == model_card("mine", autoencoder, SETTINGS, results)


def test_report_of_a_folder_whose_name_is_not_utf_8(run, few, scored):
    write_json(run / "settings.json", SETTINGS | {"data": "caf\udce9: 25 digits"})
    write_report(run, small(), few)
    assert "caf\\udce9: 25" in (run / "card.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_report_of_a_denoiser(run, few, scored):
    corrupt = GaussianNoise((0.1, 0.3))
    write_json(run / "settings.json", SETTINGS | {"corruption": corrupt.config()})
    results = write_report(run, halves(), few)
    assert scored[0][2].config() == corrupt.config()
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        denoiser = figure.size
    write_json(run / "settings.json", SETTINGS)
    write_report(run, halves(), few, results)
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        # The row of the inputs makes the difference.
        assert denoiser[1] > 1.2 * figure.height


def test_report_of_given_scores(run, few, scored):
    """As of a codec, which is scored elsewhere."""
    results = {"autoencoder": SCORES | {"bytes": 9.04}}
    assert write_report(run, small(), few, results) == results and not scored
    assert json.loads((run / "results.json").read_text(encoding="utf-8")) == results
    assert "| bytes an image |" in (run / "card.md").read_text(encoding="utf-8")


# --- model_card --------------------------------------------------------------


def test_card():
    card = card_of(small())
    assert card.startswith("# mine\n") and "{" not in card
    for text in ("25 digits", "1,977", "28 x 28 x 1", "14 x 14 x 2 numbers"):
        assert text in card
    for text in ("7 epochs", "batch size 33", "`mse`", "0.125", "seed 41", "[0, 1]"):
        assert text in card
    for row in score_rows({"autoencoder": SCORES})[1:]:
        assert f"| {' | '.join(row)} |" in card
    assert (
        "Corruption" not in card and "flips" not in card and "Fingerprint" not in card
    )


def test_card_of_a_denoiser():
    corrupt = GaussianNoise((0.1, 0.3))
    card = card_of(halves(), corruption=corrupt.config())
    assert "`GaussianNoise(stddev=(0.1, 0.3), clip=True)`" in card
    assert "any x any x 1" in card and "restored" in card and "a code" not in card


def test_card_of_a_denoising_autoencoder():
    card = card_of(small(), corruption=Hole(5).config())
    assert "14 x 14 x 2 numbers" in card and "`Hole(side=5, value=0.5)`" in card


def test_card_of_a_model_for_any_size():
    assert "any x any x 1" in card_of(small(image_shape=(None, None, 1)))


def test_card_of_a_training_that_may_end_early():
    assert "or until 7 bring nothing better" in card_of(small(), patience=7)


def test_card_of_an_augmented_training():
    assert "flips" in card_of(small(), turn=True)


def test_card_of_a_codec(photo_codec):
    """It has the fingerprint that the files of the codec have."""
    assert f"`{fingerprint(photo_codec)[:32]}`" in card_of(photo_codec)


def test_card_of_a_classifier():
    results = {"classifier": {"accuracy": 0.9}}
    model = image_classifier((8, 8, 3), 4)
    card = model_card("mine", model, SETTINGS, results)
    assert "A convolutional classifier" in card and "| classifier | 0.9000 |" in card
    assert "`(n, 8 x 8 x 3)`" in card and "probabilities of 4 classes" in card


def test_card_of_a_generator():
    noise, label = keras.Input((5,)), keras.Input(())
    images = keras.layers.Reshape((1, 5, 1))(noise)
    results = {"generator": {"frechet": 1.234, "recall": 0.5}}
    card = model_card("mine", keras.Model([noise, label], images), SETTINGS, results)
    assert "A generator" in card and "noise `(n, 5)`, and int labels `(n,)`" in card
    assert "with cosine decay" in card and "| generator | 1.23 | 0.500 |" in card


# --- tables ------------------------------------------------------------------


def test_score_rows():
    exact = {"mse": 0.0, "psnr": None, "ssim": None, "bce": 0.05}
    assert score_rows({"model": SCORES, "identity": exact}) == [
        ["", "MSE", "PSNR, dB", "SSIM", "BCE"],
        ["model", "0.00123", "29.08", "0.9876", "0.0612"],
        ["identity", "0.00000", "∞", "–", "0.0500"],
    ]
    packed = score_rows({"model": SCORES | {"bytes": 9.04}})
    assert [cells[-1] for cells in packed] == ["bytes an image", "9.0"]
    others = {"model": {"accuracy": 0.9}, "linear": {"accuracy": 0.85, "recall": 0.5}}
    assert score_rows(others) == [
        ["", "accuracy", "recall"],
        ["model", "0.9000", "–"],
        ["linear", "0.8500", "0.500"],
    ]
    assert verdict(others) == ""


def test_markdown_table():
    table = "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert markdown_table([["a", "b"], ["1", "2"]]) == table


def rows(**psnr):
    return {name: {"psnr": value} for name, value in psnr.items()}


@pytest.mark.parametrize(
    "results, better",
    [
        (rows(autoencoder=20.0, pca=21.5), "The baseline pca is better: 21.50 dB"),
        (rows(autoencoder=20.0, mean=9.0, pca=None), "pca is better: inf dB"),
        (rows(autoencoder=20.0, pca=20.0), ""),
        (rows(autoencoder=None, pca=20.0), ""),
        (rows(autoencoder=20.0, identity=None), ""),
        (rows(autoencoder=20.0, copy=None), ""),
        (rows(autoencoder=20.0), ""),
    ],
)
def test_a_baseline_that_wins_is_said(results, better):
    assert better in verdict(results) and bool(verdict(results)) == bool(better)


def test_a_larger_file_is_no_better():
    results = rows(autoencoder=20.0, small=21.0, large=30.0)
    for name, size in {"autoencoder": 100, "small": 90, "large": 300}.items():
        results[name]["bytes"] = size
    assert "The baseline small is better" in verdict(results)
