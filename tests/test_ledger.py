"""Results: who may write them, and how they are compared and shown."""

import dataclasses
import json
from pathlib import Path

import pytest

from convae_keras.data import sources as data
from convae_keras.ledger import (
    claim,
    compare,
    hardware,
    is_fast,
    record,
    results_table,
    with_results,
)

ROOT = Path(__file__).parents[1]
METRICS = {"mse": ([0.00123456789, 0.00123456789, 0.002], 0.0002)}


@pytest.fixture
def official(digits, monkeypatch):
    """Images that count as all of MNIST."""
    monkeypatch.setattr(data, "MNIST_FINGERPRINT", digits.fingerprint)
    return digits


@pytest.fixture(autouse=True)
def not_fast(monkeypatch):
    monkeypatch.delenv("CONVAE_FAST", raising=False)


def entry(**means):
    rest = {"std": 0.0123, "tolerance": 0.1, "runs": 3}
    return {"metrics": {key: {"mean": mean, **rest} for key, mean in means.items()}}


# --- recording ---------------------------------------------------------------


def test_a_full_run_is_recorded(official, tmp_path):
    made = record("training", METRICS, images=official, seeds=(0, 1), folder=tmp_path)
    text = (tmp_path / "training.json").read_text(encoding="utf-8")
    assert json.loads(text) == made
    assert list(made) == ["data", "seeds", "versions", "hardware", "metrics"]
    assert made["data"] == str(official) and made["seeds"] == [0, 1]
    assert {"keras", "numpy", "tensorflow"} <= set(made["versions"])
    assert made["hardware"] == hardware()
    # Six digits of the mean and three of the spread: no noise in the diffs.
    expected = {"mean": 0.00148971, "std": 0.000361, "tolerance": 0.0002, "runs": 3}
    assert made["metrics"] == {"mse": expected}


def test_a_fast_run_is_not(official, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVAE_FAST", "1")
    made = record("training", METRICS, images=official, seeds=[0], folder=tmp_path)
    assert made["metrics"] and not list(tmp_path.iterdir())


def test_a_run_on_other_data_is_not(digits, tmp_path):
    record("training", METRICS, images=digits, seeds=[0], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_part_of_the_data_is_other_data(official, tmp_path):
    x, y = official.x_train[1:], official.y_train[1:]
    part = dataclasses.replace(official, x_train=x, y_train=y)
    record("training", METRICS, images=part, seeds=[0], folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_folder_is_not(official, tmp_path):
    record("x", METRICS, images=official, seeds=[0], folder=tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value, fast", [(None, False), ("", False), ("0", False), ("1", True)]
)
def test_is_fast(value, fast, monkeypatch):
    if value is not None:
        monkeypatch.setenv("CONVAE_FAST", value)
    assert is_fast() == fast


def test_hardware_is_in_words():
    assert "cores" in hardware() and "backend" in hardware()
    assert "\n" not in hardware() and not hardware().startswith(",")


# --- comparing ---------------------------------------------------------------


@pytest.mark.parametrize(
    "found, holds", [(1.0, True), (1.09, True), (0.91, True), (1.11, False), (0.8, 0)]
)
def test_compare(found, holds):
    rows = compare(entry(mse=1.0), entry(mse=found))
    assert rows == [("mse", 1.0, found, 0.1, holds)]


def test_the_committed_tolerance_counts():
    loose = entry(mse=2.0)
    loose["metrics"]["mse"]["tolerance"] = 9.0
    assert not compare(entry(mse=1.0), loose)[0][-1]


@pytest.mark.parametrize("new", [None, entry(), entry(other=1.0)])
def test_what_is_missing_does_not_hold(new):
    assert compare(entry(mse=1.0), new) == [("mse", 1.0, None, 0.1, False)]


def test_what_is_not_a_number_does_not_hold():
    assert not compare(entry(mse=1.0), entry(mse=float("nan")))[0][-1]


# --- showing -----------------------------------------------------------------


def test_table_and_readme(tmp_path):
    files = {"training": entry(bce=0.0612345, floor=0.05), "anomaly": entry(auroc=0.9)}
    files["training"]["metrics"]["floor"]["runs"] = 1
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "reproduce.py").write_text("not a result", encoding="utf-8")
    table = results_table(tmp_path)
    head, rule, *rows = table.splitlines()
    assert head.count("|") == rule.count("|") == 6
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells == [
        ["anomaly", "`auroc`", "0.9", "0.01", "3"],
        ["training", "`bce`", "0.0612345", "0.01", "3"],
        ["training", "`floor`", "0.05", "", "1"],
    ]
    readme = "# Title\n\n<!-- results -->\n{}\n<!-- /results -->\n\n## End\n"
    made = with_results(readme.format("old"), table)
    assert made == readme.format(table)
    assert with_results(made, table) == made


@pytest.mark.static
def test_the_readme_shows_the_ledger():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_results(readme, results_table(ROOT / "results")) == readme


# --- claims ------------------------------------------------------------------


def test_a_claim_that_holds(digits, capsys):
    claim("beats PCA", 1 < 2, 1, 2, images=digits)
    assert capsys.readouterr().out == "beats PCA: True\n"


@pytest.mark.parametrize("name", ["mnist", "mnist5k"])
def test_a_claim_that_fails_stops_the_notebook(name, digits, capsys):
    images = dataclasses.replace(digits, name=name)
    with pytest.raises(AssertionError, match="beats PCA.* 0.25, 0.125"):
        claim("beats PCA", 0.25 < 0.125, 0.25, 0.125, images=images)
    assert capsys.readouterr().out == "beats PCA: False\n"


def test_a_claim_that_fails_on_other_images_is_printed(digits, capsys):
    claim("beats PCA", False, 2, 1, images=dataclasses.replace(digits, name="mine"))
    assert capsys.readouterr().out == "beats PCA: False\n"
