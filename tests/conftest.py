"""What the tests share."""

import contextlib
import dataclasses
import gc
import io
import os
from types import SimpleNamespace

os.environ.setdefault("MPLBACKEND", "Agg")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from helpers import use_policy
from hypothesis import settings  # noqa: E402

# The same examples at every run, however slow the machine; nothing is stored.
settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")

# `make test` runs the tests a second time with CONVAE_HALF=1: what is new then
# computes in half precision, as on a GPU that was asked for it.
HALF = os.environ.get("CONVAE_HALF") == "1"
POLICY = "mixed_float16" if HALF else "float32"
use_policy(POLICY)  # for session fixtures, which come first
gc.freeze()  # garbage is looked for among what the tests make, not in libraries

if keras.backend.backend() == "torch":  # NumPy refuses its tensors with a gradient
    Tensor = type(keras.ops.zeros(()))
    as_array = Tensor.__array__

    def detached(tensor, dtype=None, copy=None):
        return as_array(tensor.detach(), dtype)

    Tensor.__array__ = detached


def pytest_collection_modifyitems(items):
    backend = keras.backend.backend()
    skip = pytest.mark.skip(reason=f"needs TensorFlow; the backend is {backend}")
    for item in items:
        if backend != "tensorflow" and item.get_closest_marker("tensorflow"):
            item.add_marker(skip)
    # The slowest run first, so that no process waits for another at the end.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def seeded(request):
    """Sets the seeds and the dtype policy, whichever tests ran before."""
    exact = request.node.get_closest_marker("float32")
    use_policy("float32" if exact else POLICY)
    keras.utils.set_random_seed(0)
    yield
    use_policy(POLICY)


@pytest.fixture(scope="session")
def digits():
    """5,000 real digits, as `load_images("mnist5k")` splits them; no network."""
    from convae_keras import load_images

    return load_images("mnist5k")


@pytest.fixture(scope="session")
def few(digits):
    """60 digits to train on, 12 to validate, 25 to test."""
    cut = {"x_train": digits.x_train[:60], "y_train": None, "x_val": digits.x_val[:12]}
    cut |= {"y_val": None, "x_test": digits.x_test[:25], "y_test": None}
    return dataclasses.replace(digits, **cut)


@pytest.fixture(scope="session")
def thousand(digits, tmp_path_factory):
    """The path of a file of 1,000 digits, which commands train on in seconds."""
    cut = {"train": 700, "val": 150, "test": 150}
    parts = {
        f"{letter}_{split}": getattr(digits, f"{letter}_{split}")[:count]
        for split, count in cut.items()
        for letter in "xy"
    }
    path = tmp_path_factory.mktemp("data") / "thousand.npz"
    np.savez(path, **parts)
    return str(path)


@pytest.fixture(scope="session")
def finished(thousand, tmp_path_factory):
    """A run that `convae train` finished in one go.

    `arguments` without the folder, `run`, the folder, and `printed`, its lines.
    """
    from convae_cli.main import main

    arguments = "train --preset keras --epochs 8 --batch-size 16 --seed 3 --json"
    arguments = [*arguments.split(), "--data", thousand, "--out"]
    run = tmp_path_factory.mktemp("finished") / "run"
    printed = io.StringIO()
    both = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    with both[0], both[1]:
        assert main([*arguments, str(run)]) == 0
    lines = printed.getvalue().splitlines()
    return SimpleNamespace(arguments=arguments, run=run, printed=lines)


@pytest.fixture
def strokes():
    """uint8 `(24, 28, 28, 1)`: one thick seeded line a picture.

    For shapes, types and errors only. What a model learns is shown on `digits`.
    """
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28]
    angle = random.uniform(0, np.pi, (24, 1, 1))
    shift = random.uniform(-6, 6, (24, 1, 1))
    across = (rows - 14) * np.cos(angle) + (columns - 14) * np.sin(angle) - shift
    pixels = 255 * np.clip(2.5 - np.abs(across), 0, 1)
    return pixels.round().astype("uint8")[..., None]


@pytest.fixture(scope="session")
def codec(digits):
    """A small codec for digits, trained for some seconds, its tables fitted."""
    from convae_keras import train
    from convae_keras.compression.bitstream import fit_tables
    from convae_keras.compression.models import conv_codec

    options = {"filters": (8, 16), "code_filters": (16,), "latent_dim": 8}
    codec, x = conv_codec(**options, rate_weight=10.0, seed=0), digits.x_train[:700]
    train(codec, x, epochs=3, batch_size=16, loss="psnr", verbose=0)
    fit_tables(codec, x)
    return codec


@pytest.fixture(scope="session")
def photo_codec():
    """A codec for color images of any size, not trained, its tables fitted to noise."""
    from convae_keras.compression.bitstream import fit_tables
    from convae_keras.compression.models import conv_codec

    options = {"filters": (4, 4), "code_filters": (4,), "latent_dim": 4}
    codec = conv_codec((None, None, 3), **options, seed=0)
    fit_tables(codec, np.random.RandomState(0).rand(8, 16, 16, 3).astype("float32"))
    return codec
