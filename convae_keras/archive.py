"""Image files packed into one `.cae` file."""

import itertools
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from convae_keras.compression import check_size, pack
from convae_keras.container import Block, write_container
from convae_keras.files import (
    MODES,
    as_mode,
    expect_free,
    expect_paths,
    images_in,
    open_image,
    what_was_skipped,
)
from convae_keras.pipelines import check_images, expect, sides
from convae_keras.runs import fingerprint

# Images, and pixels, that are packed together.
BLOCK_IMAGES, BLOCK_PIXELS = 2000, 2**24
ANY_FILE = ValueError, OSError, SyntaxError, Image.DecompressionBombError


def compress(codec, source, destination, lossless=False, overwrite=False):
    """Packs images into a `.cae` file.

    Only a block of them is in memory. Images that the codec does not take are
    left out, and a warning names them: of another size than a codec of one size
    wants, or, if nothing may be lost, of a kind that would have to be changed.

    Args:
        codec: `Codec` whose tables are fitted.
        source: path of an image, of a folder of images, or of an `.npy` with
            uint8 `(n, height, width)` or `(n, height, width, channels)`.
        destination: path of the `.cae` file. It is whole under its name, or not
            there.
        lossless: bool, whether they are to come back as they are.
        overwrite: bool, whether a file that exists may be replaced.

    Returns:
        `(count, skipped)`: int, how many images are in the file; dict from the
        path of each that is not to why not.

    Raises:
        ValueError: before any work, if there is nothing to read, or a file in
            the way; and if no image at all could be packed.
    """
    expect_paths(source, destination)
    source, destination = Path(source), Path(destination)
    is_cae = destination.suffix == ".cae" and not destination.is_dir()
    expect(is_cae, "destination", "a name like images.cae", f"'{destination}'")
    expect_free([destination], overwrite)
    names, skipped = [], {}
    if source.suffix == ".npy":
        batches, names = _from_array(codec, source), None
    else:
        batches = _from_files(codec, source, lossless, names, skipped)
    batches = iter(batches)
    first = next(batches, None)
    count = 0 if names is None else len(names)
    message = what_was_skipped(skipped, len(skipped) + count, source)
    expect(first is not None, "source", "images that this codec takes", message)
    counts = []

    def blocks():
        for x in itertools.chain([first], batches):
            counts.append(len(x))
            yield Block(*x.shape, pack(codec, x, lossless))

    destination.parent.mkdir(parents=True, exist_ok=True)
    mode = "lossless" if lossless else "lossy"
    write_container(destination, mode, fingerprint(codec), blocks(), names)
    if skipped:
        message = what_was_skipped(skipped, len(skipped) + sum(counts), source)
        warnings.warn(message, stacklevel=2)
    return sum(counts), skipped


def _from_array(codec, path):
    """Blocks of an array on the disk."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        message = f"Expected an .npy of images. Received: '{path}' ({error})"
        raise ValueError(message) from error
    x = check_images(array, "source")
    expect(x.dtype == "uint8", "source", "uint8 images", x.dtype)
    check_size(codec, x.shape, "source")
    size = max(1, min(BLOCK_IMAGES, BLOCK_PIXELS // x[0].size))
    return (x[start : start + size] for start in range(0, len(x), size))


def _from_files(codec, source, lossless, names, skipped):
    """Blocks of images of one size; `names` and `skipped` are filled meanwhile."""
    folder, paths = images_in(source)
    sizes = {path: _attempt(_size, folder, path, skipped) for path in paths}
    known = sorted((sizes[path], path) for path in paths if sizes[path])
    for _, group in itertools.groupby(known, key=lambda pair: pair[0]):
        batch, batch_names = [], []
        for _, path in tqdm([*group], "packing", disable=len(known) < 2000):
            image = _attempt(_read, folder, path, skipped, codec, lossless)
            if image is None:
                continue
            batch.append(image)
            batch_names.append(path)
            full = len(batch) * image.size >= BLOCK_PIXELS
            if full or len(batch) == BLOCK_IMAGES:
                names += batch_names
                yield np.stack(batch)
                batch, batch_names = [], []
        if batch:
            names += batch_names
            yield np.stack(batch)


def _attempt(function, folder, path, skipped, *options):
    try:
        return function(folder / path, *options)
    except ANY_FILE as error:
        skipped[path] = str(error) or type(error).__name__
        return None


def _size(path):
    with open_image(path) as image:
        return ImageOps.exif_transpose(image).size if image.getexif() else image.size


def _read(path, codec, lossless):
    """uint8 `(height, width, channels)`, as the codec takes it."""
    height, width, channels = codec.input_shape[1:]
    mode = {len(mode): mode for mode in MODES.values()}[channels]
    with open_image(path) as image:
        # Pillow reads the first page alone, and 16 bits of a colour as 8.
        whole = getattr(image, "n_frames", 1) == 1 and ";16" not in str(image.tile)
        ImageOps.exif_transpose(image, in_place=True)
        fits = height in (None, image.height) and width in (None, image.width)
        if not fits:
            size, wanted = sides(image.size), sides((width, height))
            raise ValueError(f"{size}, not {wanted} (width x height)")
        exact = mode, "1", "L", "P"[: mode == "RGB"]
        plain = image.mode in exact and not image.has_transparency_data
        if lossless and not (plain and whole):
            kind = image.mode if whole else "many pages or 16 bits a colour"
            raise ValueError(f"of kind {kind}, which would have to be changed")
        return np.atleast_3d(np.asarray(as_mode(image, mode)))
