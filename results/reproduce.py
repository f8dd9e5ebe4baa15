"""Executes the course in full and compares its results with the recorded ones.

    python results/reproduce.py                every notebook
    python results/reproduce.py 01 02          these only
    python results/reproduce.py --update 01    also commit what comes out: the
                                               executed notebook, its results and
                                               the tables of results

Work is done in `build/reproduce`. Run the same command again to resume: a
notebook that finished there is executed again only if it, the module or the
requirements changed. The exit status is 1 if a number was not reproduced.
"""

import argparse
import base64
import hashlib
import io
import os
import shutil
import sys
import time

import nbformat
import numpy as np
import tables
from execute import ROOT, execute, select, set_mode
from PIL import Image
from tqdm import tqdm

from convae_keras.model_card import markdown_table
from convae_keras.saving import atomic_write, read_json

BUILD = ROOT / "build" / "reproduce"

# Notebooks whose results do not have their name.
RENAMED = {"interpretability": "interpretation"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", help="such as 01 02; all without any")
    parser.add_argument("--update", action="store_true", help="commit what comes out")
    arguments = parser.parse_args()
    try:
        found = (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
        notebooks = select(found, arguments.numbers)
    except ValueError as error:
        parser.error(str(error))
    set_mode("full")
    for path in notebooks:
        try:
            _reproduce(path)
        except RuntimeError as error:
            return str(error)
    if arguments.update:
        _update(notebooks)
        return 0
    return _report(notebooks)


def _reproduce(path):
    """Executes a notebook in the build folder, unless that was done already."""
    made = BUILD / "notebooks" / path.name
    stamp = made.with_suffix(".done")
    if stamp.exists() and stamp.read_text() == _state(path):
        return
    # The notebook writes ../results: not over the recorded ones.
    for folder in (made.parent, BUILD / "results"):
        folder.mkdir(parents=True, exist_ok=True)
    (BUILD / "results" / f"{_name(path)}.json").unlink(missing_ok=True)
    cells = nbformat.read(path, as_version=4).cells
    count, start = sum(cell.cell_type == "code" for cell in cells), time.perf_counter()
    # No bar where standard error is no terminal.
    with tqdm(total=count, desc=path.name, unit="cell", disable=None) as bar:
        notebook = execute(path, made.parent, bar.update)
    _clean(notebook)
    with atomic_write(made) as temporary:
        nbformat.write(notebook, temporary)
    with atomic_write(stamp) as temporary:
        temporary.write_text(_state(path))
    print(f"{path.name}: {time.perf_counter() - start:.0f} s", flush=True)


def _state(path):
    """Returns a hash of all that a notebook's results depend on."""
    notebook = nbformat.read(path, as_version=4)
    parts = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    sources = sorted((ROOT / "convae_keras").rglob("*"))
    sources += [ROOT / "requirements.txt", ROOT / "pyproject.toml"]
    parts += [
        path.read_bytes().hex()
        for path in sources
        if path.suffix != ".pyc" and path.is_file()
    ]
    parts.append(os.environ.get("CONVAE_DATA", "mnist"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# Shows a widget, which is gone when its kernel is; its picture is stored beside it.
VIEW = "application/vnd.jupyter.widget-view+json"


def _clean(notebook):
    """Removes what differs from run to run: warnings, times of day, widgets."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
            for data in (out.get("data", {}) for out in cell.outputs):
                data.pop(VIEW, None)
                if "image/png" in data:
                    data["image/png"] = _small(data["image/png"])
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }


def _small(png):
    """Encodes a figure, base64, in fewer bytes: without alpha, gray if possible."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    if (pixels[..., 3] < 255).any():
        return png
    is_gray = (pixels[..., :3] == pixels[..., :1]).all()
    small = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if is_gray else pixels[..., :3])
    image.save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def _name(path):
    return RENAMED.get(path.stem[3:], path.stem[3:])


def _update(notebooks):
    for path in notebooks:
        shutil.copyfile(BUILD / "notebooks" / path.name, path)
        new = BUILD / "results" / f"{_name(path)}.json"
        if new.exists():
            shutil.copyfile(new, ROOT / "results" / new.name)
    tables.write()


def compare(committed, new):
    """Compares the results of two runs.

    Args:
        committed: dict, an entry as `ledger.record` returns it, whose tolerances
            apply.
        new: dict, the entry of another run, or None.

    Returns:
        list of `(key, committed mean, new mean or None, tolerance, holds)`.
    """
    rows = []
    for key, metric in committed["metrics"].items():
        found = (new or {"metrics": {}})["metrics"].get(key, {}).get("mean")
        holds = found is not None and abs(found - metric["mean"]) <= metric["tolerance"]
        rows.append((key, metric["mean"], found, metric["tolerance"], holds))
    return rows


def _report(notebooks):
    """Prints a table of all results; returns 1 if one was not reproduced."""
    rows, good = [["notebook", "result", "committed", "here", "tolerance", ""]], True
    for path in notebooks:
        committed = ROOT / "results" / f"{_name(path)}.json"
        if not committed.exists():
            continue
        new = BUILD / "results" / committed.name
        entries = read_json(committed), read_json(new) if new.exists() else None
        for key, mean, found, tolerance, holds in compare(*entries):
            here = "not measured" if found is None else f"{found:.5g}"
            verdict = "reproduced" if holds else "NOT REPRODUCED"
            cells = [_name(path), key, f"{mean:.5g}", here, f"{tolerance:g}", verdict]
            rows.append(cells)
            good = good and holds
    print(markdown_table(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
