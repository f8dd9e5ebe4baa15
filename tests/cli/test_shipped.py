"""`convae models`: quick, complete, and what the cards say."""

import json
import subprocess
import sys

import pytest

from convae_cli.main import main
from convae_keras import pretrained
from convae_keras.saving import read_json

pytestmark = pytest.mark.static

WITHOUT_KERAS = """
import sys, time
from convae_cli.main import main
status = main(["models"])
assert not {"keras", "tensorflow", "numpy", "convae_keras"} & set(sys.modules)
print(time.process_time())
sys.exit(status)
"""


def test_models_needs_no_keras():
    command = [sys.executable, "-c", WITHOUT_KERAS]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr
    *lines, seconds = result.stdout.splitlines()
    assert float(seconds) < 0.5
    names = [line.split()[0] for line in lines[1:-1]]
    assert names == pretrained.pretrained_names()
    assert (
        "reference         389,153   735,072  mnist        mse 0.002467"
        in result.stdout
    )


def test_models_for_scripts(capsys):
    assert main(["models", "--json"]) == 0
    out, err = capsys.readouterr()
    found = {each.pop("name"): each for each in json.loads(out)["models"]}
    assert len(out.splitlines()) == 1 and "reference" in err
    for name in pretrained.pretrained_names():
        folder = pretrained.PRETRAINED / name
        results = read_json(folder / "results.json")
        assert found[name]["scores"] == next(iter(results.values()))
        assert len(found[name]["baselines"]) == len(results) - 1
        assert found[name]["card"] == str(folder / "card.md")
        assert found[name]["bytes"] == (folder / "model.keras").stat().st_size
        assert found[name]["data"] == read_json(folder / "settings.json")["data"]
