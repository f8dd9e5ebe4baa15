"""Features of image files, kept in one file, and the nearest among them."""

import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from convae_keras.data.image_files import (
    FITS,
    MODES,
    check_not_existing,
    check_paths,
    images_in,
    in_threads,
    read_image,
    skipped_message,
)
from convae_keras.features import encode_batches, feature_model, nearest
from convae_keras.saving import atomic_write, fingerprint
from convae_keras.validation import expect

# Images that are in memory at once.
BATCH_SIZE = 256


def encode_files(
    model, source, destination, layer=None, pooling=None, fit="crop", overwrite=False
):
    """Writes the features of an image file, or of all that a folder holds.

    Images are read as `read_folder` reads them, and brought to the size and
    colour that the model takes. However many there are, only a batch of them is
    in memory.

    Args:
        model: autoencoder, or any `keras.Model` that takes images of one size.
        source: path of an image or a folder.
        destination: path of an `.npz`, whose arrays are `features`, float32
            `(n, d)`, `names`, the `n` paths from `source` on, and `about`, what
            `search` has to know. It is whole under its name, or not there.
        layer, pooling: as in `feature_model`.
        fit: `"crop"` or `"pad"`, as in `read_folder`.
        overwrite: bool, whether a file that exists may be replaced.

    Returns:
        `(names, skipped)`: list of str; dict from the path of a file that could
        not be read to why not. A warning names them too.

    Raises:
        ValueError: before any work, if there is nothing to read, a file in the
            way or no such option; and if no image at all could be read.
    """
    check_paths(source, destination)
    source, destination = Path(source), Path(destination)
    is_npz = destination.suffix == ".npz" and not destination.is_dir()
    expect(is_npz, "destination", "a name like features.npz", f"'{destination}'")
    check_not_existing([destination], overwrite)
    folder, paths = images_in(source)
    _mode(model)
    width = feature_model(model, layer, pooling).output_shape[1]
    expect(fit in FITS, "fit", f"in {[*FITS]}", repr(fit))
    destination.parent.mkdir(parents=True, exist_ok=True)

    names, skipped = [], {}
    batches = _batches(model, folder, paths, fit, names, skipped)
    about = {"model": fingerprint(model), "layer": layer, "pooling": pooling}
    # How many there are is only known when the last was read.
    with tempfile.TemporaryFile() as rows:
        for features in encode_batches(model, batches, layer, pooling):
            rows.write(features.astype("<f4").tobytes())
        _warn(skipped, names, source)
        rows.seek(0)
        about = json.dumps(about | {"fit": fit})
        _write(destination, rows, (len(names), width), names, about)
    return names, skipped


def load_features(path, model):
    """Reads what `encode_files` wrote.

    Args:
        path: path of the `.npz`.
        model: the model that made it.

    Returns:
        `(features, names, about)`: float32 `(n, d)`; list of str; dict of
        `layer`, `pooling`, `fit` and the model's fingerprint.

    Raises:
        ValueError: if it is no such file, damaged, or of another model.
    """
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            features, names = file["features"], file["names"].tolist()
            about = json.loads(str(file["about"]))
        layer, pooling, _ = (about[key] for key in ("layer", "pooling", "fit"))
        received, of_model = fingerprint(model), str(about["model"])
    except Exception as error:  # zipfile, NumPy, json: each has its own
        what = "a file that `convae encode` wrote"
        why = type(error).__name__
        raise ValueError(f"Expected {what}. Received: '{path}' ({why})") from error
    wanted = f"features of this model ({received[:12]}…): encode the images again"
    expect(of_model == received, f"{path}", wanted, f"those of {of_model[:12]}…")
    shape = (len(names), feature_model(model, layer, pooling).output_shape[1])
    whole = names and features.shape == shape and np.isfinite(features).all()
    expect(whole, f"{path}", f"finite features, {shape}", features.shape)
    return features, names, about


def search(model, where, query, count=10, fit="crop"):
    """Finds the images of a folder that are nearest to another, by their codes.

    Args:
        model: autoencoder, or any `keras.Model` that takes images of one size.
        where: path of a folder, or of what `encode_files` made of one.
        query: path of an image. If it is in the folder, too, it is found first.
        count: int, how many; fewer if there are no more.
        fit: as in `read_folder`; for an `.npz`, that with which it was made.

    Returns:
        List of `(name, distance)`, nearest first: a path from the folder on, and
        the Euclidean distance between the features.

    Raises:
        ValueError: if one of them cannot be read, for a count below 1, or if the
            `.npz` is of another model.
    """
    whole = isinstance(count, int) and count > 0
    expect(whole, "count", "a positive int", repr(count))
    expect(Path(query).is_file(), "query", "an image", f"'{query}'")
    wanted = "a folder of images, or what `convae encode` made of one"
    expect(Path(where).exists(), "where", wanted, f"'{where}'")
    with tempfile.TemporaryDirectory() as folder:
        if Path(where).is_dir():
            asked, where = where, Path(folder) / "features.npz"
            encode_files(model, asked, where, fit=fit)
        features, names, about = load_features(where, model)
        options = {key: about[key] for key in ("layer", "pooling", "fit")}
        try:
            encode_files(model, query, Path(folder) / "query.npz", **options)
        except ValueError as error:
            readable = "an image that can be read"
            raise ValueError(
                f"`query` must be {readable}. Received: '{query}'"
            ) from error
        code, _, _ = load_features(Path(folder) / "query.npz", model)
    indices, distances = nearest(features, code, len(names))
    # Of equally near ones, always the same come first.
    found = sorted(zip(distances[0].tolist(), indices[0].tolist(), strict=True))
    return [(names[i], distance) for distance, i in found[:count]]


def _mode(model):
    """`"L"` or `"RGB"`, as the model takes it."""
    height, width, channels = model.input_shape[1:]
    modes = {len(mode): mode for mode in MODES.values()}
    fixed = None not in (height, width) and channels in modes
    wanted = "one that takes grey or RGB images of one size, not a restorer"
    expect(fixed, "model", wanted, model.input_shape[1:])
    return modes[channels]


def _batches(model, folder, paths, fit, names, skipped):
    """Yields uint8 images, and notes whose they are and which cannot be read."""
    (height, width, _), mode = model.input_shape[1:], _mode(model)

    def read(path):
        image = read_image(folder / path, (width, height), mode, fit)
        return np.atleast_3d(np.asarray(image))

    starts = range(0, len(paths), BATCH_SIZE)
    for start in tqdm(starts, "encoding", disable=len(starts) < 8):
        some = paths[start : start + BATCH_SIZE]
        results = dict(zip(some, in_threads(read, some, "reading"), strict=True))
        skipped |= {p: why for p, why in results.items() if isinstance(why, str)}
        images = {p: x for p, x in results.items() if p not in skipped}
        names += images
        if images:
            yield np.stack([*images.values()])


def _warn(skipped, names, source):
    if not skipped:
        return
    message = skipped_message(skipped, len(skipped) + len(names), source)
    expect(names, "source", "images that can be read", message)
    warnings.warn(message, stacklevel=3)


def _write(destination, rows, shape, names, about):
    """An `.npz` whose largest array comes out of an open file."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with atomic_write(destination) as aside, zipfile.ZipFile(aside, "w") as file:
        with file.open("features.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, header)
            shutil.copyfileobj(rows, entry)
        for name, value in (("names", names), ("about", about)):
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.array(value), allow_pickle=False)
