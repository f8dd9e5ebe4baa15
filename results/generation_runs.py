"""Trains what notebook 08 measures and draws with, as run folders to be shipped.

    python results/generation_runs.py classifier RUN
    python results/generation_runs.py generator RUN

The classifier learns from MNIST's labels. The generator is a flow to the codes of
the shipped autoencoder, and its decoder; the shipped classifier measures it.
`python results/build_pretrained.py RUN NAME` ships them.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from convae_keras import load_images, load_pretrained
from convae_keras.features import encode
from convae_keras.generation import (
    FlowSampler,
    compare_images,
    generate,
    image_generator,
    train_classifier,
)
from convae_keras.models import count_trainable
from convae_keras.pipelines import to_float
from convae_keras.runs import save_model
from convae_keras.saving import write_json


def classifier(images):
    """Returns a trained classifier, its settings, history and results."""
    options = {"epochs": 10, "batch_size": 128, "learning_rate": 0.003, "seed": 0}
    model, history = train_classifier(images, **options, verbose=2)
    found = model.predict(to_float(images.x_test), verbose=0).argmax(axis=1)
    accuracy = (found == images.y_test).mean()
    few = slice(0, 10000)  # on which a linear classifier takes a minute
    x, x_test = (
        to_float(x).reshape(len(x), -1) for x in (images.x_train[few], images.x_test)
    )
    linear = LogisticRegression(C=0.1, max_iter=1000).fit(x, images.y_train[few])
    baseline = linear.score(x_test, images.y_test)
    results = {"classifier": {"accuracy": float(accuracy)}}
    results["logistic regression on 10,000 images"] = {"accuracy": float(baseline)}
    loss = "sparse_categorical_crossentropy"
    return model, options | {"loss": loss}, history, results


def generator(images):
    """Returns a trained generator, its settings, history and results."""
    options = {"epochs": 100, "batch_size": 256, "learning_rate": 0.003, "seed": 0}
    autoencoder, judge = load_pretrained("reference"), load_pretrained("classifier")
    codes = encode(autoencoder, images.x_train)
    sampler = FlowSampler(192, 3, **options, verbose=2).fit(codes, images.y_train)
    model = image_generator(autoencoder, sampler)
    drawn = np.random.RandomState(0).choice(len(codes), len(images.x_test), False)
    made = {"generator": generate(model, len(images.x_test), seed=1)[0]}
    made["as many training images"] = images.x_train[drawn]
    results = {
        name: compare_images(judge, images.x_test, x) for name, x in made.items()
    }
    return model, options | {"loss": "mse"}, sampler.history, results


RUNS = {"classifier": classifier, "generator": generator}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=RUNS)
    parser.add_argument("run", type=Path, metavar="RUN")
    arguments = parser.parse_args()
    images = load_images()
    model, settings, history, results = RUNS[arguments.kind](images)
    arguments.run.mkdir(parents=True, exist_ok=True)
    settings |= {"data": str(images), "parameters": count_trainable(model)}
    settings |= {"pixel_range": [0, 1]}
    save_model(arguments.run, model)
    found = {"settings": settings, "history": history, "results": results}
    for name, value in found.items():
        write_json(arguments.run / f"{name}.json", value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
