"""The hardware is found and named, and half precision is used on request only."""

import os
import sys

import keras
import pytest

from convae_keras import devices


@pytest.fixture
def machine(monkeypatch):
    """Sets the GPUs that the backend finds, and whether there is a driver."""

    def set_up(capabilities, driver=False):
        backend = keras.backend.backend()
        monkeypatch.setattr(devices, f"_{backend}_gpus", lambda: capabilities)
        monkeypatch.setattr(devices.shutil, "which", lambda name: driver and name)
        monkeypatch.setattr(devices.os.path, "exists", lambda path: False)

    monkeypatch.delenv("CONVAE_HALF", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return set_up


@pytest.mark.parametrize(
    "capabilities, half, ending",
    [
        ([], False, "on the CPU, float32"),
        ([], True, "on the CPU, mixed_float16"),
        ([8.6], False, "on 1 GPU, float32"),
        ([7.0, 8.9], True, "on 2 GPUs, mixed_float16"),
    ],
)
def test_one_line(capabilities, half, ending, machine, capsys):
    machine(capabilities)
    devices.set_up_device(half=half)
    assert keras.config.dtype_policy().name == ending.split(", ")[1]
    (line,) = capsys.readouterr().out.splitlines()
    backend = keras.backend.backend()
    assert line == f"Keras {keras.__version__} with {backend} {ending}"


@pytest.mark.parametrize(
    "value, policy", [("1", "mixed_float16"), ("0", "float32"), ("", "float32")]
)
def test_the_environment_asks_for_half_precision(value, policy, machine, monkeypatch):
    machine([])
    monkeypatch.setenv("CONVAE_HALF", value)
    devices.set_up_device()
    assert keras.config.dtype_policy().name == policy


def test_float32_comes_back(machine):
    machine([])
    devices.set_up_device(half=True)
    devices.set_up_device()
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    "capabilities, half, slow",
    [([6.1], True, True), ([8.6, 6.1], True, True), ([6.1], False, False)],
)
def test_old_gpus_are_slow_in_half_precision(capabilities, half, slow, machine, capsys):
    machine(capabilities)
    devices.set_up_device(half=half)
    _, *more = capsys.readouterr().out.splitlines()
    assert len(more) == slow and all("capability 6.1" in line for line in more)


@pytest.mark.parametrize(
    "capabilities, driver, hidden, said",
    [
        ([], True, None, True),
        ([], True, "0", True),
        ([], True, "-1", False),
        ([], True, "", False),
        ([], False, None, False),
        ([8.0], True, None, False),
    ],
)
def test_a_gpu_that_cannot_be_used(
    capabilities, driver, hidden, said, machine, monkeypatch, capsys
):
    machine(capabilities, driver)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    devices.set_up_device()
    _, *more = capsys.readouterr().out.splitlines()
    assert len(more) == said
    assert all("GPU is present" in line and "install" in line for line in more)


def test_what_there_is_is_found(capsys):
    """The functions for the backend in use run; a CPU has no capability."""
    capabilities = getattr(devices, f"_{keras.backend.backend()}_gpus")()
    assert all(isinstance(number, float) for number in capabilities)


def test_messages_of_libraries_are_discarded(capfd):
    with pytest.raises(KeyError), devices._silenced_stderr():
        os.write(2, b"noise of a library")
        raise KeyError
    os.write(2, b"heard again")
    print("python too", file=sys.stderr)
    assert capfd.readouterr().err == "heard againpython too\n"
