"""The words of the command line: every verb, its flags, its help.

To add a verb, add a function here that adds its flags, and a function of the same
name to `convae_cli.commands`.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

from convae_cli.checks import (
    check_exists,
    check_run,
    check_source,
    pretrained_names,
    require,
)
from convae_cli.tasks import TASKS, check_arguments

COLORS = ("grayscale", "grey", "rgb")
FITS = ("crop", "pad")
POOLINGS = ("average", "max")
MAX_SEED = 2**32 - 1  # of NumPy
PATHS = ("run", "data", "out", "input", "output", "where", "query")
LIMIT = "memory that a file may unpack to (default: 512); more for files you trust"


@dataclass(frozen=True)
class Verb:
    """One verb of the command.

    Args:
        help: str, one line.
        example: str, a command that works.
        add_flags: function that takes a parser's `add_argument`.
        interrupted: str, what is on the disk after Ctrl-C.
    """

    help: str
    example: str
    add_flags: Callable
    interrupted: str = "Nothing was written."


VERBS = {}
NOTHING = "Nothing was written."
COMPLETE = "Files already written are complete; --skip-existing goes on after them."
RESUME = "Run the same command again to resume."


def _verb(example, interrupted=NOTHING):
    """Registers a verb: a function that adds its flags, its help the docstring."""

    def register(add_flags):
        name = add_flags.__name__.strip("_")
        VERBS[name] = Verb(add_flags.__doc__, example, add_flags, interrupted)
        return add_flags

    return register


@_verb("convae train --data photos/ --task denoise --out runs/denoiser", RESUME)
def _train(add):
    """Train a model and write a run folder."""
    tasks = "; ".join(f"{task.name}: {task.help}" for task in TASKS.values())
    add("--task", default="reconstruct", choices=TASKS, help=tasks)
    names = [preset for task in TASKS.values() for preset in task.presets]
    names = ", ".join(dict.fromkeys(names))
    add("--preset", help=f"network: {names} (default: by the task and the images)")
    for task in TASKS.values():
        for flag, options in task.flags.items():
            add(flag, **{**options, "help": f"{task.name}: {options['help']}"})
    add("--price", type=float, dest="rate_weight", help=argparse.SUPPRESS)
    augment = "random flips and 90° rotations of square images (default: for patches)"
    add("--augment", action=argparse.BooleanOptionalAction, help=augment)
    hidden = {"dest": "augment", "help": argparse.SUPPRESS}
    add("--turn", action=argparse.BooleanOptionalAction, **hidden)
    add("--out", metavar="RUN", help="run folder (default: runs/PRESET-DATA)")
    epochs = "at most so many (default: by number and size of the images)"
    add("--epochs", type=int, help=epochs)
    add("--batch-size", type=int, help="images in a batch (default: by the network)")
    size = "size of a dense code, or of a block's (default: by the images)"
    add("--latent-dim", type=int, help=size)
    rate = "peak learning rate of the schedule (default: by the network)"
    add("--learning-rate", type=float, help=rate)
    losses = "binary_crossentropy, mse, mae or psnr (default: by the network)"
    add("--loss", help=losses)
    add("--seed", type=int, default=0, help="of weights, order and noise (default: 0)")
    half = "compute in half precision (mixed_float16), for GPUs"
    add("--half", action="store_true", help=half)
    add("--tensorboard", action="store_true", help="write logs to RUN/logs")
    together = "train one model by several processes, under KERAS_BACKEND=jax: the "
    together += "address of the first, how many, and which of them this is, from 0"
    names = ("HOST:PORT", "PROCESSES", "INDEX")
    add("--join", nargs=3, metavar=names, help=together)
    _data_flags(add)


@_verb("convae evaluate runs/denoiser --data photos/")
def _evaluate(add):
    """Score a trained model on test images."""
    add("run", metavar="RUN", help="run folder")
    _data_flags(add)


@_verb("convae apply denoiser noisy/ restored/", COMPLETE)
def _apply(add):
    """Restore images of any size."""
    _run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help="image, or folder, to write")
    _decoding_flags(add)
    _skip_flag(add)
    _write_flags(add)


@_verb("convae encode reference digits/ features.npz")
def _encode(add):
    """Write the features of images."""
    _run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help=".npz file to write: features, names")
    add("--layer", help="layer of the encoder, by name (default: the last, the code)")
    add("--pooling", choices=POOLINGS, help="over rows and columns (default: none)")
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    _decoding_flags(add)
    _write_flags(add)


@_verb("convae search reference digits/ query.png --count 5")
def _search(add):
    """List the images nearest to a query image."""
    _run_flag(add)
    add("where", metavar="WHERE", help="folder of images, or .npz file of `encode`")
    add("query", metavar="QUERY", help="image")
    add("--count", type=int, default=10, help="number of results (default: 10)")
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    _decoding_flags(add)
    _json_flag(add)


@_verb("convae compress digits pictures/ pictures.cae")
def _compress(add):
    """Compress images into one .cae file."""
    _run_flag(add)
    add("input", metavar="INPUT", help="image, folder of images, or .npy file")
    add("output", metavar="OUTPUT", help=".cae file to write")
    add("--lossless", action="store_true", help="restore every pixel exactly")
    _decoding_flags(add)
    _write_flags(add)


@_verb("convae decompress digits pictures.cae restored/", COMPLETE)
def _decompress(add):
    """Restore the images of a .cae file."""
    _run_flag(add)
    add("input", metavar="INPUT", help=".cae file")
    output = "folder for PNG files, .png file, or .npy file"
    add("output", metavar="OUTPUT", help=output)
    _skip_flag(add)
    _write_flags(add)


@_verb("convae generate runs/digits grid.png --count 100", COMPLETE)
def _generate(add):
    """Draw new images from a model trained with --task generate."""
    _run_flag(add)
    output = "picture to write, a grid of all; or folder, for PNG files"
    add("output", metavar="OUTPUT", help=output)
    add("--count", type=int, default=64, help="number of images (default: 64)")
    add("--label", help="class of all (default: as often as in training)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    _skip_flag(add)
    _write_flags(add)


@_verb("convae anomalies runs/parts pictures/ found/ --rate 0.01", RESUME)
def _anomalies(add):
    """Find unusual images with a model trained with --task anomaly."""
    _run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help="folder for scores.csv, and maps of places")
    rate = "share of normal images that may be called anomalies (default: 0.01 or more)"
    add("--rate", type=float, help=rate)
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    _decoding_flags(add)
    _write_flags(add)


@_verb("convae info photos.cae")
def _info(add):
    """Show the contents of a .cae file."""
    add("input", metavar="INPUT", help=".cae file")
    _json_flag(add)


def _run_flag(add):
    names = ", ".join(pretrained_names())
    add("run", metavar="RUN", help=f"run folder, or a pretrained model: {names}")


def _skip_flag(add):
    add("--skip-existing", action="store_true", help="leave existing files as they are")


def _write_flags(add):
    add("--overwrite", action="store_true", help="replace existing files")
    _json_flag(add)


def _json_flag(add):
    add("--json", action="store_true", help="print one JSON object as the last line")


def _data_flags(add):
    sources = "mnist, fashion_mnist, cifar10, mnist5k, photographs, .npz file or folder"
    add("--data", metavar="SOURCE", help=f"{sources} (default: CONVAE_DATA, or mnist)")
    size = "size of a folder's images: one side, or height and width"
    add("--image-size", type=int, nargs="+", metavar="PIXELS", help=size)
    color = "color mode of a folder's images (default: by the files)"
    add("--color", choices=COLORS, metavar="{grayscale,rgb}", help=color)
    fit = "how a folder's images come to one size (default: crop)"
    add("--fit", choices=FITS, help=fit)
    patches = "cut a folder's images into patches (default: 72, if a task restores)"
    add("--patch-size", type=int, metavar="PIXELS", help=patches)
    _decoding_flags(add)
    _json_flag(add)


def _decoding_flags(add):
    white = "value of white in files of more than 8 bits (default: by their bits)"
    add("--white", type=float, metavar="VALUE", help=white)
    background = "color behind transparent pixels: name or #rrggbb (default: white)"
    add("--background", metavar="COLOR", help=background)


def parser():
    """Returns the `argparse.ArgumentParser` of the command; the verb is `verb`."""
    about = "Convolutional autoencoders for your own images."
    top = argparse.ArgumentParser(prog="convae", description=about)
    top.add_argument("--version", action="version", version=version("convae-keras"))
    verbs = top.add_subparsers(required=True, metavar="VERB", dest="verb")
    for name, verb in VERBS.items():
        help = {"help": verb.help, "description": verb.help}
        help["epilog"] = f"example: {verb.example}"
        add = verbs.add_parser(name, **help).add_argument
        verb.add_flags(add)
        add("--limit", type=int, metavar="MEGABYTES", help=LIMIT)
    return top


def check(arguments):
    """Refuses what can be refused without Keras: files, models, flags of a task.

    Args:
        arguments: what the parser returned.

    Raises:
        ValueError: naming the argument.
    """
    given, limit = vars(arguments), arguments.limit
    for name in PATHS:  # a shell leaves the `~` of --out=~/runs as it is
        if given.get(name):
            given[name] = os.path.expanduser(given[name])
    expected = "`--limit` must be a positive number of megabytes"
    require(limit is None or limit > 0, f"{expected}. Received: {limit}")
    count = given.get("count", 1)
    require(count > 0, f"`--count` must be at least 1. Received: {count}")
    rate = given.get("rate")
    message = f"`--rate` must be between 0 and 1. Received: {rate}"
    require(rate is None or 0 < rate < 1, message)
    if arguments.verb == "generate":
        expected, seed = f"`--seed` must be from 0 to {MAX_SEED}", arguments.seed
        require(0 <= seed <= MAX_SEED, f"{expected}. Received: {seed}")
    if "run" in given:
        check_run(arguments.run)
    if "data" in given:
        check_source(arguments.data)
    for name in ("input", "where", "query"):
        if name in given:
            check_exists(given[name])
    if "task" in given:
        check_arguments(TASKS[arguments.task], arguments)
