"""Processes that are watched, functions that take turns, results that are kept."""

import json
import sys
from types import SimpleNamespace

import pytest
from processes import alternate, megabytes, record, record_rows, watch

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


@pytest.mark.parametrize("name", ["tools", None])
def test_rows_stay_that_were_not_measured(name, tmp_path):
    path, place = tmp_path / "results.json", (lambda x: x if name is None else x[name])
    record(path, {"other": 1})
    first, again = {"a": 1, "b": 1, "gone": 1}, {"a": 2, "new": 2}
    record_rows(path, name, {"cores": 2}, "rows", first, [])
    record_rows(path, name, {"cores": 2}, "rows", again, ["b", "none"])
    found = json.loads(path.read_text("utf-8"))
    assert found["other"] == 1 and place(found)["cores"] == 2
    assert list(place(found)["rows"].items()) == [("a", 2), ("b", 1), ("new", 2)]


def test_rows_of_other_conditions_do_not_stay(tmp_path):
    path = tmp_path / "results.json"
    record_rows(path, "tools", {"cores": 2}, "rows", {"a": 1, "b": 1}, [])
    before = path.read_text("utf-8")
    with pytest.raises(SystemExit, match="'b'.* other .'cores'"):
        record_rows(path, "tools", {"cores": 4}, "rows", {"a": 2}, ["b"])
    assert path.read_text("utf-8") == before
    record_rows(path, "tools", {"cores": 4}, "rows", {"a": 2}, [])
    expected = {"tools": {"cores": 4, "rows": {"a": 2}}}
    assert json.loads(path.read_text("utf-8")) == expected
