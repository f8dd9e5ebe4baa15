"""Restores image files with a trained model: denoising, enlarging, and so on."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from convae_keras.data import image_files
from convae_keras.saving import atomic_write
from convae_keras.tiling import restore
from convae_keras.validation import require

# High enough that compression does not undo the restoration.
QUALITY = {".jpg": 95, ".jpeg": 95, ".jfif": 95, ".webp": 95}


def apply(model, source, destination, *, overwrite=False, grey=None):
    """Applies a model to an image file, or to all images in a folder.

    File names and formats are kept (JPEG and WebP are written at quality 95), as
    are transparency, color profiles and EXIF data. The orientation stays in the
    EXIF data, except for TIFF files, which are written upright. More than 8 bits
    a channel are reduced to 8. Files are written atomically.

    Args:
        model: `keras.Model` from images to images.
        source: path of an image or a folder.
        destination: path of an image, or of a folder if `source` is one; missing
            folders are created.
        overwrite: bool, whether existing files may be replaced.
        grey: `keras.Model` for grayscale images, if `model` is for color images:
            the noise of a grayscale photograph is the same in all channels. None
            for `model`.

    Returns:
        `(written, skipped)`: list of `Path`; dict from the path of each file in
        the folder that could not be restored to the reason. A warning names them.

    Raises:
        ValueError: before any work, if there is nothing to read, the destination
            cannot be written, or files exist there; and if no image at all could
            be restored.
    """
    image_files.check_paths(source, destination)
    source, destination = Path(source), Path(destination)
    jobs = _find_jobs(source, destination)
    image_files.check_writable(jobs[0][1])
    image_files.check_not_existing([target for _, target in jobs], overwrite)
    written, skipped = [], {}
    for path, target in tqdm(jobs, "restoring", disable=len(jobs) < 2):
        error = _restore_file(model, grey or model, path, target)
        if error is None:
            written.append(target)
        elif source.is_file():
            raise ValueError(f"{path} could not be restored: {error}") from error
        else:
            skipped[str(path)] = f"{type(error).__name__}: {error}"
    if skipped:
        message = image_files.skipped_message(skipped, len(jobs), source)
        require(written, f"`source` must have images that can be restored. {message}")
        warnings.warn(message, stacklevel=2)
    return written, skipped


def _find_jobs(source, destination):
    """Returns pairs of an image's path and the path of its restored version."""
    if source.is_file():
        target = destination / source.name if destination.is_dir() else destination
        known = target.suffix.lower() in Image.registered_extensions()
        expected = "`destination` must be a name like picture.png"
        require(known, f"{expected}. Received: '{target}'")
        return [(source, target)]
    # Unlike in `read_folder`, subfolders named train, val and test mean nothing.
    _, paths = image_files.images_in(source)
    expected = "`destination` must be a folder, like `source`"
    require(not destination.is_file(), f"{expected}. Received: '{destination}'")
    # Results in there would be restored again by the next call.
    inside = source.resolve() in destination.resolve().parents
    expected = f"`destination` must be outside `source`, '{source}'"
    require(not inside, f"{expected}. Received: '{destination}'")
    return [(source / path, destination / path) for path in paths]


def _restore_file(model, grey, path, target):
    """Restores one file. Returns the error if it could not be, else None."""
    try:
        pixels, alpha, metadata = _read(path)
    except Exception as error:  # Pillow raises many kinds for broken files
        return error
    try:
        pixels = restore(grey if pixels.shape[2] == 1 else model, pixels)
    except ValueError as error:  # the model does not take this image
        return error
    try:
        _write(pixels, alpha, metadata, target)
    except (OSError, ValueError) as error:
        return error
    return None


def _read(path):
    """Reads an image file.

    Returns:
        `(pixels, alpha, metadata)`: uint8 `(height, width, 1 or 3)`; image of the
        alpha channel, or None; dict of the options that keep EXIF data and color
        profile when saving.
    """
    with image_files.open_image(path) as image:
        image.load()
    kept = ("exif", "icc_profile")
    metadata = {key: image.info[key] for key in kept if key in image.info}
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
        alpha, image = image.getchannel("A"), image.convert(image.mode[:-1])
    is_gray = image.mode in ("1", "L") or image.mode.startswith("I")
    image = image_files.as_mode(image, "L" if is_gray else "RGB")
    return np.atleast_3d(np.asarray(image)), alpha, metadata


def _write(pixels, alpha, metadata, target):
    """Writes what `_read` returned, in the format of the suffix of `target`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if alpha is not None:
        image.putalpha(alpha.resize(image.size, Image.Resampling.BICUBIC))
    suffix = target.suffix.lower()
    options = {"quality": QUALITY[suffix]} if suffix in QUALITY else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as temporary:
        image.save(temporary, **metadata, **options)
