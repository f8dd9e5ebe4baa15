"""Run modes, finished runs, claims, and who may record results."""

import dataclasses
import json
from email.message import Message

import pytest

from convae_keras import ledger
from convae_keras.data import sources
from convae_keras.ledger import (
    beside_full_run,
    choose,
    claim,
    finished_run,
    format_rows,
    hardware,
    mode,
    record,
    recorded_results,
)
from convae_keras.models import conv_autoencoder
from convae_keras.saving import fingerprint, save_small, write_json

METRICS = {"mse": ([0.00123456789, 0.00123456789, 0.002], 0.0002)}
ENVIRONMENT = {"check": "CONVAE_FAST", "full": "CONVAE_FULL"}


@pytest.fixture
def set_mode(monkeypatch):
    """A function that sets the run mode."""

    def set_mode(name):
        for variable in ENVIRONMENT.values():
            monkeypatch.delenv(variable, raising=False)
        if name in ENVIRONMENT:
            monkeypatch.setenv(ENVIRONMENT[name], "1")

    set_mode("lesson")
    return set_mode


@pytest.fixture
def official(digits, monkeypatch):
    """Images that count as all of MNIST."""
    monkeypatch.setattr(sources, "MNIST_FINGERPRINT", digits.fingerprint)
    return digits


# --- run modes ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["check", "lesson", "full"])
def test_mode(name, set_mode):
    set_mode(name)
    assert mode() == name
    assert choose(check="check", lesson="lesson", full="full") == name


@pytest.mark.parametrize("value", ["", "0", "true"])
def test_only_1_counts(value, set_mode, monkeypatch):
    for variable in ENVIRONMENT.values():
        monkeypatch.setenv(variable, value)
    assert mode() == "lesson"


def test_check_and_full_exclude_each_other(set_mode, monkeypatch):
    for variable in ENVIRONMENT.values():
        monkeypatch.setenv(variable, "1")
    with pytest.raises(ValueError, match="CONVAE_FAST and CONVAE_FULL"):
        mode()


# --- finished runs -----------------------------------------------------------


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A model that is stored as the finished run "tiny"; its path and hash."""
    small = {"filters": (3,), "code_filters": (), "seed": 0}
    model = conv_autoencoder(image_shape=(4, 4, 1), **small)
    path = tmp_path / "runs" / "tiny.keras"
    path.parent.mkdir()
    sha256 = save_small(model, path)
    manifest = {"runs": {"tiny": {"sha256": sha256, "history": {"loss": [0.5]}}}}
    write_json(tmp_path / "finished_runs.json", manifest)
    monkeypatch.setattr(ledger, "FOLDERS", (tmp_path / "none", tmp_path))
    monkeypatch.setattr(ledger, "FINISHED", tmp_path / "finished_runs.json")
    return path, sha256


def test_finished_run_of_a_clone(stored):
    model, history = finished_run("tiny")
    assert model.input_shape == (None, 4, 4, 1) and not model.compiled
    assert history == {"loss": [0.5]}


@pytest.fixture
def no_clone(tmp_path, monkeypatch):
    """Results are fetched from the repository that the package's metadata name.

    It is a folder here, of release 1.2. Returns what was asked for: names, addresses
    and hashes.
    """
    asked, about = [], Message()
    about["Version"] = "1.2"
    about["Project-URL"] = "Documentation, https://example.org/docs"
    about["Project-URL"] = "Repository, https://example.org/mine"
    monkeypatch.setattr(ledger, "metadata", {"convae-keras": about}.__getitem__)
    monkeypatch.setattr(ledger, "FOLDERS", ())

    def get_file(name, address, file_hash, cache_subdir):
        asked.append((name, address, file_hash))
        kept = tmp_path / "cache" / cache_subdir / name
        if not kept.exists():
            path = tmp_path / address.partition("/results/")[2]
            if not path.exists():
                raise Exception("URL fetch failure")  # as Keras does
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(path.read_bytes())
        return str(kept)

    monkeypatch.setattr(ledger.keras.utils, "get_file", get_file)
    return asked


def test_finished_run_without_a_clone(stored, request):
    expected = fingerprint(finished_run("tiny")[0])
    asked = request.getfixturevalue("no_clone")
    assert fingerprint(finished_run("tiny")[0]) == expected
    address = "https://example.org/mine/raw/v1.2/results/runs/tiny.keras"
    assert asked == [("tiny.keras", address, stored[1])]


def test_a_changed_finished_run_is_refused(stored):
    path, _ = stored
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="tiny.keras .*SHA-256"):
        finished_run("tiny")


def test_unknown_finished_run(stored):
    with pytest.raises(ValueError, match="'huge'.*'tiny'"):
        finished_run("huge")


@pytest.mark.static
def test_committed_finished_runs():
    manifest = json.loads(ledger.FINISHED.read_text(encoding="utf-8"))
    for name, run in manifest["runs"].items():
        assert len(run["sha256"]) == 64, name
        assert len({len(values) for values in run["history"].values()}) == 1, name
        assert (ledger.FOLDERS[1] / "runs" / f"{name}.keras").exists()


# --- recording ---------------------------------------------------------------


def test_a_full_run_is_recorded(official, set_mode, tmp_path):
    set_mode("full")
    made = record("training", METRICS, images=official, seeds=(0, 1), folder=tmp_path)
    text = (tmp_path / "training.json").read_text(encoding="utf-8")
    assert json.loads(text) == made
    assert list(made) == ["data", "seeds", "versions", "hardware", "metrics"]
    assert made["data"] == str(official) and made["seeds"] == [0, 1]
    assert {"keras", "numpy", "tensorflow"} <= set(made["versions"])
    assert made["hardware"] == hardware()
    # Six digits of the mean and three of the deviation: no noise in the diffs.
    expected = {"mean": 0.00148971, "std": 0.000442, "tolerance": 0.0002, "runs": 3}
    assert made["metrics"] == {"mse": expected}


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_other_sets_are_recorded_elsewhere(
    name, digits, set_mode, tmp_path, monkeypatch
):
    monkeypatch.setitem(sources.OTHER_FINGERPRINTS, digits.fingerprint, name)
    set_mode("full")
    (tmp_path / "sweeps").mkdir()
    made = record("anomaly", METRICS, images=digits, seeds=[0], folder=tmp_path)
    text = (tmp_path / f"sweeps/anomaly_{name}.json").read_text(encoding="utf-8")
    assert json.loads(text) == made and not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("name", ["check", "lesson"])
def test_other_modes_are_not_recorded(name, official, set_mode, tmp_path):
    set_mode(name)
    made = record("training", METRICS, images=official, seeds=[0], folder=tmp_path)
    assert made["metrics"] and not list(tmp_path.iterdir())


def test_other_data_are_not_recorded(digits, set_mode, tmp_path):
    set_mode("full")
    record("training", METRICS, images=digits, seeds=[0], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_part_of_the_data_is_not_recorded(official, set_mode, tmp_path):
    set_mode("full")
    part = {"x_train": official.x_train[1:], "y_train": official.y_train[1:]}
    part = dataclasses.replace(official, **part)
    record("training", METRICS, images=part, seeds=[0], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_recorded_without_a_folder(official, set_mode, tmp_path):
    set_mode("full")
    record("x", METRICS, images=official, seeds=[0], folder=tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_hardware():
    assert "cores" in hardware() and "backend" in hardware()
    assert "\n" not in hardware() and not hardware().startswith(",")


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A recorded full run that lacks the third result."""
    metrics = {"mse": {"mean": 0.001, "std": 0.0002, "runs": 3}}
    metrics["parameters"] = {"mean": 7.0, "std": 0.0, "runs": 1}
    write_json(tmp_path / "training.json", {"metrics": metrics})
    monkeypatch.setattr(ledger, "FOLDERS", (tmp_path,))


def _beside_full_run(digits, name="training"):
    metrics = METRICS | {"parameters": ([7], 0), "new": ([0.5], 0)}
    entry = record("training", metrics, images=digits, seeds=[0])
    head, *rows = beside_full_run(name, entry).splitlines()
    assert head.split() == ["this", "run", "full", "run"]
    return [" ".join(row.split()) for row in rows]


def test_beside_full_run(digits, recorded):
    expected = ["mse 0.0014897 0.001 ± 0.0002", "parameters 7 7", "new 0.5 –"]
    assert _beside_full_run(digits) == expected


def test_beside_full_run_without_a_clone(digits, recorded, no_clone, capsys):
    assert _beside_full_run(digits)[1] == "parameters 7 7"
    assert no_clone[0][1] == "https://example.org/mine/raw/v1.2/results/training.json"
    assert _beside_full_run(digits, "unknown")[1] == "parameters 7 –"
    assert "not shown: URL fetch failure" in capsys.readouterr().out


def test_each_release_downloads_its_own_results(recorded, no_clone, tmp_path):
    for result in ({"mean": 1}, {"mean": 2}):
        write_json(tmp_path / "training.json", result)
        assert recorded_results("training") == {"mean": 1}
    ledger.metadata("convae-keras").replace_header("Version", "1.3")
    assert recorded_results("training") == {"mean": 2}
    assert no_clone[-1][1] == "https://example.org/mine/raw/v1.3/results/training.json"


def test_a_sweep_of_the_same_name_is_another_file(recorded, no_clone, tmp_path):
    (tmp_path / "sweeps").mkdir()
    write_json(tmp_path / "sweeps" / "training.json", {"rows": {}})
    assert "metrics" in recorded_results("training")
    assert recorded_results("sweeps/training") == {"rows": {}}


def test_recorded_results(recorded, capsys):
    assert recorded_results("training")["metrics"]["parameters"]["mean"] == 7
    assert not capsys.readouterr().out


def test_rows_are_formatted_under_the_columns_of_the_first():
    rows = {"PCA": {"mse": 0.0174, "frechet": 12345.6}}
    rows["this"] = {"frechet": 2.0, "mse": 1e-4, "more": 1.0}
    table = [line.split() for line in format_rows(rows).splitlines()]
    assert table[0] == ["mse", "frechet"]
    assert table[1:] == [["PCA", "0.0174", "12,346"], ["this", "0.0001", "2"]]


# --- claims ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["check", "lesson", "full"])
def test_a_claim_that_holds(name, digits, set_mode, capsys):
    set_mode(name)
    claim("beats PCA", 1 < 2, 1, 2, images=digits)
    assert capsys.readouterr().out == "beats PCA: True\n"


@pytest.mark.parametrize("name", ["check", "full"])
@pytest.mark.parametrize("data", ledger.COURSE_DATA)
def test_a_claim_that_fails_stops_the_notebook(name, data, digits, set_mode, capsys):
    set_mode(name)
    images = dataclasses.replace(digits, name=data)
    with pytest.raises(AssertionError, match="beats PCA.* 0.25, 0.125"):
        claim("beats PCA", 0.25 < 0.125, 0.25, 0.125, images=images)
    assert capsys.readouterr().out == "beats PCA: False\n"


@pytest.mark.parametrize("name, data", [("lesson", "mnist5k"), ("full", "mine")])
def test_a_claim_that_fails_is_only_printed(name, data, digits, set_mode, capsys):
    """In a lesson, and on images of one's own."""
    set_mode(name)
    images = dataclasses.replace(digits, name=data)
    claim("beats PCA", False, 2, 1, images=images)
    assert capsys.readouterr().out == "beats PCA: False\n"
