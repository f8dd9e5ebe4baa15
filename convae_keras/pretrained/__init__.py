"""The trained models that ship with the package."""

from pathlib import Path

from convae_keras.saving import load_model, read_json
from convae_keras.validation import require

# One folder a model: model.keras, its hash in settings.json, and its card.md.
PRETRAINED = Path(__file__).parent


def pretrained_names():
    """Returns the names that `load_pretrained` accepts, a sorted list of str."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/settings.json"))


def load_pretrained(name="reference"):
    """Loads a trained model that ships with the package.

    Its weights are rounded to float16 values and stored as float32.

    Args:
        name: str. `"reference"`: the reference network with a code of 32
            numbers, trained on MNIST. `"denoiser"`, `"denoiser_grey"`:
            restorers of color and grayscale photographs with Gaussian noise of a
            standard deviation up to 0.2. `"enlarger_x2"`, `"enlarger_x3"`:
            super-resolution of the luma of photographs. `"digits"`: a codec for
            MNIST. `"generator"`: new digits from noise. `"classifier"`: of
            MNIST, by whose features samples are measured.

    Returns:
        An uncompiled `keras.Model`: an `Autoencoder`, a restorer, a `Codec`, a
        generator for `generate`, or a classifier.

    Raises:
        ValueError: for an unknown name, or a file that was changed.

    Example:

    >>> load_pretrained("reference").encoder.output_shape
    (None, 32)
    """
    names = pretrained_names()
    require(name in names, f"Unknown model: {name!r}. Available: {names}")
    folder = PRETRAINED / name
    sha256 = read_json(folder / "settings.json")["sha256"]
    return load_model(folder / "model.keras", sha256)


def find_pretrained(prefix):
    """Finds the shipped model with a given fingerprint.

    Args:
        prefix: str, the first digits of `saving.fingerprint(model)`.

    Returns:
        str, its name for `load_pretrained`; None if no model matches.
    """
    for name in pretrained_names():
        if read_json(PRETRAINED / name / "settings.json")["model"].startswith(prefix):
            return name
    return None
