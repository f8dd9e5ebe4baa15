"""What the scripts make of their measurements."""

import sys

import files
import folder
import numpy as np
import pytest
import speed
import time_to_loss
from PIL import Image
from processes import RESULTS

from convae_keras.saving import read_json

pytestmark = pytest.mark.static


def test_share_of_the_printed_time():
    recipe = time_to_loss.RECIPES["keras"]
    metrics = read_json(RESULTS.parent / "training.json")["metrics"]
    goal = metrics["bce_printed_50_epochs"]["mean"]
    row = time_to_loss.summary(recipe, [200, 100], [6, 9], [goal - 1e-4, goal + 1e-4])
    assert (row["share"], row["seconds"], row["printed_seconds"]) == (0.05, 7.5, 150)
    assert (row["reached"], row["printed_loss"]) == (1, goal)
    assert "0.050" in time_to_loss.table({"keras": row})


def test_cost_of_a_megapixel():
    small = {"seconds": 3.0, "megabytes": 400, "bytes": 100_000}
    large = {"seconds": 9.0, "megabytes": 430, "bytes": 500_000}
    row = files.summary([[small, large]], (1000, 2000))
    assert row["megapixels_a_second"] == 0.5
    assert row["megabytes_a_megapixel"] == 10
    assert row["start_seconds"] == 1
    assert row["bits_a_pixel"] == 1
    assert "0.50" in files.table({"ours": row})


@pytest.mark.parametrize("script", [files, speed])
def test_results_stay_if_nothing_is_measured(script, tmp_path, monkeypatch, capsys):
    path = tmp_path / "results.json"
    arguments = [script.__name__, "--only", "no such name", "--out", str(path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        script.main()
    assert "--only matches none of" in capsys.readouterr().err and not path.exists()


def test_photographs_are_written(tmp_path):
    files.write_photograph(tmp_path / "300.png", 300)
    clean, noisy = (
        np.asarray(Image.open(tmp_path / name), float)
        for name in ("300.png", "300.png.noisy.png")
    )
    assert clean.shape == (300, 300, 3)
    assert 15 < (noisy - clean).std() < 26  # what is clipped is missing
    folder.write_patches(tmp_path / "many", 12)
    patches = [np.asarray(Image.open(p)) for p in (tmp_path / "many").iterdir()]
    assert {p.shape for p in patches} == {(64, 64, 3)}
    assert len({p.tobytes() for p in patches}) == 12
