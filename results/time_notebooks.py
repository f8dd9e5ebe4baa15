"""Executes notebooks in one run mode and prints how long each took.

    python results/time_notebooks.py lesson            the course and its solutions
    python results/time_notebooks.py check 01 02       these only

Nothing in the clone is written: the notebooks run in a temporary copy.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
FLAGS = {"check": {"CONVAE_FAST": "1"}, "lesson": {}, "full": {"CONVAE_FULL": "1"}}
# Minutes that a notebook may take on two cores.
LIMITS = {"check": 0.75, "lesson": 10.0, "full": float("inf")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=FLAGS)
    parser.add_argument("numbers", nargs="*", help="such as 01 02; all without any")
    arguments = parser.parse_args()
    for flag in ("CONVAE_FAST", "CONVAE_FULL"):
        os.environ.pop(flag, None)
    os.environ |= FLAGS[arguments.mode]
    if arguments.mode == "check":
        os.environ["CONVAE_DATA"] = "mnist5k"
    # A kernel of this very environment, whatever kernels the user has.
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    good = True
    with tempfile.TemporaryDirectory() as copy:
        for folder in ("notebooks", "exercises", "results"):
            shutil.copytree(ROOT / folder, Path(copy) / folder)
        for path in sorted(Path(copy).glob("[ne]*/[0-9][0-9]_*.ipynb")):
            if not arguments.numbers or path.name[:2] in arguments.numbers:
                good &= _timed(path, LIMITS[arguments.mode])
    return 0 if good else 1


def _timed(path, limit):
    """Executes a notebook; whether it finished within the limit."""
    start, trouble = time.perf_counter(), ""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    try:
        NotebookClient(
            notebook, timeout=None, kernel_name="python3", resources=resources
        ).execute()
    except CellExecutionError as error:
        trouble = f"stopped: {error.ename}: {error.evalue}"
    minutes = (time.perf_counter() - start) / 60
    if minutes > limit:
        trouble = trouble or f"over {limit:g} minutes"
    print(
        f"{path.parent.name}/{path.name:32} {minutes:6.1f} min  {trouble}", flush=True
    )
    return not trouble


if __name__ == "__main__":
    sys.exit(main())
