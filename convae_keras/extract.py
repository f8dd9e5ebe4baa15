"""What is in a `.cae` file: told, or unpacked into image files."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from PIL import Image

from convae_keras.compression import unpack
from convae_keras.container import Container, DamagedFile
from convae_keras.files import expect_free, expect_paths
from convae_keras.pipelines import expect, sides
from convae_keras.runs import fingerprint, replacing


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
    expect_paths(source, destination)
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
            expect_free([destination], overwrite)
            _to_array(codec, container, destination)
        else:
            targets = _targets(container, destination)
            expect_free(targets, overwrite)
            _to_files(codec, container, targets)
        return container.images


def _unpacked(codec, container, block):
    return unpack(codec, block.data, block.shape, container.mode == "lossless")


def _to_files(codec, container, targets):
    images = (x for block in container for x in _unpacked(codec, container, block))
    for target, x in zip(targets, images, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x)
        with replacing(target) as aside:
            image.save(aside)


def _to_array(codec, container, destination):
    shapes = {shape[1:] for shape in container.shapes()}
    wanted = "a folder, for images of several sizes"
    expect(len(shapes) == 1, "destination", wanted, f"'{destination}'")
    shape = container.images, *shapes.pop()
    start = 0
    with replacing(destination) as aside:
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
            key = sides(block.shape[1:])
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
