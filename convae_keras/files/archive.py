"""Image files in one `.cae` file: compresses, decompresses and describes them."""

import contextlib
import functools
import itertools
import os
import warnings

import numpy as np

from convae_keras.compression import container as cae
from convae_keras.compression.bitstream import pack, unpack
from convae_keras.data import image_files
from convae_keras.data.image_files import SkippedFiles
from convae_keras.files import results
from convae_keras.files.batches import (
    batches_by_size,
    batches_of_array,
    compute_batches,
    read_fitting,
)
from convae_keras.files.pictures import picture_bytes
from convae_keras.files.workers import alone
from convae_keras.saving import atomic_write, fingerprint, locked
from convae_keras.validation import as_path, format_shape, reason, require


def compress(
    codec,
    source,
    destination,
    *,
    lossless=False,
    white=None,
    background=None,
    overwrite=False,
    workers=alone,
):
    """Compresses images into a `.cae` file.

    Only one block of images is in memory at a time. Images that do not fit are
    skipped, and a warning names them: of another size than a codec of one size
    takes, or, in lossless mode, of a kind that would have to be converted.

    Args:
        codec: `Codec` with fitted tables.
        source: path of an image, of a folder of images, or of an `.npy` with
            uint8 `(n, height, width)` or `(n, height, width, channels)`.
        destination: path of the `.cae` file, which appears when it is complete.
        lossless: bool, whether `decompress` is to restore every pixel.
        white, background: as in `read_folder`.
        overwrite: bool, whether an existing file may be replaced.
        workers: who computes, as in `encode_files`; an array this process does.

    Returns:
        `(count, skipped)`: int, number of images in the file; dict from the path
        of each skipped image to the reason.

    Raises:
        ValueError: before any work, if there is nothing to read or a file
            exists; and if no image at all could be compressed.
        OSError: if the disk is full.
    """
    source, destination = as_path(source, "source"), as_path(destination, "destination")
    decoding = {"white": white, "background": background}
    image_files.check_decoding(**decoding)
    is_cae = destination.suffix == ".cae" and not destination.is_dir()
    expected = "`destination` must be a file name that ends in .cae"
    require(is_cae, f"{expected}. Received: {destination}")
    results.check_not_existing([destination], overwrite)
    names, skipped, block = [], {}, functools.partial(_block, lossless)
    if source.suffix == ".npy":
        names = None
        blocks = (block(codec, x) for x in batches_of_array(codec, source))
    else:
        shape = codec.input_shape[1:]
        options = {"shape": shape, "lossless": lossless, **decoding}
        read = functools.partial(read_fitting, **options)
        folder, batches = batches_by_size(source, shape[2], skipped)
        given = block, codec, read, folder, batches, names, skipped
        blocks = compute_batches(*given, action="compressing", workers=workers)
    mode, model = "lossless" if lossless else "lossy", fingerprint(codec)
    with locked(destination.parent, destination.name):
        first = next(blocks, None)
        warning = SkippedFiles(skipped, len(skipped), source)
        expected = "`source` must have images that fit the codec"
        require(first is not None, f"{expected}. {warning.short}")
        blocks = itertools.chain([first], blocks)
        count = cae.write_container(destination, mode, model, blocks, names, overwrite)
    if skipped:
        warnings.warn(SkippedFiles(skipped, len(skipped) + count, source), stacklevel=2)
    return count, skipped


def _block(lossless, codec, x):
    return cae.Block(*x.shape, pack(codec, x, lossless))


def decompress(codec, source, destination, *, overwrite=False, skip_existing=False):
    """Restores the images of a `.cae` file.

    Files that exist in a destination folder are treated as `files.restore.apply`
    treats them.

    Args:
        codec: the `Codec` that compressed it.
        source: path of the `.cae` file.
        destination: path of a folder, for a PNG file an image, under its old
            name; of a `.png`, for one image; or of an `.npy`, uint8 `(n, height,
            width, channels)`, for images of one size. Each file appears when it
            is complete.
        overwrite: bool, whether existing files may be replaced.
        skip_existing: bool, whether existing files, whatever they are, are left as
            they are.

    Returns:
        `(count, skipped)`: int, number of images that are there; dict from the name
        of each that cannot have a file of that name to the reason. A warning names
        them.

    Raises:
        ValueError: if another model compressed it, another process is writing
            there, or other files exist.
        InvalidFile: a `ValueError`, if it is corrupted.
        OSError: if the disk is full.
    """
    destination, own = as_path(destination, "destination"), fingerprint(codec)
    results.check_options(overwrite, skip_existing)
    with _open(source) as file:
        container = cae.Container(file)
        message = f"{source} was compressed by the model {container.model[:12]}…, and "
        message += f"the given one is {own[:12]}…"
        require(own.startswith(container.model), message)
        for _ in container:
            pass  # checks all checksums before anything is written
        if destination.suffix == ".npy":
            _write_array(codec, container, destination, overwrite, skip_existing)
            return container.images, {}
        names, paths, skipped = _targets(container, destination)
        contents = functools.partial(_pngs, codec, container)
        place = (destination,)
        if paths == [destination]:
            place = destination.parent, destination.name
        with locked(*place):
            found = results.write_files(paths, contents, overwrite, skip_existing)
    written, kept, errors = found
    skipped |= {names[i]: reason(error) for i, error in errors.items()}
    if skipped:
        warnings.warn(SkippedFiles(skipped, container.images, source), stacklevel=2)
    results.warn_of_kept(kept, container.images, destination)
    return len(written) + kept, skipped


@contextlib.contextmanager
def _open(source):
    source = as_path(source, "source")
    require(source.is_file(), f"No such file: {source}")
    try:
        with open(source, "rb") as file:
            yield file
    except cae.InvalidFile as error:
        raise cae.InvalidFile(f"{source}: {error}") from error


def _unpack(codec, container, block):
    try:
        return unpack(codec, block.data, block.shape, container.mode == "lossless")
    except ValueError as error:
        raise cae.InvalidFile(f"Invalid .cae file: {error}") from error


def _pngs(codec, container, indices):
    """Yields pairs of an index and a PNG; unpacks only blocks with wanted images."""
    start, wanted = 0, {*indices}
    for block in container:
        here = [i for i in range(start, start + block.images) if i in wanted]
        x = _unpack(codec, container, block) if here else None
        for i in here:
            yield i, picture_bytes(x[i - start], ".png")
        start += block.images


def _write_array(codec, container, destination, overwrite, skip_existing):
    results.check_not_existing([destination], overwrite or skip_existing)
    shapes = {shape[1:] for shape in container.shapes()}
    expected = f"`destination` must be a folder for images of {len(shapes)} sizes"
    require(len(shapes) == 1, f"{expected}. Received: {destination}")
    with locked(destination.parent, destination.name):
        if skip_existing and os.path.lexists(destination):
            results.warn_of_kept(1, 1, destination)
            return
        header = {"descr": "|u1", "fortran_order": False}
        header["shape"] = (container.images, *shapes.pop())
        # Not mapped into memory: a full disk would end the process.
        with (
            atomic_write(destination, overwrite) as temporary,
            open(temporary, "wb") as file,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for block in container:
                file.write(_unpack(codec, container, block).tobytes())


def _targets(container, destination):
    """Returns the name and the path of each image, and those without a path."""
    count = container.images
    if destination.suffix == ".png" and not destination.is_dir():
        expected = f"`destination` must be a folder for {count} images"
        require(count == 1, f"{expected}. Received: {destination}")
        return [destination.name], [destination], {}
    numbers = (f"{i:0{len(str(count))}}.png" for i in range(count))
    names = container.names() or [*numbers]
    return names, *results.paths_inside(destination, names)


def describe(source):
    """Describes a `.cae` file, without its model.

    Args:
        source: path.

    Returns:
        dict: `mode`, `model` (the first 32 digits of its fingerprint), `images`,
        `blocks`, `bytes`, `bytes_per_image`, `bits_per_pixel`, `shapes` (number
        of images of each shape), `names` (list of str, or None).

    Raises:
        ValueError: if there is no such file.
        InvalidFile: a `ValueError`, if any part is corrupted.
    """
    with _open(source) as file:
        container = cae.Container(file)
        shapes, pixels = {}, 0
        for block in container:  # checks all checksums
            key = format_shape(block.shape[1:])
            shapes[key] = shapes.get(key, 0) + block.images
            pixels += block.images * block.height * block.width
        names = container.names()
    header = ("mode", "model", "images", "blocks")
    return {
        **{name: getattr(container, name) for name in header},
        "bytes": container.size,
        "bytes_per_image": container.size / max(container.images, 1),
        "bits_per_pixel": 8 * container.size / max(pixels, 1),
        "shapes": shapes,
        "names": names,
    }
