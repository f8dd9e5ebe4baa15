"""The run folder: opened again, resumed, and damaged files named."""

import errno
import json

import keras
import numpy as np
import pytest
from helpers import use_policy

from convae_keras import runs, untrusted
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.runs import (
    finished_history,
    load_checkpoint,
    load_run,
    open_run,
    save_checkpoint,
    save_run,
)
from convae_keras.saving import read_json, write_json

HISTORY = {"loss": [0.5, 0.25], "val_loss": [0.5, 0.3], "seconds": [1.0, 2.0]}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def compiled(seed=0, **switches):
    """A small compiled model whose optimizer looks as after some steps."""
    options = {"image_shape": (4, 4, 1), "filters": (3,), "code_filters": ()}
    autoencoder = conv_autoencoder("keras", seed=seed, **{**options, **switches})
    autoencoder.compile("adam", "mse")
    autoencoder.optimizer.build(autoencoder.trainable_variables)
    for i, variable in enumerate(autoencoder.optimizer.variables):
        variable.assign(np.full(variable.shape, seed + i + 1, variable.dtype))
    return autoencoder


def state(model):
    return [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_same(arrays, others):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with a checkpoint, and the model that was saved there."""
    autoencoder = compiled()
    best = [w + 1 for w in autoencoder.get_weights()]
    save_checkpoint(tmp_path, autoencoder, HISTORY, best)
    return tmp_path, autoencoder, best


# --- a folder and its settings -----------------------------------------------


def test_a_run_is_opened_again_with_the_same_settings(tmp_path):
    settings = {"epochs": 3, "pixel_range": (0, 1)}
    run = tmp_path / "deep" / "run"
    assert open_run(str(run), settings) == run
    assert read_json(run / "settings.json") == {"epochs": 3, "pixel_range": [0, 1]}
    assert open_run(run, settings) == run


def test_different_settings_are_named(tmp_path):
    open_run(tmp_path, {"epochs": 3, "seed": 0, "loss": "mse", "ol\nd": 1})
    before = (tmp_path / "settings.json").read_text()
    message = (
        "^Run folder was created with different settings: epochs=3 on disk, 4 "
        "requested; new=None on disk, 2 requested; ol d=1 on disk, None requested; "
        f"seed=0 on disk, 1 requested. .*{tmp_path}"
    )
    with pytest.raises(ValueError, match=message) as raised:
        open_run(tmp_path, {"epochs": 4, "seed": 1, "loss": "mse", "new": 2})
    assert "loss" not in str(raised.value)
    assert (tmp_path / "settings.json").read_text() == before


@pytest.mark.parametrize("inside", ["file/run", "file", "x" * 300])
def test_a_folder_that_cannot_be_written(inside, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="`run`"):
        open_run(tmp_path / inside, {"epochs": 3})
    assert names(tmp_path) == ["file"]


def test_another_description_of_the_same_images(tmp_path):
    settings = {"data": "mnist: 12 images", "fingerprint": "a1"}
    open_run(tmp_path, settings)
    open_run(tmp_path, settings | {"data": "mnist, 12 images"})
    with pytest.raises(ValueError, match="settings: fingerprint='a1' on disk"):
        open_run(tmp_path, settings | {"fingerprint": "b2"})


def test_settings_that_are_broken(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="settings.json"):
        open_run(tmp_path, {"epochs": 3})


@pytest.mark.parametrize(
    "files, epochs, finished",
    [
        (["model.keras", "history.json"], 2, True),
        (["model.keras", "history.json"], 3, False),
        (["model.keras", "history.json", "checkpoint.npz"], 2, False),
        (["model.keras"], 2, False),
        (["history.json"], 2, False),
        ([], 2, False),
    ],
)
def test_finished_history(files, epochs, finished, tmp_path):
    for file in files:
        write_json(tmp_path / file, HISTORY)
    assert finished_history(tmp_path, epochs) == (HISTORY if finished else None)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": 3},
        {"loss": ["a", "b"]},
        {"loss": [True, False]},
        {"loss": [10**400, 1]},
        {"loss": [[0.5], [0.25]]},
        {"loss": None},
        {"val_loss": None},
        {"seconds": {}},
        {"val_loss": []},
        {"seconds": [1.0]},
    ],
)
def test_a_history_of_another_kind(change, tmp_path):
    (tmp_path / "model.keras").touch()
    write_json(tmp_path / "history.json", HISTORY | change)
    with pytest.raises(ValueError, match="history.json must"):
        finished_history(tmp_path, 2)


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"loss": [NaN]}', "[" * 10**5])
def test_json_that_is_no_history(content, tmp_path):
    (tmp_path / "model.keras").touch()
    (tmp_path / "history.json").write_text(content)
    with pytest.raises(ValueError, match="history.json"):
        finished_history(tmp_path, 2)


def test_settings_that_are_garbage_are_cut_short(tmp_path):
    garbage = {"epochs": 10**100, "seed": [[["x" * 1000]] * 99], "loss": {"a": {}}}
    write_json(tmp_path / "settings.json", garbage)
    with pytest.raises(ValueError, match="epochs=.*loss=.*seed=") as raised:
        open_run(tmp_path, {"epochs": 3})
    assert len(str(raised.value)) < 1000


# --- checkpoints -------------------------------------------------------------


@pytest.mark.slow
def test_a_checkpoint_of_many_variables(tmp_path, monkeypatch):
    many = [keras.Variable(np.full(1 + i % 2, float(i))) for i in range(1003)]
    monkeypatch.setattr(runs, "_state", lambda model: many)
    model = compiled()
    save_checkpoint(tmp_path, model, HISTORY, model.get_weights())
    for each in many:
        each.assign(np.zeros(each.shape))
    load_checkpoint(tmp_path, model)
    assert [int(each[0]) for each in many] == [*range(1003)]


@pytest.mark.float32  # in half precision the optimizer has other variables, too
def test_a_checkpoint_brings_everything_back(checkpoint):
    run, saved, best = checkpoint
    fresh = compiled(seed=5)
    assert int(fresh.optimizer.iterations) == 6
    history, found = load_checkpoint(run, fresh)
    assert history == HISTORY
    assert_same(found, best)
    assert_same(state(fresh), state(saved))
    assert int(fresh.optimizer.iterations) == 1
    assert names(run) == ["checkpoint.npz"]


def test_a_checkpoint_of_half_precision(tmp_path):
    """Keras wraps the optimizer then: the loss scale is part of the state."""
    use_policy("mixed_float16")
    saved, fresh = compiled(), compiled(seed=5)
    assert type(saved.optimizer).__name__ == "LossScaleOptimizer"
    save_checkpoint(tmp_path, saved, HISTORY, saved.get_weights())
    before = float(fresh.optimizer.dynamic_scale)
    load_checkpoint(tmp_path, fresh)
    assert_same(state(fresh), state(saved))
    assert float(fresh.optimizer.dynamic_scale) != before
    assert int(fresh.optimizer.iterations) == int(saved.optimizer.iterations)


def test_random_layers_go_on_where_they_were(tmp_path):
    def noisy():
        inputs = keras.Input((4,))
        dropout = keras.layers.Dropout(0.5, seed=3)
        model = keras.Model(inputs, dropout(inputs))
        model.compile("sgd", "mse")
        return model

    x, saved, fresh = np.ones((1, 4), "float32"), noisy(), noisy()
    saved(x, training=True)
    save_checkpoint(tmp_path, saved, HISTORY, saved.get_weights())
    load_checkpoint(tmp_path, fresh)
    expected = [np.asarray(saved(x, training=True)) for _ in range(6)]
    found = [np.asarray(fresh(x, training=True)) for _ in range(6)]
    np.testing.assert_array_equal(found, expected)


def test_a_checkpoint_holds_no_pickles(checkpoint):
    with np.load(checkpoint[0] / "checkpoint.npz", allow_pickle=False) as file:
        assert len([file[name] for name in file.files]) > 10


@pytest.mark.parametrize("switches", [{"filters": (4,)}, {"code_filters": (3,)}])
def test_a_checkpoint_of_another_network(switches, checkpoint):
    other = compiled(**switches)
    before = state(other)
    with pytest.raises(ValueError, match="checkpoint.npz is of another network"):
        load_checkpoint(checkpoint[0], other)
    assert_same(state(other), before)


@pytest.mark.parametrize(
    "change",
    [
        {"history": "[]"},
        {"history": json.dumps(HISTORY | {"loss": ["a", "b"]})},
        {"history": json.dumps(HISTORY | {"loss": [0.5]})},
        {"state_000": np.zeros((2, 2))},
        {"state_000": None},
        {"state_000": "text"},
        {"best_000": np.zeros((2, 2))},
        {"best_000": "text"},
        {"best_000": None},
        {"best_000": np.zeros((3, 3, 1, 3), complex)},
    ],
)
def test_a_checkpoint_of_other_arrays(change, checkpoint):
    run, saved, _ = checkpoint
    with np.load(run / "checkpoint.npz") as file:
        arrays = dict(file) | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    np.savez(run / "checkpoint.npz", **arrays)
    before = state(saved)
    with pytest.raises(ValueError, match="checkpoint.npz"):
        load_checkpoint(run, saved)
    assert_same(state(saved), before)


def test_a_large_model_resumes_whatever_the_limit(checkpoint, monkeypatch):
    """Only what is not in memory already counts: the history."""
    amounts = {}
    counted = lambda amount, unit: amounts.update({unit: amount})  # noqa: E731
    monkeypatch.setattr(untrusted, "check_limit", counted)
    assert load_checkpoint(*checkpoint[:2])[0] == HISTORY
    assert amounts["bytes"] == 4 * len(json.dumps(HISTORY))


def an_npz_without_history(path):
    np.savez(path, state_000=np.zeros(3))


def pickled_objects(path):
    np.savez(path, history=np.array([None, {}], dtype=object))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-300]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no zip file"),
        an_npz_without_history,
        pickled_objects,
    ],
)
def test_a_broken_checkpoint(spoil, checkpoint):
    run, saved, _ = checkpoint
    spoil(run / "checkpoint.npz")
    before = state(saved)
    with pytest.raises(ValueError, match="checkpoint.npz: ."):
        load_checkpoint(run, saved)
    assert_same(state(saved), before)


@pytest.mark.slow
def test_a_disk_that_fills_leaves_the_last_checkpoint(checkpoint, monkeypatch):
    run, saved, best = checkpoint
    complete = (run / "checkpoint.npz").read_bytes()

    def fill_the_disk(file, **arrays):
        file.write_bytes(complete[: len(complete) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", fill_the_disk)
    with pytest.raises(OSError, match="checkpoint.npz.*No space left"):
        save_checkpoint(run, saved, {"loss": []}, best)
    assert (run / "checkpoint.npz").read_bytes() == complete
    assert names(run) == ["checkpoint.npz"]
    assert load_checkpoint(run, saved)[0] == HISTORY


# --- models ------------------------------------------------------------------


def test_a_saved_run_is_loaded(tmp_path):
    autoencoder = compiled()
    save_run(tmp_path, autoencoder, HISTORY)
    assert names(tmp_path) == ["history.json", "model.keras"]
    assert read_json(tmp_path / "history.json") == HISTORY
    loaded = load_run(str(tmp_path))
    assert isinstance(loaded, Autoencoder)
    assert_same(state(loaded), state(autoencoder))


@pytest.mark.parametrize("run", ["", "nowhere", "file"])
def test_no_model_to_load(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match=f"run folder with a model.keras.*{run}"):
        load_run(tmp_path / run)


@pytest.mark.parametrize(
    "model",
    [
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]),
        lambda: keras.Model(*[[keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]] * 2),
    ],
    ids=["no images", "two inputs"],
)
def test_a_model_that_takes_no_images(model, tmp_path):
    model().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="model.keras"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"layer", b"LAYER"),
    ],
    ids=["half", "changed"],
)
def test_a_damaged_model(spoil, tmp_path):
    save_run(tmp_path, compiled(), HISTORY)
    path = tmp_path / "model.keras"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match="model.keras"):
        load_run(tmp_path)
