"""Images in batches of one size: from files, or from one array."""

import itertools
import warnings

import numpy as np
from PIL import ImageOps
from tqdm import tqdm

from convae_keras.compression.bitstream import check_size
from convae_keras.data import image_files
from convae_keras.data.image_files import FITS, SkippedFiles, in_threads, read_image
from convae_keras.untrusted import map_npy, named
from convae_keras.validation import check_images, format_shape, reason, require

# Images and pixels of a block, at most: what is in memory at once.
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


def batches_of_files(read, source, names, skipped):
    """Reads image files in batches of one size.

    Args:
        read: function from a path to an image, uint8 `(height, width, channels)`.
        source: path of an image or a folder.
        names: list of str, to which the images' paths are added in order.
        skipped: dict, to which others are added, from the path to the reason.

    Yields:
        uint8 `(n, height, width, channels)`.
    """
    folder, paths, others = image_files.images_in(source)
    skipped |= others
    sizes = {path: _attempt(_size, folder, path, skipped) for path in paths}
    readable = sorted((sizes[path], path) for path in paths if sizes[path])
    silent = len(readable) <= image_files.SILENT_UP_TO
    for _, group in itertools.groupby(readable, key=lambda pair: pair[0]):
        batch = []
        for _, path in tqdm([*group], "compressing", disable=silent):
            image = _attempt(read, folder, path, skipped)
            if image is None:
                continue
            batch.append(image)
            names.append(path)
            full = len(batch) * image.size >= BLOCK_PIXELS
            if full or len(batch) == BLOCK_IMAGES:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)


def _attempt(function, folder, path, skipped):
    try:
        return function(folder / path)
    except Exception as error:  # Pillow raises many kinds for broken files
        skipped[path] = reason(error)
        return None


def _size(path):
    with image_files.open_image(path) as (_, info):
        return info.size


def read_fitting(codec, lossless, decoding, highest, path):
    """Reads an image as a codec takes it.

    Args:
        codec: `Codec`.
        lossless: bool, whether every pixel must be kept.
        decoding: dict of `white` and `background`, as in `check_decoding`.
        highest: list of int, to which the highest value of 16 bits is added.
        path: `Path`.

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: if it does not fit; besides what Pillow raises.
    """
    height, width, channels = codec.input_shape[1:]
    mode = image_files.mode_of(channels)
    with image_files.open_image(path) as (image, info):
        # Only the first page is read, and 8 bits of a sample.
        complete = getattr(image, "n_frames", 1) == 1 and info.bits <= 8
        ImageOps.exif_transpose(image, in_place=True)
        fits = height in (None, image.height) and width in (None, image.width)
        size, expected = format_shape(image.size), format_shape((width, height))
        require(fits, f"{size}, not {expected} (width x height)")
        exact_modes = mode, "1", "L", "P"[: mode == "RGB"]
        exact = image.mode in exact_modes and not image.has_transparency_data
        if lossless:
            kind = f"mode {image.mode}" if complete else "several pages or 16 bits"
            require(exact and complete, f"{kind}, not lossless in this codec")
        image, high = image_files.decode(image, info, mode, **decoding)
        highest += [] if high is None else [high]
        return np.atleast_3d(np.asarray(image))


def batches_of_model(model, source, argument, names, skipped, fit, **decoding):
    """Reads image files as a model of one size takes them.

    Args:
        model: `keras.Model`.
        source: path of an image or a folder.
        argument: str, what `source` is called in error messages.
        names: list of str, to which the images' paths are added in order.
        skipped: dict, to which others are added, from the path to the reason; a
            warning at the end names them.
        fit: as in `read_folder`.
        **decoding: `white` and `background`, as in `check_decoding`.

    Returns:
        Generator of uint8 `(n, height, width, channels)`.

    Raises:
        ValueError: if there is nothing to read, an option is invalid, the model takes
            other images, or, at the end, no image could be read.
    """
    folder, paths, others = image_files.images_in(source)
    skipped |= others
    require(fit in FITS, f"`fit` must be one of {[*FITS]}. Received: {fit!r}")
    image_files.check_decoding(**decoding)
    shape = model.input_shape[1:]
    valid = None not in shape and image_files.mode_of(shape[-1]) is not None
    expected = "`model` must take grayscale or RGB images of one size"
    require(valid, f"{expected}. Received: a model of {format_shape(shape)}")
    mode = image_files.mode_of(shape[2])

    def read(path):
        return read_image(folder / path, shape[:2], mode, fit, **decoding)

    return _batches_read(read, paths, source, argument, names, skipped)


def _batches_read(read, paths, source, argument, names, skipped):
    highest = []
    starts = range(0, len(paths), BATCH_SIZE)
    for start in tqdm(starts, "encoding", disable=len(starts) < 8):
        batch = paths[start : start + BATCH_SIZE]
        read_now = dict(zip(batch, in_threads(read, batch, "reading"), strict=True))
        failed = {p: r for p, r in read_now.items() if isinstance(r, Exception)}
        skipped |= {p: reason(error) for p, error in failed.items()}
        images = {p: pair for p, pair in read_now.items() if p not in failed}
        names += images
        highest += [high for _, high in images.values() if high is not None]
        if images:
            yield np.stack([x for x, _ in images.values()])
    image_files.warn_if_dark(highest)
    if skipped:
        warning = SkippedFiles(skipped, len(names) + len(skipped), source)
        expected = f"`{argument}` must be an image that can be read"
        require(names, f"{expected}. {warning.short}")
        warnings.warn(warning, stacklevel=4)
