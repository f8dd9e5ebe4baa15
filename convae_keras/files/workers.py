"""Work on many files, done by this process or by the workers of a Dask cluster."""

import contextlib
import functools
import itertools
import os
import socket
import threading
import warnings
from collections import deque
from importlib.metadata import version

import keras

from convae_keras.saving import fingerprint
from convae_keras.untrusted import named
from convae_keras.validation import require

# Seconds within which a scheduler answers, and has a worker.
PATIENCE = 5

# Keras's settings, and warnings, belong to a whole process; Dask may have threads.
_one_at_a_time = threading.Lock()


def alone(function, model, items):
    """Calls a function for each item, in this process.

    Args:
        function: called with the model and an item.
        model: `keras.Model`, or a tuple of some.
        items: list.

    Returns:
        Iterator of what it returns, in order.
    """
    return (function(model, item) for item in items)


@contextlib.contextmanager
def connected(address, folder, open_model, *arguments):
    """Lets the workers of a Dask cluster do what `alone` does, in a `with` block.

    Each worker process opens the model once, and must then have the same weights,
    the same backend and the same versions of Keras and of this package. Dask decides
    who does what. What a lost worker had not handed over is done again by another;
    an item that has ended four of them ends it all.

    Args:
        address: str, `"tcp://host:port"` of a scheduler; or how many processes to
            start on this computer, for this block.
        folder: path of a folder that every worker must see under this name.
        open_model: function of a module, which returns what the `with` block will
            give as `model`.
        *arguments: str, int or None, of that function.

    Yields:
        Function like `alone`, whose `function` and items go to other processes, as
        what it returns comes from there. A warning there is given here, too.

    Raises:
        ValueError: without the extra `workers`, if there is no such scheduler, it
            has no workers, or one of them cannot do what this process can.
        ConnectionError: if the scheduler is lost, or four workers with one item.
    """
    try:
        import distributed
    except ImportError:
        message = '`workers` needs Dask: pip install "convae-keras[workers]"'
        raise ValueError(message) from None
    opening = os.path.abspath(folder), open_model, arguments
    lost = distributed.KilledWorker, distributed.client.FutureCancelledError
    lost += (distributed.comm.CommClosedError,)
    with _client(distributed, address) as client:
        yield functools.partial(_spread, client, opening, lost=lost, address=address)


@contextlib.contextmanager
def _client(distributed, address):
    """Connects to a scheduler, or starts one with workers of its own."""
    options = {"address": address}
    if str(address).isdecimal():
        options = {"n_workers": int(address), "threads_per_worker": 1}
        # Any free port: another cluster may have Dask's usual one. What goes wrong
        # with a task is raised here.
        options |= {"dashboard_address": "127.0.0.1:0", "silence_logs": "CRITICAL"}
    message = "`workers` must be a number, or the address of a Dask scheduler with "
    message += f"workers, like tcp://host:8786. Received: {address}"
    with contextlib.ExitStack() as stack:
        with named(message):
            client = distributed.Client(**options, timeout=PATIENCE)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=PATIENCE)
        yield client


def _spread(client, opening, function, model, items, *, lost, address):
    """Does what `alone` does, by the workers of a client."""
    given = {"function": function, "opening": opening, "expected": _about(model)}
    try:  # here: a lost connection is an OSError, which a writer takes for its own
        futures, seen = deque(client.map(_work, items, pure=False, **given)), {}
        while futures:  # a result is kept only as long as its future
            result, caught = futures.popleft().result()
            for warning in caught:
                warnings.warn_explicit(*warning, registry=seen)
            yield result
    except lost as error:
        message = f"The workers of {address} were lost: {str(error):.200}"
        raise ConnectionError(message) from error


def _work(item, function, opening, expected):
    """Calls the function in a worker; returns also the warnings."""
    with _one_at_a_time, warnings.catch_warnings(record=True) as caught:
        result = function(_opened(*opening, expected), item)
    return result, [(w.message, w.category, w.filename, w.lineno) for w in caught]


@functools.lru_cache(maxsize=1)
def _opened(folder, open_model, arguments, expected):
    """Opens the model in a worker, once."""
    with named(f"The worker on {socket.gethostname()} cannot do its part"):
        require(os.path.isdir(folder), f"no such folder: {folder}")
        model = open_model(*arguments)
        pairs = itertools.zip_longest(_about(model), expected)
        different = [f"{own}, not {other}" for own, other in pairs if own != other]
        require(not different, ", ".join(different))
    return model


def _about(model):
    """Returns what must be the same wherever a model computes."""
    own = f"convae-keras {version('convae-keras')}", f"Keras {keras.__version__}"
    hashes = [f"weights {fingerprint(each):.12}…" for each in keras.tree.flatten(model)]
    return *own, f"the backend {keras.backend.backend()}", *hashes
