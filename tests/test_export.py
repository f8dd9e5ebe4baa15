"""Exported models: what their own runtimes compute, and what is refused."""

import errno
import json
import os
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import small, use_policy

from convae_keras import export, load_pretrained, sequence_autoencoder
from convae_keras.export import FORMATS, TOLERANCE, export_model, load_exported
from convae_keras.pipelines import to_float
from convae_keras.restorers import restorer
from convae_keras.saving import fingerprint

# The conversion is TensorFlow's, and always in float32.
pytestmark = [pytest.mark.tensorflow, pytest.mark.float32, pytest.mark.slow]
NAMES = {"saved_model": "model", "onnx": "model.onnx", "litert": "model.tflite"}


@pytest.fixture(scope="module")
def reference():
    return load_pretrained("reference")


@pytest.fixture
def refuse(monkeypatch):
    def convert(*_):
        pytest.fail("long work was begun")

    monkeypatch.setattr(export, "_convert", convert)


@pytest.mark.parametrize("name", NAMES.values())
@pytest.mark.parametrize("part", export.PARTS)
def test_the_reference_model(reference, digits, tmp_path, name, part):
    """On other digits, and in batches of another size, than it was compared on."""
    path = tmp_path / name
    report = export_model(reference, path, part=part)
    assert report["largest_difference"] <= TOLERANCE
    assert json.loads((tmp_path / f"{name}.json").read_text()) == report
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.json"]
    assert report["part"] == part and report["model"] == fingerprint(reference)
    x = to_float(digits.x_test[500:507])
    model = reference if part == "whole" else getattr(reference, part)
    x = keras.ops.convert_to_numpy(reference.encoder(x)) if part == "decoder" else x
    (given,), (returned,) = report["inputs"], report["outputs"]
    assert report["inputs"][given] == {
        "shape": [None, *x.shape[1:]],
        "dtype": "float32",
    }
    found = load_exported(path)(**{given: x})[returned]
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, model(x), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", NAMES.values())
def test_restorers_take_any_size(tmp_path, name):
    model = load_pretrained("enlarger_x2")
    report = export_model(model, tmp_path / name)
    assert report["inputs"]["images"]["shape"] == [None, None, None, 1]
    run = load_exported(tmp_path / name)
    for size in ((1, 37, 50, 1), (2, 64, 41, 1)):
        x = np.random.RandomState(0).rand(*size).astype("float32")
        np.testing.assert_allclose(run(images=x)["outputs"], model(x), 0, TOLERANCE)


def test_a_generator_of_two_inputs(tmp_path):
    report = export_model(load_pretrained("generator"), tmp_path / "g.onnx")
    assert report["inputs"]["label"] == {"shape": [None], "dtype": "int32"}
    noise, label = np.ones((3, 32), "float32"), np.array([7, 8, 9], "int32")
    found = load_exported(tmp_path / "g.onnx")(noise=noise, label=label)["outputs"]
    expected = load_pretrained("generator")([noise, label])
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_a_codec(codec, tmp_path):
    report = export_model(codec, tmp_path / "c.onnx", part="decoder")
    assert report["inputs"] == {"codes": {"shape": [None, 8], "dtype": "float32"}}


def test_sizes_and_ranges(tmp_path):
    """A size that photographs do not have, colors, and pixels from -1 to 1."""
    model = small(image_shape=(530, 21, 3), output_range=(-1, 1))
    report = export_model(model, tmp_path / "model.onnx")
    assert report["pixels"]["range"] == [-1, 1]
    assert report["pixels"]["from_uint8"] == "x / 127.5 - 1"
    x = keras.Input((None, None, 4))
    model = keras.Model(x, keras.layers.Conv2D(1, 3)(x))
    with pytest.raises(ValueError, match="`inputs` must be given.*4"):
        export_model(model, tmp_path / "four.onnx")


def test_sequences_with_inputs(tmp_path):
    model = sequence_autoencoder((64, 1), latent_dim=4)
    x = np.random.RandomState(0).rand(5, 64, 1).astype("float32")
    report = export_model(model, tmp_path / "s.onnx", inputs=x)
    assert report["largest_difference"] <= TOLERANCE
    export_model(model, tmp_path / "t.onnx", inputs=x.astype("float64"))
    with pytest.raises(ValueError, match="`inputs` must be given"):
        export_model(model, tmp_path / "u.onnx")


@pytest.mark.parametrize("name", NAMES.values())
def test_half_precision_is_exported_in_float32(tmp_path, name):
    use_policy("mixed_float16")
    model = small()
    use_policy("float32")
    before = fingerprint(model)
    assert export_model(model, tmp_path / name)["largest_difference"] <= TOLERANCE
    assert model.dtype_policy.name == "mixed_float16" and fingerprint(model) == before


def test_a_decoder_of_half_precision_takes_float32(tmp_path):
    """The encoder, whose codes it is compared on, returns float16."""
    use_policy("mixed_float16")
    model = small()
    use_policy("float32")
    report = export_model(model, tmp_path / "model", part="decoder")
    assert report["inputs"]["codes"]["dtype"] == "float32"


@pytest.mark.parametrize("name", NAMES.values())
def test_nothing_is_replaced_unless_asked(tmp_path, name):
    model, path = small(), tmp_path / name
    export_model(model, path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match="must not exist yet .*--overwrite"):
        export_model(model, path)
    assert {p: p.read_bytes() for p in before} == before
    export_model(small(seed=1), path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [name, f"{name}.json"]
    report = json.loads((tmp_path / f"{name}.json").read_text())
    assert report["model"] == fingerprint(small(seed=1))


def test_a_folder_of_something_else_is_not_deleted(tmp_path, refuse):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match="must not be a folder of something else"):
        export_model(small(), tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "mine.png").read_bytes() == b"mine"


def test_a_file_is_no_place_for_a_folder(tmp_path, refuse):
    """Nor the other way round: both are said before the work."""
    (tmp_path / "model").write_bytes(b"mine")
    with pytest.raises(ValueError, match="`path` must be a folder .*the file.*model"):
        export_model(small(), tmp_path / "model", overwrite=True)
    assert [*tmp_path.rglob("*")] == [tmp_path / "model"]
    (tmp_path / "a.onnx.json").mkdir()
    with pytest.raises(ValueError, match="`path` must leave .*a.onnx.json to a file"):
        export_model(small(), tmp_path / "a.onnx", overwrite=True)


def test_the_description_is_of_the_file_beside_it(tmp_path, monkeypatch):
    """Also where the file cannot get its name."""
    path = tmp_path / "model.onnx"
    export_model(small(), path)
    before = (tmp_path / "model.onnx.json").read_bytes()

    def replace(old, new, move=os.replace):
        if Path(new) == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(new))
        move(old, new)

    monkeypatch.setattr(export.os, "replace", replace)
    with pytest.raises(OSError, match="model.onnx"):
        export_model(small(seed=1), path, overwrite=True)
    assert (tmp_path / "model.onnx.json").read_bytes() == before


def test_another_result_is_refused(tmp_path, monkeypatch):
    """Nothing is left of it, also where the difference is not a number."""
    options = {"path": tmp_path / "model.onnx", "tolerance": 1e-12}
    with pytest.raises(ValueError, match="`tolerance` must be .*e-.*Received: 1e-12"):
        export_model(small(image_shape=(28, 28, 1)), **options)
    weights = small()
    weights.set_weights([w * np.nan for w in weights.get_weights()])
    with pytest.raises(ValueError, match="`tolerance` must be .*nan"):
        export_model(weights, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_converted_is_said(tmp_path, monkeypatch):
    def convert(model, path, keras_name):
        path.write_bytes(b"half of it")
        raise RuntimeError("no such operation: FlexConv2D")

    monkeypatch.setattr(export, "_convert", convert)
    with pytest.raises(ValueError, match="cannot be exported as litert: .*FlexConv2D"):
        export_model(small(), tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path, options, message",
    [
        ("model.h5", {}, "`path` must end in .onnx or .tflite.*model.h5"),
        ("model.onnx", {"format": "litert"}, "`path` must end in .tflite"),
        ("model.onnx", {"format": "tensorrt"}, "`format` must be one of.*'tensorrt'"),
        ("model.onnx", {"part": "head"}, "`part` must be one of.*'head'"),
    ],
)
def test_wrong_arguments(tmp_path, refuse, path, options, message):
    with pytest.raises(ValueError, match=message):
        export_model(small(), tmp_path / path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_parts(tmp_path, refuse):
    with pytest.raises(ValueError, match="`part` must be 'whole'"):
        export_model(restorer(), tmp_path / "model.onnx", part="encoder")


def test_a_missing_package_is_named(tmp_path, refuse, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install onnxruntime tf2onnx"):
        export_model(small(), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="pip install ai-edge-litert"):
        load_exported(tmp_path / "model.tflite")


def test_who_reads_needs_the_runtime_only(tmp_path, monkeypatch):
    find = export.find_spec
    export_model(small(), tmp_path / "model.onnx")
    monkeypatch.setattr(
        export, "find_spec", lambda name: None if name == "tf2onnx" else find(name)
    )
    load_exported(tmp_path / "model.onnx")


def test_other_backends_are_refused(tmp_path, refuse, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow.*jax"):
        export_model(small(), tmp_path / "model.onnx")


def test_what_is_needed_is_in_the_extra():
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text("utf-8")
    lines = tomllib.loads(text)["project"]["optional-dependencies"]["export"]
    needed = {package for each in FORMATS.values() for package in each.packages}
    assert {line.partition(">=")[0] for line in lines} == needed - {"tensorflow"}
