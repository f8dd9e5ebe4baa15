"""The course's run modes, finished runs, claims and recorded results."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from convae_keras.data.sources import is_official
from convae_keras.saving import load_model, read_json, write_json

COURSE_DATA = ("mnist", "mnist5k")


PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn", "scikit-image")


BEGIN, END = "<!-- results -->", "<!-- /results -->"


# From a notebook's own folder.
RESULTS = Path("../results")


# Name, SHA-256 and source of each finished run: the files are in the clone's
# `results/runs`, and are fetched once where there is no clone.
FINISHED = Path(__file__).parent / "finished_runs.json"


def mode():
    """The run mode of a notebook.

    Returns:
        `"check"` if the environment variable `CONVAE_FAST` is 1, `"full"` if
        `CONVAE_FULL` is 1, else `"lesson"`.

    Raises:
        ValueError: if both are 1.
    """
    check, full = (
        os.environ.get(f"CONVAE_{name}", "0") == "1" for name in ("FAST", "FULL")
    )
    if check and full:
        raise ValueError("Expected CONVAE_FAST=1 or CONVAE_FULL=1. Received: both")
    return "check" if check else "full" if full else "lesson"


def is_fast():
    """True in a check; until every notebook asks `mode`."""
    return mode() == "check"


def choose(*, check, lesson, full):
    """Returns the value for the current run mode.

    Args:
        check: value for the tests, on 5,000 digits in seconds.
        lesson: value for a reader, in minutes.
        full: value for the published results.

    Returns:
        One of the three.

    Example:

    >>> epochs = choose(check=1, lesson=4, full=16)
    """
    return {"check": check, "lesson": lesson, "full": full}[mode()]


def finished_run(name):
    """Loads a model of the course that took long to train.

    It was trained by `make course-runs` with seed 0 and is stored with weights
    in half precision.

    Args:
        name: str, such as `"denoiser"`.

    Returns:
        `(model, history)`: an uncompiled `keras.Model`; dict of lists, one
        number an epoch, as `train` returns it.

    Raises:
        ValueError: if there is none of that name, or its file was changed.
    """
    found = read_json(FINISHED)
    address, runs = found["address"], found["runs"]
    if name not in runs:
        raise ValueError(f"Unknown finished run {name!r}. Available: {sorted(runs)}")
    path, sha256 = RESULTS / "runs" / f"{name}.keras", runs[name]["sha256"]
    if not path.exists():
        # Keras verifies the hash of what it downloads, and keeps the file.
        path = keras.utils.get_file(
            path.name,
            f"{address}/{path.name}",
            file_hash=sha256,
            cache_subdir="convae-keras",
        )
    return load_model(path, sha256), runs[name]["history"]


def claim(text, holds, *numbers, images):
    """States what a result shows, and holds it to that.

    Prints `text: True` or `text: False`, which a notebook's check compares. On
    the course's own data a claim that fails stops a check or a full run. In a
    lesson, which trains less, and on someone's own images, of which it need not
    be true, it is only printed.

    Args:
        text: str, the claim.
        holds: bool.
        *numbers: what was compared, for the message.
        images: `Images`, what it was measured on.

    Raises:
        AssertionError: with the numbers, if it fails on the course's own data
            in a check or a full run.

    Example:

    >>> images = load_images("mnist5k")
    >>> claim("beats PCA", 0.003 < 0.017, 0.003, 0.017, images=images)
    beats PCA: True
    """
    print(f"{text}: {bool(holds)}")
    if not holds and images.name in COURSE_DATA and mode() != "lesson":
        raise AssertionError(f"{text}? Measured: {', '.join(map(str, numbers))}")


def record(name, metrics, *, images, seeds, folder=RESULTS):
    """Writes a notebook's headline numbers, if it ran in full on full data.

    Args:
        name: str, the notebook's entry, such as `"training"`.
        metrics: dict from a key to `(values, tolerance)`: one number a run, and
            how far the mean of other runs may lie from theirs.
        images: `Images`, the data.
        seeds: ints.
        folder: where `name.json` is written, from the notebook's own folder.

    Returns:
        dict, the entry. The file is written in a full run on full MNIST, where
        there is such a folder, and in no other case.
    """
    entry = {
        "data": str(images),
        "seeds": list(seeds),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
        "metrics": {
            key: {
                "mean": float(f"{np.mean(values):.6g}"),
                "std": float(f"{np.std(values):.3g}"),
                "tolerance": tolerance,
                "runs": len(values),
            }
            for key, (values, tolerance) in metrics.items()
        },
    }
    official = mode() == "full" and is_official(images)
    if official and Path(folder).is_dir():
        write_json(Path(folder) / f"{name}.json", entry)
    return entry


def beside_full_run(name, entry, folder=RESULTS):
    """A table of this run's results beside those of the full run.

    Args:
        name: str, as in `record`.
        entry: dict, what `record` returned.
        folder: as in `record`; without the file there, the second column is
            empty.

    Returns:
        str, a line for each result.
    """
    path = Path(folder) / f"{name}.json"
    full = read_json(path)["metrics"] if path.exists() else {}
    lines = [f"{'':40} {'this run':>10}  full run"]
    for key, metric in entry["metrics"].items():
        there = full.get(key)
        spread = f" ± {there['std']:.2g}" if there and there["runs"] > 1 else ""
        cell = f"{there['mean']:.5g}{spread}" if there else "–"
        lines.append(f"{key:40} {metric['mean']:10.5g}  {cell}")
    return "\n".join(lines)


def hardware():
    """The processor and backend in words, such as "AMD EPYC, 2 cores, …"."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2] for line in lines if "model name" in line]
        processor = names[0].strip() if names else processor
    return f"{processor}, {os.cpu_count()} cores, {keras.backend.backend()} backend"


def compare(committed, new):
    """Holds one entry against another, number by number.

    Args:
        committed: dict, an entry of `record`; its tolerances count.
        new: dict, the same entry from another run, or None.

    Returns:
        list of `(key, committed mean, new mean or None, tolerance, holds)`.
    """
    rows = []
    for key, metric in committed["metrics"].items():
        found = (new or {"metrics": {}})["metrics"].get(key, {}).get("mean")
        holds = found is not None and abs(found - metric["mean"]) <= metric["tolerance"]
        rows.append((key, metric["mean"], found, metric["tolerance"], holds))
    return rows


def results_table(folder):
    """All entries of a folder as a Markdown table, for the README.

    Args:
        folder: str or `Path`, holding `NAME.json` files.

    Returns:
        str.
    """
    lines = ["| notebook | result | mean | ± | runs |", "|---|---|---|---|---|"]
    for path in sorted(Path(folder).glob("*.json")):
        entry = read_json(path)
        for key, metric in entry["metrics"].items():
            mean, runs = f"{metric['mean']:.6g}", metric["runs"]
            std = f"{metric['std']:.1g}" if runs > 1 else ""
            lines.append(f"| {path.stem} | `{key}` | {mean} | {std} | {runs} |")
    return "\n".join(lines)


def with_results(readme, table):
    """The README's text with its results table replaced by this one."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
