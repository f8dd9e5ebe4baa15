"""Training: what is learned, invalid arguments, interruption and resumption."""

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_cli.main import main
from convae_keras import training
from convae_keras.corruption import Corruption, Downsample, GaussianNoise
from convae_keras.data.sources import Images
from convae_keras.metrics import bce, psnr
from convae_keras.models import block_autoencoder, conv_autoencoder
from convae_keras.pipelines import from_model_range, make_pipeline, to_float
from convae_keras.restorers import restorer
from convae_keras.runs import load_run
from convae_keras.saving import read_json
from convae_keras.training import (
    checked_images,
    negative_psnr,
    train,
    warmup_cosine,
)

ROOT = Path(__file__).parents[1]
OPTIONS = {"epochs": 3, "batch_size": 16, "verbose": 0}


def tiny(**switches):
    options = {"filters": (4,), "code_filters": (), "seed": 0}
    return conv_autoencoder("keras", **{**options, **switches})


def minus_one_to_one():
    return tiny(output_range=(-1, 1))


def without_times(history):
    return {key: values for key, values in history.items() if key != "seconds"}


def assert_same_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    assert all(np.array_equal(weight, expected) for weight, expected in pairs)


def refuse_to_fit(*_, **__):
    pytest.fail("fit was called")


@pytest.fixture(scope="module")
def few(digits):
    """48 digits, of which `train` keeps the last four to validate on."""
    return digits.x_train[:48]


@pytest.fixture(scope="module")
def complete(few, tmp_path_factory):
    """`(model, history, run)` of a training that was not interrupted."""
    model, run = tiny(), tmp_path_factory.mktemp("complete") / "run"
    return model, train(model, few, **OPTIONS, run=run), run


# --- learning ----------------------------------------------------------------


@pytest.mark.slow
def test_overfits_a_few_digits(digits):
    model = conv_autoencoder("keras", seed=0)
    x = np.tile(digits.x_train[:11], (11, 1, 1, 1))  # ten steps an epoch
    history = train(model, x, epochs=12, batch_size=11, loss="mse", verbose=0)
    assert history["loss"][-1] < history["loss"][0] / 10


def test_history(complete):
    _, history, run = complete
    assert list(history) == ["loss", "val_loss", "seconds"]
    for values in history.values():
        assert len(values) == 3
        assert all(isinstance(value, float) and value > 0 for value in values)
    assert history["loss"][-1] < history["loss"][0]
    assert read_json(run / "history.json") == history


def test_a_run_folder_holds_the_model_and_its_settings(complete, few):
    model, _, run = complete
    names = ["history.json", "model.keras", "settings.json"]
    assert sorted(path.name for path in run.iterdir()) == names
    assert_same_weights(load_run(run), model)
    settings = read_json(run / "settings.json")
    assert settings.pop("data").startswith("array: 44 training, 4 validation")
    assert len(settings.pop("fingerprint")) == 16
    assert len(settings.pop("architecture")) == 16
    assert len(settings.pop("initial_weights")) == 16
    assert settings == {
        "parameters": model.count_params(),
        "pixel_range": [0, 1],
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.03,
        "loss": "binary_crossentropy",
        "seed": 0,
        "corruption": None,
        "turn": False,
        "paired": False,
        "backend": keras.backend.backend(),
    }


def test_validates_on_images_it_does_not_learn_from(few):
    """The first epoch is the best: training images are black, the others white."""
    black, white = np.zeros_like(few[:32]), np.full_like(few[:8], 255)
    images = Images("opposites", black, None, white, None, white, None)
    model = tiny()
    history = train(model, images, **OPTIONS)
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert history["val_loss"] == sorted(history["val_loss"])
    # The weights are those of that epoch, not of the last one.
    x = to_float(white)
    found = bce(x, model.predict(x, verbose=0)).mean()
    assert found == pytest.approx(history["val_loss"][0], rel=1e-4)
    assert found < history["val_loss"][-1] - 0.01


def test_the_same_seed_gives_the_same_weights(complete, few):
    expected, history, _ = complete
    again, other = tiny(), tiny()
    assert without_times(train(again, few, **OPTIONS)) == without_times(history)
    assert_same_weights(again, expected)
    train(other, few, **OPTIONS, seed=1)
    assert (other.get_weights()[0] != again.get_weights()[0]).any()


def test_trains_in_minus_one_to_one(few):
    model = minus_one_to_one()
    history = train(model, few, **OPTIONS)
    assert history["loss"][-1] < history["loss"][0]
    x = 2 * to_float(few[44:]) - 1
    found = ((model.predict(x, verbose=0) - x) ** 2).mean()
    assert found == pytest.approx(min(history["val_loss"]), rel=1e-4)


@pytest.mark.parametrize("loss, power", [("mse", 2), ("mae", 1)])
def test_the_loss_is_the_given_one(loss, power, few):
    model = tiny()
    history = train(model, few, **OPTIONS, loss=loss)
    x = to_float(few[44:])
    found = (np.abs(model.predict(x, verbose=0) - x) ** power).mean()
    assert found == pytest.approx(min(history["val_loss"]), rel=1e-4)


def test_negative_psnr():
    x, y = (np.random.default_rng(i).random((3, 4, 4, 1)) for i in range(2))
    for dtype, tolerance in (("float32", 1e-4), ("float16", 5e-3)):
        found = negative_psnr(*(keras.ops.cast(each, dtype) for each in (x, y)))
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_allclose(found, -psnr(x, y), atol=tolerance)
    # Equal images: 60 dB. In float16, 1e-6 would be rounded by 5 %.
    same = keras.ops.cast(x, "float16")
    np.testing.assert_allclose(negative_psnr(same, same), -60, atol=1e-3)


@pytest.mark.parametrize("low_high", [(0, 1), (-1, 1)])
def test_the_psnr_is_that_of_pixels(low_high, few, tmp_path):
    model, options = tiny(output_range=low_high), {**OPTIONS, "run": tmp_path}
    history = train(model, few, **options, loss="psnr")
    x = to_float(few[44:])
    found = from_model_range(model(to_float(x, low_high)), low_high)
    found = psnr(x, found).mean()
    assert -found == pytest.approx(min(history["val_loss"]), rel=1e-3)
    assert_same_weights(load_run(tmp_path), model)


@pytest.mark.parametrize("count, validation", [(60, 5), (11, 1), (2, 1)])
def test_the_last_twelfth_of_an_array_validates(count, validation, digits):
    x = digits.x_train[:count]
    images = checked_images(tiny(), x[..., 0])
    np.testing.assert_array_equal(images.x_train, x[:-validation])
    np.testing.assert_array_equal(images.x_val, x[-validation:])


@pytest.mark.parametrize(
    "preset, batch_size, learning_rate",
    [("keras", 64, 0.03), ("reference", 128, 0.005)],
)
def test_defaults_go_by_the_size_of_the_model(
    preset, batch_size, learning_rate, digits, monkeypatch, tmp_path
):
    monkeypatch.setattr(training, "_fit", lambda *_, **__: None)
    train(conv_autoencoder(preset), digits, run=tmp_path)
    settings = read_json(tmp_path / "settings.json")
    found = settings["batch_size"], settings["learning_rate"]
    assert found == (batch_size, learning_rate)


@pytest.mark.parametrize(
    "count, batch_size, steps",
    [(44, 16, 2), (44, 44, 1), (31, 1, 31), (33, 1, 32), (47, 1, 40), (3667, 64, 56)],
)
def test_long_epochs_are_a_multiple_of_eight_steps(count, batch_size, steps):
    assert training._steps({"batch_size": batch_size}, count) == steps


def test_eight_steps_at_once_in_training_only(few, monkeypatch):
    seen, fit = [], keras.Model.fit

    def watched_fit(model, **options):
        seen.append(model.steps_per_execution)
        return fit(model, **options)

    monkeypatch.setattr(training, "FEW_STEPS", 0)
    monkeypatch.setattr(keras.Model, "fit", watched_fit)
    model = tiny()
    train(model, few, epochs=1, batch_size=1, verbose=0)
    assert seen == [1 if keras.backend.backend() == "torch" else 8]
    assert model.steps_per_execution == 1


def test_warmup_cosine():
    schedule = warmup_cosine(0.5, 200)
    rates = np.array([float(schedule(step)) for step in range(0, 201, 10)])
    np.testing.assert_allclose(rates[:3], [0, 0.25, 0.5], atol=1e-6)
    angles = np.linspace(0, np.pi, 19)
    np.testing.assert_allclose(rates[2:], 0.25 + 0.25 * np.cos(angles), atol=1e-6)
    assert np.isfinite([float(warmup_cosine(0.5, 1)(step)) for step in (0, 1)]).all()


def test_logs_for_tensorboard(few, tmp_path):
    options = {**OPTIONS, "epochs": 1, "run": tmp_path / "run", "tensorboard": True}
    train(tiny(), few, **options)
    logs = list((tmp_path / "run" / "logs").rglob("events.out.tfevents.*"))
    assert {path.parent.name for path in logs} == {"train", "validation"}
    assert all(path.stat().st_size > 100 for path in logs)


# --- invalid arguments -------------------------------------------------------


def spoilt(value):
    x = np.full((20, 28, 28), 0.5, "float32")
    x[7, 3, 5] = value
    return x


@pytest.mark.parametrize(
    "images, message",
    [
        (spoilt(np.nan), "`images`"),
        (spoilt(np.inf), "`images`"),
        (spoilt(1.01), "`images`"),
        (spoilt(-1), "`images`"),
        (np.arange(20), "`images`"),
        (np.zeros((20, 784), "float32"), "`images`"),
        (np.zeros((20, 28, 28, 1, 1), "uint8"), "`images`"),
        (np.zeros((0, 28, 28), "uint8"), "`images`"),
        ([np.zeros((28, 28)), np.zeros((28, 27))], "`images`"),
        (np.zeros((1, 28, 28), "uint8"), "`images`.*Received: 1"),
        (np.zeros((20, 28, 27), "uint8"), r"takes images .*1\).*\(28, 27, 1\)"),
        (np.zeros((20, 28, 28, 3), "uint8"), r"takes images .*1\).*\(28, 28, 3\)"),
    ],
)
def test_bad_images(images, message, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match=message):
        train(tiny(), images, epochs=1, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [
        *[{"epochs": value} for value in (0, -1, 2.5)],
        *[{"batch_size": value} for value in (0, -8)],
        *[{"learning_rate": value} for value in (0, -0.1, np.nan, np.inf)],
        *[{"seed": value} for value in (None, 0.5, 2**63, -(2**70))],
        {"loss": "huber"},
    ],
    ids=str,
)
def test_bad_options(options, few, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"`{name}` must.*Received: {value!r}"):
        train(tiny(), few, run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_does_not_fit_the_range(few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match="`loss=.*sigmoid.*loss='mse'"):
        train(minus_one_to_one(), few, loss="binary_crossentropy")


def test_a_model_that_takes_no_channels(few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Dense(28)])
    message = "`images` must be `Sequences`. Received: ndarray"
    with pytest.raises(ValueError, match=message):
        train(model, few)


def test_logs_without_a_folder(few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match="`tensorboard=True`.*`run`"):
        train(tiny(), few, tensorboard=True)


def test_a_folder_that_cannot_be_written(few, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="`run`"):
        train(tiny(), few, run=tmp_path / "file" / "run")


@pytest.mark.parametrize("options", [{"epochs": 4}, {"seed": 1}, {"loss": "mse"}])
def test_a_run_of_different_settings(options, complete, few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    ((key, value),) = options.items()
    message = f"different settings: {key}=.* on disk, {value!r} requested. "
    with pytest.raises(ValueError, match=message):
        train(tiny(), few, **{**OPTIONS, **options}, run=complete[2])


def test_a_run_of_another_network(complete, few, monkeypatch):
    """Average pooling has the same weights as max pooling, by number and shape."""
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match="settings: architecture=[^;]*$"):
        train(tiny(pooling="average"), few, **OPTIONS, run=complete[2])


def test_a_network_with_default_names_is_recognized(few, tmp_path):
    def unnamed():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((28, 28, 1))
        return keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))

    history = train(unnamed(), few, **OPTIONS, run=tmp_path)
    assert train(unnamed(), few, **OPTIONS, run=tmp_path) == history


def test_a_run_on_other_images(complete, few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match="settings: fingerprint"):
        train(tiny(), few[::-1], **OPTIONS, run=complete[2])


# --- interrupted and resumed -------------------------------------------------


@pytest.mark.slow
def test_a_finished_run_is_loaded(complete, few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    expected, history, run = complete
    model = tiny()
    for _ in range(2):  # the second time, of a model that this run has trained
        assert train(model, few, **OPTIONS, run=run) == history
        assert_same_weights(model, expected)


def test_a_run_folder_at_home(few, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    train(tiny(), few, **OPTIONS, run="~/run")
    assert (tmp_path / "home" / "run" / "model.keras").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_run_that_started_from_other_weights_is_refused(complete, few):
    with pytest.raises(ValueError, match="settings: initial_weights="):
        train(tiny(seed=5), few, **OPTIONS, run=complete[2])


def test_two_trainings_in_one_folder(few, tmp_path, monkeypatch):
    work, second = training.RunKeeper.on_epoch_end, []

    def meanwhile(self, epoch, logs=None):
        if not second:
            second.append(epoch)
            with pytest.raises(ValueError, match="`run` must not .*another process"):
                train(tiny(), few, **OPTIONS, run=tmp_path)
        work(self, epoch, logs)

    monkeypatch.setattr(training.RunKeeper, "on_epoch_end", meanwhile)
    train(tiny(), few, **OPTIONS, run=tmp_path)
    assert [*tmp_path.glob(".*")] == []


def stop_at(monkeypatch, hook, count, error=KeyboardInterrupt):
    """Makes the `count`-th call of a callback's hook raise, after its work."""
    work, calls = getattr(training.RunKeeper, hook), []

    def stopped(self, *args, **kwargs):
        work(self, *args, **kwargs)
        calls.append(args)
        if len(calls) == count:
            raise error("stopped here")

    monkeypatch.setattr(training.RunKeeper, hook, stopped)


@pytest.mark.slow
@pytest.mark.float32  # `test_resumed_in_half_precision` is the other
@pytest.mark.parametrize(
    "hook, count, done",
    [
        ("on_train_batch_end", 1, 0),
        ("on_train_batch_end", 3, 1),
        ("on_test_begin", 2, 1),
        ("on_epoch_end", 2, 2),
    ],
)
def test_ctrl_c_and_the_same_call_again(
    hook, count, done, complete, few, tmp_path, monkeypatch
):
    expected, history, _ = complete
    model, run = tiny(), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, hook, count)
        train(model, few, **OPTIONS, run=run)
    # A usable run: the model of the best complete epoch, and what led to it.
    assert len(read_json(run / "history.json")["loss"]) == done
    assert_same_weights(load_run(run), model)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    # In a notebook the same model is trained further, in a terminal another one.
    model = model if count % 2 else tiny()
    again = train(model, few, **OPTIONS, run=run)
    assert without_times(again) == without_times(history)
    assert_same_weights(model, expected)
    assert_same_weights(load_run(run), expected)
    assert not (run / "checkpoint.npz").exists()


@pytest.mark.slow
@pytest.mark.float32  # exact; `test_resumed_in_half_precision` is the other
def test_interrupted_twice(complete, few, tmp_path, monkeypatch):
    expected, history, _ = complete
    model = tiny()
    for hook, count in [("on_epoch_end", 1), ("on_train_batch_end", 3)]:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, hook, count)
            train(model, few, **OPTIONS, run=tmp_path)
    assert len(read_json(tmp_path / "history.json")["loss"]) == 2
    again = train(model, few, **OPTIONS, run=tmp_path)
    assert without_times(again) == without_times(history)
    assert_same_weights(model, expected)


@pytest.mark.slow
@pytest.mark.float32  # exact; `test_resumed_in_half_precision` is the other
def test_patience(few, tmp_path, monkeypatch):
    """At no rate to speak of, no epoch is better than the first."""
    options = {**OPTIONS, "epochs": 9, "learning_rate": 1e-30, "run": tmp_path}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, "on_epoch_end", 2)
        train(tiny(), few, **options, patience=2)
    history = train(tiny(), few, **options, patience=2)
    assert len(history["loss"]) == 3 and not (tmp_path / "checkpoint.npz").exists()
    monkeypatch.setattr(keras.Model, "fit", None)  # it is not trained again
    assert train(tiny(), few, **options, patience=2) == history
    with pytest.raises(ValueError, match="patience=2 on disk, None requested"):
        train(tiny(), few, **options)
    with pytest.raises(ValueError, match="`patience` must be a positive int"):
        train(tiny(), few, **options, patience=0)


def test_a_loss_that_is_no_number(few, tmp_path, monkeypatch):
    """The second epoch begins with weights that are NaN."""
    start = training.RunKeeper.on_epoch_begin

    def spoil(self, epoch, logs=None):
        start(self, epoch, logs)
        if epoch == 1:
            weights = [np.full(w.shape, np.nan) for w in self.model.weights]
            self.model.set_weights(weights)

    monkeypatch.setattr(training.RunKeeper, "on_epoch_begin", spoil)
    model, run = tiny(), tmp_path / "run"
    message = "not a number after epoch 2.*nan.*lower `learning_rate`"
    with pytest.raises(ValueError, match=message):
        train(model, few, **OPTIONS, run=run)
    assert len(read_json(run / "history.json")["loss"]) == 1
    assert_same_weights(load_run(run), model)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_rate_that_is_too_high(few, tmp_path):
    model, run = tiny(), tmp_path / "run"
    with pytest.raises(ValueError, match="not a number after epoch 1"):
        train(model, few, **OPTIONS, run=run, learning_rate=1e38)
    assert_same_weights(load_run(run), tiny())


@pytest.mark.float32  # exact
# Old releases of NumPy do not close the file that they could not write.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fills(complete, few, tmp_path, monkeypatch):
    """No file may grow beyond 4,000 bytes, as when that much is left."""
    resource = pytest.importorskip("resource", reason="limits of Unix")
    expected, history, _ = complete
    run = tmp_path / "run"
    work, limits = training.RunKeeper.on_epoch_end, []

    def fill(self, epoch, logs=None):
        if epoch == 1:
            limits.append(resource.getrlimit(resource.RLIMIT_FSIZE))
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[0][1]))
        work(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.RunKeeper, "on_epoch_end", fill)
        try:
            with pytest.raises(OSError, match="run.*too large"):
                train(tiny(), few, **OPTIONS, run=run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits[0])
    # The checkpoint of the first epoch is complete, and no other file is left.
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]
    with np.load(run / "checkpoint.npz") as file:
        assert len(json.loads(str(file["history"]))["loss"]) == 1
    model = tiny()
    again = train(model, few, **OPTIONS, run=run)
    assert without_times(again) == without_times(history)
    assert_same_weights(model, expected)


# --- inputs and targets of a denoiser ----------------------------------------


@dataclass(frozen=True)
class Negative(Corruption):
    """Half the contrast, inverted: not random, and easy to do with NumPy."""

    strength: float = 0.5

    def damage(self, x, seed):
        return 1 - self.strength * x


def affine():
    """0.7 times the input, plus 0.05: neither a copy nor its own inverse."""
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    model.set_weights([np.full((1, 1, 1, 1), 0.7), np.full(1, 0.05)])
    return model


def corrupted(kind, few, repeats=1):
    """`(images, corrupt)`: the same corruption, as a function or as inputs."""
    x_train = np.tile(few[:44], (repeats, 1, 1, 1))
    cut = {"train": x_train, "val": few[44:], "test": few[44:]}
    parts = [array for x in cut.values() for array in (x, None)]
    images = Images("mine", *parts)
    if kind == "corrupt":
        return images, Negative()
    inputs = {f"inputs_{split}": Negative()(x) for split, x in cut.items()}
    return replace(images, **inputs), None


@pytest.mark.parametrize("kind", ["corrupt", "inputs"])
def test_the_input_is_corrupted_and_the_target_is_clean(kind, few):
    """NumPy computes both losses, which differ if the two are exchanged."""
    images, corrupt = corrupted(kind, few)
    model = affine()
    # One step, whose loss is that of the weights above.
    options = {"epochs": 1, "batch_size": 44, "loss": "mse", "verbose": 0}
    history = train(model, images, corrupt=corrupt, **options)
    (kernel,), bias = model.get_weights()[0].ravel(), model.get_weights()[1][0]
    for key, x, (slope, shift) in [
        ("loss", to_float(images.x_train), (0.7, 0.05)),
        ("val_loss", to_float(images.x_val), (kernel, bias)),
    ]:
        clean, noisy = np.float64(x), 1 - 0.5 * np.float64(x)
        right = ((slope * noisy + shift - clean) ** 2).mean()
        exchanged = ((slope * clean + shift - noisy) ** 2).mean()
        copied = ((slope * clean + shift - clean) ** 2).mean()
        assert history[key] == [pytest.approx(right, rel=1e-4)]
        assert abs(right - exchanged) > 0.01 and abs(right - copied) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["corrupt", "inputs"])
def test_a_corruption_is_learned_to_be_inverted(kind, few):
    """`x = 2 - 2 * corrupted`; with the two exchanged it would be `1 - x / 2`."""
    images, corrupt = corrupted(kind, few, repeats=10)
    model = affine()
    options = {"epochs": 6, "batch_size": 11, "loss": "mse", "verbose": 0}
    train(model, images, corrupt=corrupt, learning_rate=0.3, **options)
    kernel, bias = (weight.item() for weight in model.get_weights())
    assert (kernel, bias) == pytest.approx((-2, 2), abs=0.1)


@pytest.mark.float32  # to four digits
def test_noise_is_other_noise_in_every_epoch_but_not_in_validation(few):
    """At a learning rate of almost 0 only the noise can change the losses."""
    options = {"epochs": 3, "batch_size": 44, "loss": "mse", "verbose": 0}
    options["learning_rate"] = 1e-12
    model, corrupt = affine(), GaussianNoise(0.5)
    history = train(model, few, corrupt=corrupt, **options)
    assert len(set(history["loss"])) == 3
    assert np.ptp(history["val_loss"]) < 1e-6
    ((noisy, clean),) = make_pipeline(few[44:], corrupt=corrupt).as_numpy_iterator()
    np.testing.assert_array_equal(clean, to_float(few[44:]))
    expected = ((0.7 * noisy + 0.05 - clean) ** 2).mean()
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-4)
    still = train(affine(), few, **options)
    assert np.ptp(still["loss"]) < 1e-6


def test_noise_in_minus_one_to_one(few):
    model = minus_one_to_one()
    history = train(model, few, **OPTIONS, corrupt=Negative())
    x = to_float(few[44:])
    y = model.predict(2 * Negative()(x) - 1, verbose=0)
    found = ((y - (2 * x - 1)) ** 2).mean()
    assert found == pytest.approx(min(history["val_loss"]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.float32  # exact; `test_resumed_in_half_precision` is the other
def test_ctrl_c_and_the_same_noise_again(complete, few, tmp_path, monkeypatch):
    """All that is drawn is drawn again: order, noise, flips and rotations."""
    options = {**OPTIONS, "corrupt": GaussianNoise((0.1, 0.5)), "augment": True}
    expected, model = tiny(), tiny()
    history = train(expected, few, **options)
    assert (expected.get_weights()[0] != complete[0].get_weights()[0]).any()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, "on_train_batch_end", 3)
        train(model, few, **options, run=tmp_path)
    assert len(read_json(tmp_path / "history.json")["loss"]) == 1
    again = train(model, few, **options, run=tmp_path)
    assert without_times(again) == without_times(history)
    assert_same_weights(model, expected)
    assert_same_weights(load_run(tmp_path), expected)


def test_the_corruption_is_one_of_the_settings(few, tmp_path, monkeypatch):
    options = {**OPTIONS, "epochs": 1, "run": tmp_path}
    train(tiny(), few, **options, corrupt=GaussianNoise((0.1, 0.5)))
    settings = read_json(tmp_path / "settings.json")
    expected = {"name": "GaussianNoise", "stddev": [0.1, 0.5], "clip": True}
    assert settings["corruption"] == expected
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    train(tiny(), few, **options, corrupt=GaussianNoise((0.1, 0.5)))
    for corrupt in (None, GaussianNoise(0.1), GaussianNoise((0.1, 0.5), clip=False)):
        with pytest.raises(ValueError, match="settings: corruption={[^;]*$"):
            train(tiny(), few, **options, corrupt=corrupt)


def test_augmented_images(complete, few, tmp_path, monkeypatch):
    """Others than the plain ones, and one of the settings; squares only."""
    model, run = tiny(), tmp_path / "augmented"
    train(model, few, **OPTIONS, augment=True, run=run)
    assert read_json(run / "settings.json")["turn"] is True
    assert (model.get_weights()[0] != complete[0].get_weights()[0]).any()
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    with pytest.raises(ValueError, match="`augment`.*20 x 28 x 1"):
        model = restorer((None, None, 1), filters=(2,), convs=(1,))
        train(model, few[:, :20], augment=True, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_inputs_and_a_corruption(few, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    images, _ = corrupted("inputs", few)
    with pytest.raises(ValueError, match=r"`corrupt`.*Negative\("):
        train(affine(), images, run=tmp_path / "run", corrupt=Negative())
    assert not (tmp_path / "run").exists()


def test_a_model_that_returns_another_size_than_the_images(few, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", refuse_to_fit)
    inputs = keras.Input((None, None, 1))
    same = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    message = r"returns images of shape \(14, 14, 1\). Received: \(28, 28, 1\)"
    with pytest.raises(ValueError, match=message):
        train(same, few, corrupt=Downsample(2))
    with pytest.raises(ValueError, match=r"takes images .*Received: \(14, 14, 1\)"):
        train(affine(), few, corrupt=Downsample(2))


# --- half precision ----------------------------------------------------------

HALF = {
    "blocks": lambda: block_autoencoder((28, 28, 1), filters=(4, 4), seed=0),
    "restorer": lambda: restorer(
        filters=(4, 4), convs=(1, 1), head="nearest", residual=True, seed=0
    ),
    "keras": lambda: tiny(),
    "pytorch": lambda: conv_autoencoder("pytorch", filters=(4, 4), seed=0),
    "reference": lambda: conv_autoencoder(
        "reference", filters=(4, 4), code_filters=(4,), latent_dim=8, seed=0
    ),
}


@pytest.mark.slow
@pytest.mark.float32  # it sets the policy
@pytest.mark.parametrize("name", fewer([*HALF]))
def test_every_builder_learns_in_half_precision(name, few):
    use_policy("mixed_float16")
    model = HALF[name]()
    assert {layer.compute_dtype for layer in model.layers} >= {"float16"} or (
        model.encoder.layers[1].compute_dtype == "float16"
    )
    corrupt = GaussianNoise(0.3) if name == "restorer" else None
    options = {"epochs": 4, "batch_size": 11, "learning_rate": 0.01, "verbose": 0}
    history = train(model, few, **options, corrupt=corrupt)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    y = model.predict(to_float(few[:2]), verbose=0)
    assert y.dtype == "float32" and np.isfinite(y).all()
    assert {weight.dtype.name for weight in model.get_weights()} == {"float32"}


@pytest.mark.slow
@pytest.mark.float32  # it sets the policy
def test_resumed_in_half_precision(few, tmp_path, monkeypatch):
    use_policy("mixed_float16")
    options = {**OPTIONS, "loss": "psnr", "batch_size": 1}  # several steps at once
    expected, model = tiny(), tiny()
    history = train(expected, few, **options)
    assert history["loss"][-1] < history["loss"][0]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, "on_epoch_end", 2)
        train(model, few, **options, run=tmp_path)
    model = tiny()
    again = train(model, few, **options, run=tmp_path)
    assert without_times(again) == without_times(history)
    assert_same_weights(model, expected)
    assert_same_weights(load_run(tmp_path), expected)


# --- printed lines -----------------------------------------------------------


def test_one_line_an_epoch(few, capsys):
    train(tiny(), few, **{**OPTIONS, "verbose": 2})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, 1):
        assert line.startswith(f"epoch   {epoch}/3  loss 0.")
        assert "val_loss 0." in line and line.endswith("left") == (epoch < 3)


# --- the kill test -----------------------------------------------------------


def seconds_of_epochs(run):
    """Seconds of the epochs in a run's checkpoint; empty without a checkpoint."""
    if not (run / "checkpoint.npz").exists():
        return []
    with np.load(run / "checkpoint.npz") as file:
        return json.loads(str(file["history"]))["seconds"]


def kill_in_an_epoch(command, run, log, moment):
    """Starts a training and kills it some time after its next complete epoch.

    `moment` is a function from the epochs' seconds to the seconds to wait then.
    """
    before = seconds_of_epochs(run)
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    while seconds_of_epochs(run) == before:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)
    time.sleep(moment(seconds_of_epochs(run)))
    assert process.poll() is None, "it was too late"
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.static
def test_a_killed_training_ends_as_if_never_killed(finished, tmp_path):
    run, history = tmp_path / "run", read_json(finished.run / "history.json")
    command = [sys.executable, "-m", "convae_keras", *finished.arguments, str(run)]
    epochs, fraction = len(history["loss"]), random.Random(0)

    def moment(seconds):
        # The first epoch of a process takes longer than the others.
        return fraction.random() * min(*seconds, *history["seconds"])

    with open(tmp_path / "log", "wb") as log:
        kill_in_an_epoch(command, run, log, moment)
        assert 0 < len(seconds_of_epochs(run)) < epochs
        assert not (run / "model.keras").exists()
    assert main([*finished.arguments, str(run)]) == 0
    found = read_json(run / "history.json")
    assert without_times(found) == without_times(history)
    assert len(found["seconds"]) == epochs
    model, expected = load_run(run), load_run(finished.run)
    assert_same_weights(model, expected)
    states = zip(model.optimizer.variables, expected.optimizer.variables, strict=True)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in states)
    for file in ("settings.json", "results.json"):
        assert (run / file).read_bytes() == (finished.run / file).read_bytes()
    assert not (run / "checkpoint.npz").exists()


@pytest.mark.static
def test_inputs_of_one_split_only(few):
    images = Images("digits", few[:40], None, few[40:44], None, few[44:], None)
    for name, x in {"inputs_train": few[:40], "inputs_val": few[40:44]}.items():
        with pytest.raises(ValueError, match="both `inputs_train` and `inputs_val`"):
            train(tiny(), replace(images, **{name: x}), **OPTIONS)
