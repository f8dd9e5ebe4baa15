"""Image files in one `.cae` file: compresses, decompresses and describes them."""

import itertools
import warnings
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from convae_keras.compression import container as cae
from convae_keras.compression.bitstream import check_size, pack, unpack
from convae_keras.data import image_files
from convae_keras.saving import atomic_write, fingerprint
from convae_keras.validation import check_images, format_shape, require

# Images and pixels of a block, at most: what is in memory at once.
BLOCK_IMAGES, BLOCK_PIXELS = 2000, 2**24

# What Pillow raises for a file that it cannot read.
READ_ERRORS = ValueError, OSError, SyntaxError, Image.DecompressionBombError


def compress(codec, source, destination, *, lossless=False, overwrite=False):
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
        overwrite: bool, whether an existing file may be replaced.

    Returns:
        `(count, skipped)`: int, number of images in the file; dict from the path
        of each skipped image to the reason.

    Raises:
        ValueError: before any work, if there is nothing to read or a file
            exists; and if no image at all could be compressed.
    """
    image_files.check_paths(source, destination)
    source, destination = Path(source), Path(destination)
    is_cae = destination.suffix == ".cae" and not destination.is_dir()
    expected = "`destination` must be a file name that ends in .cae"
    require(is_cae, f"{expected}. Received: {destination}")
    image_files.check_not_existing([destination], overwrite)
    names, skipped = [], {}
    if source.suffix == ".npy":
        batches, names = _batches_of_array(codec, source), None
    else:
        batches = _batches_of_files(codec, source, lossless, names, skipped)
    batches = iter(batches)
    first, count = next(batches, None), 0
    message = image_files.skipped_message(skipped, len(skipped), source)
    expected = "`source` must have images that fit the codec"
    require(first is not None, f"{expected}. {message}")

    def blocks():
        nonlocal count
        for x in itertools.chain([first], batches):
            count += len(x)
            yield cae.Block(*x.shape, pack(codec, x, lossless))

    destination.parent.mkdir(parents=True, exist_ok=True)
    mode = "lossless" if lossless else "lossy"
    cae.write_container(destination, mode, fingerprint(codec), blocks(), names)
    if skipped:
        message = image_files.skipped_message(skipped, len(skipped) + count, source)
        warnings.warn(message, stacklevel=2)
    return count, skipped


def _batches_of_array(codec, path):
    """Returns batches of the images in an `.npy`, which is not read at once."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        message = f"`source` must be an .npy of images. Received: {path} ({error})"
        raise ValueError(message) from error
    x = check_images(array, "source")
    message = f"`source` must have dtype uint8. Received: {array.dtype}"
    require(x.dtype == "uint8", message)
    check_size(codec, x.shape, "source")
    size = max(1, min(BLOCK_IMAGES, BLOCK_PIXELS // x[0].size))
    return (x[start : start + size] for start in range(0, len(x), size))


def _batches_of_files(codec, source, lossless, names, skipped):
    """Yields batches of images of one size; extends `names` and `skipped`."""
    folder, paths = image_files.images_in(source)
    sizes = {path: _attempt(_size, folder, path, skipped) for path in paths}
    readable = sorted((sizes[path], path) for path in paths if sizes[path])
    silent = len(readable) <= image_files.SILENT_UP_TO
    for _, group in itertools.groupby(readable, key=lambda pair: pair[0]):
        batch = []
        for _, path in tqdm([*group], "compressing", disable=silent):
            image = _attempt(_read, folder, path, skipped, codec, lossless)
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


def _attempt(function, folder, path, skipped, *options):
    try:
        return function(folder / path, *options)
    except READ_ERRORS as error:
        skipped[path] = str(error) or type(error).__name__
        return None


def _size(path):
    with image_files.open_image(path) as image:
        return ImageOps.exif_transpose(image).size if image.getexif() else image.size


def _read(path, codec, lossless):
    """Returns an image as uint8 `(height, width, channels)`, as the codec takes it."""
    height, width, channels = codec.input_shape[1:]
    mode = image_files.mode_of(channels)
    with image_files.open_image(path) as image:
        # Pillow reads the first page only, and 16 bits of a color as 8.
        complete = getattr(image, "n_frames", 1) == 1 and ";16" not in str(image.tile)
        ImageOps.exif_transpose(image, in_place=True)
        fits = height in (None, image.height) and width in (None, image.width)
        size, expected = format_shape(image.size), format_shape((width, height))
        require(fits, f"{size}, not {expected} (width x height)")
        exact_modes = mode, "1", "L", "P"[: mode == "RGB"]
        exact = image.mode in exact_modes and not image.has_transparency_data
        if lossless:
            kind = f"mode {image.mode}" if complete else "several pages or 16 bits"
            require(exact and complete, f"{kind}, not lossless in this codec")
        return np.atleast_3d(np.asarray(image_files.as_mode(image, mode)))


def decompress(codec, source, destination, *, overwrite=False):
    """Restores the images of a `.cae` file.

    Args:
        codec: the `Codec` that compressed it.
        source: path of the `.cae` file.
        destination: path of a folder, for a PNG file an image, under its old
            name; of a `.png`, for one image; or of an `.npy`, uint8 `(n, height,
            width, channels)`, for images of one size. Each file appears when it
            is complete.
        overwrite: bool, whether existing files may be replaced.

    Returns:
        int, number of images.

    Raises:
        ValueError: if another model compressed it, or files exist.
        InvalidFile: a `ValueError`, if it is corrupted.
    """
    image_files.check_paths(source, destination)
    destination, own = Path(destination), fingerprint(codec)
    with _open(source) as file:
        container = cae.Container(file)
        message = f"{source} was compressed by the model {container.model[:12]}…, and "
        message += f"the given one is {own[:12]}…"
        require(own.startswith(container.model), message)
        for _ in container:
            pass  # checks all checksums before anything is written
        if destination.suffix == ".npy":
            image_files.check_not_existing([destination], overwrite)
            _write_array(codec, container, destination)
        else:
            targets = _targets(container, destination)
            image_files.check_not_existing(targets, overwrite)
            _write_files(codec, container, targets)
        return container.images


def _open(source):
    require(Path(source).is_file(), f"No such file: {source}")
    return open(source, "rb")


def _unpack(codec, container, block):
    return unpack(codec, block.data, block.shape, container.mode == "lossless")


def _write_files(codec, container, targets):
    images = (x for block in container for x in _unpack(codec, container, block))
    for target, x in zip(targets, images, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
        with atomic_write(target) as temporary:
            image.save(temporary)


def _write_array(codec, container, destination):
    shapes = {shape[1:] for shape in container.shapes()}
    expected = f"`destination` must be a folder for images of {len(shapes)} sizes"
    require(len(shapes) == 1, f"{expected}. Received: {destination}")
    shape, start = (container.images, *shapes.pop()), 0
    with atomic_write(destination) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", "uint8", shape)
        for block in container:
            array[start : start + block.images] = _unpack(codec, container, block)
            start += block.images
        array.flush()


def _targets(container, destination):
    """Returns the path of each image."""
    count = container.images
    if destination.suffix == ".png" and not destination.is_dir():
        expected = f"`destination` must be a folder for {count} images"
        require(count == 1, f"{expected}. Received: {destination}")
        return [destination]
    numbers = (f"{i:0{len(str(count))}}.png" for i in range(count))
    return _paths_inside(destination, container.names() or [*numbers])


def _paths_inside(folder, names):
    """Returns paths inside the folder; raises for names that lead out of it."""
    for name in names:
        parts = PurePosixPath(name).parts
        inside = parts and not {"..", "/"} & {*parts} and "\0" not in name
        if not inside or PureWindowsPath(name).anchor or "\\" in name:
            problem = f"a name leads out of it, {name!r}"
            raise cae.InvalidFile(f"Invalid .cae file: {problem}.")
    files = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
    if len({*files}) < len(names):
        files = [f"{name}.png" for name in names]
    if len({*files}) < len(names):
        raise cae.InvalidFile("Invalid .cae file: two images have the same name.")
    return [folder / name for name in files]


def describe(source):
    """Describes a `.cae` file, without its model.

    Args:
        source: path.

    Returns:
        dict: `mode`, `model` (the first 32 digits of its fingerprint), `images`,
        `blocks`, `bytes`, `bytes_per_image`, `bits_per_pixel`, `shapes` (number
        of images of each shape), `names` (list of str, or None).

    Raises:
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
