"""Trains the finished runs that the notebooks load in lesson mode.

    python results/course_runs.py              every run that is missing
    python results/course_runs.py denoiser     these only, even if they exist

Each is trained with seed 0 and the hyper-parameters of its notebook's full run.
Run the same command again to resume: training happens in `build/course_runs`. The
results are committed: `results/runs/NAME.keras`, with weights rounded to float16
values, and `convae_keras/finished_runs.json`, with hashes and histories.
"""

import argparse
import sys
from pathlib import Path

import keras
from keras import layers

from convae_cli.tasks import AFFINE, PHOTOGRAPHS
from convae_keras import (
    conv_autoencoder,
    conv_codec,
    load_images,
    load_pretrained,
    train,
)
from convae_keras.compression.bitstream import fit_tables
from convae_keras.corruption import Downsample, GaussianNoise, Warp
from convae_keras.features import encode
from convae_keras.generation import Mixture, refine_decoder, variational_autoencoder
from convae_keras.ledger import FINISHED
from convae_keras.pipelines import to_float
from convae_keras.restorers import restorer
from convae_keras.saving import load_model, read_json, save_small, write_json

ROOT = Path(__file__).resolve().parent.parent
BUILD, RUNS = ROOT / "build" / "course_runs", ROOT / "results" / "runs"
ANY_SIZE = (None, None, 1)
WARP = Warp(**AFFINE, shift=4.0)


def _train(name, model, images, epochs, batch_size, **options):
    run = BUILD / name
    options = {"learning_rate": 0.003, "verbose": 2, **options}
    return model, train(model, images, epochs, batch_size, run=run, **options)


def printed(images):
    """Notebook 01: the printed recipe, all 50 epochs."""
    model = conv_autoencoder(
        "keras", seed=0, fused=False, kernel_initializer="glorot_uniform"
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    x, x_val = to_float(images.x_train), to_float(images.x_val)
    history = model.fit(
        x, x, batch_size=128, epochs=50, validation_data=(x_val, x_val), verbose=2
    )
    return model, history.history


def denoiser(images):
    """Notebook 03: a wider network, trained for longer."""
    keras.utils.set_random_seed(0)
    model = restorer(ANY_SIZE, filters=(48, 128), convs=(2, 3))
    return _train("denoiser", model, images, 16, 64, corrupt=GaussianNoise(0.5))


def denoiser_blog(images):
    """Notebook 03: the Keras blog's denoiser, trained as long, at its best rate."""
    keras.utils.set_random_seed(0)
    shape, relu = (28, 28, 1), {"padding": "same", "activation": "relu"}
    model = keras.Sequential([keras.Input(shape)])
    for step in ("pool", "pool", "up", "up"):
        model.add(layers.Conv2D(32, 3, **relu))
        model.add(layers.MaxPooling2D(2) if step == "pool" else layers.UpSampling2D(2))
    model.add(layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    options = {"corrupt": GaussianNoise(0.5), "learning_rate": 0.01}
    return _train("denoiser_blog", model, images, 16, 64, **options)


def denoiser_range(images):
    """Notebook 03: a range of noise levels."""
    keras.utils.set_random_seed(0)
    model, corrupt = restorer(ANY_SIZE), GaussianNoise((0.0, 0.6))
    return _train("denoiser_range", model, images, 2, 64, corrupt=corrupt)


def enlarger(images):
    """Notebook 04: the network that is trained for longer."""
    keras.utils.set_random_seed(0)
    model = restorer(ANY_SIZE, scale=2, residual=True)
    return _train("enlarger", model, images, 4, 64, corrupt=Downsample(2))


def codes(name, latent_dim, epochs, corrupt=None, whole=True):
    """Notebooks 05 and 06: an autoencoder whose code serves as features.

    `whole=False` stores the encoder only, where no notebook uses the decoder.
    """

    def run(images):
        model = conv_autoencoder("reference", seed=0, latent_dim=latent_dim)
        history = _train(name, model, images, epochs, 128, corrupt=corrupt)[1]
        return model if whole else model.encoder, history

    return run


def codec(weight, epochs, start=None):
    """Notebook 07: one point of the rate-distortion curve."""

    def run(images):
        model = conv_codec(rate_weight=float(weight), seed=0)
        if start is not None:
            model.set_weights(load_model(RUNS / f"{start}.keras").get_weights())
        name = f"codec_{weight}"
        history = _train(name, model, images, epochs, 128, loss="psnr")[1]
        fit_tables(model, images.x_train)
        return model, history

    return run


def codec_photographs(images):
    """Notebook 07: a codec for photographs of any size, which learns from patches."""
    name, images = "codec_photographs", load_images("photographs")
    model = conv_codec((None, None, 3), **PHOTOGRAPHS, seed=0)
    history = _train(name, model, images, 40, 15, loss="psnr", augment=True)[1]
    fit_tables(model, images.x_train)
    return model, history


def vae(name, beta):
    """Notebook 08: the variational twin of the reference network, in its budget."""

    def run(images):
        model = variational_autoencoder(beta=beta, seed=0)
        return _train(name, model, images, 20, 128, learning_rate=0.005)

    return run


def refined(weight):
    """Notebook 09: the shipped decoder, trained further, with a judge or without."""

    def run(images):
        autoencoder, x = load_pretrained("reference"), images.x_train
        codes = encode(autoencoder, x)
        samples = Mixture(20).fit(codes, images.y_train).sample(len(x), seed=5)[0]
        return refine_decoder(autoencoder, x, samples, weight, 1000, verbose=2)

    return run


# In this order: the codecs after the first start from its weights.
COURSE_RUNS = {
    "enlarger": enlarger,
    "denoiser_range": denoiser_range,
    "transfer_plain": codes("transfer_plain", 64, 8),
    "transfer_affine": codes("transfer_affine", 64, 8, WARP, whole=False),
    "printed": printed,
    "codec_55": codec(55, 16),
    "codec_8": codec(8, 4, start="codec_55"),
    "codec_16": codec(16, 4, start="codec_55"),
    "codec_30": codec(30, 4, start="codec_55"),
    "codec_120": codec(120, 4, start="codec_55"),
    "codec_photographs": codec_photographs,
    "features_plain": codes("features_plain", 128, 20),
    "features_affine": codes("features_affine", 128, 20, WARP),
    "denoiser": denoiser,
    "denoiser_blog": denoiser_blog,
    "vae": vae("vae", 1.0),
    "vae_quarter": vae("vae_quarter", 0.25),
    "refined": refined(0.01),
    "refined_twin": refined(0.0),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="all that are missing without any")
    names = parser.parse_args().names
    unknown = sorted(set(names) - set(COURSE_RUNS))
    if unknown:
        parser.error(f"unknown: {unknown}. Available: {[*COURSE_RUNS]}")
    RUNS.mkdir(exist_ok=True)
    manifest, images = read_json(FINISHED), load_images()
    for name in names or COURSE_RUNS:
        path = RUNS / f"{name}.keras"
        if not names and name in manifest["runs"] and path.exists():
            continue
        print(name, flush=True)
        model, history = COURSE_RUNS[name](images)
        sha256 = save_small(model, path)
        history = {k: [float(f"{x:.6g}") for x in v] for k, v in history.items()}
        manifest["runs"][name] = {"sha256": sha256, "history": history}
        write_json(FINISHED, manifest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
