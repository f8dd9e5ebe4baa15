"""Features of image files: computed, stored, and searched for nearest neighbors."""

import functools
import itertools
import json
import os

import numpy as np

from convae_keras import untrusted
from convae_keras.data import image_files
from convae_keras.data.image_files import FITS
from convae_keras.features import encode_batches, feature_model, nearest
from convae_keras.files import results
from convae_keras.files.batches import compute_of_model
from convae_keras.files.workers import alone
from convae_keras.saving import atomic_write, fingerprint, locked
from convae_keras.validation import as_path, check_ints, check_limit, plain, require

# The settings in a file of features. Earlier versions wrote neither of the last two.
ABOUT = {"model": str, "layer": (str, None), "pooling": (str, None), "fit": str}
ABOUT |= {"white": (float, None), "background": (str, None)}


def encode_files(
    model,
    source,
    destination,
    layer=None,
    pooling=None,
    fit="crop",
    overwrite=False,
    white=None,
    background=None,
    workers=alone,
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
        fit: as in `read_folder`.
        overwrite: bool, whether an existing file may be replaced.
        white, background: as in `read_folder`.
        workers: who computes: what `files.workers.connected` yields, or this process.

    Returns:
        `(names, skipped)`: list of str; dict from the path of each file that
        could not be read to the reason. A warning names them.

    Raises:
        ValueError: before any work, if there is nothing to read, the file exists,
            another process is writing it, or an option is invalid; and if no image
            at all could be read.
        OSError: if the disk is full.
    """
    destination = as_path(destination, "destination")
    is_npz = destination.suffix == ".npz" and not destination.is_dir()
    expected = "`destination` must be a name like features.npz"
    require(is_npz, f"{expected}. Received: '{destination}'")
    results.check_writable(destination)
    results.check_not_existing([destination], overwrite)
    about = {"layer": layer, "pooling": pooling, "fit": fit}
    about |= {"white": plain(white), "background": background}
    with locked(destination.parent, destination.name):
        features, names, skipped = _encode(model, source, "source", workers, **about)
        about = json.dumps({"model": fingerprint(model), **about})
        with atomic_write(destination, overwrite) as temporary:
            np.savez(temporary, features=features, names=names, about=about)
    return names, skipped


def load_features(path, model):
    """Reads a file that `encode_files` wrote.

    Args:
        path: path of the `.npz` file.
        model: the model that computed the features.

    Returns:
        `(features, names, about)`: float32 `(n, d)`; list of str; dict of
        `layer`, `pooling`, `fit`, `white`, `background` and the fingerprint of the
        `model`.

    Raises:
        ValueError: if the file is of another kind, damaged, or of another model.
    """
    message = f"Expected a file that `convae encode` wrote. Received: '{path}'"
    with untrusted.named(message):
        arrays = untrusted.read_npz(path, ("features", "names", "about"))
        features, names = arrays["features"], arrays["names"]
        about = untrusted.parse_json(str(arrays["about"]))
        untrusted.check_shape(about, ABOUT, "`about`")
        require(about["fit"] in FITS, f"`fit` must be one of {[*FITS]}")
        image_files.check_decoding(about.get("white"), about.get("background"))
    own, received, hint = fingerprint(model), about["model"], "encode the images again"
    expected = f"'{path}' must be features of this model, {own[:12]}…; {hint}"
    require(received == own, f"{expected}. Received: features of {received[:12]}…")
    with untrusted.named(message):
        width = feature_model(model, about["layer"], about["pooling"]).output_shape[1]
    shape = (names.size, width)
    expected = f"'{path}' must be finite features of shape {shape}"
    text = names.ndim == 1 and names.dtype.kind == "U" and names.size > 0
    numbers = features.shape == shape and features.dtype.kind == "f"
    valid = text and numbers and np.isfinite(features).all()
    require(valid, f"{expected}. Received: {features.dtype} {features.shape}")
    check_limit(names.size, "images")
    return features, names.tolist(), about


def search(model, where, query, count=10, fit="crop", white=None, background=None):
    """Finds the images in a folder whose features are nearest to those of another.

    Args:
        model: autoencoder, or any `keras.Model` that takes images of one size.
        where: path of a folder, or of a file that `encode_files` wrote.
        query: path of an image. It is not among what is found: the same file in
            the folder, or in a file of features one of its name and its features.
        count: int, number of images to find.
        fit, white, background: as in `read_folder`; for a file of features, the
            values it was written with.

    Returns:
        List of `(name, distance)`, nearest first: path relative to the folder,
        and Euclidean distance between the features. At most `count`.

    Raises:
        ValueError: if one of them cannot be read, for a count below 1, or if the
            file is of another model.
    """
    check_ints(count=count)
    where, query = as_path(where, "where"), as_path(query, "query")
    require(query.is_file(), f"`query` must be an image file. Received: '{query}'")
    expected = "`where` must be a folder, or a file that `convae encode` wrote"
    require(where.exists(), f"{expected}. No such file: {where}")
    options = {"layer": None, "pooling": None, "fit": fit}
    options |= {"white": white, "background": background}
    if where.is_dir():
        features, names, _ = _encode(model, where, "where", alone, **options)
    else:
        features, names, about = load_features(where, model)
        options |= {key: about[key] for key in options if key in about}
    code, _, _ = _encode(model, query, "query", alone, **options)
    indices, distances = nearest(features, code, len(names))
    # Sorted by index where distances are equal, so that the order is fixed.
    found = sorted(zip(distances[0].tolist(), indices[0].tolist(), strict=True))

    def is_query(i):
        if where.is_dir():
            return os.path.samefile(where / names[i], query)
        near = np.allclose(features[i], code[0], rtol=1e-3, atol=1e-3)
        return near and query.absolute().as_posix().endswith(f"/{names[i]}")

    others = ((names[i], distance) for distance, i in found if not is_query(i))
    return [*itertools.islice(others, count)]


def _encode(model, source, argument, workers, layer, pooling, **options):
    """Returns the features of image files, their names, and the skipped files.

    `argument` is what `source` is called in error messages.
    """
    names, skipped = [], {}
    function = functools.partial(_features, layer, pooling)
    features = compute_of_model(
        function, model, source, argument, names, skipped, workers=workers, **options
    )
    # Raises an error, before an image is read, for a layer that is none.
    [*encode_batches(model, [], layer, pooling)]
    return np.concatenate([*features]).astype("float32"), names, skipped


def _features(layer, pooling, model, x):
    (features,) = encode_batches(model, [x], layer, pooling)
    return features
