"""Executes the course on the full data and holds its results to the ledger.

    python results/reproduce.py                every notebook, results compared
    python results/reproduce.py 01 02          these only
    python results/reproduce.py --update 01    execute in place, rewrite the ledger

Work is done in `build/reproduce`. A notebook that finished there is not run
again, unless it, the module or the requirements changed, so the command can be
stopped and given again. The exit status is 1 if a number did not reproduce.
"""

import argparse
import base64
import hashlib
import io
import os
import shutil
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from convae_keras.ledger import compare, results_table, with_results
from convae_keras.saving import atomic_write, read_json

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "reproduce"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", help="such as 01 02; all without any")
    parser.add_argument("--update", action="store_true", help="commit what comes out")
    arguments = parser.parse_args()
    notebooks = _notebooks(parser, arguments.numbers)
    os.environ.pop("CONVAE_FAST", None)
    # A kernel of this very environment, whatever kernels the user has.
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    for notebook in notebooks:
        _execute(notebook)
    if arguments.update:
        _update(notebooks)
        return 0
    return _report(notebooks)


def _notebooks(parser, numbers):
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    unknown = set(numbers) - {path.name[:2] for path in notebooks}
    if unknown:
        parser.error(f"notebooks are {[path.name[:2] for path in notebooks]}")
    return [path for path in notebooks if not numbers or path.name[:2] in numbers]


def _execute(path):
    """Runs a notebook in the build folder, unless that was done already."""
    made = BUILD / "notebooks" / path.name
    stamp = made.with_suffix(".done")
    if stamp.exists() and stamp.read_text() == _state(path):
        return
    # The notebook writes its results beside itself, not over the committed ones.
    for folder in (made.parent, BUILD / "results"):
        folder.mkdir(parents=True, exist_ok=True)
    (BUILD / "results" / f"{_name(path)}.json").unlink(missing_ok=True)
    notebook = nbformat.read(path, as_version=4)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=cells, desc=path.name, unit="cell") as bar:
        client = NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(made.parent)}},
            on_cell_executed=lambda **_: bar.update(),
        )
        start = time.perf_counter()
        client.execute()
    _clean(notebook)
    with atomic_write(made) as aside:
        nbformat.write(notebook, aside)
    with atomic_write(stamp) as aside:
        aside.write_text(_state(path))
    print(f"{path.name}: {time.perf_counter() - start:.0f} s")


def _state(path):
    """A fingerprint of all that a notebook's results depend on."""
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


def _clean(notebook):
    """Leaves what a reader wants: no warnings of libraries, no times of day."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
            for data in (out.get("data", {}) for out in cell.outputs):
                if "image/png" in data:
                    data["image/png"] = _small(data["image/png"])
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }


def _small(png):
    """The same pixels in fewer bytes: grey where all is grey, nothing transparent."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    if (pixels[..., 3] < 255).any():
        return png
    is_grey = (pixels[..., :3] == pixels[..., :1]).all()
    small = io.BytesIO()
    image = Image.fromarray(pixels[..., 0] if is_grey else pixels[..., :3])
    image.save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def _name(path):
    return path.stem[3:]


def _update(notebooks):
    for path in notebooks:
        shutil.copyfile(BUILD / "notebooks" / path.name, path)
        new = BUILD / "results" / f"{_name(path)}.json"
        if new.exists():
            shutil.copyfile(new, ROOT / "results" / new.name)
    readme = ROOT / "README.md"
    text = with_results(readme.read_text(), results_table(ROOT / "results"))
    with atomic_write(readme) as aside:
        aside.write_text(text)


def _report(notebooks):
    table = Table("notebook", "result", "committed", "here", "tolerance", "")
    good = True
    for path in notebooks:
        committed = ROOT / "results" / f"{_name(path)}.json"
        if not committed.exists():
            continue
        new = BUILD / "results" / committed.name
        rows = compare(read_json(committed), read_json(new) if new.exists() else None)
        for key, mean, found, tolerance, holds in rows:
            here = "not measured" if found is None else f"{found:.5g}"
            verdict = "reproduced" if holds else "NOT REPRODUCED"
            table.add_row(
                _name(path), key, f"{mean:.5g}", here, f"{tolerance:g}", verdict
            )
            good = good and holds
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
