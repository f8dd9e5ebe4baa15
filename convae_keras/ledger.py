"""Results: recorded by full runs, compared with the committed ones."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from convae_keras.data import is_official
from convae_keras.runs import read_json, write_json

COURSE_DATA = ("mnist", "mnist5k")
PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn", "scikit-image")
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def is_fast():
    """True when `CONVAE_FAST=1` asks for a short check instead of a result."""
    return os.environ.get("CONVAE_FAST", "0") == "1"


def claim(text, holds, *numbers, images):
    """States what a result shows, and holds it to that.

    Prints `text: True` or `text: False`, which a notebook's check compares. On
    the course's own data a claim that fails stops the notebook; on someone's own
    images, of which it need not be true, it is printed and no more.

    Args:
        text: str, the claim.
        holds: bool.
        *numbers: what was compared, for the message.
        images: `Images`, what it was measured on.

    Raises:
        AssertionError: with the numbers, if it fails on the course's own data.

    Example:

    >>> images = load_images("mnist5k")
    >>> claim("beats PCA", 0.003 < 0.017, 0.003, 0.017, images=images)
    beats PCA: True
    """
    print(f"{text}: {bool(holds)}")
    if not holds and images.name in COURSE_DATA:
        raise AssertionError(f"{text}? Measured: {', '.join(map(str, numbers))}")


def record(name, metrics, *, images, seeds, folder="../results"):
    """Writes a notebook's headline numbers, if it ran in full on full data.

    Args:
        name: str, the notebook's entry, such as `"training"`.
        metrics: dict from a key to `(values, tolerance)`: one number a run, and
            how far the mean of other runs may lie from theirs.
        images: `Images`, the data.
        seeds: ints.
        folder: where `name.json` is written, from the notebook's own folder.

    Returns:
        dict, the entry; the file is left alone in a fast run, on other data
        than full MNIST, and where there is no such folder.
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
    if not is_fast() and is_official(images) and Path(folder).is_dir():
        write_json(Path(folder) / f"{name}.json", entry)
    return entry


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
