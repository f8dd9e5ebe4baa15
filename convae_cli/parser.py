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
    check_numbers,
    check_run,
    check_source,
    check_workers,
)
from convae_cli.completion import PATHS, SHELLS, PrintCompletion
from convae_cli.flags import (
    FITS,
    data_flags,
    decoding_flags,
    overwrite_flag,
    run_flag,
    skip_flag,
    workers_flag,
)
from convae_cli.tasks import TASKS, check_arguments

POOLINGS = ("average", "max")
FORMATS = ("saved_model", "onnx", "litert")
PARTS = ("whole", "encoder", "decoder")
LIMIT = "memory that a file may unpack to (default: 512); more for files you trust"
JSON = "print one JSON object, and all else on standard error"


@dataclass(frozen=True)
class Verb:
    """One verb of the command.

    Args:
        help: str, one line.
        example: str, a command that works.
        add_flags: function that takes a parser's `add_argument`.
        interrupted: str, what is on the disk after Ctrl-C.
        module: str, where its function is, if that needs no Keras; None for
            `convae_cli.commands`.
    """

    help: str
    example: str
    add_flags: Callable
    interrupted: str
    module: str | None


VERBS = {}
NOTHING = "Nothing was written."
COMPLETE = "Files already written are complete; --skip-existing goes on after them."
RESUME = "Run the same command again to resume."


def _verb(example, interrupted=NOTHING, module=None):
    """Registers a verb: a function that adds its flags, its help the docstring."""

    def register(add_flags):
        name = add_flags.__name__.strip("_")
        VERBS[name] = Verb(add_flags.__doc__, example, add_flags, interrupted, module)
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
    add("--join", nargs=3, metavar=("HOST:PORT", "PROCESSES", "INDEX"), help=together)
    data_flags(add)


@_verb("convae evaluate denoiser --data photos/")
def _evaluate(add):
    """Score a trained model on test images."""
    run_flag(add)
    data_flags(add)


@_verb("convae apply denoiser noisy/ restored/", COMPLETE)
def _apply(add):
    """Restore images of any size."""
    run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help="image, or folder, to write")
    decoding_flags(add)
    workers_flag(add)
    skip_flag(add)
    overwrite_flag(add)


@_verb("convae encode reference digits/ features.npz")
def _encode(add):
    """Write the features of images."""
    run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help=".npz file to write: features, names")
    add("--layer", help="layer of the encoder, by name (default: the last, the code)")
    add("--pooling", choices=POOLINGS, help="over rows and columns (default: none)")
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    decoding_flags(add)
    workers_flag(add)
    overwrite_flag(add)


@_verb("convae search reference digits/ query.png --count 5")
def _search(add):
    """List the images nearest to a query image."""
    run_flag(add)
    add("where", metavar="WHERE", help="folder of images, or .npz file of `encode`")
    add("query", metavar="QUERY", help="image")
    add("--count", type=int, default=10, help="number of results (default: 10)")
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    decoding_flags(add)


@_verb("convae compress digits pictures/ pictures.cae")
def _compress(add):
    """Compress images into one .cae file."""
    run_flag(add)
    add("input", metavar="INPUT", help="image, folder of images, or .npy file")
    add("output", metavar="OUTPUT", help=".cae file to write")
    add("--lossless", action="store_true", help="restore every pixel exactly")
    decoding_flags(add)
    workers_flag(add)
    overwrite_flag(add)


@_verb("convae decompress digits pictures.cae restored/", COMPLETE)
def _decompress(add):
    """Restore the images of a .cae file."""
    run_flag(add)
    add("input", metavar="INPUT", help=".cae file")
    output = "folder for PNG files, .png file, or .npy file"
    add("output", metavar="OUTPUT", help=output)
    skip_flag(add)
    overwrite_flag(add)


@_verb("convae generate runs/digits grid.png --count 100", COMPLETE)
def _generate(add):
    """Draw new images from a model trained with --task generate."""
    run_flag(add)
    output = "picture to write, a grid of all; or folder, for PNG files"
    add("output", metavar="OUTPUT", help=output)
    add("--count", type=int, default=64, help="number of images (default: 64)")
    add("--label", help="class of all (default: as often as in training)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    skip_flag(add)
    overwrite_flag(add)


@_verb("convae anomalies runs/parts pictures/ found/ --rate 0.01", RESUME)
def _anomalies(add):
    """Find unusual images with a model trained with --task anomaly."""
    run_flag(add)
    add("input", metavar="INPUT", help="image, or folder of images")
    add("output", metavar="OUTPUT", help="folder for scores.csv and anomaly maps")
    rate = "fraction of normal images called anomalies (default: 0.01 or more)"
    add("--rate", type=float, help=rate)
    add("--fit", choices=FITS, default="crop", help="to the model's input size")
    decoding_flags(add)
    overwrite_flag(add)


@_verb("convae info photos.cae")
def _info(add):
    """Show the contents of a .cae file."""
    add("input", metavar="INPUT", help=".cae file")


@_verb("convae export --model reference --part encoder --out encoder.onnx")
def _export(add):
    """Export a model to a format that runs without Keras."""
    run_flag(add, "--model", dest="run", required=True)
    add("--part", choices=PARTS, default="whole", help="of it (default: whole)")
    out = (
        "file (.onnx or .tflite), or folder, to write; beside it, OUT.json, its inputs"
    )
    add("--out", metavar="OUT", required=True, help=out)
    add("--format", choices=FORMATS, help="of OUT (default: by its ending)")
    tolerance = "largest difference to what Keras computes (default: 1e-5)"
    add("--tolerance", type=float, default=1e-5, help=tolerance)
    overwrite_flag(add)


@_verb("convae models", module="convae_cli.shipped")
def _models(add):
    """List the models that ship with the package, with size and scores."""


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
        add("--json", action="store_true", help=JSON)
        if verb.module is None:
            add("--limit", type=int, default=512, metavar="MEGABYTES", help=LIMIT)
    completion = {"choices": SHELLS, "action": PrintCompletion, "verbs": verbs}
    completion["help"] = "print the completion of a shell"
    top.add_argument("--print-completion", **completion)
    return top


def check(arguments):
    """Refuses what can be refused without Keras: files, models, flags of a task.

    Without `--data`, `arguments.data` becomes what `CONVAE_DATA` names.

    Args:
        arguments: what the parser returned.

    Raises:
        ValueError: naming the argument.
    """
    given = vars(arguments)
    for name in PATHS:  # a shell leaves the `~` of --out=~/runs as it is
        if given.get(name):
            given[name] = os.path.expanduser(given[name])
    check_numbers(given)
    if "run" in given:
        check_run(arguments.run)
    if "data" in given:
        arguments.data = check_source(arguments.data)
    for name in ("input", "where", "query"):
        if name in given:
            check_exists(given[name])
    if "task" in given:
        check_arguments(TASKS[arguments.task], arguments)
    if given.get("workers"):
        check_workers(arguments.workers, arguments.input)
