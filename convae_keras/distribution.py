"""One training by several processes, on one host or several, under JAX."""

import contextlib
import hashlib
import json

import keras
import numpy as np

from convae_keras.validation import check_ints, require

# A process that is not heard of for so many seconds is lost. One that ends is
# noticed at once.
HEARTBEAT = 30
# What the libraries of JAX that send numbers between processes are called.
SENDERS = ("Gloo", "NCCL", "coordination service")


def join(coordinator, processes, index):
    """Makes this process one of several that train one model together.

    Call it before anything is computed, and in each process with its own `index`.
    All then run the same program: `train` gives each its part of every batch, and
    the first writes. It returns when all have called it. Each has its own part of
    the training images to compute, and all of the validation images.

    Args:
        coordinator: str, `"host:port"`, an address of the first process that all
            can reach.
        processes: int, at least 2, how many there are.
        index: int, which of them this one is, from 0.

    Raises:
        ValueError: for another backend than JAX, or values that do not fit.
        ConnectionError: if the others do not join within five minutes, or if this
            process has computed something or called `join` before.

    References:
        - [Li et al., 2020](https://arxiv.org/abs/2006.15704), data parallelism
    """
    backend = keras.backend.backend()
    message = "Several processes need KERAS_BACKEND=jax. Received: "
    require(backend == "jax", f"{message}{backend}")
    host, _, port = str(coordinator).rpartition(":")
    message = f"`coordinator` must be 'host:port'. Received: {coordinator!r}"
    require(host and port.isdecimal() and 0 < int(port) < 2**16, message)
    check_ints(2, processes=processes)
    check_ints(0, processes - 1, index=index)
    import jax

    times = {"heartbeat_timeout_seconds": HEARTBEAT, "initialization_timeout": 300}
    try:
        jax.distributed.initialize(coordinator, processes, index, **times)
    except RuntimeError as error:
        expected = f"{processes} processes could not join at {coordinator}"
        raise ConnectionError(f"{expected}: {str(error):.300}") from error
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)


def leave():
    """Ends what `join` began; each process computes alone from now on.

    Models that were trained together cannot be used any more: load them again.
    """
    import jax

    keras.distribution.set_distribution(None)
    jax.distributed.shutdown()


def share():
    """Returns which of how many processes this one is.

    Returns:
        `(index, count)`; `(0, 1)` if it is alone.
    """
    if keras.distribution.distribution() is None or keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def check_settings(settings, run):
    """Checks that all processes are about to do the same.

    Args:
        settings: dict of plain values, such as `training_settings` returns it.
        run: `Path` of the run folder, or None.

    Raises:
        ValueError: in each process, for settings or files that differ; or for a
            batch that cannot be shared.
    """
    _, count = share()
    if count == 1:
        return
    files = run and [(run / n).exists() for n in ("checkpoint.npz", "model.keras")]
    # Every process has all keys, or the gathering below would wait or fail.
    values = {"patience": None} | settings | {"files of the run folder": files}
    hashes = [hashlib.sha256(json.dumps(v).encode()).digest() for v in values.values()]
    from jax.experimental import multihost_utils

    rows = np.array([np.frombuffer(each, "uint8") for each in hashes])
    rows = multihost_utils.process_allgather(rows)  # (processes, settings, bytes)
    same = (rows == rows[:1]).all(axis=(0, 2))
    different = [key for key, equal in zip(values, same, strict=True) if not equal]
    message = f"All processes must train with the same settings. Different: {different}"
    require(not different, message)
    size = settings["batch_size"]
    message = f"`batch_size` must be a multiple of {count}, the number of processes"
    require(size % count == 0, f"{message}. Received: {size}")


@contextlib.contextmanager
def alone():
    """Lets one process compute something that the others do not, in a `with` block.

    A variable that is made, as for saving a model, would otherwise be made by all.
    """
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


@contextlib.contextmanager
def watched():
    """Says so if another process is lost during a `with` block; also a decorator.

    Raises:
        ConnectionError: if it is.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if share()[1] == 1 or not any(name in str(error) for name in SENDERS):
            raise
        message = "Another process of this training was lost. Start all again to resume"
        raise ConnectionError(f"{message}. The cause: {str(error)[-300:]}") from error
