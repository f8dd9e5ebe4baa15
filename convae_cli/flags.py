"""Flags that several verbs have, each a function that adds some.

`add` is the `add_argument` of a verb's parser.
"""

from convae_cli.checks import pretrained_names

COLORS = ("grayscale", "grey", "rgb")
FITS = ("crop", "pad")


def run_flag(add, name="run", **options):
    """Adds the run folder, as an argument or a flag."""
    names = ", ".join(pretrained_names())
    help = f"run folder, or a pretrained model: {names}"
    add(name, metavar="RUN", help=help, **options)


def skip_flag(add):
    """Adds `--skip-existing`."""
    add("--skip-existing", action="store_true", help="leave existing files as they are")


def overwrite_flag(add):
    """Adds `--overwrite`."""
    add("--overwrite", action="store_true", help="replace existing files")


def workers_flag(add):
    """Adds `--workers`."""
    workers = "divide a folder's files among so many processes, or the workers of a "
    workers += "Dask scheduler, by its address (tcp://host:8786)"
    add("--workers", metavar="WORKERS", help=workers)


def data_flags(add):
    """Adds the flags that say which images are loaded, and how."""
    sources = "mnist, fashion_mnist, cifar10, mnist5k, photographs, .npz file or folder"
    add("--data", metavar="SOURCE", help=f"{sources} (default: CONVAE_DATA, or mnist)")
    size = "size of a folder's images: one number, or height and width"
    add("--image-size", type=int, nargs="+", metavar="PIXELS", help=size)
    color = "color mode of a folder's images (default: by the files)"
    add("--color", choices=COLORS, metavar="{grayscale,rgb}", help=color)
    fit = "how a folder's images come to one size (default: crop)"
    add("--fit", choices=FITS, help=fit)
    patches = "cut a folder's images into patches (default: 72, if a task restores)"
    add("--patch-size", type=int, metavar="PIXELS", help=patches)
    decoding_flags(add)


def decoding_flags(add):
    """Adds `--white` and `--background`."""
    white = "value of white in files of more than 8 bits (default: by their bits)"
    add("--white", type=float, metavar="VALUE", help=white)
    background = "color behind transparent pixels: name or #rrggbb (default: white)"
    add("--background", metavar="COLOR", help=background)
