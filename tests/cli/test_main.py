"""The `convae` command: its last line, its exit status, its complaints."""

import errno
import io
import json
import re
import runpy
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convae_cli import commands, tasks
from convae_cli.defaults import MOST_EPOCHS
from convae_cli.main import main
from convae_keras.compression.container import Block, write_container
from convae_keras.corruption import Downsample, GaussianNoise, Warp, from_config
from convae_keras.data import sources as data
from convae_keras.generation import flow
from convae_keras.metrics import bce_floor
from convae_keras.pipelines import to_float
from convae_keras.runs import load_run, save_model
from convae_keras.saving import read_json

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCORES = {"mse", "psnr", "ssim", "bce"}
EVALUATE_KEYS = {"run", "data", "parameters", "bce_floor", "rows", *SCORES}
TRAIN_KEYS = {*EVALUATE_KEYS, "epochs", "seconds", "val_loss"}


@pytest.fixture(autouse=True)
def elsewhere(digits, tmp_path, monkeypatch):
    """Runs without a folder of their own leave nothing in the checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("CONVAE_DATA", "mnist5k")
    monkeypatch.setattr(data, "_mnist5k", lambda: digits)  # not read every time


def lines_of(capsys):
    """All lines; with `--json` the words are on standard error, the object is last."""
    out, err = capsys.readouterr()
    return [*err.splitlines(), *out.splitlines()]


def refuse(*_, **__):
    pytest.fail("long work was begun")


@pytest.fixture
def no_long_work(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse)
    monkeypatch.setattr(keras.Model, "predict", refuse)


@pytest.fixture(params=["flat", "labeled"])
def pictures(request, digits, tmp_path):
    """A folder of 12 digits as PNG, in one folder or by label."""
    for i in range(12):
        label = f"digit {digits.y_train[i] % 2}" if request.param == "labeled" else ""
        path = tmp_path / "pictures" / label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.x_train[i, ..., 0]).save(path)
    return tmp_path / "pictures"


# --- train and evaluate ------------------------------------------------------


def test_train(finished):
    summary = json.loads(finished.printed[-1])
    assert set(summary) == TRAIN_KEYS
    history = read_json(finished.run / "history.json")
    assert summary["run"] == str(finished.run)
    assert summary["data"].startswith("thousand: 700 training")
    assert summary["data"] == finished.printed[0]
    assert summary["parameters"] == 1977
    assert summary["epochs"] == len(history["loss"]) == 8
    assert summary["seconds"] == sum(history["seconds"])
    assert summary["val_loss"] == min(history["val_loss"])
    assert summary["rows"] == read_json(finished.run / "results.json")
    assert {key: summary[key] for key in SCORES} == summary["rows"]["autoencoder"]


def test_train_learns(finished, digits):
    summary = json.loads(finished.printed[-1])
    floor = bce_floor(to_float(digits.x_test[:150])).mean()
    assert summary["bce_floor"] == pytest.approx(floor)
    rows = summary["rows"]
    assert summary["mse"] < rows["mean image"]["mse"] / 10
    assert summary["bce_floor"] < summary["bce"] < 1.25 * summary["bce_floor"]


def test_train_leaves_a_run_folder(finished):
    assert sorted(path.name for path in finished.run.iterdir()) == [
        *("card.md", "figure.png", "history.json", "model.keras", "results.json"),
        "settings.json",
    ]


def test_train_says_what_it_does(finished):
    assert finished.printed[1].startswith(f"Keras {keras.__version__} with ")
    text = "\n".join(finished.printed)
    for said in (
        "Epochs: at most 8, about ",
        "epoch   8/8",
        "on the test images",
        "autoencoder",
        "mean image",
    ):
        assert said in text
    assert f"The model and its card are in {finished.run}" in text


def test_evaluate(finished, thousand, capsys):
    assert main(["evaluate", str(finished.run), "--data", thousand, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(summary) == EVALUATE_KEYS
    trained = json.loads(finished.printed[-1])
    for key in ("data", "parameters", "run"):
        assert summary[key] == trained[key]
    for key in (*SCORES, "bce_floor"):
        assert summary[key] == pytest.approx(trained[key], rel=1e-5)


def test_evaluate_a_model_that_ships(thousand, capsys):
    assert main(["evaluate", "reference", "--data", thousand, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(summary) == EVALUATE_KEYS
    assert summary["run"] == "reference"
    assert summary["mse"] < summary["rows"]["mean image"]["mse"] / 10


def test_a_finished_run_is_reported_again(finished, capsys, tmp_path, monkeypatch):
    """The same command, given again, trains no more."""
    monkeypatch.setattr(keras.Model, "fit", refuse)
    monkeypatch.setattr(commands, "write_report", lambda *_: None)
    run = shutil.copytree(finished.run, tmp_path / "run")
    assert main([*finished.arguments, str(run)]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = json.loads(finished.printed[-1])
    assert again == {**expected, "run": str(run)}


@pytest.mark.static
def test_a_folder_of_pictures(pictures, capsys, tmp_path):
    arguments = ["--preset", "keras", "--epochs", "1", "--data", str(pictures)]
    assert main(["train", *arguments, "--json"]) == 0
    lines = lines_of(capsys)
    labels = "no labels" if (pictures / "0.png").exists() else "2 classes"
    parts = "10 training, 1 validation and 1 test images of 28 x 28 x 1"
    found = "12 PNG of 8 bits, pixels 0 to 255, splits drawn"
    assert lines[0] == f"pictures: {parts}, {labels} ({found})"
    summary = json.loads(lines[-1])
    assert set(summary) == TRAIN_KEYS and summary["data"] == lines[0]
    run = tmp_path / "runs" / "keras-pictures"
    assert Path(summary["run"]) == run.relative_to(tmp_path)
    assert (run / "figure.png").exists() and (run / "card.md").exists()
    assert main(["evaluate", str(run), "--data", str(pictures)]) == 0
    printed = capsys.readouterr().out
    assert "autoencoder" in printed and "{" not in printed


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_options_reach_what_they_name(pictures, monkeypatch, capsys):
    seen = {}

    def train(autoencoder, images, **options):
        seen.update(options, autoencoder=autoencoder, images=images)
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    arguments = "--preset reference --latent-dim 7 --epochs 5 --batch-size 3 --seed 9"
    arguments += " --learning-rate 0.5 --loss mse --tensorboard --out mine"
    arguments += " --image-size 9 --color rgb --fit pad --augment"
    main(["train", *arguments.split(), "--data", str(pictures)])
    assert seen.pop("autoencoder").encoder.output_shape == (None, 7)
    assert seen.pop("images").image_shape == (9, 9, 3)
    assert seen == {
        "epochs": 5,
        "batch_size": 3,
        "learning_rate": 0.5,
        "loss": "mse",
        "seed": 9,
        "corrupt": None,
        "augment": True,
        "patience": 10,
        "run": Path("mine"),
        "tensorboard": True,
        "verbose": 2,
    }
    main(["train", "--data", str(pictures), "--image-size", "8", "12"])
    assert seen["images"].image_shape == (8, 12, 1)
    # Few pictures are shown more often, so that as much is learnt.
    assert seen["epochs"] == MOST_EPOCHS
    assert seen["autoencoder"].encoder.output_shape == (None, 1, 2, 3)
    assert (seen["learning_rate"], seen["batch_size"]) == (0.002, 8)
    assert seen["loss"] is None and not seen["augment"]
    seen.clear()
    main(["train", "--data", "mnist5k"])
    assert seen["autoencoder"].encoder.output_shape == (None, 32)
    assert "patience" not in seen


def test_the_weights_come_from_the_seed(monkeypatch, capsys):
    weights = []

    def train(autoencoder, images, **options):
        weights.append(autoencoder.get_weights()[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    for seed in ("0", "0", "1"):
        main(["train", "--preset", "keras", "--seed", seed])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


# --- restoring ---------------------------------------------------------------

DENOISER_ROWS = ["autoencoder", "input", "Gaussian filter", "median filter"]


@pytest.fixture
def photos(tmp_path):
    """A folder of that name, where the commands run, with three pictures."""
    (tmp_path / "photos").mkdir()
    for i in range(3):
        pixels = np.full((150, 150, 3), i, "uint8")
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")


@pytest.mark.static
def test_denoise(thousand, capsys):
    arguments = "--task denoise --noise 0.5 --preset keras --epochs 1 --out noisy"
    options = ["--data", thousand, "--batch-size", "16", "--json"]
    assert main(["train", *arguments.split(), *options]) == 0
    lines = lines_of(capsys)
    summary = json.loads(lines[-1])
    assert set(summary) == TRAIN_KEYS
    assert list(summary["rows"]) == DENOISER_ROWS
    assert summary["rows"] == read_json("noisy/results.json")
    for name in DENOISER_ROWS:
        assert any(name in line for line in lines[:-1])
    corruption = read_json("noisy/settings.json")["corruption"]
    assert corruption == {"name": "GaussianNoise", "stddev": 0.5, "clip": True}
    rows = summary["rows"]
    # Of what was clipped; and a network that saw clean images alone would fail.
    assert 8 < rows["input"]["psnr"] < 10
    assert rows["autoencoder"]["psnr"] > rows["input"]["psnr"] + 2

    assert main(["evaluate", "noisy", "--data", thousand, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(again) == EVALUATE_KEYS
    for name in DENOISER_ROWS:
        assert again["rows"][name] == pytest.approx(rows[name], rel=1e-4)


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_features(pictures, thousand, capsys):
    """A code to serve others is trained to undo affine transforms."""
    options = "--task features --preset keras --epochs 1 --batch-size 16 --json"
    command = ["train", *options.split(), "--data", thousand, "--out", "codes"]
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = summary["rows"]
    assert list(rows) == ["autoencoder", "input", "mean image"]
    corruption = read_json("codes/settings.json")["corruption"]
    assert from_config(corruption) == Warp(30.0, (0.7, 1.4), 0.5, 4.0, (0.0, 0.5))
    assert rows["autoencoder"]["mse"] < 0.8 * rows["input"]["mse"]

    assert main(["evaluate", "codes", "--data", thousand, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["mse"] == pytest.approx(summary["mse"], rel=1e-4)
    assert main(["encode", "codes", str(pictures), "features.npz"]) == 0


@pytest.mark.static
@pytest.mark.filterwarnings("ignore:.*is nearly black")
def test_features_of_a_folder(photos, monkeypatch, capsys):
    """Photographs are shown whole, and shifted by as much of a side as digits are."""
    seen = []

    def train(autoencoder, images, corrupt, **options):
        seen.append((images.image_shape, corrupt.shift, autoencoder.encoder.output))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    command = "train --task features --data photos --image-size 56 --latent-dim 9"
    assert main(command.split()) == 130
    assert seen[0][:2] == ((56, 56, 3), 8.0) and seen[0][2].shape == (None, 9)


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_compress(pictures, thousand, capsys):
    """A codec is trained, its tables are counted, and it packs; again, as it was."""
    options = "--task compress --price 20 --latent-dim 8 --epochs 1 --batch-size 16"
    command = ["train", *options.split(), "--data", thousand]
    command += ["--out", "packer", "--json"]
    assert main(command) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {*summary} == {*TRAIN_KEYS, "bytes"}
    names = [name.split(",")[0] for name in summary["rows"]]
    assert names == ["autoencoder", "JPEG", "WebP"]
    assert summary["bytes"] < 20 and summary["psnr"] > 11
    assert main(["compress", "packer", str(pictures), "a.cae"]) == 0
    assert "12 images in" in capsys.readouterr().out
    assert main(["decompress", "packer", "a.cae", "out"]) == 0

    assert main(command) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["rows"] == summary["rows"]
    assert main(["decompress", "packer", "a.cae", "again"]) == 0


@pytest.mark.static
@pytest.mark.filterwarnings("ignore:.*is nearly black")
def test_a_codec_for_photographs(photos, monkeypatch, capsys):
    """It takes images of any size, and learns from patches."""
    seen = []

    def train(autoencoder, images, corrupt, **options):
        price = autoencoder.encoder.get_layer("whole").rate_weight
        seen.append((autoencoder.input_shape, images.image_shape, price))
        assert options["loss"] == "psnr"
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    assert main("train --task compress --data photos --patch-size 40".split()) == 130
    assert seen == [((None, None, None, 3), (40, 40, 3), 8.0)]
    assert main("train --task compress --data mnist5k".split()) == 130
    assert seen[1] == ((None, 28, 28, 1), (28, 28, 1), 50.0)


@pytest.mark.static
@pytest.mark.filterwarnings("ignore:.*is nearly black")
def test_a_codec_for_photographs_is_evaluated_on_patches(photos, photo_codec, capsys):
    """As it was in training."""
    save_model(Path(), photo_codec)
    assert main("evaluate . --data photos --json".split()) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "4 test images of 72 x 72 x 3" in summary["data"]


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_super_resolution(pictures, capsys):
    options = ["--data", str(pictures), "--image-size", "28"]
    arguments = "--task super-resolution --scale 2 --epochs 1 --out large --json"
    assert main(["train", *arguments.split(), *options]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = ["autoencoder", "nearest", "bicubic", "Lanczos"]
    assert list(summary["rows"]) == rows
    expected = {"name": "Downsample", "factor": 2, "method": "box"}
    assert read_json("large/settings.json")["corruption"] == expected
    # It begins as the bicubic, and one epoch of ten images leads nowhere yet.
    found = summary["rows"]["autoencoder"]["psnr"]
    assert found == pytest.approx(summary["rows"]["bicubic"]["psnr"], abs=1)
    assert main(["evaluate", "large", *options, "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["psnr"] == pytest.approx(summary["psnr"], rel=1e-4)


@pytest.mark.static
def test_generate(thousand, monkeypatch, capsys):
    monkeypatch.setattr(flow, "STEPS_PER_EPOCH", 2)
    arguments = f"--data {thousand} --epochs 1 --out new --json"
    command = ["train", "--task", "generate", *arguments.split()]
    assert main(command) == 0
    before = Path("new/generator.keras").read_bytes()
    assert Path("new/samples.png").exists()
    assert main(command) == 0  # nothing is trained again
    assert Path("new/generator.keras").read_bytes() == before
    capsys.readouterr()
    assert main("generate new out --count 6 --seed 3 --json".split()) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(summary["written"]) == len(summary["labels"]) == 6
    assert main("generate new grid.png --label 4".split()) == 0
    for path, size in ((summary["written"][0], (28, 28)), ("grid.png", (224, 224))):
        with Image.open(path) as image:
            assert image.size == size
    capsys.readouterr()
    assert main("generate new other.png --label none".split()) == 2
    assert "`label` must be one of" in complaint(capsys)


@pytest.mark.static
def test_a_coarse_rate_of_anomalies_is_named(capsys):
    Path("good").mkdir()
    for i in range(24):
        Image.new("L", (28, 28), 10 * i).save(f"good/{i}.png")
    command = "train --task anomaly --data good --epochs 1 --out usual"
    assert main(command.split()) == 0
    assert "only 1: about 50% of normal images" in "".join(capsys.readouterr())


@pytest.mark.static
def test_anomalies(thousand, capsys):
    arguments = f"--data {thousand} --epochs 1 --out usual --json"
    command = ["train", "--task", "anomaly", *arguments.split()]
    assert main(command) == 0
    before = Path("usual/detector.keras").read_bytes()
    assert main(command) == 0  # nothing is fitted again
    assert Path("usual/detector.keras").read_bytes() == before
    Path("in").mkdir()
    for i in range(3):
        Image.new("L", (28, 28), 120 * i).save(f"in/{i}.png")
    capsys.readouterr()
    assert main("anomalies usual in out --rate 0.1 --json".split()) == 0
    lines = lines_of(capsys)
    assert "2 of 3 images are unusual, p ≤ 0.1" in lines
    summary = json.loads(lines[-1])
    assert {row["name"] for row in summary["anomalies"]} == {"1.png", "2.png"}
    assert len(Path("out/scores.csv").read_text().splitlines()) == 4
    assert len([*Path("out/maps").iterdir()]) == 3
    assert main("anomalies usual in other --rate 0.00001".split()) == 2
    assert "`rate` must be at least" in complaint(capsys)
    assert main("anomalies reference in other".split()) == 2
    assert "a model trained with --task anomaly" in complaint(capsys)
    assert not Path("other").exists()


@pytest.mark.static
@pytest.mark.parametrize(("task", "least"), [("generate", 2), ("anomaly", 6)])
def test_too_few_images(task, least, tmp_path, capsys):
    for i in range(3):
        Image.new("L", (16, 16), 80 * i).save(tmp_path / f"{i}.png")
    command = ["train", "--task", task, "--data", str(tmp_path), "--out", "new"]
    assert main(command) == 2
    expected = f"must have at least {least} training images with --task {task}"
    assert expected in complaint(capsys)
    assert not Path("new").exists()


@pytest.mark.static
@pytest.mark.parametrize("name", ["generator", "classifier"])
def test_what_restores_nothing(name, thousand, capsys):
    Image.new("L", (28, 28)).save("a.png")
    assert main(["apply", name, "a.png", "b.png"]) == 2
    assert "`model` must be one from images to images" in complaint(capsys)
    assert not Path("b.png").exists()


def test_the_shipped_generator(thousand, capsys):
    assert main("generate generator out --count 2 --label 7 --json".split()) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["labels"] == [7, 7] and len(summary["written"]) == 2


@pytest.mark.static
@pytest.mark.parametrize("name", ["reference", "denoiser", "digits", "classifier"])
def test_what_generates_nothing(name, capsys):
    assert main(["generate", name, "grid.png"]) == 2
    assert "a model trained with --task generate" in complaint(capsys)
    assert not Path("grid.png").exists()


@pytest.fixture
def pairs(tmp_path):
    """Six photographs of 24 × 24 in `input/`, and twice as large in `target/`."""
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 256, (24, 24, 3), "uint8")
        for name, side in (("input", 24), ("target", 48)):
            path = tmp_path / "pairs" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((side, side)).save(path)
    return tmp_path / "pairs"


@pytest.mark.static
def test_pairs(pairs, capsys):
    arguments = "--task super-resolution --patch-size 8 --epochs 1 --out mine --json"
    assert main(["train", *arguments.split(), "--data", str(pairs)]) == 0
    lines = lines_of(capsys)
    assert lines[0].endswith("9 validation and 9 test images of 16 x 16 x 3, no labels")
    summary = json.loads(lines[-1])
    assert list(summary["rows"]) == ["autoencoder", "nearest", "bicubic", "Lanczos"]
    assert read_json("mine/settings.json")["corruption"] is None
    command = ["evaluate", "mine", "--data", str(pairs), "--patch-size", "8", "--json"]
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["rows"]["bicubic"] == pytest.approx(summary["rows"]["bicubic"])


@pytest.mark.static
def test_a_run_of_pairs_is_evaluated_on_pairs(pairs, capsys):
    """Clean images alone would be scored against themselves."""
    options = "--task super-resolution --patch-size 8 --epochs 1 --out mine"
    assert main(["train", *options.split(), "--data", str(pairs)]) == 0
    capsys.readouterr()
    options = ["--data", str(pairs / "target"), "--patch-size", "8"]
    assert main(["evaluate", "mine", *options]) == 2
    assert "`--data` must be a folder with input/ and target/" in complaint(capsys)


@pytest.mark.static
@pytest.mark.parametrize("scale, side", [(2, 72), (5, 70), (7, 70), (20, 80)])
def test_patches_are_a_multiple_of_the_scale(scale, side, monkeypatch, capsys):
    seen = []

    def train(autoencoder, images, **options):
        seen.append(images.image_shape[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    arguments = f"--task super-resolution --scale {scale} --data photographs"
    assert main(["train", *arguments.split(), "--color", "grey"]) == 130
    assert seen == [side]


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, corrupt, shape",
    [
        ("--task denoise", GaussianNoise((0.0, 0.2)), (None, None, 1)),
        ("--task denoise --noise 0.3", GaussianNoise(0.3), (None, None, 1)),
        ("--task denoise --noise 0.1 0.3", GaussianNoise((0.1, 0.3)), (None, None, 1)),
        ("--task denoise --preset keras", GaussianNoise((0.0, 0.2)), (28, 28, 1)),
        ("--task super-resolution", Downsample(2), (None, None, 1)),
        ("--task super-resolution --scale 4", Downsample(4), (None, None, 1)),
        (
            "--task super-resolution --downsampling bicubic",
            Downsample(2, "bicubic"),
            (None, None, 1),
        ),
    ],
)
def test_what_a_task_means(arguments, corrupt, shape, monkeypatch, capsys, tmp_path):
    seen = {}

    def train(autoencoder, images, **options):
        seen.update(options, model=autoencoder)
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    assert main(["train", *arguments.split()]) == 130
    assert seen["corrupt"] == corrupt
    assert not seen["augment"]  # digits
    model, preset = seen["model"], "keras" if "keras" in arguments else "restorer"
    assert model.input_shape[1:] == shape
    assert seen["run"] == Path("runs") / f"{preset}-mnist5k"
    factor = getattr(corrupt, "factor", 1)
    assert model.compute_output_shape((1, 28, 28, 1))[1] == 28 * factor


@pytest.mark.static
@pytest.mark.filterwarnings("ignore:.*is nearly black")
def test_a_folder_is_cut_into_patches_to_restore_them(photos, monkeypatch, capsys):
    """As large as they are, where they would else be made small."""
    seen = []

    def train(autoencoder, images, **options):
        seen.append((images.image_shape, options["augment"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", train)
    for options in ("--task denoise", "--task denoise --patch-size 50 --color grey"):
        main(["train", *options.split(), "--data", "photos"])
    main(["train", "--task", "denoise", "--image-size", "30", "--data", "photos"])
    main(["train", "--data", "photos"])
    main(["train", "--task", "denoise", "--no-turn", "--data", "photos"])
    main(["train", "--turn", "--data", "mnist5k"])
    shutil.copytree("photos", "photographs")  # no patches for having this name
    main(["train", "--preset", "keras", "--data", "./photographs"])
    monkeypatch.setenv("CONVAE_DATA", "photos")
    main(["train", "--task", "denoise"])
    shapes = [(72, 72, 3), (50, 50, 1), (30, 30, 3), (64, 64, 3), (72, 72, 3)]
    shapes += [(28, 28, 1), (64, 64, 3), (72, 72, 3)]
    turns = [True, True, False, True, False, True, False, True]
    assert seen == [*zip(shapes, turns, strict=True)]


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--noise 0.2", "`--noise` requires --task denoise"),
        ("--task super-resolution --noise 0.2", "`--noise` requires"),
        ("--task features --noise 0.2", "`--noise` requires"),
        ("--task features --preset restorer", "`--preset` must be one of"),
        (
            "--data pairs --patch-size 8 --task features",
            "`--task` must be ",
        ),
        ("--task denoise --noise 0.1 0.2 0.3", "`--noise` must be one or two numbers"),
        ("--task denoise --noise 0.3 0.1", "`stddev` must be"),
        ("--task denoise --noise -0.1", "`--noise` must be from 0 to 10"),
        ("--price 3", "`--rate-weight` requires --task compress"),
        ("--task compress --price -3", "`rate_weight` must be"),
        (
            "--task compress --preset keras",
            "`--preset` cannot be used with --task compress",
        ),
        ("--scale 2", "`--scale` requires --task super-resolution"),
        ("--task denoise --scale 2", "`--scale` requires"),
        ("--task super-resolution --scale 1", "`--scale` must be at least 2"),
        (
            "--task super-resolution --scale 3",
            "`--scale` must divide",
        ),
        ("--task super-resolution --scale 14", "28), and leave 4 pixels. Received: 14"),
        (
            "--data pairs --patch-size 8 --task denoise",
            "`--task` must be super-resolut",
        ),
        ("--downsampling box", "`--downsampling` requires --task super-"),
        (
            "--task super-resolution --preset keras",
            "`--preset` cannot be used with --task super-resolution",
        ),
        ("--task denoise --latent-dim 8", "`--latent-dim` cannot be used"),
        ("--data pairs --patch-size 8", "`--task` must be "),
        (
            "--data pairs --patch-size 8 --task denoise --noise 0.2",
            "`--noise` cannot be used with images in input/",
        ),
        ("--data pairs --image-size 8 --task denoise", "image_size"),
    ],
)
def test_options_that_do_not_go_together(
    arguments, said, pairs, no_long_work, capsys, tmp_path
):
    assert main(["train", *arguments.split()]) == 2
    assert said in complaint(capsys)
    assert not (tmp_path / "runs").exists()


# --- apply -------------------------------------------------------------------


def test_apply(finished, pictures, capsys, tmp_path):
    command = ["apply", str(finished.run), str(pictures), "out"]
    assert main([*command, "--json"]) == 0
    lines = lines_of(capsys)
    assert "Written: 12, skipped: 0" in lines
    summary = json.loads(lines[-1])
    names = sorted(path.relative_to(pictures) for path in pictures.rglob("*.png"))
    assert summary == {"written": [str("out" / name) for name in names], "skipped": {}}
    model = load_run(finished.run)
    for name in names:
        with Image.open(pictures / name) as image, Image.open("out" / name) as found:
            x = np.float32(image)[np.newaxis, ..., np.newaxis] / 255
            expected = 255 * np.asarray(model(x))[0, ..., 0]
            assert np.abs(np.asarray(found) - expected).max() < 1
    # The same again changes nothing. What else is there stays, or is replaced.
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(command) == main([*command, "--skip-existing"]) == 0
    assert capsys.readouterr().err.count("12 of 12 files were there already") == 2
    Path("out", names[0]).write_text("precious")
    assert main(command) == 2
    assert "convae: `destination` must be files that do" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*command, "--skip-existing"]) == 0
    assert Path("out", names[0]).read_text() == "precious"
    assert main([*command, "--overwrite"]) == 0
    assert "{" not in capsys.readouterr().out
    assert Path("out", names[0]).read_bytes() != b"precious"


@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_apply_a_trained_model_to_one_file(pictures, capsys, tmp_path):
    path = sorted(pictures.rglob("*.png"))[0]
    assert main(["apply", "reference", str(path), "made/on the way/a.png"]) == 0
    with Image.open("made/on the way/a.png") as image:
        assert image.size == (28, 28) and image.mode == "L"
    assert "Written: 1, skipped: 0" in capsys.readouterr().out


@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_apply_skips_what_is_broken(finished, pictures, capsys, tmp_path):
    (pictures / "broken.png").write_text("hello")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        command = ["apply", str(finished.run), str(pictures), "out", "--json"]
        assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("convae: Skipped 1 of 13 files in '")
    summary = json.loads(printed.out.splitlines()[-1])
    assert len(summary["written"]) == 12
    assert [*summary["skipped"]] == [str(pictures / "broken.png")]


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, said",
    [
        ("nowhere pictures out", "RUN must be a run folder or one of "),
        ("reference nowhere out", "No such file or folder: nowhere"),
        ("reference empty out", "empty"),
        ("empty pictures out", "run folder with a model.keras"),
        ("reference large.png out.png", "28"),
    ],
)
def test_bad_input_to_apply(arguments, said, pictures, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    Image.new("L", (30, 28)).save(tmp_path / "large.png")
    assert main(["apply", *arguments.split()]) == 2
    assert said in complaint(capsys)
    assert not list(tmp_path.glob("out*"))


# --- encode and search -------------------------------------------------------


@pytest.mark.static
def test_encode_and_search(pictures, capsys):
    path = sorted(pictures.rglob("*.png"))[0]
    name = path.relative_to(pictures).as_posix()
    command = ["encode", "reference", str(pictures), "features.npz"]
    assert main([*command, "--json"]) == 0
    lines = lines_of(capsys)
    assert "The features of 12 images are in features.npz" in lines
    assert json.loads(lines[-1]) == {"images": 12, "skipped": {}}
    with np.load("features.npz") as file:
        assert file["features"].shape == (12, 32) and name in file["names"]
    found = []
    for where in (str(pictures), "features.npz"):
        search = ["search", "reference", where, str(path), "--count", "3", "--json"]
        assert main(search) == 0
        lines = lines_of(capsys)
        found.append(json.loads(lines[-1])["found"])
        assert len(lines) == 4 and not any(name in line for line in lines)
    assert [f["name"] for f in found[0]] == [f["name"] for f in found[1]]
    # Not once more over what is there, but for those who ask for it.
    assert main(command) == 2
    assert "overwrite" in complaint(capsys)
    options = "--layer pool_1 --pooling average --fit pad --overwrite"
    assert main([*command, *options.split()]) == 0
    with np.load("features.npz") as file:
        assert (
            json.loads(str(file["about"])).items()
            >= {
                "pooling": "average",
                "fit": "pad",
            }.items()
        )


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_a_name_that_cannot_be_shown(pictures, monkeypatch, tmp_path):
    path = sorted(pictures.rglob("*.png"))[0]
    strange = path.with_name("名.png")
    shutil.copy(path, strange)
    printed = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", printed)
    command = ["search", "reference", str(pictures), str(path)]
    assert main(command) == main([*command, "--json"]) == 0
    printed.seek(0)
    lines = printed.read().splitlines()
    assert lines[0].endswith("\\u540d.png")
    assert json.loads(lines[-1])["found"][0]["name"].endswith("名.png")


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, said",
    [
        ("encode nowhere pictures out.npz", "RUN must be a run folder or one of "),
        ("encode reference nowhere out.npz", "No such file or folder: nowhere"),
        ("encode reference pictures out.txt", "destination"),
        ("encode denoiser pictures out.npz --pooling max", "model"),
        (
            "search reference pictures nowhere.png",
            "No such file or folder: nowhere.png",
        ),
        ("search reference missing {image}", "No such file or folder: missing"),
        ("search reference {image} {image}", "that `convae encode` wrote"),
    ],
)
def test_bad_input_to_encode_and_search(arguments, said, pictures, capsys, tmp_path):
    image = str(sorted(pictures.rglob("*.png"))[0])
    assert main([word.format(image=image) for word in arguments.split()]) == 2
    assert said in complaint(capsys)
    assert not list(tmp_path.glob("out*"))


# --- what is refused, and Ctrl-C ---------------------------------------------


def complaint(capsys):
    """The one line on standard error; no traceback."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convae: ")
    return line


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--data nowhere", "`--data` must be one of"),
        ("--data broken.npz", "Cannot use"),
        ("--data empty", "`folder` must contain"),
        ("--data mnist5k --image-size 32", "image_size"),
        ("--preset none", "`--preset` must be one of"),
        ("--preset keras --epochs 0", "`--epochs` must be at least 1. Received: 0"),
        ("--preset keras --epochs -2", "`--epochs` must be"),
        ("--preset keras --batch-size 0", "`--batch-size` must be"),
        ("--preset keras --loss huber", "`loss` must be"),
        ("--preset keras --learning-rate 0", "`--learning-rate` must be"),
        ("--preset keras --learning-rate nan", "`--learning-rate` must be"),
        ("--latent-dim 0", "`latent_dim` must be"),
        ("--preset keras --out broken.npz/run", "broken.npz/run"),
        ("--preset keras --out settled", "different settings"),
    ],
)
def test_bad_input_to_train(arguments, said, no_long_work, capsys, tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "empty").mkdir()
    (tmp_path / "settled").mkdir()
    (tmp_path / "settled" / "settings.json").write_text('{"epochs": 3}')
    assert main(["train", *arguments.split()]) == 2
    assert said in complaint(capsys)
    assert not (tmp_path / "runs").exists()


@pytest.mark.static
@pytest.mark.parametrize("run, said", [("nowhere", "run folder"), ("half", "model")])
def test_bad_input_to_evaluate(run, said, no_long_work, capsys, tmp_path, finished):
    (tmp_path / "half").mkdir()
    whole = (finished.run / "model.keras").read_bytes()
    (tmp_path / "half" / "model.keras").write_bytes(whole[:9000])
    assert main(["evaluate", run, "--data", "mnist5k"]) == 2
    assert said in complaint(capsys)


@pytest.mark.static
def test_evaluate_on_images_of_another_shape(finished, pictures, no_long_work, capsys):
    options = ["--data", str(pictures), "--color", "rgb"]
    assert main(["evaluate", str(finished.run), *options]) == 2
    line = complaint(capsys)
    assert "(28, 28, 1)" in line and "(28, 28, 3)" in line


@pytest.mark.static
@pytest.mark.parametrize(
    "arguments", ["", "draw", "train --epochs many", "evaluate", "train --fit squeeze"]
)
def test_a_command_that_is_none(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 2 and "usage: convae" in capsys.readouterr().err


@pytest.mark.static
def test_ctrl_c(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train_model", stop)
    assert main(["train", "--preset", "keras", "--json"]) == 130
    out, err = capsys.readouterr()
    assert "Run the same command again to resume" in err and "Traceback" not in err
    assert "{" not in out


@pytest.mark.static
@pytest.mark.parametrize("verb", ["apply", "decompress"])
def test_ctrl_c_in_a_folder(verb, pictures, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.restore, "apply", stop)
    monkeypatch.setattr(commands.archive, "decompress", stop)
    assert main([verb, "digits", str(pictures), "out"]) == 130
    assert "--skip-existing" in capsys.readouterr().err


@pytest.mark.static
@pytest.mark.parametrize(
    "skipped, status", [({}, 0), ({"a.png": "broken"}, 1)], ids=["all", "some"]
)
@pytest.mark.parametrize("verb", ["apply", "encode", "compress", "decompress"])
def test_some_files_skipped(verb, skipped, status, pictures, monkeypatch, capsys):
    done = {"apply": [Path("a")], "encode": ["a"], "compress": 1, "decompress": 1}
    homes = {"apply": commands.restore, "encode": commands.features}
    home = homes.get(verb, commands.archive)
    name = "encode_files" if verb == "encode" else verb
    monkeypatch.setattr(home, name, lambda *_, **__: (done[verb], skipped))
    Path("out").touch()
    assert main([verb, "digits", str(pictures), "out", "--json"]) == status
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["skipped"] == skipped


@pytest.mark.static
@pytest.mark.parametrize("pictures", ["flat"], indirect=True)
def test_a_full_disk_under_a_folder(pictures, monkeypatch, capsys):
    def fill(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    assert main(["apply", "reference", str(pictures), "out", "--json"]) == 2
    out, err = capsys.readouterr()
    assert "could not be written: No space left on device" in err and not out
    assert not Path("out").exists()


@pytest.mark.static
def test_a_full_disk(monkeypatch, capsys):
    def fill(*_, **__):
        raise OSError("model.keras could not be written: No space left on device")

    monkeypatch.setattr(commands, "train_model", fill)
    assert main(["train", "--preset", "keras"]) == 2
    assert "No space left on device" in complaint(capsys)


@pytest.mark.static
def test_help_of_the_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convae_keras", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("convae_keras", run_name="__main__")
    assert not stop.value.code
    out = capsys.readouterr().out
    assert "train" in out and "evaluate" in out


@pytest.mark.static
def test_a_run_of_an_earlier_version(digits, no_long_work, capsys, monkeypatch):
    """The same command reports it again, and its model reconstructs as it did."""
    earlier = ROOT / "tests" / "fixtures" / "run_keras"
    shutil.copytree(earlier, "run")
    scores = read_json(earlier / "results.json")
    monkeypatch.setattr(tasks, "TASKS", {"reconstruct": reported(scores)})
    monkeypatch.setattr(commands, "write_report", lambda *_: None)
    command = "train --data mnist5k --preset keras --epochs 1 --out run --json"
    assert main(command.split()) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rows"] == scores
    found = load_run("run")(to_float(digits.x_test[:3]))
    expected = np.load(earlier / "reconstructions.npy")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def reported(scores):
    """The task of reconstructing, without the work of scoring."""
    return replace(tasks.TASKS["reconstruct"], scores=lambda *_: scores)


def test_a_higher_limit(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "a.cae"
    blocks = [Block(2**22, 1, 1, 1)]
    write_container(path, "lossy", "0" * 32, blocks)
    assert main(["info", str(path)]) == 2
    said = f"{path}: .*4,194,304 images, and the limit is 2,097,152 .*--limit raises it"
    assert re.search(said, capsys.readouterr().err)
    assert Image.MAX_IMAGE_PIXELS == 2**27
    assert main(["info", str(path), "--limit", "1024"]) == 0
    assert Image.MAX_IMAGE_PIXELS == 2**28
    assert main(["info", str(path), "--limit", "0"]) == 2
    assert "`--limit` must be a positive number of megabytes" in capsys.readouterr().err
    assert main(["info", str(path)]) == 2  # the next command has its own


@pytest.mark.parametrize(
    "corruption, said",
    [
        (3, "`corruption`"),
        ([], "`corruption`"),
        ({"name": ["Fog"]}, "`corruption`"),
        ({"name": "Smear"}, "Unknown corruption 'Smear'"),
        ({"name": "Fog", "wind": 3}, "Invalid config of Fog"),
        ({"name": "Fog", "blur": 50}, "`3 . blur` must not exceed"),
        ({"name": "Hole", "side": 10**100}, "`side` must be an int from 1 to"),
        ({"name": "Warp", "scale": {"a": 1}}, "`scale`"),
    ],
)
def test_settings_of_a_run_that_make_no_sense(
    corruption, said, finished, thousand, tmp_path, capsys
):
    shutil.copytree(finished.run, tmp_path / "run")
    settings = read_json(finished.run / "settings.json") | {"corruption": corruption}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    assert main(["evaluate", str(tmp_path / "run"), "--data", thousand]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error) and error.count("\n") == 1


# --- export ------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.float32
def test_export_a_run(finished, capsys, tmp_path):
    arguments = ["export", "--model", str(finished.run), "--part", "encoder"]
    assert main([*arguments, "--out", "encoder.onnx"]) == 0
    said = "The model is in encoder.onnx, and its inputs in encoder.onnx.json"
    assert said in capsys.readouterr().out
    assert main([*arguments, "--out", "encoder.onnx"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--out", "encoder.onnx", "--overwrite", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("out") == "encoder.onnx" and report["part"] == "encoder"
    assert report == read_json("encoder.onnx.json")


def test_a_script_reads_one_object(digits, capsys, tmp_path):
    """With `--json`, all words are on standard error."""
    Image.fromarray(digits.x_test[0, ..., 0]).save("digit.png")
    assert main(["encode", "reference", "digit.png", "codes.npz", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"images": 1, "skipped": {}}
    assert "The features of 1 images are in codes.npz" in err
    assert main(["encode", "reference", "digit.png", "codes.npz", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "--overwrite" in err
