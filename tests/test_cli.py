"""The `convae` command: its last line, its exit status, its complaints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import cli, data
from convae_keras.cli import main
from convae_keras.metrics import bce_floor
from convae_keras.pipelines import to_float
from convae_keras.runs import read_json

ROOT = Path(__file__).parents[1]
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


def refuse(*_, **__):
    pytest.fail("long work was begun")


@pytest.fixture
def no_long_work(monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse)
    monkeypatch.setattr(keras.Model, "predict", refuse)


@pytest.fixture(params=["flat", "labelled"])
def pictures(request, digits, tmp_path):
    """A folder of 12 digits as PNG, in one heap or by label."""
    for i in range(12):
        label = f"digit {digits.y_train[i] % 2}" if request.param == "labelled" else ""
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
    assert summary["data"].startswith("mnist5k: 3,667 training")
    assert summary["data"] == finished.printed[0]
    assert summary["parameters"] == 1977
    assert summary["epochs"] == len(history["loss"]) == 8
    assert summary["seconds"] == sum(history["seconds"])
    assert summary["val_loss"] == min(history["val_loss"])
    assert summary["rows"] == read_json(finished.run / "results.json")
    assert {key: summary[key] for key in SCORES} == summary["rows"]["autoencoder"]


def test_train_learns(finished, digits):
    summary = json.loads(finished.printed[-1])
    floor = bce_floor(to_float(digits.x_test)).mean()
    assert summary["bce_floor"] == pytest.approx(floor)
    rows = summary["rows"]
    assert summary["mse"] < rows["mean image"]["mse"] / 10
    assert summary["bce_floor"] < summary["bce"] < 1.2 * summary["bce_floor"]


def test_train_leaves_a_run_folder(finished):
    assert sorted(path.name for path in finished.run.iterdir()) == [
        *("card.md", "figure.png", "history.json", "model.keras", "results.json"),
        "settings.json",
    ]


def test_train_says_what_it_does(finished):
    assert finished.printed[1].startswith(f"Keras {keras.__version__} with ")
    text = "\n".join(finished.printed)
    for said in ("Epoch 8/8", "on the test images", "autoencoder", "mean image"):
        assert said in text
    assert f"The model and its card are in {finished.run}" in text


def test_evaluate(finished, capsys):
    assert main(["evaluate", str(finished.run), "--data", "mnist5k", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(summary) == EVALUATE_KEYS
    trained = json.loads(finished.printed[-1])
    for key in ("data", "parameters", "run"):
        assert summary[key] == trained[key]
    for key in (*SCORES, "bce_floor"):
        assert summary[key] == pytest.approx(trained[key], rel=1e-5)


def test_a_finished_run_is_reported_again(finished, capsys, tmp_path, monkeypatch):
    """The same command, given again, trains no more."""
    monkeypatch.setattr(keras.Model, "fit", refuse)
    monkeypatch.setattr(cli, "write_report", lambda *_: read_json(run / "results.json"))
    run = shutil.copytree(finished.run, tmp_path / "run")
    assert main([*finished.arguments, str(run)]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = json.loads(finished.printed[-1])
    assert again == {**expected, "run": str(run)}


def test_a_folder_of_pictures(pictures, capsys, tmp_path):
    arguments = ["--preset", "keras", "--epochs", "1", "--data", str(pictures)]
    assert main(["train", *arguments, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    labels = "no labels" if (pictures / "0.png").exists() else "2 classes"
    parts = "10 training, 1 validation and 1 test images of 28 x 28 x 1"
    assert lines[0] == f"pictures: {parts}, {labels}"
    summary = json.loads(lines[-1])
    assert set(summary) == TRAIN_KEYS and summary["data"] == lines[0]
    run = tmp_path / "runs" / "keras-pictures"
    assert Path(summary["run"]) == run.relative_to(tmp_path)
    assert (run / "figure.png").exists() and (run / "card.md").exists()
    assert main(["evaluate", str(run), "--data", str(pictures)]) == 0
    printed = capsys.readouterr().out
    assert "autoencoder" in printed and "{" not in printed


def test_options_reach_what_they_name(pictures, monkeypatch, capsys):
    seen = {}

    def train(autoencoder, images, **options):
        seen.update(options, autoencoder=autoencoder, images=images)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "train", train)
    arguments = "--preset reference --latent-dim 7 --epochs 5 --batch-size 3 --seed 9"
    arguments += " --learning-rate 0.5 --loss mse --tensorboard --out mine"
    arguments += " --image-size 9 --color rgb --fit pad"
    main(["train", *arguments.split(), "--data", str(pictures)])
    assert seen.pop("autoencoder").encoder.output_shape == (None, 7)
    assert seen.pop("images").image_shape == (9, 9, 3)
    assert seen == {
        "epochs": 5,
        "batch_size": 3,
        "learning_rate": 0.5,
        "loss": "mse",
        "seed": 9,
        "run": Path("mine"),
        "tensorboard": True,
    }
    main(["train", "--data", str(pictures), "--image-size", "8", "12"])
    assert seen["images"].image_shape == (8, 12, 1)
    # Few pictures are shown more often, so that as much is learnt.
    assert seen["epochs"] == cli.IMAGES_SHOWN / 10
    assert seen["batch_size"] is seen["learning_rate"] is seen["loss"] is None


def test_the_weights_come_from_the_seed(monkeypatch, capsys):
    weights = []

    def train(autoencoder, images, **options):
        weights.append(autoencoder.get_weights()[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "train", train)
    for seed in ("0", "0", "1"):
        main(["train", "--preset", "keras", "--seed", seed])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


# --- what is refused, and Ctrl-C ---------------------------------------------


def complaint(capsys):
    """The one line on standard error; no traceback."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convae: ")
    return line


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("--data nowhere", "`source` must be"),
        ("--data broken.npz", "Cannot use"),
        ("--data empty", "Received"),
        ("--data mnist5k --image-size 32", "image_size"),
        ("--preset none", "`preset` must be one of"),
        ("--preset keras --epochs 0", "`epochs` must be a positive int. Received: 0"),
        ("--preset keras --epochs -2", "`epochs` must be"),
        ("--preset keras --batch-size 0", "`batch_size` must be"),
        ("--preset keras --loss mae", "`loss` must be"),
        ("--preset keras --learning-rate 0", "`learning_rate` must be positive"),
        ("--preset keras --learning-rate nan", "`learning_rate` must be positive"),
        ("--latent-dim 0", "`latent_dim` must be positive"),
        ("--preset keras --out broken.npz/run", "`run` must be a folder that can be"),
        ("--preset keras --out settled", "holds a run of other settings"),
    ],
)
def test_bad_input_to_train(arguments, said, no_long_work, capsys, tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "empty").mkdir()
    (tmp_path / "settled").mkdir()
    (tmp_path / "settled" / "settings.json").write_text('{"epochs": 3}')
    assert main(["train", *arguments.split(), "--json"]) == 2
    assert said in complaint(capsys)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("run, said", [("nowhere", "run folder"), ("half", "model")])
def test_bad_input_to_evaluate(run, said, no_long_work, capsys, tmp_path, finished):
    (tmp_path / "half").mkdir()
    whole = (finished.run / "model.keras").read_bytes()
    (tmp_path / "half" / "model.keras").write_bytes(whole[:9000])
    assert main(["evaluate", run, "--data", "mnist5k"]) == 2
    assert said in complaint(capsys)


def test_evaluate_on_images_of_another_shape(finished, pictures, no_long_work, capsys):
    options = ["--data", str(pictures), "--color", "rgb"]
    assert main(["evaluate", str(finished.run), *options]) == 2
    line = complaint(capsys)
    assert "(28, 28, 1)" in line and "(28, 28, 3)" in line


@pytest.mark.parametrize(
    "arguments", ["", "draw", "train --epochs many", "evaluate", "train --fit squeeze"]
)
def test_a_command_that_is_none(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 2 and "usage: convae" in capsys.readouterr().err


def test_ctrl_c(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "train", stop)
    assert main(["train", "--preset", "keras", "--json"]) == 130
    out, err = capsys.readouterr()
    assert "The same command goes on from here" in err and "Traceback" not in err
    assert "{" not in out


def test_a_full_disk(monkeypatch, capsys):
    def fill(*_, **__):
        raise OSError("model.keras could not be written: No space left on device")

    monkeypatch.setattr(cli, "train", fill)
    assert main(["train", "--preset", "keras"]) == 2
    assert "No space left on device" in complaint(capsys)


def test_help_of_the_module():
    command = [sys.executable, "-m", "convae_keras", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0
    assert "train" in result.stdout and "evaluate" in result.stdout
