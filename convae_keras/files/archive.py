"""Image files packed into one `.cae` file."""

import itertools
import warnings
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from convae_keras.compression.bitstream import check_size, pack, unpack
from convae_keras.compression.container import (
    Block,
    Container,
    DamagedFile,
    write_container,
)
from convae_keras.data.image_files import (
    MODES,
    as_mode,
    check_not_existing,
    check_paths,
    images_in,
    open_image,
    skipped_message,
)
from convae_keras.saving import atomic_write, fingerprint
from convae_keras.validation import check_images, expect, format_shape

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
    check_paths(source, destination)
    source, destination = Path(source), Path(destination)
    is_cae = destination.suffix == ".cae" and not destination.is_dir()
    expect(is_cae, "destination", "a name like images.cae", f"'{destination}'")
    check_not_existing([destination], overwrite)
    names, skipped = [], {}
    if source.suffix == ".npy":
        batches, names = _from_array(codec, source), None
    else:
        batches = _from_files(codec, source, lossless, names, skipped)
    batches = iter(batches)
    first = next(batches, None)
    count = 0 if names is None else len(names)
    message = skipped_message(skipped, len(skipped) + count, source)
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
        message = skipped_message(skipped, len(skipped) + sum(counts), source)
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
            size, wanted = format_shape(image.size), format_shape((width, height))
            raise ValueError(f"{size}, not {wanted} (width x height)")
        exact = mode, "1", "L", "P"[: mode == "RGB"]
        plain = image.mode in exact and not image.has_transparency_data
        if lossless and not (plain and whole):
            kind = image.mode if whole else "many pages or 16 bits a colour"
            raise ValueError(f"of kind {kind}, which would have to be changed")
        return np.atleast_3d(np.asarray(as_mode(image, mode)))


def decompress(codec, source, destination, overwrite=False):
    """Unpacks a `.cae` file.

    Args:
        codec: the `Codec` that packed it.
        source: path of the `.cae` file.
        destination: path of a folder, in which each image becomes a PNG file of
            its old name; of a `.png`, for one image; or of an `.npy`, uint8
            `(n, height, width, channels)`, for images of one size. Each file is
            whole under its name, or not there.
        overwrite: bool, whether files that exist may be replaced.

    Returns:
        int, how many images there were.

    Raises:
        ValueError: if it was packed by another model, or files are in the way.
        DamagedFile: a `ValueError`, if the file is not what it says.
    """
    check_paths(source, destination)
    expect(Path(source).is_file(), "source", "a .cae file that exists", f"'{source}'")
    destination = Path(destination)
    with open(source, "rb") as file:
        container = Container(file)
        wanted = f"of this model ({fingerprint(codec)[:12]}…)"
        same = fingerprint(codec).startswith(container.model)
        expect(same, "source", wanted, f"'{source}', of {container.model[:12]}…")
        for _ in container:
            pass  # all checksums, before anything is written
        if destination.suffix == ".npy":
            check_not_existing([destination], overwrite)
            _to_array(codec, container, destination)
        else:
            targets = _targets(container, destination)
            check_not_existing(targets, overwrite)
            _to_files(codec, container, targets)
        return container.images


def _unpacked(codec, container, block):
    return unpack(codec, block.data, block.shape, container.mode == "lossless")


def _to_files(codec, container, targets):
    images = (x for block in container for x in _unpacked(codec, container, block))
    for target, x in zip(targets, images, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
        with atomic_write(target) as aside:
            image.save(aside)


def _to_array(codec, container, destination):
    shapes = {shape[1:] for shape in container.shapes()}
    wanted = "a folder, for images of several sizes"
    expect(len(shapes) == 1, "destination", wanted, f"'{destination}'")
    shape = container.images, *shapes.pop()
    start = 0
    with atomic_write(destination) as aside:
        array = np.lib.format.open_memmap(aside, "w+", "uint8", shape)
        for block in container:
            array[start : start + block.images] = _unpacked(codec, container, block)
            start += block.images
        array.flush()


def _targets(container, destination):
    """Where images go."""
    count = container.images
    if destination.suffix == ".png" and not destination.is_dir():
        several = f"a folder, for {count} images"
        expect(count == 1, "destination", several, f"'{destination}'")
        return [destination]
    numbers = (f"{i:0{len(str(count))}}.png" for i in range(count))
    return _below(destination, container.names() or [*numbers])


def _below(folder, names):
    """Paths below the folder, whatever the names say."""
    for name in names:
        parts = PurePosixPath(name).parts
        plain = parts and not {"..", "/"} & {*parts} and "\0" not in name
        if not plain or PureWindowsPath(name).anchor or "\\" in name:
            raise DamagedFile(f"Not a sound .cae file: a name that leads out, {name!r}")
    shorter = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
    if len({*shorter}) < len(names):
        shorter = [f"{name}.png" for name in names]
    if len({*shorter}) < len(names):
        raise DamagedFile("Not a sound .cae file: two images of one name")
    return [folder / name for name in shorter]


def describe(source):
    """What a `.cae` file is, told without its model.

    Args:
        source: path.

    Returns:
        dict: `mode`, `model` (the first 32 digits of its fingerprint), `images`,
        `blocks`, `bytes`, `bytes_per_image`, `bits_per_pixel`, `shapes` (of the
        images, with how many there are of each), `names` (of them, or None).

    Raises:
        DamagedFile: a `ValueError`, if it is damaged anywhere.
    """
    expect(Path(source).is_file(), "source", "a .cae file that exists", f"'{source}'")
    with open(source, "rb") as file:
        container = Container(file)
        shapes, pixels = {}, 0
        for block in container:  # all checksums
            key = format_shape(block.shape[1:])
            shapes[key] = shapes.get(key, 0) + block.images
            pixels += block.images * block.height * block.width
        names = container.names()
    return {
        "mode": container.mode,
        "model": container.model,
        "images": container.images,
        "blocks": container.blocks,
        "bytes": container.size,
        "bytes_per_image": container.size / max(container.images, 1),
        "bits_per_pixel": 8 * container.size / max(pixels, 1),
        "shapes": shapes,
        "names": names,
    }
