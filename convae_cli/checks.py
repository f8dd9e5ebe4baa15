"""Checks that need no Keras, so that a mistake is answered at once."""

import os
from importlib.util import find_spec
from pathlib import Path

NAMED_SETS = ("mnist", "fashion_mnist", "cifar10", "mnist5k", "photographs")
MAX_SEED = 2**32 - 1  # of NumPy
LEAST = {"count": 1, "epochs": 1, "batch_size": 1, "patch_size": 1, "scale": 2}


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

    Returns:
        str, `data`; without it, what `CONVAE_DATA` names, or `"mnist"`, as
        `convae_keras.load_images` reads them.

    Raises:
        ValueError: if it does neither.
    """
    flag, names = "--data", ", ".join(NAMED_SETS)
    if data is None:
        flag, data = "CONVAE_DATA", os.environ.get("CONVAE_DATA") or "mnist"
        path = Path(os.environ.get("PWD", ""), os.path.expanduser(data))
        data = str(path) if data not in NAMED_SETS and path.exists() else data
    message = f"`{flag}` must be one of {names}, an .npz file or a folder. Received: "
    known = data in NAMED_SETS or Path(data).exists()
    require(known, f"{message}'{data}', which does not exist")
    return data


def check_numbers(given):
    """Checks the numbers among the arguments.

    Args:
        given: dict from the arguments' names to their values.

    Raises:
        ValueError: naming the flag.
    """
    limit = given.get("limit", 1)
    expected = "`--limit` must be a positive number of megabytes"
    require(limit > 0, f"{expected}. Received: {limit}")
    for name, least in LEAST.items():
        value, flag = given.get(name), f"`--{name.replace('_', '-')}`"
        message = f"{flag} must be at least {least}. Received: {value}"
        require(value is None or value >= least, message)
    step = given.get("learning_rate")
    message = f"`--learning-rate` must be above 0. Received: {step}"
    require(step is None or step > 0, message)
    expected = "`--noise` must be from 0 to 10, where white is 1 (51 of 255 is 0.2)"
    for noise in given.get("noise") or []:
        require(0 <= noise <= 10, f"{expected}. Received: {noise}")
    rate = given.get("rate")
    message = f"`--rate` must be between 0 and 1. Received: {rate}"
    require(rate is None or 0 < rate < 1, message)
    expected, seed = f"`--seed` must be from 0 to {MAX_SEED}", given.get("seed", 0)
    require(0 <= seed <= MAX_SEED, f"{expected}. Received: {seed}")


def check_workers(workers, source):
    """Checks that `--workers` can be used: with a folder, and with Dask.

    Args:
        workers: str, the flag's value.
        source: str, the path of the images.

    Raises:
        ValueError: if not.
    """
    number = workers.isdecimal() and int(workers) > 0
    expected = "`--workers` must be a number, or an address like tcp://host:8786"
    require(number or ":" in workers, f"{expected}. Received: {workers}")
    message = f"`--workers` requires a folder of images. Received: {source}"
    require(Path(source).is_dir(), message)
    message = '`--workers` needs Dask: pip install ".[workers]"'
    require(find_spec("distributed"), message)
