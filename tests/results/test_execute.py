"""Notebooks are executed in a run mode, and stop with one clear line."""

import os
import sys
from pathlib import Path

import execute
import nbformat
import pytest

pytestmark = [pytest.mark.static, pytest.mark.slow]


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture
def environment(monkeypatch):
    """The environment, put back afterwards."""
    monkeypatch.setattr(os, "environ", {**os.environ, "CONVAE_FAST": "0"})
    return os.environ


@pytest.mark.parametrize("mode", ["check", "lesson", "full"])
def test_set_mode(mode, environment):
    environment["CONVAE_DATA"] = "mine"
    execute.set_mode(mode)
    assert environment.get("CONVAE_FAST") == ("1" if mode == "check" else None)
    assert environment.get("CONVAE_FULL") == ("1" if mode == "full" else None)
    if mode == "check":
        assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["CONVAE_DATA"] == ("mnist5k" if mode == "check" else "mine")
    first = environment["PATH"].split(os.pathsep)[0]
    assert first == str(Path(sys.executable).parent)


def test_select():
    paths = [Path(name) for name in ("b/02_y.ipynb", "b/01_x.ipynb", "a/01_x.ipynb")]
    assert execute.select(paths, []) == sorted(paths)
    assert execute.select(paths, ["01"]) == [paths[2], paths[1]]
    with pytest.raises(ValueError, match="'03'.*'01', '02'"):
        execute.select(paths, ["01", "03"])


def test_execute(tmp_path):
    """In the given folder; cells are counted; the file is not written."""
    sources = "import pathlib\nprint(pathlib.Path.cwd().name)", "1 / 0"
    path, folder, seen = notebook(tmp_path / "01_x.ipynb", *sources), tmp_path / "a", []
    folder.mkdir()
    before = path.read_bytes()
    with pytest.raises(
        RuntimeError, match="^01_x.ipynb stopped: ZeroDivisionError: .*"
    ):
        execute.execute(path, folder, lambda: seen.append(1))
    assert path.read_bytes() == before and seen
    made = execute.execute(notebook(path, sources[0]), folder)
    assert made.cells[0].outputs[0].text == "a\n"
