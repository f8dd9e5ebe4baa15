"""Every reader of files, given some of the broken files of benchmarks/fuzz.py."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from fuzz import READERS, fuzz, run_all  # noqa: E402

pytestmark = pytest.mark.static

# Fewer of what takes a network to read.
COUNTS = dict.fromkeys(READERS, 200) | {
    "cae": 60,
    "keras": 12,
    "checkpoint": 100,
    "folder": 60,
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_broken_files_are_refused_or_harmless(reader, capfd):
    """Libraries may say what they like, on the standard error stream."""
    said = []
    faults, refused = fuzz(reader, COUNTS[reader], show=said.append)
    assert said == [] and faults == 0
    # A folder's other pictures are read nevertheless.
    assert refused == 0 if reader == "folder" else refused > COUNTS[reader] / 2


def test_code_that_runs_is_noticed(monkeypatch):
    """Else no reader could be found out."""

    class Careless(READERS["npy"]):
        def read(self, path):
            np.load(path, allow_pickle=True)

    monkeypatch.setitem(READERS, "careless", Careless)
    monkeypatch.setattr("fuzz.broken_file", lambda reader, *_: reader.valid[-1])
    said = []
    assert fuzz("careless", 1, show=said.append) == (1, 0)
    assert "code has run: " in said[0] and "Path.touch" in said[0]


def test_a_reader_that_is_ended_counts_as_not_done(monkeypatch, tmp_path, capsys):
    """The others go on, and the same command tries it again."""
    asked, hangs = [], "cae"

    def run(command, **_):
        name, count, seed = command[2:]
        asked.append((name, seed))
        summary = {"inputs": int(count), "refused": 1, "faults": 0, "seconds": 2}
        line = json.dumps(summary | {"peak MB": 3})
        return SimpleNamespace(stdout="" if name == hangs else f"{line}\n")

    monkeypatch.setattr("fuzz.subprocess.run", run)
    monkeypatch.setattr("fuzz.RESULTS", tmp_path / "fuzz.json")
    assert run_all(20_000) == ["cae"]
    assert asked.count(("cae", "0")) == 1 and ("cae", "1") not in asked
    assert "fuzz/cae-last" in capsys.readouterr().out
    found = json.loads((tmp_path / "fuzz.json").read_text())
    assert "cae" not in found and found["npy"]["inputs"] == 20_000
    hangs = None
    asked.clear()
    assert run_all(20_000) == [] and asked == [("cae", "0"), ("cae", "1")]
