"""The model of RUN: one that ships, or that of a run folder. Imports Keras."""

import contextlib
import os
from pathlib import Path

from PIL import Image

from convae_cli.checks import is_pretrained, pretrained_names, require
from convae_keras import load_pretrained, load_run, validation
from convae_keras.compression import Codec
from convae_keras.files.workers import alone, connected
from convae_keras.saving import load_model


def set_limit(megabytes):
    """Sets what a file may unpack to, here and in Pillow."""
    validation.set_limit(megabytes)
    Image.MAX_IMAGE_PIXELS = validation.limit_of("pixels")


@contextlib.contextmanager
def at_work(arguments, open_one):
    """Opens RUN, here and in the processes of `--workers`, in a `with` block.

    Args:
        arguments: `argparse.Namespace` with `run`, `input`, `limit` and `workers`.
        open_one: function from RUN to a `keras.Model`, or a tuple of some.

    Yields:
        `(model, workers)`: what it returns; function like `files.workers.alone`.
    """
    run, model = arguments.run, open_one(arguments.run)
    if arguments.workers is None:
        yield model, alone
        return
    run = run if is_pretrained(run) else os.path.abspath(run)
    opening = _open_in_worker, open_one, run, arguments.limit
    with connected(arguments.workers, arguments.input, *opening) as workers:
        yield model, workers


def _open_in_worker(open_one, run, limit):
    set_limit(limit)
    return open_one(run)


def open_model(run):
    """Returns the `keras.Model` of RUN, the name of a shipped one or a run folder."""
    return load_pretrained(run) if is_pretrained(run) else open_run(run)


def open_restorers(run):
    """Returns the model of RUN, and that for grayscale images; else the same."""
    model = grey = open_model(run)
    if is_pretrained(run) and f"{run}_grey" in pretrained_names():
        grey = load_pretrained(f"{run}_grey")
    return model, grey


def open_run(run):
    """Returns the `keras.Model` of a run folder.

    Raises:
        ValueError: if it is no model of images.
    """
    model = load_run(run)
    images = len(model.input_shape) == 4
    expected = f"{run} must be a run on images"
    require(images, f"{expected}. Received: inputs of {model.input_shape}")
    return model


def open_codec(run):
    """Returns the `Codec` of RUN.

    Raises:
        ValueError: if it is another model.
    """
    model = open_model(run)
    message = f"RUN must be a model trained with --task compress. Received: '{run}'"
    require(isinstance(model, Codec), message)
    return model


def open_part(run, name, task, is_part):
    """Returns what a task has made of the model of RUN, in a file of that name.

    Args:
        run: str.
        name: str, the file in a run folder.
        task: str, which writes it.
        is_part: function that tells such a model from others.

    Raises:
        ValueError: if RUN has no such model.
    """
    path = Path(run) / name
    model = load_model(path) if path.is_file() else open_model(run)
    expected = f"RUN must be a model trained with --task {task}, to the end"
    require(is_part(model), f"{expected}. Received: '{run}'")
    return model
