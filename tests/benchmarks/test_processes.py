"""Processes that are watched, functions that take turns, results that are kept."""

import json
import sys
from types import SimpleNamespace

import pytest
from processes import alternate, megabytes, record, watch

pytestmark = pytest.mark.static


@pytest.mark.slow
def test_a_process_is_timed_and_weighed():
    code = "import time; print('begin'); time.sleep(1); print('end'); x = b'1' * 2**26"
    watched = watch("-c", code)
    assert [line for _, line in watched.lines] == ["begin", "end"]
    # A line is timed when it is read, which a busy machine may do late.
    assert 0.5 < watched.when("end") - watched.when("begin") < watched.seconds
    assert 64 < watched.peak_megabytes
    code = "import os; print(os.environ['TF_NUM_INTEROP_THREADS'])"
    threads = watch("-c", code, threads=(1, 2))
    assert threads.lines[0][1] == "2"


@pytest.mark.parametrize("system, unit", [("linux", 2**10), ("darwin", 2**20)])
def test_memory_is_counted_in_kilobytes_or_bytes(system, unit, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    assert megabytes(SimpleNamespace(ru_maxrss=64 * unit)) == 64


def test_a_missing_library_is_told_from_a_mistake():
    assert watch("-c", "import no_such_library") is None
    with pytest.raises(RuntimeError, match="no such number"):
        watch("-c", "raise ValueError('no such number')")


def test_functions_take_turns():
    called = []
    functions = {name: lambda name=name: called.append(name) for name in "ab"}
    times = alternate(functions, rounds=2, calls=2)
    assert "".join(called) == "aabb" * 3
    assert [len(times[name]) for name in "ab"] == [2, 2]


def test_results_stay_beside_one_another(tmp_path):
    path = tmp_path / "results.json"
    record(path, {"a": 1, "b": 1})
    record(path, {"b": 2})
    assert json.loads(path.read_text("utf-8")) == {"a": 1, "b": 2}
