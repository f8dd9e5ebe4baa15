"""Every reader of files, given some of the broken files of benchmarks/fuzz.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from fuzz import READERS, fuzz  # noqa: E402

pytestmark = pytest.mark.static

# Fewer of what takes a network to read.
COUNTS = dict.fromkeys(READERS, 200) | {"cae": 60, "keras": 8, "checkpoint": 100}


@pytest.mark.parametrize("reader", READERS)
def test_broken_files_are_refused_or_harmless(reader, capfd):
    """Libraries may say what they like, on the standard error stream."""
    said = []
    faults, refused = fuzz(reader, COUNTS[reader], show=said.append)
    assert said == [] and faults == 0
    assert refused > COUNTS[reader] / 2
