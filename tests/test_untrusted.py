"""Untrusted files: what is too large or of another shape is refused at once."""

import contextlib
import io
import json
import math
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from convae_keras import untrusted
from convae_keras.models import conv_autoencoder
from convae_keras.saving import load_model, save_small
from convae_keras.untrusted import check_shape, fits, map_npy, parse_json, read_npz
from convae_keras.validation import set_limit

MEGABYTE = 2**20


@pytest.fixture
def one_megabyte():
    """A limit that small files pass, too: 262,144 parameters, 32,768 characters."""
    set_limit(1)
    yield
    set_limit()


@contextlib.contextmanager
def little_memory():
    """Fails a test that takes 90 MB, of Python's and NumPy's memory."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 90 * MEGABYTE


# --- JSON --------------------------------------------------------------------


@pytest.mark.static
@pytest.mark.parametrize(
    "value, shape, expected",
    [
        (3, int, True),
        (3, float, True),
        (True, int, False),
        (True, float, False),
        (10**400, float, False),
        (math.inf, float, False),
        (None, (str, None), True),
        (3, (str, None), False),
        ([], [float], True),
        ([1, "a"], [float], False),
        ("ab", [str], False),
        ([0, 1], [float, float], True),
        ([0], [float, float], False),
        ({}, {"a": (int, None)}, True),
        ({"a": [{"b": "c"}], "d": 1}, {"a": [{"b": str}]}, True),
        ({"a": [{"b": 1}]}, {"a": [{"b": str}]}, False),
        ([], {"a": (int, None)}, False),
    ],
)
def test_fits(value, shape, expected):
    assert fits(value, shape) is expected


@pytest.mark.static
@pytest.mark.parametrize(
    "value, message",
    [
        ([], "a.json must hold an object. Received: list"),
        ({}, "`loss` in a.json must be a list, .* finite number. Received: None"),
        ({"loss": [1], "data": 3}, "`data` in a.json must be a text or nothing.*: 3"),
        ({"loss": "x" * 10**6}, "`loss` in a.json must be .{1,100}$"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(value, message):
    shape = {"loss": [float], "data": (str, None)}
    check_shape({"loss": [1], "more": 2}, shape, "a.json")
    with pytest.raises(ValueError, match=message):
        check_shape(value, shape, "a.json")


@pytest.mark.static
@pytest.mark.parametrize(
    "text", ["NaN", "[-Infinity]", "[-1e999]", "{", b"\xff", "1" * 5000]
)
def test_no_json(text):
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.static
def test_long_json_is_not_parsed(one_megabyte):
    assert parse_json("[1]") == [1]
    with pytest.raises(ValueError, match="40,000 characters, and the limit is 32,768"):
        parse_json(" " * 40_000)


# --- arrays ------------------------------------------------------------------


def npy(shape, data=b"", descr="'|u1'", version=b"\x01\x00"):
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    size = len(head).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + head.encode() + data


def npz(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


@pytest.mark.static
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_read_npz(save, tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text")}
    arrays |= {"c": np.zeros(0), "d": np.asfortranarray(arrays["a"])}
    save(tmp_path / "a.npz", **arrays, e=np.array([None]))
    found = read_npz(tmp_path / "a.npz", [*arrays, "f"])
    assert [*found] == [*arrays]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    with pytest.raises(ValueError, match="object arrays"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.static
@pytest.mark.parametrize(
    "data",
    [
        npy("(10000000000,)", b"a" * 100),
        npy("(100,)", b"a" * 101),
        npy("(True, 100)", b"a" * 100),
        npy("(-10, -10)", b"a" * 100),
        npy("(10**2,)", b"a" * 100),
        npy("((100,),)", b"a" * 100),
        npy("None"),
        npy("(((((((1,"),
        npy("(1000000000000, 0)"),
        npy("(1000000000000,)", descr="'<U0'"),
        npy("(1,)", b"a" * 8, descr="'|O'"),
        npy("(1,)", descr="[('a', '|u1', (1000000000000,))]"),
        npy("(1,)", b"a", version=b"\x09\x00"),
        npy("(1,)", b"a", version=b"\x02\x00")[:20],
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"",
    ],
)
def test_arrays_of_other_shapes_than_their_files(data, tmp_path):
    path = npz(tmp_path / "a.npz", good=npy("(2,)", b"ab"), bad=data)
    assert read_npz(path, ["good"])["good"].tolist() == [97, 98]
    with little_memory(), pytest.raises(Exception):  # noqa: B017 - NumPy's own, too
        read_npz(path)
    (tmp_path / "a.npy").write_bytes(data)
    if b"000, 0)" not in data:  # nothing is read of it
        with little_memory(), pytest.raises(Exception):  # noqa: B017
            map_npy(tmp_path / "a.npy")


@pytest.mark.static
def test_all_arrays_together_are_limited(tmp_path, one_megabyte):
    half = np.zeros(600_000, "uint8")
    np.savez_compressed(tmp_path / "a.npz", a=half, b=half)
    assert len(read_npz(tmp_path / "a.npz", ["a"])) == 1
    assert len(read_npz(tmp_path / "a.npz", known=200_000)) == 2
    with pytest.raises(ValueError, match="1,200,000 bytes.*--limit"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.static
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_a_lot_at_once(method, tmp_path):
    path = npz(tmp_path / "a.npz", method, a=npy("(2,)", b"ab"))
    with pytest.raises(ValueError, match="unsupported methods"):
        read_npz(path)


@pytest.mark.static
def test_a_zip_file_of_many_names(tmp_path, one_megabyte):
    path = npz(tmp_path / "a.npz", **{f"{i:0100}": b"" for i in range(300)})
    with pytest.raises(ValueError, match="characters, and the limit is 32,768"):
        read_npz(path)


# --- models ------------------------------------------------------------------


def small():
    options = {"image_shape": (8, 8, 1), "filters": (4,), "latent_dim": 64, "seed": 0}
    return conv_autoencoder("keras", **options)


def replaced(path, method=zipfile.ZIP_DEFLATED, **members):
    """Saves a model with other contents of some members."""
    small().save(path)
    with zipfile.ZipFile(path) as file:
        old = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in (old | members).items():
            file.writestr(name, data)
    return path


def layer(kind, **config):
    return {"module": "keras.layers", "class_name": kind, "config": config}


def sequential(*layers, name="model"):
    start = layer("InputLayer", batch_shape=[None, 8, 8, 1], name=f"{name}_input")
    config = {"name": name, "layers": [start, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config}


# It makes an array of the size of its input as soon as it is built.
NORMALIZED = layer("Normalization", axis=[1, 2, 3], mean=0.5, variance=1.0)


def denses(*units):
    return [layer("Dense", units=n, name=f"dense_{i}") for i, n in enumerate(units)]


@pytest.mark.static
@pytest.mark.parametrize(
    "config, message",
    [
        (sequential(*denses(10**9)), "2,000,000,000 parameters"),
        (sequential(*denses(*[8000] * 4)), "192,.* parameters"),
        (sequential(layer("Conv2D", filters=10**7, kernel_size=5)), "260,.* param"),
        (sequential(sequential(*denses(10**9), name="in")), "2,000,000,000 param"),
        (sequential(*denses(*[1] * 9000)), "objects"),
        (sequential(layer("ZeroPadding2D", padding=20_000)), "1,600,.* pixels"),
        (sequential(layer("ZeroPadding2D", padding=20_000), NORMALIZED), "pixels"),
        (sequential(layer("Lambda", function="os.remove")), "Cannot load"),
        (sequential(layer("Nothing")), "Cannot load"),
        (layer("Dense", units=3), "Cannot load"),
        ([], "Cannot load"),
        ({}, "Cannot load"),
    ],
)
def test_a_config_is_checked_first(config, message, tmp_path):
    path = replaced(tmp_path / "model.keras", **{"config.json": json.dumps(config)})
    with little_memory(), pytest.raises(ValueError, match=message) as raised:
        load_model(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


@pytest.mark.static
@pytest.mark.parametrize("text", ["[", "", "NaN", " "])
def test_configs_that_are_not_parsed(text, tmp_path):
    path = replaced(tmp_path / "model.keras", **{"config.json": text * 2**20})
    with pytest.raises(ValueError, match="Cannot load the model .*model.keras"):
        load_model(path)


@pytest.mark.static
@pytest.mark.parametrize("kept", ["config.json", "model.weights.h5", ""])
def test_parts_that_are_missing(kept, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(kept or "other", "{}")
    with pytest.raises(ValueError, match="model.keras: .*no item named"):
        load_model(path)


@pytest.mark.static
def test_weights_that_unpack_to_gigabytes(tmp_path):
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:  # nothing of it is stored
        file.create_dataset("a", (10**6, 10**4), "float32", chunks=(1000, 1000))
    path = tmp_path / "model.keras"
    replaced(path, **{"model.weights.h5": packed.getvalue()})
    with (
        little_memory(),
        pytest.raises(ValueError, match="model.keras: 40,000,000,000 bytes"),
    ):
        load_model(path)


@pytest.mark.static
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_parts_that_unpack_to_more_than_they_say(method, tmp_path):
    path = tmp_path / "model.keras"
    size = 120 * MEGABYTE + 12_345
    replaced(path, method, **{"config.json": bytes(size)})
    sizes = size.to_bytes(4, "little"), (99).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(*sizes))
    with little_memory(), pytest.raises(ValueError, match="model.keras: "):
        load_model(path)


def test_a_higher_limit_admits_more(tmp_path, one_megabyte):
    path = tmp_path / "model.keras"
    set_limit(2)
    config = sequential(layer("Flatten"), *denses(10_000))
    replaced(path, **{"config.json": json.dumps(config)})
    with pytest.raises(ValueError, match="650,000 parameters.* is 524,288"):
        load_model(path)
    set_limit(4)
    with pytest.raises(ValueError, match="model.keras: (?!.*limit)"):
        load_model(path)  # whose weights are those of another network


@pytest.mark.parametrize("save", [save_small, lambda model, path: model.save(path)])
def test_counting_leaves_no_trace(save, tmp_path):
    """Neither in the names of later layers nor in variables that are half made."""
    model, x = small(), np.ones((2, 8, 8, 1), "float32")
    save(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), atol=2e-3)
    untrusted.unpack_model(tmp_path / "model.keras", tmp_path)
    before = keras.layers.Dense(1).name
    untrusted.check_model(tmp_path)
    after = keras.layers.Dense(1).name
    numbers = [int(name.rpartition("_")[2]) for name in (before, after) if "_" in name]
    assert len(numbers) < 2 or numbers[1] == numbers[0] + 1
