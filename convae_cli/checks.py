"""Checks that need no Keras, so that a mistake is answered at once."""

from importlib.util import find_spec
from pathlib import Path

NAMED_SETS = ("mnist", "fashion_mnist", "cifar10", "mnist5k", "photographs")


def require(condition, message):
    """Raises a `ValueError` with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


def pretrained_folder():
    """Returns the folder of the models that ship with the package, a `Path`."""
    # Finding a package, unlike importing it, runs none of its code.
    return Path(find_spec("convae_keras").origin).parent / "pretrained"


def pretrained_names():
    """Names of the models that ship with the package, sorted.

    Returns:
        list of str, as `convae_keras.pretrained.pretrained_names` returns it.
    """
    settings = pretrained_folder().glob("*/settings.json")
    return sorted(path.parent.name for path in settings)


def is_pretrained(run):
    """Whether RUN is the name of a pretrained model, and no run folder here."""
    return run in pretrained_names() and not (Path(run) / "model.keras").is_file()


def check_run(run):
    """Checks that RUN is a pretrained model or a run folder.

    Raises:
        ValueError: if it is neither.
    """
    if is_pretrained(run):
        return
    names = ", ".join(pretrained_names())
    message = f"RUN must be a run folder or one of {names}. Received: '{run}'"
    require(Path(run).is_dir(), message)
    message = f"RUN must be a run folder with a model.keras. Received: '{run}'"
    require((Path(run) / "model.keras").is_file(), message)


def check_exists(path):
    """Checks that a file or folder is there.

    Raises:
        ValueError: if the path is empty or leads to nothing.
    """
    require(path, "Expected a path. Received: ''")
    require(Path(path).exists(), f"No such file or folder: {path}")


def check_source(data):
    """Checks that `--data` names a set or a path that exists.

    Raises:
        ValueError: if it does neither.
    """
    known = data is None or data in NAMED_SETS or Path(data).exists()
    names = ", ".join(NAMED_SETS)
    message = f"`--data` must be one of {names}, an .npz file or a folder. Received: "
    require(known, f"{message}'{data}', which does not exist")
