"""The model of RUN: one that ships, or that of a run folder. Imports Keras."""

from pathlib import Path

from convae_cli.checks import is_pretrained, require
from convae_keras import load_pretrained, load_run
from convae_keras.compression import Codec
from convae_keras.saving import load_model


def open_model(run):
    """Returns the `keras.Model` of RUN, the name of a shipped one or a run folder."""
    return load_pretrained(run) if is_pretrained(run) else open_run(run)


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
