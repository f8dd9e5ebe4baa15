"""The trained models that come with the package."""

import hashlib
import json
from pathlib import Path

import keras
import numpy as np

from convae_keras.runs import load_run
from convae_keras.saving import atomic_write, fingerprint, read_json, write_json

PRETRAINED = Path(__file__).parent


def ship(run, name):
    """Keeps a run's model with the package, small: half-precision weights.

    Args:
        run: str or `Path`, a finished run folder.
        name: str, what `load_pretrained` will call it.
    """
    run, folder = Path(run), PRETRAINED / name
    folder.mkdir(parents=True, exist_ok=True)
    autoencoder = load_run(run)
    weights = autoencoder.get_weights()
    # Whole numbers are kept as they are.
    weights = [w.astype("float16") if w.dtype == "float32" else w for w in weights]
    with atomic_write(folder / "weights.npz") as aside:
        np.savez_compressed(aside, *weights)
    settings = read_json(run / "settings.json")
    before = fingerprint(autoencoder)
    autoencoder.set_weights(weights)
    settings["sha256"] = _sha256(folder / "weights.npz")
    settings["model"] = fingerprint(autoencoder)
    write_json(folder / "settings.json", settings)
    write_json(folder / "architecture.json", json.loads(autoencoder.to_json()))
    for file in ("card.md", "results.json", "history.json"):
        text = (run / file).read_text(encoding="utf-8")
        with atomic_write(folder / file) as aside:
            text = text.replace(before[:32], settings["model"][:32])
            aside.write_text(text, encoding="utf-8")


def pretrained_names():
    """Sorted list of str, the models that `load_pretrained` knows."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/settings.json"))


def find_pretrained(digits):
    """What `load_pretrained` calls a model.

    Args:
        digits: str, the first of its `fingerprint`.

    Returns:
        str, or None for a model that does not come with the package.
    """
    for name in pretrained_names():
        if read_json(PRETRAINED / name / "settings.json")["model"].startswith(digits):
            return name
    return None


def load_pretrained(name="reference"):
    """Loads a trained model that comes with the package.

    Args:
        name: str. `"reference"`: the reference network with a code of 32
            numbers, trained on MNIST. `"denoiser"`, `"denoiser_grey"`: of
            photographs in colour and in grey, noise up to 0.2 of white.
            `"enlarger_x2"`, `"enlarger_x3"`: of photographs' luma. `"digits"`,
            `"photographs"`: codecs for MNIST's digits and for images in colour.

    Returns:
        An uncompiled `Autoencoder`, or for all others a `keras.Model`.

    Raises:
        ValueError: if there is none of that name, or its file was changed.

    Example:

    >>> load_pretrained("reference").encoder.output_shape
    (None, 32)
    """
    folder = PRETRAINED / name
    if name not in pretrained_names():
        raise ValueError(f"Trained are {pretrained_names()}. Received: {name!r}")
    expected = read_json(folder / "settings.json")["sha256"]
    received = _sha256(folder / "weights.npz")
    if received != expected:
        raise ValueError(
            f"The weights of {folder.name!r} are not those that were shipped: "
            f"expected sha256 {expected}. Received: {received}"
        )
    config = read_json(folder / "architecture.json")
    config.pop("compile_config", None)
    autoencoder = keras.saving.deserialize_keras_object(config)
    with np.load(folder / "weights.npz") as file:
        weights = [file[f"arr_{i}"] for i in range(len(file.files))]
    autoencoder.set_weights(weights)
    return autoencoder


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
