"""Training by several processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version

import keras
import numpy as np
import pytest

from convae_keras import distribution
from convae_keras.pipelines import make_pipeline

JAX = keras.backend.backend() == "jax"


def test_alone_a_process_has_all_of_every_batch():
    assert distribution.share() == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost", 2, 0), "'host:port'. Received: 'localhost'"),
        (("localhost:70000", 2, 0), "'host:port'. Received: 'localhost:70000'"),
        (("localhost:4711", 1, 0), "at least 2. Received: 1"),
        (("localhost:4711", 2, 2), "from 0 to 1. Received: 2"),
        (("localhost:4711", 2, "a"), "from 0 to 1. Received: 'a'"),
    ],
)
def test_join_says_what_it_expects(arguments, message):
    expected = message if JAX else "KERAS_BACKEND=jax. Received: (tensorflow|torch)"
    with pytest.raises(ValueError, match=expected):
        distribution.join(*arguments)


def test_shares_are_the_whole_batch():
    x = np.arange(64, dtype="uint8").reshape(16, 2, 2, 1)
    shares = [(0, 1), (0, 2), (1, 2)]
    pipelines = [make_pipeline(x, 8, seed=3, share=share) for share in shares]
    batches = [next(iter(pipeline))[0].numpy() for pipeline in pipelines]
    whole = np.empty_like(batches[0])
    whole[0::2], whole[1::2] = batches[1:]
    np.testing.assert_array_equal(whole, batches[0])


@pytest.mark.skipif(not JAX, reason="processes share a training under JAX only")
@pytest.mark.parametrize(
    ("other", "message"),
    [({"batch_size": 64}, "patience"), ({"batch_size": 65}, "batch_size")],
)
def test_settings_that_differ_are_named(other, message, monkeypatch):
    """Also those that one process has and the other has not."""
    from jax.experimental import multihost_utils

    rows = []
    monkeypatch.setattr(distribution, "share", lambda: (0, 2))
    gather = lambda each: rows.append(each) or np.stack([rows[0], each])  # noqa: E731
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    own = {"patience": 3, "batch_size": 64} if message == "patience" else {}
    distribution.check_settings({"batch_size": 64} | own, None)
    with pytest.raises(ValueError, match=f"Different: .*{message}"):
        distribution.check_settings(other, None)


def test_a_lost_process_is_named(monkeypatch):
    monkeypatch.setattr(distribution, "share", lambda: (0, 2))
    with (
        pytest.raises(ConnectionError, match="was lost.*Connection reset"),
        distribution.watched(),
    ):
        raise RuntimeError("Gloo all-reduce failed: Connection reset by peer")
    with pytest.raises(ValueError, match="^loss$"), distribution.watched():
        raise ValueError("loss")


@pytest.fixture
def start():
    """Starts trainings, and ends those that are still there after the test."""
    started = []

    def start_one(run, *join):
        started.append(_train(run, *join))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def _train(run, *join):
    command = [sys.executable, "-m", "convae_keras", "train", "--data", "mnist5k"]
    # A higher rate would enlarge differences in the last digit.
    command += ["--preset", "keras", "--epochs", "3", "--learning-rate", "0.005"]
    command += ["--out", str(run)]
    command += ["--join", *join] if join else []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, **pipes, env=environment)


def _address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def _wait_for(path):
    for _ in range(3000):  # five minutes: three processes start on a busy machine
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} was not written")


@pytest.mark.slow
@pytest.mark.float32
@pytest.mark.skipif(JAX, reason="runs under JAX whatever the backend of the tests")
def test_two_processes_train_as_one_and_survive_a_loss(tmp_path, start):
    alone = start(tmp_path / "one")
    assert alone.wait() == 0, alone.stderr.read()
    address = _address()
    first, second = (start(tmp_path / "two", address, "2", i) for i in "01")
    _wait_for(tmp_path / "two" / "checkpoint.npz")  # an epoch is complete
    second.send_signal(signal.SIGKILL)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 3, errors
    assert "Another process of this training was lost" in errors
    address = _address()
    resumed = [start(tmp_path / "two", address, "2", index) for index in "10"]
    for process in resumed:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert "epoch   1/3" not in output
    histories = [tmp_path / name / "history.json" for name in ("one", "two")]
    one, two = (json.loads(path.read_text()) for path in histories)
    # JAX 0.7 computes the training loss a little differently for half a batch; the
    # weights, and with them the validation loss, are the same.
    atol = {
        "loss": 3e-6 if version("jax").startswith("0.7.") else 1e-6,
        "val_loss": 1e-6,
    }
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=atol[name])
