"""What a run tells at its end: scores on the right images, figure, card."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import metrics
from convae_keras.models import conv_autoencoder
from convae_keras.pipelines import to_float
from convae_keras.reports import (
    held_out_scores,
    reconstruct,
    score_rows,
    scores,
    write_report,
)
from convae_keras.runs import write_json


@pytest.fixture(scope="module")
def few(digits):
    """60 digits to train on, 12 to validate, 25 to test."""
    cut = {"x_train": digits.x_train[:60], "y_train": None, "x_val": digits.x_val[:12]}
    cut |= {"y_val": None, "x_test": digits.x_test[:25], "y_test": None}
    return dataclasses.replace(digits, **cut)


def small(**switches):
    options = {"filters": (3,), "code_filters": (2,), "seed": 0, **switches}
    return conv_autoencoder("keras", **options)


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


# --- reconstruct and scores --------------------------------------------------


def test_reconstruct_runs_the_model(few):
    autoencoder, x = small(), to_float(few.x_test)
    for batch_size in (500, 7):
        y = reconstruct(autoencoder, x, batch_size)
        assert y.shape == x.shape and y.dtype == "float32"
        np.testing.assert_allclose(y, autoencoder(x), atol=1e-6)


def test_reconstruct_comes_back_from_minus_one(few):
    autoencoder, x = small(output_range=(-1, 1)), to_float(few.x_test)
    y = reconstruct(autoencoder, x)
    np.testing.assert_allclose(y, (autoencoder(2 * x - 1) + 1) / 2, atol=1e-6)
    assert 0 <= y.min() and y.max() <= 1


def test_reconstruct_takes_any_model(few):
    inputs = keras.Input((28, 28, 1))
    same = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    x = to_float(few.x_test)
    np.testing.assert_array_equal(reconstruct(same, x), x)


def dim(x):
    return x * np.float32(0.5)


@pytest.mark.parametrize("chunk", [1000, 25, 7, 1])
def test_scores_are_means_over_images(chunk, few):
    x = to_float(few.x_test)
    found = scores(dim, few.x_test, chunk)
    assert list(found) == ["mse", "psnr", "ssim", "bce"]
    for name, value in found.items():
        expected = getattr(metrics, name)(x, dim(x)).mean()
        assert value == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(scores(dim, x, chunk))


def test_a_perfect_copy_has_no_psnr(few):
    found = scores(lambda x: x, few.x_test)
    assert (found["mse"], found["psnr"], found["ssim"]) == (0, None, 1)


@pytest.mark.parametrize("height, width, has", [(6, 9, 0), (9, 6, 0), (7, 7, 1)])
def test_small_images_have_no_ssim(height, width, has, few):
    found = scores(dim, few.x_test[:, 10 : 10 + height, 10 : 10 + width])
    assert (found["ssim"] is not None) == has
    assert found["mse"] > 0


# --- held_out_scores ---------------------------------------------------------


def test_the_test_images_are_scored(few):
    black, white = np.zeros_like(few.x_train), np.full_like(few.x_test, 255)
    images = dataclasses.replace(few, x_train=black, x_val=few.x_val, x_test=white)
    results = held_out_scores(small(), images)
    # The mean of the black training images, against white ones.
    assert results["mean image"]["mse"] == 1
    expected = scores(lambda x: reconstruct(small(), x), white)
    assert results["autoencoder"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "switches, rivals",
    [
        ({"latent_dim": 5}, ["mean image", "PCA, 5 numbers"]),
        ({"filters": (3, 3)}, ["mean image"]),  # 98 numbers, but 60 images
        ({"filters": (3,), "code_filters": (4,)}, ["mean image", "copy"]),
        ({"latent_dim": 784}, ["mean image", "copy"]),
    ],
)
def test_rivals_have_the_code_size(switches, rivals, few):
    results = held_out_scores(small(**switches), few)
    assert list(results) == ["autoencoder", *rivals]
    if "copy" in rivals:
        assert results["copy"]["mse"] == 0
    else:
        mse = [results[rival]["mse"] for rival in rivals]
        assert mse == sorted(mse, reverse=True)


def test_scores_of_a_model_for_any_size(few):
    autoencoder = small(image_shape=(None, None, 1))
    assert list(held_out_scores(autoencoder, few))[1:] == ["mean image"]


# --- write_report ------------------------------------------------------------


@pytest.fixture
def run(few, tmp_path):
    """A folder with the settings of a training, and no more."""
    settings = {"parameters": 1977, "data": str(few), "pixel_range": [0, 1]}
    settings |= {"epochs": 7, "batch_size": 33, "loss": "mse"}
    settings |= {"learning_rate": 0.125, "seed": 41}
    run = tmp_path / "mine"
    run.mkdir()
    write_json(run / "settings.json", settings)
    return run


def test_report(run, few):
    autoencoder = small()
    results = write_report(run, autoencoder, few)
    assert results == held_out_scores(autoencoder, few)
    names = ["card.md", "figure.png", "results.json", "settings.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    text = (run / "results.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse) == results
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        figure.load()
        assert figure.width > 1000 and figure.height > 200
        assert len(np.unique(figure.convert("L"))) > 10


def test_the_card_says_how_it_was_made(run, few):
    results = write_report(run, small(), few)
    card = (run / "card.md").read_text(encoding="utf-8")
    assert card.startswith("# mine\n")
    for text in (str(few), "1,977", "28 × 28 × 1", "14 × 14 × 2", "7 epochs", "of 33"):
        assert text in card
    for text in ("`mse`", "0.125", "seed 41", "[0, 1]"):
        assert text in card
    for row in score_rows(results):
        assert f"| {' | '.join(row)} |" in card
    assert "{" not in card


def test_the_card_of_a_model_for_any_size(run, few):
    write_report(run, small(image_shape=(None, None, 1)), few)
    assert "any × any × 1" in (run / "card.md").read_text(encoding="utf-8")


def test_rows_of_a_table():
    row = {"mse": 0.00123456, "psnr": 29.0849, "ssim": 0.98761, "bce": 0.0612345}
    copy = {"mse": 0.0, "psnr": None, "ssim": None, "bce": 0.05}
    assert list(score_rows({"model": row, "copy": copy})) == [
        ("model", "0.00123", "29.08", "0.9876", "0.0612"),
        ("copy", "0.00000", "∞", "–", "0.0500"),
    ]
