"""Executes a notebook in a run mode; what `reproduce` and `time_notebooks` share."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
FLAGS = {"check": {"CONVAE_FAST": "1"}, "lesson": {}, "full": {"CONVAE_FULL": "1"}}
# On the few images of a check, a second thread of NumPy's costs more than it saves.
FLAGS["check"]["OPENBLAS_NUM_THREADS"] = "1"


def set_mode(mode):
    """Sets the environment of the kernels that are started from now on.

    Args:
        mode: `"check"`, `"lesson"` or `"full"`.
    """
    for flag in ("CONVAE_FAST", "CONVAE_FULL"):
        os.environ.pop(flag, None)
    os.environ |= FLAGS[mode]
    if mode == "check":
        os.environ["CONVAE_DATA"] = "mnist5k"
    # A kernel of this environment, whatever kernels the user has installed.
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    os.environ["PATH"] = os.pathsep.join(folders)


def select(paths, numbers):
    """Selects notebooks by their numbers.

    Args:
        paths: iterable of `Path`, such as `01_training.ipynb`.
        numbers: list of str, such as `["01"]`; an empty list for all.

    Returns:
        list of `Path`, sorted.

    Raises:
        ValueError: for a number without a notebook.
    """
    paths = sorted(paths)
    known = sorted({path.name[:2] for path in paths})
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        raise ValueError(f"No such notebook: {unknown}. Available: {known}")
    return [path for path in paths if not numbers or path.name[:2] in numbers]


def execute(path, folder, on_cell=lambda: None):
    """Executes a notebook.

    Args:
        path: `Path` of the notebook, which is only read.
        folder: `Path`, the working directory of its kernel.
        on_cell: function without arguments, called after every code cell.

    Returns:
        The executed `nbformat` notebook.

    Raises:
        RuntimeError: if a cell fails; one line that names notebook and error.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_executed=lambda **_: on_cell(),
    )
    try:
        client.execute()
    except CellExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        reason = "the kernel died; is there enough memory?"
    else:
        return notebook
    raise RuntimeError(f"{path.name} stopped: {' '.join(reason.split())}")
