"""Anomalies among image files: a table of scores, and a map for each image."""

import csv
import functools
import io
import warnings

from convae_keras.anomaly import detect, is_detector
from convae_keras.data.image_files import SkippedFiles, images_in
from convae_keras.files import results
from convae_keras.files.batches import compute_of_model
from convae_keras.files.pictures import picture_bytes
from convae_keras.plotting import draw_map
from convae_keras.saving import locked
from convae_keras.validation import as_path, is_number, require

TABLE, MAPS = "scores.csv", "maps"
COLUMNS = ("name", "score", "p_value", "anomaly")

# What makes a spreadsheet take a name for a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

# The fraction of normal images that may be called anomalies, if there are enough.
RATE = 0.01


def find_anomalies(
    detector,
    source,
    destination,
    rate=None,
    *,
    fit="crop",
    overwrite=False,
    white=None,
    background=None,
):
    """Writes how unusual image files are, and where.

    The folder gets `scores.csv`, the most unusual image first, with the columns
    `name` (with `./` before it if a spreadsheet would take it for a formula),
    `score`, `p_value` and `anomaly` (1 or 0); and in `maps/` a PNG file an
    image: the image as the detector sees it, in gray, with unusual regions in red.
    The scale is the same for all: from the map's value 1, where red begins, which is
    rare in normal images, to 2. Files are written atomically, after all images have
    been scored; what exists and is the same is left as it is, so that the same call
    goes on where it was stopped.

    Args:
        detector: `keras.Model`, as `anomaly_detector` builds it.
        source: path of an image or a folder.
        destination: path of a folder outside `source`.
        rate: float in (0, 1), the fraction of normal images that may be called
            anomalies: those whose p-value is at most `rate`. None for 0.01, or the
            least that the number of validation images allows.
        fit: as in `read_folder`.
        overwrite: bool, whether existing files may be replaced.
        white, background: as in `read_folder`.

    Returns:
        `(rows, rate, skipped)`: list of dicts, the lines of the table; float; dict
        from the path of each file that could not be read, or has a name that not every
        disk has and so no map, to the reason. Warnings name them.

    Raises:
        ValueError: before any work, for another model, nothing to read, a `rate` that
            no image can reach, or a destination that cannot be written; if no image
            could be read, or other files exist there.
        OSError: if the disk is full.
    """
    source, destination = as_path(source, "source"), as_path(destination, "destination")
    rate = checked_rate(detector, rate)
    results.check_folder(destination)
    results.check_outside(destination, source)
    results.check_writable(destination / TABLE)
    options = {"fit": fit, "white": white, "background": background}
    names = images_in(source)[1]
    _, unwritable = results.paths_inside(destination / MAPS, names)
    if unwritable:  # said before the work
        warnings.warn(SkippedFiles(unwritable, len(names), source), stacklevel=2)
    with locked(destination):
        rows, pictures, skipped = _detect(detector, source, rate, options)
        names = [row["name"] for row in rows]
        paths, _ = results.paths_inside(destination / MAPS, names)
        rows = sorted(rows, key=lambda row: -row["score"])
        contents = functools.partial(_contents, rows, pictures)
        paths = [destination / TABLE, *paths]
        _, kept, errors = results.write_files(paths, contents, overwrite, False)
        for error in errors.values():
            raise error
    results.warn_of_kept(kept, len(paths), destination)
    return rows, rate, unwritable | skipped


def checked_rate(detector, rate):
    """Returns the rate, or its default.

    Args:
        detector, rate: as in `find_anomalies`.

    Returns:
        float.

    Raises:
        ValueError: for another model, or a rate that no image can reach.
    """
    expected = "`detector` must be a model that `anomaly_detector` built"
    require(is_detector(detector), f"{expected}. Received: {detector!r}")
    count = detector.get_layer("p_value").count
    least = 1 / (count + 1)
    rate = max(least, RATE) if rate is None else rate
    message = f"`rate` must be a number between 0 and 1. Received: {rate!r}"
    require(is_number(rate) and 0 < rate < 1, message)
    expected = f"`rate` must be at least {least:.3g} with {count} validation images"
    require(rate >= least, f"{expected}. Received: {rate}")
    return rate


def _detect(detector, source, rate, options):
    """Returns a row and a picture for each image, and what was skipped."""
    names, skipped, rows, pictures = [], {}, [], []
    detected = compute_of_model(
        _detected, detector, source, "source", names, skipped, **options
    )
    for x, found in detected:
        drawn = draw_map(x, found["map"])
        for i, name in enumerate(names[len(rows) :]):
            score, p_value = (float(found[key][i]) for key in ("score", "p_value"))
            row = {"name": name, "score": score, "p_value": p_value}
            # What float32 has rounded must not decide.
            rows.append(row | {"anomaly": int(p_value <= rate * (1 + 1e-5))})
            pictures.append(picture_bytes(drawn[i], ".png"))
    return rows, pictures, skipped


def _detected(detector, x):
    return x, detect(detector, x)


def _contents(rows, pictures, indices):
    for i in indices:
        yield i, _table(rows) if i == 0 else pictures[i - 1]


def _table(rows):
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        cells = {key: f"{row[key]:.6g}" for key in ("score", "p_value")}
        if row["name"].startswith(FORMULAS):  # the same path, as text
            cells["name"] = f"./{row['name']}"
        table.writerow(row | cells)
    return text.getvalue().encode("utf-8", "surrogateescape")
