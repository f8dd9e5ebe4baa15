"""Notebooks in JupyterLab: all cells run, and the playground can be played with."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.static

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
# `make browser-course` runs all of them, as lessons.
COURSE = os.environ.get("CONVAE_BROWSER") == "course"
MODE = {} if COURSE else {"CONVAE_FAST": "1", "CONVAE_DATA": "mnist5k"}
READY = "window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady"
# Returns what went wrong: errors, and cells that were not run.
RUN = """async () => {
  await jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
  await jupyterapp.commands.execute("notebook:run-all-cells");
  const { cells } = jupyterapp.shell.currentWidget.content.model.sharedModel;
  const code = cells.filter(cell => cell.cell_type == "code");
  const errors = code.flatMap(cell => cell.outputs)
    .filter(output => output.output_type == "error");
  const left = code.filter(cell => !cell.execution_count);
  return [...errors.map(error => error.evalue), ...left.map(cell => cell.source)];
}"""
# Scrolls to the first cell with a text.
SHOW = """async text => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const index = notebook.widgets
    .findIndex(cell => cell.model.sharedModel.source.includes(text));
  notebook.activeCellIndex = index;
  await notebook.scrollToItem(index, "center");
}"""
# The kernels of the whole course would fill the memory.
SHUT_DOWN = "jupyterapp.shell.currentWidget.sessionContext.shutdown()"
WIDE = {"width": 1400, "height": 1000}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of JupyterLab, served on loopback, with a copy of the notebooks."""
    folder = tmp_path_factory.mktemp("course") / "notebooks"
    folder.mkdir()
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copyfile(path, folder / path.name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"ServerApp.port": port, "ServerApp.ip": "127.0.0.1"}
    options |= {"IdentityProvider.token": "", "LabApp.expose_app_in_browser": True}
    options |= {"ServerApp.open_browser": False, "ServerApp.allow_root": True}
    command = [sys.executable, "-m", "jupyter", "lab", str(folder)]
    command += [f"--{name}={value}" for name, value in options.items()]
    bin_first = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **MODE, "PATH": bin_first}
    address = f"http://127.0.0.1:{port}"
    log = open(folder.parent / "lab.log", "w")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as lab:
        try:
            _wait(f"{address}/api/status", lab)
            yield address
        finally:
            lab.terminate()


def _wait(address, process):
    for _ in range(600):
        try:
            with urllib.request.urlopen(address):
                return
        except OSError:
            assert process.poll() is None, "JupyterLab did not start"
            time.sleep(0.2)
    raise AssertionError("JupyterLab does not answer")


def _run_all(open_page, lab, name):
    page = open_page(f"{lab}/lab/tree/{name}?reset", viewport=WIDE)
    page.wait_for_function(READY)
    assert page.evaluate(RUN) == []
    return page


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(open_page, lab, name):
    if not COURSE and name != "01_training.ipynb":
        pytest.skip("`make browser-course` runs it")
    page = _run_all(open_page, lab, name)
    page.evaluate(SHUT_DOWN)


def test_the_playground_is_drawn_on(open_page, lab, draw):
    page = _run_all(open_page, lab, "14_playground.ipynb")
    page.evaluate(SHOW, 'live["noise"] = ')
    cell = page.locator(".jp-Cell.jp-mod-active")
    picture, handle = (
        cell.locator("img.widget-image"),
        cell.locator(".noUi-handle").first,
    )
    before = picture.screenshot()
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    moved = _changed(picture, before)
    cell.get_by_role("button", name="clear").click()
    empty = _changed(picture, moved)
    draw(page, cell.locator(".pad"), [[(0.5, 0.2), (0.5, 0.8)]])
    _changed(picture, empty)


def _changed(picture, before):
    """Waits until a picture is another one, and returns it."""
    for _ in range(600):  # a minute, on a busy machine
        after = picture.screenshot()
        if after != before:
            return after
        time.sleep(0.1)
    raise AssertionError("the picture stays as it was")
