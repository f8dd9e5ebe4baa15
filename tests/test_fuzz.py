"""Every reader of files, given some of the broken files of benchmarks/fuzz.py."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from fuzz import READERS, fuzz  # noqa: E402

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
