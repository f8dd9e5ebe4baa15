"""Executes notebooks in one run mode and prints how long each took.

    python results/time_notebooks.py lesson            the course and its solutions
    python results/time_notebooks.py check 01 02       these only

Nothing in the clone is written: the notebooks run in a temporary copy. The exit
status is 1 if one of them stopped, or took longer than its mode allows.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from execute import FLAGS, ROOT, execute, select, set_mode

# Minutes that a notebook may take on two cores.
LIMITS = {"check": 0.75, "lesson": 10.0, "full": float("inf")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=FLAGS)
    parser.add_argument("numbers", nargs="*", help="such as 01 02; all without any")
    arguments = parser.parse_args()
    set_mode(arguments.mode)
    with tempfile.TemporaryDirectory() as copy:
        for folder in ("notebooks", "exercises", "results"):
            shutil.copytree(ROOT / folder, Path(copy) / folder)
        found = Path(copy).glob("[ne]*/[0-9][0-9]_*.ipynb")
        try:
            notebooks = select(found, arguments.numbers)
        except ValueError as error:
            parser.error(str(error))
        troubles = [_time(path, LIMITS[arguments.mode]) for path in notebooks]
    return int(any(troubles))


def _time(path, limit):
    """Executes a notebook and prints a line; returns what is wrong, or ""."""
    start, trouble = time.perf_counter(), ""
    try:
        execute(path, path.parent)
    except RuntimeError as error:
        trouble = str(error)
    minutes = (time.perf_counter() - start) / 60
    if minutes > limit:
        trouble = trouble or f"over {limit:g} minutes"
    name = f"{path.parent.name}/{path.name}"
    print(f"{name:42} {minutes:6.1f} min  {trouble}", flush=True)
    return trouble


if __name__ == "__main__":
    sys.exit(main())
