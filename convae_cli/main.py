"""The `convae` command: every verb calls the package's public functions."""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from convae_cli.commands import VERBS
from convae_cli.parser import parser
from convae_cli.tasks import (
    check_task,
    corruption,
    finish,
    network,
    scale_of,
    train_options,
)
from convae_keras.compression import Codec
from convae_keras.compression.evaluation import codec_scores
from convae_keras.corruption import Warp, from_config
from convae_keras.data.patches import PATCH_SIZE
from convae_keras.data.sources import load_images
from convae_keras.devices import set_up_device
from convae_keras.evaluation import held_out_scores
from convae_keras.metrics import bce_floor
from convae_keras.model_card import score_rows, write_report
from convae_keras.models import count_trainable
from convae_keras.pipelines import to_float
from convae_keras.runs import load_run
from convae_keras.saving import read_json
from convae_keras.training import checked_images, train
from convae_keras.validation import chunks, expect

AFTER = {
    "train": "The same command goes on from here.",
    "evaluate": "Nothing was written.",
    "apply": "The files that are there are whole.",
    "encode": "Nothing was written.",
    "search": "Nothing was written.",
    "compress": "Nothing was written.",
    "decompress": "The files that are there are whole.",
    "info": "Nothing was written.",
}


def main(argv=None):
    """Runs `convae VERB …`.

    Args:
        argv: list of str; None for the command line's.

    Returns:
        int, the exit status: 0, 2 for input that cannot be used, 130 after
        Ctrl-C.
    """
    verbs = {"train": _train, "evaluate": _evaluate, **VERBS}
    for stream in (sys.stdout, sys.stderr):
        # A file may have a name that the terminal cannot show.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # TensorFlow would warn of images of many sizes.
    logging.getLogger("tensorflow").setLevel("ERROR")
    arguments = parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
            summary = verbs[arguments.verb](arguments)
    except (ValueError, OSError) as error:
        print(f"convae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nStopped. {AFTER[arguments.verb]}", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(summary))
    return 0


def _one_line(message, *_):
    print(f"convae: {message}", file=sys.stderr)


def _images(arguments, scale):
    """`Images`; cut into patches to be restored, which `scale` divides."""
    data, names = arguments.data, ("image_size", "color", "fit", "patch_size")
    are_photographs = data == "photographs" or (data and Path(data).is_dir())
    if scale and are_photographs and arguments.image_size is None:
        # Restoring is learnt from photographs as they are, not from small copies.
        if arguments.patch_size is None:
            arguments.patch_size = max(PATCH_SIZE // scale, 4) * scale
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    images = load_images(arguments.data, **options)
    print(images)
    return images


def _train(arguments):
    check_task(arguments)
    images = _images(arguments, scale_of(arguments))
    corrupt = corruption(arguments, images)
    set_up_device()
    preset, autoencoder = network(arguments, images, corrupt)
    run = Path(arguments.out or f"runs/{preset}-{images.name}")
    options = train_options(arguments, images, preset)
    history = train(autoencoder, images, corrupt=corrupt, run=run, **options)
    finish(arguments, run, autoencoder, images)
    results = None
    if arguments.task == "compress":
        results = codec_scores(autoencoder, images)
    results = write_report(run, autoencoder, images, results)
    _print_scores(results)
    print(f"The model and its card are in {run}")
    return _summary(run, images, autoencoder, results) | {
        "epochs": len(history["loss"]),
        "seconds": sum(history["seconds"]),
        "val_loss": min(history["val_loss"]),
    }


def _evaluate(arguments):
    autoencoder = load_run(arguments.run)
    settings = Path(arguments.run) / "settings.json"
    settings = read_json(settings) if settings.exists() else {}
    corrupt = from_config(settings.get("corruption"))
    paired = settings.get("paired", False)
    restores = paired or not isinstance(corrupt, Warp | None)
    images = _images(arguments, getattr(corrupt, "factor", 1) if restores else None)
    has_inputs = images.inputs_test is not None
    expect(has_inputs or not paired, "--data", "in input/ and target/", arguments.data)
    images = checked_images(autoencoder, images, corrupt)
    if isinstance(autoencoder, Codec):
        results = codec_scores(autoencoder, images)
    else:
        results = held_out_scores(autoencoder, images, corrupt)
    _print_scores(results)
    return _summary(arguments.run, images, autoencoder, results)


def _summary(run, images, autoencoder, results):
    # Not all at once: they may lie on the disk, and be more than memory holds.
    floors = [bce_floor(to_float(chunk)) for chunk in chunks(images.x_test)]
    return {
        "run": str(run),
        "data": str(images),
        "parameters": count_trainable(autoencoder),
        **results["autoencoder"],
        "bce_floor": float(np.concatenate(floors).mean()),
        "rows": results,
    }


def _print_scores(results):
    header, *rows = score_rows(results)
    table = Table("on the test images", *header[1:])
    for row in rows:
        table.add_row(*row)
    Console().print(table)
