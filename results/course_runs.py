"""Trains the finished runs that the notebooks load in lesson mode.

    python results/course_runs.py              every run that is not there yet
    python results/course_runs.py denoiser     these only

Each is trained with seed 0 and the settings of its notebook's full run, in
`build/course_runs`, where an interrupted training resumes. What is committed
are `results/runs/NAME.keras`, with weights in half precision, and
`convae_keras/finished_runs.json`, with their hashes and histories.
"""

import argparse
import sys
from pathlib import Path

import keras

from convae_keras import conv_autoencoder, conv_codec, load_images, train
from convae_keras.compression.bitstream import fit_tables
from convae_keras.corruption import Downsample, GaussianNoise, Warp
from convae_keras.ledger import FINISHED
from convae_keras.restorers import restorer
from convae_keras.saving import read_json, save_small, write_json

ROOT = Path(__file__).resolve().parent.parent
BUILD, RUNS = ROOT / "build" / "course_runs", ROOT / "results" / "runs"
ANY_SIZE = (None, None, 1)
WARP = Warp(rotation=30.0, scale=(0.7, 1.4), shear=0.5, shift=4.0, stddev=(0.0, 0.5))


def printed():
    """Notebook 01: the printed recipe with its 50 epochs."""
    model = conv_autoencoder(
        "keras", seed=0, fused=False, kernel_initializer="glorot_uniform"
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    x, x_val = (images / 255 for images in (IMAGES.x_train, IMAGES.x_val))
    history = model.fit(
        x, x, batch_size=128, epochs=50, validation_data=(x_val, x_val), verbose=2
    )
    return model, history.history


def trained(name, model, epochs, batch_size, **options):
    run = BUILD / name
    history = train(model, IMAGES, epochs, batch_size, run=run, verbose=2, **options)
    return model, history


def denoiser():
    """Notebook 03: the wider network that is given more time."""
    keras.utils.set_random_seed(0)
    model = restorer(ANY_SIZE, filters=(48, 128), convs=(2, 3))
    corrupt = GaussianNoise(0.5)
    return trained("denoiser", model, 16, 64, learning_rate=0.003, corrupt=corrupt)


def denoiser_range():
    """Notebook 03: trained on a range of noise levels."""
    keras.utils.set_random_seed(0)
    model, corrupt = restorer(ANY_SIZE), GaussianNoise((0.0, 0.6))
    return trained("denoiser_range", model, 2, 64, learning_rate=0.003, corrupt=corrupt)


def enlarger():
    """Notebook 04: the enlarger that is given more time."""
    keras.utils.set_random_seed(0)
    model = restorer(ANY_SIZE, scale=2, residual=True)
    corrupt = Downsample(2)
    return trained("enlarger", model, 4, 64, learning_rate=0.003, corrupt=corrupt)


def codes(name, latent_dim, epochs, corrupt):
    model = conv_autoencoder("reference", seed=0, latent_dim=latent_dim)
    options = {"learning_rate": 0.003, "corrupt": corrupt}
    return trained(name, model, epochs, 128, **options)


def codec(price, epochs, start=None):
    """Notebook 07: one point of the rate-distortion curve."""
    name = f"codec_{price}"
    model = conv_codec(price=float(price), seed=0)
    if start is not None:
        start = keras.models.load_model(RUNS / f"{start}.keras")
        model.set_weights(start.get_weights())
    history = trained(name, model, epochs, 128, learning_rate=0.003, loss="psnr")[1]
    fit_tables(model, IMAGES.x_train)
    return model, history


COURSE_RUNS = {
    "enlarger": enlarger,
    "denoiser_range": denoiser_range,
    "transfer_plain": lambda: codes("transfer_plain", 64, 8, None),
    "transfer_affine": lambda: codes("transfer_affine", 64, 8, WARP),
    "printed": printed,
    "codec_55": lambda: codec(55, 16),
    "codec_8": lambda: codec(8, 4, start="codec_55"),
    "codec_16": lambda: codec(16, 4, start="codec_55"),
    "codec_30": lambda: codec(30, 4, start="codec_55"),
    "codec_120": lambda: codec(120, 4, start="codec_55"),
    "features_plain": lambda: codes("features_plain", 128, 20, None),
    "features_affine": lambda: codes("features_affine", 128, 20, WARP),
    "denoiser": denoiser,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *COURSE_RUNS])
    names = parser.parse_args().names
    RUNS.mkdir(exist_ok=True)
    found = read_json(FINISHED)
    for name in names or COURSE_RUNS:
        if not names and name in found["runs"] and (RUNS / f"{name}.keras").exists():
            continue
        print(name, flush=True)
        model, history = COURSE_RUNS[name]()
        sha256 = save_small(model, RUNS / f"{name}.keras")
        history = {key: [float(f"{v:.6g}") for v in history[key]] for key in history}
        found["runs"][name] = {"sha256": sha256, "history": history}
        write_json(FINISHED, found)
    return 0


if __name__ == "__main__":
    IMAGES = load_images()
    sys.exit(main())
