"""The course's run modes, finished runs, claims and recorded results."""

import os
import platform
from importlib.metadata import metadata, version
from pathlib import Path

import keras
import numpy as np

from convae_keras.data.sources import OTHER_FINGERPRINTS, is_official
from convae_keras.saving import load_model, read_json, write_json
from convae_keras.validation import require

# Names of the data on which the course's claims must hold.
COURSE_DATA = ("mnist", "mnist5k", "pressure")

# Packages whose versions are recorded with a result.
PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn", "scikit-image")

# The folder of results, seen from a notebook's folder and from the module.
RESULTS = Path("../results")
FOLDERS = (RESULTS, Path(__file__).parents[1] / "results")

# The hash and history of each finished run.
FINISHED = Path(__file__).parent / "finished_runs.json"


def mode():
    """Returns the run mode of a notebook.

    Returns:
        `"check"` if the environment variable `CONVAE_FAST` is 1, `"full"` if
        `CONVAE_FULL` is 1, else `"lesson"`.

    Raises:
        ValueError: if both are 1.
    """
    names = ("CONVAE_FAST", "CONVAE_FULL")
    check, full = (os.environ.get(name) == "1" for name in names)
    message = "Only one of CONVAE_FAST and CONVAE_FULL can be 1. Received: both"
    require(not (check and full), message)
    return "check" if check else "full" if full else "lesson"


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
    """Loads a model of the course that takes long to train.

    It was trained by `make course-runs` with seed 0; its weights are rounded to
    float16 values. In a clone the file is in `results/runs`; elsewhere that of the
    installed release is downloaded once, and its hash is verified.

    Args:
        name: str, such as `"denoiser"`.

    Returns:
        `(model, history)`: an uncompiled `keras.Model`; dict of lists, one
        number an epoch, as `train` returns it.

    Raises:
        ValueError: for an unknown name, or a file that was changed.
        Exception: what `keras.utils.get_file` raises, if there is no network.
    """
    runs = read_json(FINISHED)["runs"]
    require(name in runs, f"Unknown finished run: {name!r}. Available: {sorted(runs)}")
    sha256 = runs[name]["sha256"]
    path = _result(f"runs/{name}.keras", sha256)
    return load_model(path, sha256), runs[name]["history"]


def _result(name, sha256=None):
    """Returns the path of a file in `results`, which is downloaded outside a clone."""
    for folder in FOLDERS:
        if (folder / name).exists():
            return folder / name
    # The address is that of `[project.urls]` in pyproject.toml. Each release has its
    # own tag, and so a folder of its own for what it has downloaded.
    package = metadata("convae-keras")
    urls = package.get_all("Project-URL")
    repository = dict(url.split(", ") for url in urls)["Repository"]
    tag = f"v{package['Version']}"
    # `sweeps/generation.json` is another file than `generation.json`.
    folder = Path("convae-keras", tag, name).parent
    options = {"file_hash": sha256, "cache_subdir": str(folder)}
    url = f"{repository}/raw/{tag}/results/{name}"
    return keras.utils.get_file(Path(name).name, url, **options)


def claim(text, holds, *numbers, images):
    """States what a result shows, and checks it.

    Prints `text: True` or `text: False`, which the tests of the notebooks
    compare. A claim that fails on the course's own data stops a check or a full
    run. It is only printed in a lesson, which trains less, and on other images,
    for which it need not be true.

    Args:
        text: str, the claim.
        holds: bool.
        *numbers: the compared values, for the error message.
        images: `Images` that they were measured on.

    Raises:
        AssertionError: in a check or a full run on the course's own data, if
            the claim does not hold.

    Example:

    >>> images = load_images("mnist5k")
    >>> claim("beats PCA", 0.003 < 0.017, 0.003, 0.017, images=images)
    beats PCA: True
    """
    print(f"{text}: {bool(holds)}")
    if not holds and images.name in COURSE_DATA and mode() != "lesson":
        raise AssertionError(f"{text}? Measured: {', '.join(map(str, numbers))}")


def record(name, metrics, *, images, seeds, folder=RESULTS):
    """Records a notebook's headline numbers.

    Writes `folder/name.json` in a full run on the full official data, if
    `folder` exists, and `folder/sweeps/name_fashion_mnist.json` or
    `name_cifar10.json` in one on those; otherwise nothing is written.

    Args:
        name: str, the name of the entry, such as `"training"`.
        metrics: dict from a key to `(values, tolerance)`: list of floats, one
            for each run; float, how much the mean may differ in another run.
        images: `Images`, the data.
        seeds: iterable of ints.
        folder: str or `Path`.

    Returns:
        dict, the entry: data, seeds, versions, hardware, and for each key of
        `metrics` the mean, standard deviation, tolerance and number of runs.
    """
    versions = {package: version(package) for package in PACKAGES}
    entry = {"data": str(images), "seeds": list(seeds), "versions": versions}
    entry |= {"hardware": hardware(), "metrics": {}}
    for key, (values, tolerance) in metrics.items():
        mean, std = float(f"{np.mean(values):.6g}"), float(f"{deviation(values):.3g}")
        metric = {"mean": mean, "std": std, "tolerance": tolerance}
        entry["metrics"][key] = metric | {"runs": len(values)}
    if mode() == "full" and Path(folder).is_dir():
        if is_official(images):
            write_json(Path(folder) / f"{name}.json", entry)
        elif other := OTHER_FINGERPRINTS.get(images.fingerprint):
            write_json(Path(folder) / "sweeps" / f"{name}_{other}.json", entry)
    return entry


def deviation(values):
    """Returns the standard deviation of the results of several runs.

    Args:
        values: list or array of a number, or an array, for each run.

    Returns:
        float, or an array: the root of the mean squared difference from the mean,
        with n - 1 in place of n, since the mean was fitted to the same runs; 0 for
        one run.
    """
    return np.std(values, axis=0, ddof=1 if len(values) > 1 else 0)


def recorded_results(name):
    """Reads recorded results.

    Where there is no clone, those of the installed release are downloaded once.

    Args:
        name: str, such as `"training"`.

    Returns:
        dict, as `record` or a script of `results/` wrote it; empty if it could
        not be downloaded.
    """
    try:
        return read_json(_result(f"{name}.json"))
    except Exception as error:  # `get_file` raises no narrower one
        print(f"The recorded results of {name} are not shown: {error}")
        return {}


def beside_full_run(name, entry):
    """Formats this run's results beside those of the recorded full run.

    Those are downloaded where there is no clone of the course.

    Args:
        name: str, as in `record`.
        entry: dict, as `record` returns it.

    Returns:
        str, a table with a line for each result. The second column is "–" if
        there is no recorded run, or it could not be downloaded.
    """
    recorded = recorded_results(name).get("metrics", {})
    lines = [f"{'':40} {'this run':>10}  full run"]
    for key, metric in entry["metrics"].items():
        full = recorded.get(key)
        spread = f" ± {full['std']:.2g}" if full and full["runs"] > 1 else ""
        cell = f"{full['mean']:.5g}{spread}" if full else "–"
        lines.append(f"{key:40} {metric['mean']:10.5g}  {cell}")
    return "\n".join(lines)


def format_rows(rows):
    """Formats a table of measures.

    Args:
        rows: dict from the name of a row to a dict of floats; the first row's
            keys are the columns.

    Returns:
        str, a line for the header and for each row, in four significant digits;
        numbers from 10,000 on are whole.

    Example:

    >>> print(format_rows({"PCA": {"mse": 0.0174}}))
                                                mse
    PCA                                    0.0174
    """
    widths = {column: max(11, len(column) + 2) for column in next(iter(rows.values()))}
    lines = [f"{'':34}" + "".join(f"{key:>{width}}" for key, width in widths.items())]
    for name, row in rows.items():
        cells = (
            f"{row[key]:{width}{',.0f' if abs(row[key]) >= 10_000 else '.4g'}}"
            for key, width in widths.items()
        )
        lines.append(f"{name:34}" + "".join(cells))
    return "\n".join(lines)


def hardware():
    """Returns the processor and backend, such as "AMD EPYC, 2 cores, …"."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2] for line in lines if "model name" in line]
        processor = names[0].strip() if names else processor
    return f"{processor}, {os.cpu_count()} cores, {keras.backend.backend()} backend"
