"""Generated images as files: one picture of all, or a folder of them."""

import functools
import math
import re

from skimage.util import montage

from convae_keras.files import results
from convae_keras.files.pictures import picture_bytes
from convae_keras.generation.generator import generate, is_generator
from convae_keras.pipelines import to_uint8
from convae_keras.saving import locked
from convae_keras.validation import as_path, check_ints, check_limit, require

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

# Labels that can be part of a file's name.
PLAIN = re.compile(r"[\w-]{1,64}", re.ASCII)


def write_generated(
    generator,
    destination,
    count=64,
    label=None,
    seed=0,
    *,
    overwrite=False,
    skip_existing=False,
):
    """Draws images from a generator and writes them.

    Files that exist are treated as in a destination folder of `files.restore.apply`.

    Args:
        generator: `keras.Model`, as `image_generator` builds it.
        destination: path of a picture, by its ending, for a grid of all images;
            any other is a folder, for a PNG an image, with its label in its name
            if all labels are of letters, digits, `_` and `-`.
        count: int.
        label: the class of all, or its name; None for classes as often as in
            training.
        seed: int.
        overwrite: bool, whether existing files may be replaced.
        skip_existing: bool, whether existing files are left as they are.

    Returns:
        `(paths, labels)`: list of `Path`, all files; list of int or str, the class
        of each image.

    Raises:
        ValueError: for a `count` below 1, an unknown class, a picture of another
            kind, other files of these names, or another process that writes there.
        OSError: if the disk is full.
    """
    destination = as_path(destination, "destination")
    suffix = destination.suffix.lower()
    if suffix not in PICTURES:
        results.check_folder(destination, PICTURES)
    results.check_options(overwrite, skip_existing)
    check_ints(count=count)
    expected = "`generator` must be a model of `image_generator`"
    require(is_generator(generator), f"{expected}. Received: {generator!r}")
    height, width, channels = generator.output_shape[1:]
    check_limit(count * height * width * channels, "pixels")
    images, labels = generate(generator, count, _class(generator, label), seed)
    pixels, labels = to_uint8(images), labels.tolist()
    names = _names(labels, generator.get_layer("classes").classes)
    place, paths = (destination,), [destination / name for name in names]
    contents = functools.partial(_pngs, pixels)
    if suffix in PICTURES:
        place, paths = (destination.parent, destination.name), [destination]
        contents = functools.partial(_grid, pixels, destination.suffix)
    with locked(*place):
        _, kept, errors = results.write_files(paths, contents, overwrite, skip_existing)
    for error in errors.values():
        raise error
    results.warn_of_kept(kept, len(paths), destination)
    return paths, labels


def _class(generator, label):
    """The class of that name, which may be an int; None for None."""
    names = {str(each): each for each in generator.get_layer("classes").classes}
    return label if label is None else names.get(str(label), label)


def _names(labels, classes):
    digits = max(4, len(str(len(labels) - 1)))
    plain = len(classes) > 1 and all(PLAIN.fullmatch(str(each)) for each in classes)
    return [
        f"{i:0{digits}}_{label}.png" if plain else f"{i:0{digits}}.png"
        for i, label in enumerate(labels)
    ]


def _pngs(pixels, indices):
    for i in indices:
        yield i, picture_bytes(pixels[i], ".png")


def _grid(pixels, suffix, indices):
    columns = math.ceil(math.sqrt(len(pixels)))
    shape = math.ceil(len(pixels) / columns), columns
    fill = [0] * pixels.shape[-1]
    grid = montage(pixels, fill=fill, grid_shape=shape, channel_axis=-1)
    for i in indices:
        yield i, picture_bytes(grid, suffix)
