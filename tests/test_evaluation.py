"""What a run tells at its end: scores on the right images, figure, card."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import metrics
from convae_keras.baselines import classical_denoiser, enlarge
from convae_keras.compression.bitstream import pack
from convae_keras.compression.container import BLOCK
from convae_keras.corruption import Downsample, GaussianNoise, Hole
from convae_keras.evaluation import held_out_scores, reconstruct, scores, shown
from convae_keras.model_card import score_rows, write_report
from convae_keras.models import conv_autoencoder
from convae_keras.pipelines import to_float
from convae_keras.saving import write_json


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
    found = scores(dim, few.x_test, chunk=chunk)
    assert list(found) == ["mse", "psnr", "ssim", "bce"]
    for name, value in found.items():
        expected = getattr(metrics, name)(x, dim(x)).mean()
        assert value == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(scores(dim, x, chunk=chunk))


def test_a_perfect_copy_has_no_psnr(few):
    found = scores(lambda x: x, few.x_test)
    assert (found["mse"], found["psnr"], found["ssim"]) == (0, None, 1)


@pytest.mark.parametrize("height, width, has", [(6, 9, 0), (9, 6, 0), (7, 7, 1)])
def test_small_images_have_no_ssim(height, width, has, few):
    found = scores(dim, few.x_test[:, 10 : 10 + height, 10 : 10 + width])
    assert (found["ssim"] is not None) == has
    assert found["mse"] > 0


# --- scores of what is damaged -----------------------------------------------


def psnr_by_hand(x, y):
    """float64, the mean over images."""
    errors = ((np.float64(x) - y) ** 2).mean(axis=(1, 2, 3))
    return (-10 * np.log10(errors)).mean()


@pytest.mark.parametrize("way", ["corrupt", "inputs"])
def test_what_is_shown_is_scored_against_the_clean(way, few):
    """`dim` is no mirror: with the two exchanged, another number comes out."""
    x, noise = to_float(few.x_test), GaussianNoise(0.3)
    noisy = noise(few.x_test, seed=0)
    inputs = noise if way == "corrupt" else noisy
    found = {f: scores(f, few.x_test, inputs)["psnr"] for f in (dim, np.asarray)}
    assert found[np.asarray] == pytest.approx(psnr_by_hand(x, noisy), rel=1e-6)
    assert found[dim] == pytest.approx(psnr_by_hand(x, dim(noisy)), rel=1e-6)
    assert abs(found[dim] - psnr_by_hand(noisy, dim(x))) > 0.5
    assert abs(found[dim] - psnr_by_hand(x, dim(x))) > 0.5


def test_the_function_is_fed_the_damaged(few):
    fed = []

    def record(x):
        fed.append(x)
        return x

    noise = GaussianNoise(0.3, clip=False)
    for inputs in (noise, noise, None):
        scores(lambda x: record(x).clip(0, 1), few.x_test, inputs)
    np.testing.assert_array_equal(fed[0], fed[1])  # always drawn alike
    np.testing.assert_array_equal(fed[0], noise(few.x_test))
    np.testing.assert_array_equal(fed[2], to_float(few.x_test))


def test_pieces_have_noise_of_their_own(few):
    same, fed = np.repeat(few.x_test[:1], 12, axis=0), []

    def record(x):
        fed.extend(image.tobytes() for image in x)
        return x

    scores(record, same, GaussianNoise(0.3), chunk=5)
    assert len(set(fed)) == len(fed) == 12


def test_inputs_of_a_piece_are_those_of_its_images(few):
    """Told apart by a mark that undoes itself: the error is 0 or it is not."""
    inputs = 255 - few.x_test
    for chunk in (1000, 7):
        found = scores(lambda x: 1 - x, few.x_test, inputs, chunk)
        assert found["mse"] < 1e-12
    assert scores(lambda x: 1 - x, few.x_test, inputs[::-1])["mse"] > 0.01


def test_shown(few):
    x = to_float(few.x_test)
    assert shown(x) is x
    np.testing.assert_array_equal(shown(x[5:9], few.x_test, 5), x[5:9])
    expected = Hole(4)(x[5:9], seed=5)
    np.testing.assert_array_equal(shown(x[5:9], Hole(4), 5), expected)


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


def halves():
    """Gives back half of what it is shown."""
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))


@pytest.mark.parametrize("way", ["corrupt", "inputs"])
def test_a_denoiser_beside_its_rivals(way, few):
    noise = GaussianNoise(0.4, clip=False)
    noisy = {x: noise(getattr(few, f"x_{x}")) for x in ("train", "val", "test")}
    images, corrupt = few, noise
    if way == "inputs":  # files cannot hold what is not clipped
        noisy = {x: noisy[x].clip(0, 1) for x in noisy}
        inputs = {f"inputs_{x}": noisy[x] for x in noisy}
        images, corrupt = dataclasses.replace(few, **inputs), None
    results = held_out_scores(halves(), images, corrupt)
    x, clipped = to_float(few.x_test), noisy["test"].clip(0, 1)
    expected = {
        "autoencoder": (0.5 * noisy["test"]).clip(0, 1),
        "input": clipped,
    }
    for name in ("Gaussian filter", "median filter"):
        tuned = classical_denoiser(name, noisy["val"], to_float(few.x_val))
        expected[name] = tuned(noisy["test"])
    assert list(results) == list(expected)
    for name, y in expected.items():
        assert results[name]["psnr"] == pytest.approx(psnr_by_hand(x, y), rel=1e-5)
    assert results["Gaussian filter"]["psnr"] > results["input"]["psnr"] + 2


@pytest.mark.parametrize("way", ["corrupt", "inputs"])
def test_an_enlarger_beside_its_rivals(way, few):
    small_images = Downsample(2)(few.x_test)
    images, corrupt = few, Downsample(2)
    if way == "inputs":
        inputs = {
            f"inputs_{x}": corrupt(getattr(few, f"x_{x}")) for x in ("val", "test")
        }
        images, corrupt = dataclasses.replace(few, **inputs), None
    inputs = keras.Input((None, None, 1))
    twice = keras.Model(inputs, keras.layers.UpSampling2D(2)(inputs))
    results = held_out_scores(twice, images, corrupt)
    names = ["nearest", "bicubic", "Lanczos"]
    assert list(results) == ["autoencoder", *names]
    assert results["autoencoder"] == pytest.approx(results["nearest"], rel=1e-5)
    for name in names:
        y = enlarge(small_images, 2, name)
        expected = psnr_by_hand(to_float(few.x_test), y)
        assert results[name]["psnr"] == pytest.approx(expected, rel=1e-5)


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
    for text in (str(few), "1,977", "28 x 28 x 1", "14 x 14 x 2", "7 epochs", "of 33"):
        assert text in card
    for text in ("`mse`", "0.125", "seed 41", "[0, 1]"):
        assert text in card
    for row in score_rows(results)[1:]:
        assert f"| {' | '.join(row)} |" in card
    assert "{" not in card


def test_the_card_of_a_model_for_any_size(run, few):
    write_report(run, small(image_shape=(None, None, 1)), few)
    assert "any x any x 1" in (run / "card.md").read_text(encoding="utf-8")


def test_the_report_of_a_denoiser(run, few):
    corrupt = GaussianNoise((0.1, 0.3))
    settings = json.loads((run / "settings.json").read_text())
    write_json(run / "settings.json", settings | {"corruption": corrupt.config()})
    results = write_report(run, halves(), few)
    assert results == held_out_scores(halves(), few, corrupt)
    assert list(results) == ["autoencoder", "input", "Gaussian filter", "median filter"]
    card = (run / "card.md").read_text(encoding="utf-8")
    assert "restored, from what `GaussianNoise(stddev=(0.1, 0.3), clip=True)`" in card
    assert "any x any x 1" in card and "through a code" not in card
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        denoiser = figure.size
    write_json(run / "settings.json", settings)
    write_report(run, halves(), few)
    with Image.open(run / "figure.png", formats=["PNG"]) as figure:
        # The row of the damaged images makes the difference.
        assert denoiser[1] > 1.2 * figure.height


def test_the_card_of_a_denoising_autoencoder(run, few):
    settings = json.loads((run / "settings.json").read_text())
    write_json(run / "settings.json", settings | {"corruption": Hole(5).config()})
    write_report(run, small(), few)
    card = (run / "card.md").read_text(encoding="utf-8")
    assert "14 x 14 x 2 numbers, from what `Hole(side=5, value=0.5)` made" in card


def test_rows_of_a_table():
    row = {"mse": 0.00123456, "psnr": 29.0849, "ssim": 0.98761, "bce": 0.0612345}
    copy = {"mse": 0.0, "psnr": None, "ssim": None, "bce": 0.05}
    assert score_rows({"model": row, "copy": copy}) == [
        ["", "MSE", "PSNR, dB", "SSIM", "BCE"],
        ["model", "0.00123", "29.08", "0.9876", "0.0612"],
        ["copy", "0.00000", "∞", "–", "0.0500"],
    ]
    packed = score_rows({"model": row | {"bytes": 9.04}})
    assert [cells[-1] for cells in packed] == ["bytes an image", "9.0"]


def test_the_report_of_a_codec(codec, run, digits):
    few = dataclasses.replace(digits, x_test=digits.x_test[:100])
    results = write_report(run, codec, few)
    ours, jpeg, webp = results.values()
    assert [name.split(",")[0] for name in results] == ["autoencoder", "JPEG", "WebP"]
    x = few.x_test
    size = (len(pack(codec, x)) + BLOCK.size) / len(x)
    assert ours["bytes"] == pytest.approx(size) and 5 * size < webp["bytes"]
    assert webp["psnr"] > ours["psnr"] - 0.5 and jpeg["psnr"] > ours["psnr"] - 0.5
    assert "| bytes an image |" in (run / "card.md").read_text(encoding="utf-8")
