"""Features of image files: computed, stored, and searched for nearest neighbors."""

import json
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from convae_keras.data import image_files
from convae_keras.data.image_files import FITS, in_threads, read_image
from convae_keras.features import encode_batches, feature_model, nearest
from convae_keras.saving import atomic_write, fingerprint
from convae_keras.validation import format_shape, require

# Images read and encoded at once.
BATCH_SIZE = 256


def encode_files(
    model, source, destination, layer=None, pooling=None, fit="crop", overwrite=False
):
    """Writes the features of an image file, or of all images in a folder.

    Images are read as `read_folder` reads them, and converted to the size and
    color mode that the model takes. Memory holds one batch of images, and the
    features of all.

    Args:
        model: autoencoder, or any `keras.Model` that takes images of one size.
        source: path of an image or a folder.
        destination: path of an `.npz` file, with the arrays `features`, float32
            `(n, d)`; `names`, the `n` paths relative to `source`; and `about`,
            the settings that `search` needs, as JSON. Written atomically.
        layer, pooling: as in `feature_model`.
        fit: `"crop"` or `"pad"`, as in `read_folder`.
        overwrite: bool, whether an existing file may be replaced.

    Returns:
        `(names, skipped)`: list of str; dict from the path of each file that
        could not be read to the reason. A warning names them.

    Raises:
        ValueError: before any work, if there is nothing to read, the file exists
            or an option is invalid; and if no image at all could be read.
    """
    image_files.check_paths(source, destination)
    destination = Path(destination)
    is_npz = destination.suffix == ".npz" and not destination.is_dir()
    expected = "`destination` must be a name like features.npz"
    require(is_npz, f"{expected}. Received: '{destination}'")
    image_files.check_writable(destination)
    image_files.check_not_existing([destination], overwrite)
    about = {"layer": layer, "pooling": pooling, "fit": fit}
    features, names, skipped = _encode(model, source, "source", **about)
    about = {"model": fingerprint(model), **about}
    destination.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(destination) as temporary:
        np.savez(temporary, features=features, names=names, about=json.dumps(about))
    return names, skipped


def load_features(path, model):
    """Reads a file that `encode_files` wrote.

    Args:
        path: path of the `.npz` file.
        model: the model that computed the features.

    Returns:
        `(features, names, about)`: float32 `(n, d)`; list of str; dict of
        `layer`, `pooling`, `fit` and the fingerprint of the `model`.

    Raises:
        ValueError: if the file is of another kind, damaged, or of another model.
    """
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            features, names = file["features"], file["names"].tolist()
            about = json.loads(str(file["about"]))
        layer, pooling, _ = (about[key] for key in ("layer", "pooling", "fit"))
        received = str(about["model"])
    except Exception as error:  # zipfile, NumPy and json each raise their own
        received = f"Received: '{path}' ({type(error).__name__})"
        message = f"Expected a file that `convae encode` wrote. {received}"
        raise ValueError(message) from error
    own, hint = fingerprint(model), "encode the images again"
    expected = f"'{path}' must be features of this model, {own[:12]}…; {hint}"
    require(received == own, f"{expected}. Received: features of {received[:12]}…")
    shape = (len(names), feature_model(model, layer, pooling).output_shape[1])
    valid = names and features.shape == shape and np.isfinite(features).all()
    expected = f"'{path}' must be finite features of shape {shape}"
    require(valid, f"{expected}. Received: {features.shape}")
    return features, names, about


def search(model, where, query, count=10, fit="crop"):
    """Finds the images in a folder whose features are nearest to those of another.

    Args:
        model: autoencoder, or any `keras.Model` that takes images of one size.
        where: path of a folder, or of a file that `encode_files` wrote.
        query: path of an image. If it is in the folder, it is found first.
        count: int, number of images to find.
        fit: as in `read_folder`; for a file, the value it was written with.

    Returns:
        List of `(name, distance)`, nearest first: path relative to the folder,
        and Euclidean distance between the features. At most `count`.

    Raises:
        ValueError: if one of them cannot be read, for a count below 1, or if the
            file is of another model.
    """
    valid = isinstance(count, int) and count > 0
    require(valid, f"`count` must be a positive int. Received: {count!r}")
    where, query = Path(where), Path(query)
    require(query.is_file(), f"`query` must be an image file. Received: '{query}'")
    expected = "`where` must be a folder, or a file that `convae encode` wrote"
    require(where.exists(), f"{expected}. No such file: {where}")
    options = {"layer": None, "pooling": None, "fit": fit}
    if where.is_dir():
        features, names, _ = _encode(model, where, "where", **options)
    else:
        features, names, about = load_features(where, model)
        options = {key: about[key] for key in options}
    code, _, _ = _encode(model, query, "query", **options)
    indices, distances = nearest(features, code, len(names))
    # Sorted by index where distances are equal, so that the order is fixed.
    found = sorted(zip(distances[0].tolist(), indices[0].tolist(), strict=True))
    return [(names[i], distance) for distance, i in found[:count]]


def _encode(model, source, argument, layer, pooling, fit):
    """Returns the features of image files, their names, and the skipped files.

    `argument` is what `source` is called in error messages.
    """
    folder, paths = image_files.images_in(source)
    require(fit in FITS, f"`fit` must be one of {[*FITS]}. Received: {fit!r}")
    shape, names, skipped = model.input_shape[1:], [], {}
    valid = None not in shape and image_files.mode_of(shape[-1]) is not None
    expected = "`model` must take grayscale or RGB images of one size"
    require(valid, f"{expected}. Received: a model of {format_shape(shape)}")
    batches = _batches(shape, folder, paths, fit, names, skipped)
    features = [*encode_batches(model, batches, layer, pooling)]
    if skipped:
        message = image_files.skipped_message(skipped, len(paths), source)
        require(names, f"`{argument}` must be an image that can be read. {message}")
        warnings.warn(message, stacklevel=3)
    return np.concatenate(features).astype("float32"), names, skipped


def _batches(shape, folder, paths, fit, names, skipped):
    """Yields batches of uint8 images; fills `names` and `skipped` meanwhile."""
    height, width, channels = shape
    mode = image_files.mode_of(channels)

    def read(path):
        image = read_image(folder / path, (width, height), mode, fit)
        return np.asarray(image).reshape(shape)

    starts = range(0, len(paths), BATCH_SIZE)
    for start in tqdm(starts, "encoding", disable=len(starts) < 8):
        batch = paths[start : start + BATCH_SIZE]
        results = dict(zip(batch, in_threads(read, batch, "reading"), strict=True))
        skipped |= {p: why for p, why in results.items() if isinstance(why, str)}
        images = {p: x for p, x in results.items() if p not in skipped}
        names += images
        if images:
            yield np.stack([*images.values()])
