"""Exports models to files that run without Keras, and compares what they compute."""

import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from convae_keras.data import load_images
from convae_keras.data.patches import photographs
from convae_keras.keras_settings import standard_settings
from convae_keras.models import pixel_range
from convae_keras.pipelines import to_float
from convae_keras.saving import fingerprint, locked, write_json
from convae_keras.untrusted import named
from convae_keras.validation import as_path, require

# The parts of an autoencoder, and what their output is called in the file.
PARTS = {"whole": "outputs", "encoder": "codes", "decoder": "outputs"}
# Largest difference to Keras, in units of the output.
TOLERANCE = 1e-5
# Images that are compared, and the sizes of those for models of any size.
COUNT, SIZES = 64, ((61, 90), (128, 128))


def _open_saved_model(path, threads):  # TensorFlow has one number for all models
    loaded = tf.saved_model.load(path)  # which keeps the weights, and must be kept

    def run(**inputs):
        inputs = {name: tf.constant(x) for name, x in inputs.items()}
        outputs = loaded.signatures["serving_default"](**inputs)
        return {name: x.numpy() for name, x in outputs.items()}

    return run


def _open_onnx(path, threads):
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs), strict=True))


def _open_litert(path, threads):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(path, num_threads=threads).get_signature_runner()


@dataclass(frozen=True)
class Format:
    """A format of exported models.

    Args:
        keras_name: str, its name in `keras.Model.export`.
        suffix: str, of its files; the empty str for a folder.
        packages: names of what is needed, the runtime first.
        open: function from a path and a number of threads to one from inputs to
            outputs.
    """

    keras_name: str
    suffix: str
    packages: tuple
    open: Callable


FORMATS = {
    "saved_model": Format("tf_saved_model", "", ("tensorflow",), _open_saved_model),
    "onnx": Format("onnx", ".onnx", ("onnxruntime", "tf2onnx"), _open_onnx),
    "litert": Format("litert", ".tflite", ("ai-edge-litert",), _open_litert),
}


def export_model(
    model,
    path,
    format=None,
    part="whole",
    *,
    inputs=None,
    tolerance=TOLERANCE,
    overwrite=False,
):
    """Writes a model, or its encoder or decoder, for a runtime without Keras.

    Before the file gets its name, its own runtime computes real images with it: 64
    digits or, for models of other sizes, photographs of the model's size, and of two
    sizes if it takes any. A decoder gets the codes of those images, a generator noise.
    If a pixel or number differs from Keras's by more than `tolerance`, nothing is
    written.

    The exported graph takes what the model takes: float32, NHWC, the batch of any
    size, pixels scaled as the model's pipeline scales them. What that is, and the names
    of inputs and outputs, is in a JSON file beside it, `PATH.json`. Models of half
    precision are exported in float32. To LiteRT, TensorFlow 2.21 cannot convert
    restorers of any size with the head `"nearest"`; 2.19 could.

    Args:
        model: `keras.Model`. Its backend must be TensorFlow, which opens what was
            trained under any.
        path: str or `Path`: a file that ends in .onnx (run by `onnxruntime`) or
            .tflite (by `ai-edge-litert`), or a folder (a SavedModel, by TensorFlow).
        format: `"onnx"`, `"litert"` or `"saved_model"`; None for what the ending
            says.
        part: `"whole"`, or `"encoder"` or `"decoder"` of an autoencoder.
        inputs: array, or list of one for each input, to compare with; None for the
            above. Models of sequences need it.
        tolerance: float, largest difference allowed, in units of the output.
        overwrite: bool, whether what is at `path` is replaced.

    Returns:
        dict, what is in the JSON file: `part`, `format`, `inputs` and `outputs`
        (name, shape, dtype), `pixels` (layout, range, how uint8 is scaled),
        `largest_difference`, `runtime`, `model` (its fingerprint), `versions`.

    Raises:
        ValueError: before any work for arguments that do not fit, files that exist, a
            package that is missing, or another backend; later if a model cannot be
            converted, or computes something else.
        OSError: if the file cannot be written.

    Example:

    >>> from convae_keras import load_pretrained
    >>> report = export_model(load_pretrained(), "encoder", part="encoder")
    >>> report["outputs"]
    {'codes': {'shape': [None, 32], 'dtype': 'float32'}}
    """
    path = as_path(path, "path")
    name = _format_of(path, format)
    _check(model, path, name, part, overwrite)
    exported = _prepare(model, part)
    batches = _batches(model, exported, part, inputs)
    with locked(path.parent, path.name, "path"), _folder_beside(path) as folder:
        aside = Path(folder, path.name)
        wanted = [_computed(exported, batch) for batch in batches]
        with named(f"The model cannot be exported as {name}"):
            _convert(exported, aside, FORMATS[name].keras_name)
            difference = _difference(load_exported(aside, name), batches, wanted)
        expected = f"`tolerance` must be at least the difference to Keras, {difference}"
        require(difference <= tolerance, f"{expected}. Received: {tolerance}")
        report = _report(model, exported, part, name, difference)
        write_json(f"{aside}.json", report)
        if path.is_dir():
            os.rename(path, Path(folder, "replaced"))  # deleted with the folder
        os.replace(aside, path)
        os.replace(f"{aside}.json", f"{path}.json")
    return report


def load_exported(path, format=None, threads=None):
    """Opens an exported model in its own runtime.

    Args:
        path: str or `Path`, what `export_model` wrote.
        format: as in `export_model`.
        threads: int, of ONNX Runtime or LiteRT; None for as many as they choose,
            which is too many in a process that may use few of a machine's cores.

    Returns:
        Function from arrays, passed by the names of the inputs, to a dict of
        arrays by the names of the outputs.

    Raises:
        ValueError: for a format that is unknown, or whose runtime is missing.
        Exception: the runtime's own, if the file is missing or damaged.
    """
    name = _format_of(as_path(path, "path"), format)
    _check_packages(name, FORMATS[name].packages[:1])  # the others only write
    return FORMATS[name].open(str(path), threads)


def _format_of(path, format):
    by_suffix = {each.suffix: name for name, each in FORMATS.items()}
    if format is None:
        expected = "`path` must end in .onnx or .tflite, or be a folder without ending"
        require(path.suffix in by_suffix, f"{expected}. Received: {path}")
        return by_suffix[path.suffix]
    expected = f"`format` must be one of {[*FORMATS]}"
    require(format in FORMATS, f"{expected}. Received: {format!r}")
    suffix = FORMATS[format].suffix
    message = f"`path` must end in {suffix} for format {format}. Received: {path}"
    require(path.suffix == suffix or not suffix, message)
    return format


def _check(model, path, name, part, overwrite):
    backend = keras.backend.backend()
    expected = "Models are exported with KERAS_BACKEND=tensorflow, which opens all of"
    require(backend == "tensorflow", f"{expected} them. Received: {backend}")
    _check_packages(name, FORMATS[name].packages)
    expected = f"`part` must be one of {[*PARTS]}"
    require(part in PARTS, f"{expected}. Received: {part!r}")
    has_parts = all(hasattr(model, each) for each in ("encoder", "decoder"))
    message = f"`part` must be 'whole' for a model without parts. Received: {part!r}"
    require(part == "whole" or has_parts, message)
    existing = [p for p in (str(path), f"{path}.json") if os.path.lexists(p)]
    expected = "`path` must not exist yet (`overwrite` or --overwrite replaces it)"
    require(overwrite or not existing, f"{expected}. Received: {existing}")
    # Nobody's folder is deleted for having the name.
    ours = name == "saved_model" and (path / "saved_model.pb").is_file()
    message = f"`path` must not be a folder of something else. Received: {path}"
    require(ours or not path.is_dir(), message)
    message = f"`path` must be a folder for format {name}. Received: the file {path}"
    require(ours or name != "saved_model" or not os.path.lexists(path), message)
    message = f"`path` must leave {path}.json to a file. Received: a folder there"
    require(not os.path.isdir(f"{path}.json"), message)


def _check_packages(name, packages):
    missing = [p for p in packages if find_spec(p.replace("-", "_")) is None]
    hint = f"pip install {' '.join(missing)}"
    require(not missing, f"The format {name} needs other packages: {hint}")


def _folder_beside(path):
    return tempfile.TemporaryDirectory(prefix=".convae-", dir=path.parent)


def _prepare(model, part):
    """The part, in float32, with a name for its output, which becomes the file's."""
    with standard_settings("float32"):
        config = json.dumps(keras.saving.serialize_keras_object(model))
        if "mixed_float16" in config:
            config = json.loads(config.replace("mixed_float16", "float32"))
            weights = model.get_weights()
            model = keras.saving.deserialize_keras_object(config)
            model.set_weights(weights)
        found = model if part == "whole" else getattr(model, part)
        outputs = found.output
        if not isinstance(outputs, dict):
            outputs = {PARTS[part]: outputs}
        return keras.Model(found.input, outputs, name=part)


def _batches(model, exported, part, inputs):
    """What is compared: dicts of arrays, by the names of the inputs."""
    tensors = exported.inputs
    if inputs is not None:
        batches = [inputs if isinstance(inputs, list | tuple) else [inputs]]
    elif [tensor.name for tensor in tensors] == ["noise", "label"]:
        noise = np.random.RandomState(0).normal(size=(COUNT, tensors[0].shape[1]))
        batches = [[noise, np.arange(COUNT) % 2]]
    else:
        images = [to_float(x, pixel_range(model)) for x in _images(model.input_shape)]
        batches = [[model.encoder(x) if part == "decoder" else x] for x in images]
    # Runtimes convert no numbers: codes of half precision are not yet float32.
    return [
        {t.name: np.asarray(x, t.dtype) for t, x in zip(tensors, batch, strict=True)}
        for batch in batches
    ]


def _images(shape):
    """Real images of a model's shape, or of two for a model of any size, uint8."""
    known = isinstance(shape, tuple) and len(shape) == 4 and shape[3] in (1, 3)
    expected = "`inputs` must be given for a model without images of 1 or 3 channels"
    require(known, f"{expected}. Received: a model with inputs of {shape}")
    if shape[1:] == (28, 28, 1):
        return [load_images("mnist5k").x_test[:COUNT]]
    sizes = SIZES if None in shape[1:] else [shape[1:3]]
    photos = photographs("test", "grayscale" if shape[3] == 1 else "rgb").values()
    return [np.stack([_cut(photo, *size) for photo in photos]) for size in sizes]


def _cut(photo, height, width):
    """A photograph's upper left; one that is smaller is mirrored at its borders."""
    after = (max(0, n - m) for n, m in zip((height, width), photo.shape, strict=False))
    padded = np.pad(photo, [*((0, n) for n in after), (0, 0)], "symmetric")
    return padded[:height, :width]


def _computed(model, batch):
    outputs = model([*batch.values()] if len(batch) > 1 else [*batch.values()][0])
    return {name: keras.ops.convert_to_numpy(x) for name, x in outputs.items()}


def _convert(model, path, keras_name):
    with warnings.catch_warnings():
        # Keras looks for a name that NumPy no longer has.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(path), format=keras_name, verbose=False)


def _difference(run, batches, wanted):
    """The largest difference of any output to what Keras computed: float."""
    largest = 0.0
    for batch, expected in zip(batches, wanted, strict=True):
        found = run(**batch)
        for name, x in expected.items():
            message = f"`{name}` must be {x.shape}. Received: {found[name].shape}"
            require(found[name].shape == x.shape, message)
            # Not `max`, in which a NaN can get lost.
            largest = np.maximum(largest, np.abs(found[name] - x).max())
    return float(largest)


def _report(model, exported, part, name, difference):
    low_high = list(pixel_range(model))
    from_bytes = "x / 255" if low_high == [0, 1] else "x / 127.5 - 1"
    packages = ("convae-keras", "keras", "tensorflow")
    runtime = FORMATS[name].packages[0]
    outputs = {key: _tensor(each) for key, each in exported.output.items()}
    return {
        "part": part,
        "format": name,
        "inputs": {tensor.name: _tensor(tensor) for tensor in exported.inputs},
        "outputs": outputs,
        "pixels": {"layout": "NHWC", "range": low_high, "from_uint8": from_bytes},
        "largest_difference": difference,
        "runtime": f"{runtime} {version(runtime)}",
        "model": fingerprint(model),
        "versions": {package: version(package) for package in packages},
    }


def _tensor(tensor):
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}
