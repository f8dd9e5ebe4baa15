"""Images in batches of one size: from files, or from one array."""

import functools
import math
import warnings

import numpy as np
from PIL import ImageOps
from tqdm import tqdm

from convae_keras.compression.bitstream import check_size
from convae_keras.compression.container import MAX_PIXELS
from convae_keras.data import image_files
from convae_keras.data.image_files import FITS, SkippedFiles, in_threads, read_image
from convae_keras.files.workers import alone
from convae_keras.untrusted import map_npy, named
from convae_keras.validation import check_images, format_shape, require

# Images of a block, at most, and values of pixels: what is in memory at once. A block
# of files ends with the image that reaches this number, one of an array before it.
BLOCK_IMAGES, BLOCK_PIXELS = 2000, 2**24

# Images read at once for a model of one size.
BATCH_SIZE = 256


def batches_of_array(codec, path):
    """Returns batches of the images in an `.npy`, which is not read at once.

    Args:
        codec: `Codec`.
        path: `Path` of an `.npy` of uint8 images, as `check_images` takes them.

    Returns:
        Generator of uint8 `(n, height, width, channels)`.

    Raises:
        ValueError: for any other file, or images that the codec does not take.
    """
    with named(f"`source` must be an .npy of images. Received: {path}"):
        array = map_npy(path)
    # Not converted, since it may be larger than memory.
    message = f"`source` must have dtype uint8. Received: {array.dtype}"
    require(array.dtype == "uint8", message)
    x = check_images(array, "source")
    check_size(codec, x.shape, "source")
    size = max(1, min(BLOCK_IMAGES, BLOCK_PIXELS // x[0].size))
    return (x[start : start + size] for start in range(0, len(x), size))


def batches_by_size(source, channels, skipped):
    """Finds image files, and puts those of one size together.

    Args:
        source: path of an image or a folder.
        channels: int, the values of a pixel once it is read.
        skipped: dict, to which others are added, from the path to the reason.

    Returns:
        `(folder, batches)`: `Path`; lists of paths in it, as many as a block holds.
    """
    folder, paths, others = image_files.images_in(source)
    skipped |= others
    sizes, failed = in_threads(functools.partial(_size, folder), paths, "measuring")
    skipped |= failed
    groups, batches = {}, []
    for path, size in sizes.items():
        groups.setdefault(size, []).append(path)
    for size, group in sorted(groups.items()):
        pixels = max(1, math.prod(size) * channels)
        batches += _cut(sorted(group), min(BLOCK_IMAGES, -(-BLOCK_PIXELS // pixels)))
    return folder, batches


def _size(folder, path):
    with image_files.open_image(folder / path) as (_, info):
        return info.size


def _cut(paths, count):
    return [paths[start : start + count] for start in range(0, len(paths), count)]


def compute_batches(
    function, model, read, folder, batches, names, skipped, *, action, workers=alone
):
    """Reads image files and computes something of each batch.

    Args:
        function: called with the model and uint8 `(n, height, width, channels)`.
        model: `keras.Model`.
        read: function from a path to `(pixels, highest)`, as `read_image`.
        folder: `Path`.
        batches: lists of paths in it, whose images have one size once read.
        names: list of str, to which the paths of the images are added in order.
        skipped: dict, to which others are added, from the path to the reason.
        action: str, label of the progress bar shown for many files.
        workers: as in `encode_files`; they must be able to import both functions.

    Yields:
        What the function returns for each batch with any image.
    """
    work = functools.partial(_compute, function, read, folder.absolute())
    highest, total = [], sum(map(len, batches))
    silent = total <= image_files.SILENT_UP_TO
    with tqdm(desc=action, total=total, disable=silent) as bar:
        for result, found, failed, high in workers(work, model, batches):
            bar.update(len(found) + len(failed))
            names += found
            skipped |= failed
            highest += high
            if found:
                yield result
    image_files.warn_if_dark(highest)


def _compute(function, read, folder, model, paths):
    """Reads a batch, and returns what is to be known of it: results and names."""
    images, skipped = in_threads(lambda path: read(folder / path), paths, "reading")
    highest = [high for _, high in images.values() if high is not None]
    x = [pixels for pixels, _ in images.values()]
    return function(model, np.stack(x)) if x else None, [*images], skipped, highest


def read_fitting(path, shape, lossless, **decoding):
    """Reads an image as a codec takes it.

    Args:
        path: `Path`.
        shape: `(height, width, channels)` of the codec's input.
        lossless: bool, whether every pixel must be kept.
        **decoding: `white` and `background`, as in `check_decoding`.

    Returns:
        `(pixels, highest)`: uint8 `(height, width, channels)`; as in `decode`.

    Raises:
        ValueError: if it does not fit; besides what Pillow raises.
    """
    height, width, channels = shape
    mode = image_files.mode_of(channels)
    with image_files.open_image(path) as (image, info):
        # Only the first page is read, and 8 bits of a sample.
        complete = getattr(image, "n_frames", 1) == 1 and info.bits <= 8
        ImageOps.exif_transpose(image, in_place=True)
        fits = height in (None, image.height) and width in (None, image.width)
        size, expected = format_shape(image.size), format_shape((width, height))
        require(fits, f"{size}, not {expected} (width x height)")
        fits = image.width * image.height <= MAX_PIXELS
        require(fits, f"more than the {MAX_PIXELS:,} pixels that a .cae file takes")
        exact_modes = ("RGB", "P", "1", "L") if mode == "RGB" else (mode, "1", "L")
        exact = image.mode in exact_modes and not image.has_transparency_data
        if lossless:
            kind = f"mode {image.mode}" if complete else "several pages or 16 bits"
            require(exact and complete, f"{kind}, not lossless in this codec")
        image, high = image_files.decode(image, info, mode, **decoding)
        pixels = np.atleast_3d(np.asarray(image))
        message = f"mode {image.mode}, not one of {channels} channels"
        require(pixels.shape[2] == channels, message)
        return pixels, high


def compute_of_model(
    function, model, source, argument, names, skipped, *, fit, workers=alone, **decoding
):
    """Reads image files as a model of one size takes them, and computes something.

    Args:
        function, model: as in `compute_batches`.
        source: path of an image or a folder.
        argument: str, what `source` is called in error messages.
        names: list of str, to which the images' paths are added in order.
        skipped: dict, to which others are added, from the path to the reason; a
            warning at the end names them.
        fit: as in `read_folder`.
        workers: as in `encode_files`.
        **decoding: `white` and `background`, as in `check_decoding`.

    Returns:
        Generator of what the function returns for each batch.

    Raises:
        ValueError: if there is nothing to read, an option is invalid, the model takes
            other images, or, at the end, no image could be read.
    """
    folder, paths, others = image_files.images_in(source)
    skipped |= others
    require(fit in FITS, f"`fit` must be one of {[*FITS]}. Received: {fit!r}")
    image_files.check_decoding(**decoding)
    shape, mode = model.input_shape[1:], image_files.mode_of(model.input_shape[-1])
    valid = len(shape) == 3 and None not in shape and mode is not None
    expected = "`model` must take grayscale or RGB images of one size"
    require(valid, f"{expected}. Received: a model of {format_shape(shape)}")
    read = functools.partial(read_image, size=shape[:2], mode=mode, fit=fit, **decoding)
    given = function, model, read, folder, _cut(paths, BATCH_SIZE), names, skipped
    computed = compute_batches(*given, action="encoding", workers=workers)
    return _with_warning(computed, source, argument, names, skipped)


def _with_warning(computed, source, argument, names, skipped):
    yield from computed
    if skipped:
        warning = SkippedFiles(skipped, len(names) + len(skipped), source)
        expected = f"`{argument}` must be an image that can be read"
        require(names, f"{expected}. {warning.short}")
        warnings.warn(warning, stacklevel=4)
