"""A trained model let loose on files of any size."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from convae_keras.data.image_files import (
    as_mode,
    check_not_existing,
    check_paths,
    images_in,
    open_image,
    skipped_message,
)
from convae_keras.saving import atomic_write
from convae_keras.tiling import restore
from convae_keras.validation import expect

# What keeps a restored file from losing at once what was gained.
QUALITY = {".jpg": 95, ".jpeg": 95, ".jfif": 95, ".webp": 95}


def apply(model, source, destination, overwrite=False, grey=None):
    """Runs a model over an image file, or over all that a folder holds.

    Names stay, and so do formats (JPEG and WebP are written at quality 95),
    transparency, colour profiles and all of EXIF, its orientation included
    (but for TIFF files, which come out upright).
    What has more than 8 bits a channel comes out with 8. Each file is whole
    under its final name, or not there.

    Args:
        model: `keras.Model` from images to images.
        source: path of an image or a folder.
        destination: path of an image, or for a folder of a folder; what is
            missing on the way there is made.
        overwrite: bool, whether files that exist may be replaced.
        grey: `keras.Model` for grey images, where `model` is for colour ones: a
            grey photograph has the same noise in all its channels. None for
            `model`.

    Returns:
        `(written, skipped)`: list of `Path`; dict from the path of a file of
        the folder that could not be read to why not. A warning names them too.

    Raises:
        ValueError: before any work, if there is nothing to read, nowhere to
            write, or a file in the way; and if no image at all could be restored.
    """
    check_paths(source, destination)
    source, destination = Path(source), Path(destination)
    jobs = _jobs(source, destination)
    place = next(path for path in jobs[0][1].absolute().parents if path.exists())
    expect(
        os.access(place, os.W_OK), "destination", "where one can write", f"'{place}'"
    )
    check_not_existing([target for _, target in jobs], overwrite)
    written, skipped = [], {}
    for path, target in tqdm(jobs, "applying", disable=len(jobs) < 2):
        try:
            _apply_to_file(model, grey or model, path, target)
            written.append(target)
        except Exception as error:  # Pillow meets broken files with many kinds
            if source.is_file():
                raise ValueError(f"{path} could not be restored: {error}") from error
            skipped[str(path)] = f"{type(error).__name__}: {error}"
    if skipped:
        message = skipped_message(skipped, len(jobs), source)
        expect(written, "source", "images that can be restored", message)
        warnings.warn(message, stacklevel=2)
    return written, skipped


def _jobs(source, destination):
    """Pairs of an image's path and where its restored version goes."""
    if source.is_file():
        inside = destination.is_dir()
        target = destination / source.name if inside else destination
        known = target.suffix.lower() in Image.registered_extensions()
        expect(known, "destination", "a name like picture.png", f"'{target}'")
        return [(source, target)]
    # Images in folders called train, val and test are images like others.
    _, paths = images_in(source)
    expect(not destination.is_file(), "destination", "a folder", f"'{destination}'")
    inside = source.resolve() in destination.resolve().parents
    # The next time, its results would be taken for images to restore.
    expect(not inside, "destination", f"outside '{source}'", f"'{destination}'")
    return [(source / path, destination / path) for path in paths]


def _apply_to_file(model, grey, path, target):
    with open_image(path) as image:
        image.load()
    kept = {
        key: image.info[key] for key in ("exif", "icc_profile") if key in image.info
    }
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        alpha, image = image.getchannel("A"), image.convert(image.mode[:-1])
    is_grey = image.mode in ("1", "L") or image.mode.startswith("I")
    pixels = np.atleast_3d(np.asarray(as_mode(image, "L" if is_grey else "RGB")))
    restored = restore(grey if is_grey else model, pixels)
    restored = Image.fromarray(restored[..., 0] if is_grey else restored)
    if alpha:
        restored.putalpha(alpha.resize(restored.size, Image.Resampling.BICUBIC))
    suffix = target.suffix.lower()
    if suffix in QUALITY:
        kept["quality"] = QUALITY[suffix]
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as aside:
        restored.save(aside, **kept)
