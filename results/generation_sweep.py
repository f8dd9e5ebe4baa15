"""Trains networks of several sizes and weights, and measures what is drawn from them.

    python results/generation_sweep.py

Notebook 08 shows what it writes, `results/sweeps/generation.json`: a row for each
network, of its validation images. Run the same command again to resume: trainings
are in `build/generation_sweep`, and rows that are written stay.
"""

import sys
from pathlib import Path

import numpy as np

from convae_keras import conv_autoencoder, load_images, load_pretrained, train
from convae_keras.data import Images
from convae_keras.evaluation import reconstruct
from convae_keras.features import encode
from convae_keras.generation import (
    Mixture,
    compare_images,
    frechet_distance,
    variational_autoencoder,
)
from convae_keras.ledger import hardware
from convae_keras.pipelines import to_float
from convae_keras.saving import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
BUILD, RESULT = ROOT / "build", ROOT / "results" / "sweeps" / "generation.json"
TRAINED, EPOCHS = 20_000, 4
# A size of the code and `beta`; None is the plain autoencoder.
NETWORKS = [(size, beta) for beta in (None, 1.0) for size in (8, 16, 32)]
NETWORKS += [(32, beta) for beta in (0.25, 0.5, 2.0)]


def build(size, beta):
    """Returns a network and what it is called."""
    if beta is None:
        model, name = conv_autoencoder("reference", latent_dim=size, seed=0), "plain"
    else:
        model = variational_autoencoder(latent_dim=size, beta=beta, seed=0)
        name = f"beta {beta:g}"
    return model, f"{name}, {size} numbers"


def measure(model, beta, images, labels, judge):
    """Returns what is measured of a trained network."""
    x, count = images.x_val, len(images.x_val)
    codes, real = encode(model, images.x_train), encode(judge, x, "features")
    mixture = Mixture(20).fit(codes, labels).sample(count, seed=1)[0]
    drawn = np.random.RandomState(0).normal(size=mixture.shape).astype("float32")
    if beta is None:
        drawn = Mixture(1).fit(codes).sample(count, seed=1)[0]
    prior, mixture = (
        model.decoder.predict(each, batch_size=500, verbose=0)
        for each in (drawn, mixture)
    )
    row = {"mse": float(np.mean((reconstruct(model, to_float(x)) - to_float(x)) ** 2))}
    row["prior"] = frechet_distance(real, encode(judge, prior, "features"))
    found = compare_images(judge, x, mixture)
    return row | {"mixture": found["frechet"], "recall": found["recall"]}


def main():
    images, judge = load_images(), load_pretrained("classifier")
    few = slice(TRAINED)
    labels, some = images.y_train[few], images.x_train[few]
    some = Images(images.name, some, None, images.x_val, None, images.x_test, None)
    result = {"data": str(images), "images": TRAINED, "epochs": EPOCHS, "rows": {}}
    if RESULT.exists():
        result = read_json(RESULT)
    RESULT.parent.mkdir(exist_ok=True)
    for size, beta in NETWORKS:
        model, name = build(size, beta)
        if name in result["rows"]:
            continue
        print(name, flush=True)
        run = BUILD / "generation_sweep" / name.replace(" ", "_")
        train(model, some, EPOCHS, run=run, verbose=2)
        result["rows"][name] = measure(model, beta, some, labels, judge)
        write_json(RESULT, result | {"hardware": hardware()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
