"""Restores image files with a trained model: denoising, enlarging, and so on."""

import functools
import warnings

from PIL import Image
from tqdm import tqdm

from convae_keras.data import image_files
from convae_keras.data.image_files import SkippedFiles
from convae_keras.files import results
from convae_keras.files.pictures import picture_bytes, read_picture
from convae_keras.files.workers import alone
from convae_keras.saving import locked
from convae_keras.tiling import restore
from convae_keras.validation import as_path, reason, require


def apply(
    model,
    source,
    destination,
    *,
    overwrite=False,
    skip_existing=False,
    grey=None,
    white=None,
    background=None,
    workers=alone,
):
    """Applies a model to an image file, or to all images in a folder.

    File names and formats are kept, as are transparency, resolution, color profiles
    that fit, and EXIF data, with the new size and without the old thumbnail. JPEG
    and WebP are written at quality 95 or the file's own, if that is higher. The
    orientation stays in the EXIF data; files of formats without those, and what was
    read from TIFF files, are upright. More than 8 bits a channel are reduced to 8. Of
    an animation the first frame is restored.

    Files are written atomically. A file that exists in a destination folder is no
    mistake if it is what would be written: the same call goes on where it was
    stopped. It restores these images again to see that; `skip_existing` does not.

    Args:
        model: `keras.Model` from images to images.
        source: path of an image or a folder.
        destination: path of an image, or of a folder outside `source` if that is
            one; missing folders are created.
        overwrite: bool, whether existing files may be replaced.
        skip_existing: bool, whether existing files, whatever they are, are left as
            they are and their images not restored.
        grey: `keras.Model` for grayscale images, if `model` is for color images:
            the noise of a grayscale photograph is the same in all channels. None
            for `model`.
        white, background: as in `read_folder`; the background is put behind
            transparent pixels in formats without transparency, such as JPEG.
        workers: who computes, as in `encode_files`; what it opens is `model` and
            `grey`.

    Returns:
        `(written, skipped)`: list of `Path`; dict from the path of each file in
        the folder that could not be restored to the reason. A warning names them.

    Raises:
        ValueError: before anything is written, if there is nothing to read, the
            destination cannot be written or another process is writing it, or
            other files exist there; and if no image at all could be restored.
        OSError: if the disk is full.
    """
    source, destination = as_path(source, "source"), as_path(destination, "destination")
    image_files.check_decoding(white, background)
    results.check_options(overwrite, skip_existing)
    jobs, skipped = _find_jobs(source, destination)
    targets, place = [target for _, target in jobs], (destination,)
    results.check_writable(targets[0])
    if source.is_file():
        place = targets[0].parent, targets[0].name
        results.check_not_existing(targets, overwrite or skip_existing)
    highest, models = [], (model, grey or model)
    restored = functools.partial(_restored, white, background)
    restored = functools.partial(workers, restored, models)
    contents = functools.partial(_restored_files, jobs, highest, restored)
    with locked(*place):
        found = results.write_files(targets, contents, overwrite, skip_existing)
    written, kept, errors = found
    skipped |= {str(jobs[i][0]): reason(e) for i, e in errors.items()}
    image_files.warn_if_dark(highest)
    if source.is_file() and skipped:
        raise ValueError(f"{source} could not be restored: {skipped[str(source)]}")
    count = len(written) + kept + len(skipped)
    if skipped:
        warning = SkippedFiles(skipped, count, source)
        expected = "`source` must have images that can be restored"
        require(written or kept, f"{expected}. {warning.short}")
        warnings.warn(warning, stacklevel=2)
    results.warn_of_kept(kept, count, destination)
    return written, skipped


def _find_jobs(source, destination):
    """Returns pairs of the paths of an image and its restored version, and others."""
    if source.is_file():
        target = destination / source.name if destination.is_dir() else destination
        format = Image.registered_extensions().get(target.suffix.lower())
        expected = "`destination` must be a name like picture.png"
        require(format in Image.SAVE, f"{expected}. Received: '{target}'")
        return [(source, target)], {}
    # Unlike in `read_folder`, subfolders named train, val and test mean nothing.
    _, paths, skipped = image_files.images_in(source)
    skipped = {str(source / path): why for path, why in skipped.items()}
    expected = "`destination` must be a folder, like `source`"
    require(not destination.is_file(), f"{expected}. Received: '{destination}'")
    results.check_outside(destination, source)
    return [(source / path, destination / path) for path in paths], skipped


def _restored_files(jobs, highest, restored, indices):
    """Yields pairs of an index and the restored file as bytes, or an error."""
    files = [(jobs[i][0].absolute(), jobs[i][1].suffix) for i in indices]
    silent = True if len(indices) < 2 else None  # None: where there is no terminal
    bar = tqdm(restored(files), "restoring", len(indices), disable=silent)
    for i, (data, high) in zip(indices, bar, strict=True):
        highest += [] if high is None else [high]
        yield i, data


def _restored(white, background, models, file):
    """Returns a restored file as bytes, or an error; and its highest value."""
    (path, suffix), high = file, None
    try:
        pixels, alpha, kept, high = read_picture(path, white, background)
    except Exception as error:  # Pillow raises many kinds for broken files
        return ValueError(reason(error)), high
    try:
        color, gray = models
        pixels = restore(gray if pixels.shape[2] == 1 else color, pixels)
        return picture_bytes(pixels, suffix, alpha, kept, background), high
    except (OSError, ValueError) as error:  # not for this model, or this format
        return ValueError(reason(error)), high
