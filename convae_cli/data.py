"""The images of `--data`, `--image-size` and the other flags of the data."""

from pathlib import Path

from convae_cli.checks import NAMED_SETS

# Side of a patch, in pixels; it divides by 2, 3 and 4. See `data.patches`.
PATCH_SIZE = 72
# How image files are decoded; see `data.image_files`.
DECODING = ("white", "background")


def is_folder(arguments):
    """Whether `--data` is a folder of somebody's own images."""
    return arguments.data not in NAMED_SETS and Path(arguments.data).is_dir()


def load(arguments, cut, scale=1):
    """Loads the images of `--data`.

    Args:
        arguments: `argparse.Namespace` with the flags of the data.
        cut: bool, cut photographs into patches rather than resize them.
        scale: int, what must divide the patches' side.

    Returns:
        `Images`.
    """
    from convae_keras import load_images

    names = ("image_size", "color", "fit", "patch_size", *DECODING)
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    photographs = arguments.data == "photographs" or is_folder(arguments)
    if cut and photographs and "image_size" not in options:
        options.setdefault("patch_size", max(PATCH_SIZE // scale, 4) * scale)
    return load_images(arguments.data, **options)
