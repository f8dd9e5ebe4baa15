"""Results of another run, compared with the recorded ones."""

import pytest
import reproduce
from reproduce import compare

from convae_keras.saving import write_json

pytestmark = pytest.mark.static


def entry(**means):
    rest = {"std": 0.0123, "tolerance": 0.1, "runs": 3}
    return {"metrics": {key: {"mean": mean, **rest} for key, mean in means.items()}}


@pytest.mark.parametrize(
    "found, holds", [(1.0, True), (1.09, True), (0.91, True), (1.11, False), (0.8, 0)]
)
def test_compare(found, holds):
    rows = compare(entry(mse=1.0), entry(mse=found))
    assert rows == [("mse", 1.0, found, 0.1, holds)]


def test_the_committed_tolerance_applies():
    loose = entry(mse=2.0)
    loose["metrics"]["mse"]["tolerance"] = 9.0
    assert not compare(entry(mse=1.0), loose)[0][-1]


@pytest.mark.parametrize("new", [None, entry(), entry(other=1.0)])
def test_missing_results_are_not_reproduced(new):
    assert compare(entry(mse=1.0), new) == [("mse", 1.0, None, 0.1, False)]


def test_not_a_number_is_not_reproduced():
    assert not compare(entry(mse=1.0), entry(mse=float("nan")))[0][-1]


def test_report(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    for root, mean in ((tmp_path, 1.0), (tmp_path / "build", 1.05)):
        (root / "results").mkdir(parents=True, exist_ok=True)
        write_json(root / "results" / "training.json", entry(mse=mean))
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "BUILD", tmp_path / "build")
    notebooks = [tmp_path / "01_training.ipynb", tmp_path / "99_no_results.ipynb"]
    assert reproduce._report(notebooks) == 0
    row = "| training | mse | 1 | 1.05 | 0.1 | reproduced |"
    assert row in capsys.readouterr().out
    (tmp_path / "build" / "results" / "training.json").unlink()
    assert reproduce._report(notebooks) == 1
    row = "| training | mse | 1 | not measured | 0.1 | NOT REPRODUCED |"
    assert row in capsys.readouterr().out


def test_results_have_the_name_of_their_notebook_or_another(tmp_path):
    names = [
        reproduce._name(tmp_path / f"{n}.ipynb")
        for n in ("01_a", "12_interpretability")
    ]
    assert names == ["a", "interpretation"]
