"""Measures what each trick buys: the usual way beside a faster one, or one that is not.

    python benchmarks/tricks.py                      everything
    python benchmarks/tricks.py --only pieces data   some of its parts

- `pieces`: layers of the printed Keras network, forward and backward on one thread,
  beside exact rewritings: both return the same numbers.
- `threads`: one step of its preset, with other thread settings.
- `data`: one epoch of it, with other ways to bring the images, on one thread.

All take turns in one process, but for the thread settings, each of which needs a
process of its own. Batches of 128 images, medians, in milliseconds a step.
"""

import argparse
import json
import sys

import numpy as np
import tensorflow as tf
from ceilings import training_step
from networks import BATCH_SIZE
from pieces import PIECES, forward_and_backward
from processes import RESULTS, alternate, conditions, record_rows, watch

from convae_keras import conv_autoencoder, load_images, make_pipeline
from convae_keras.pipelines import to_float
from convae_keras.training import STEPS_PER_EXECUTION, compile_model

# Threads in an operation, operations at once, parts of the batch at once.
SETTINGS = {
    "one thread": (1, 1, 1),
    "two threads in an operation": (2, 1, 1),
    "two, and two operations at once": (2, 2, 1),
    "halves of the batch at once": (1, 2, 2),
}
EPOCH = 160 * BATCH_SIZE  # images
# Steps of an epoch. With the tuning, `fit` returns only when its thread wakes up, after
# 10 ms, 20 ms, 40 ms and so on: what one length waits for is a matter of luck.
LENGTHS = (71, 100, 141, 200)


def pieces(rounds):
    """Milliseconds of each piece, in the usual way and rewritten."""
    functions = {}
    for name, (shape, *ways) in PIECES.items():
        for way, function in zip(("usual", "other"), ways, strict=True):
            functions[name, way] = forward_and_backward(function, *shape)
    times = medians(alternate(functions, rounds, calls=20))
    return {name: [times[name, "usual"], times[name, "other"]] for name in PIECES}


def step(setting, rounds):
    """Milliseconds of a training step in this process, in that many parts."""
    x = np.random.default_rng(0).random((BATCH_SIZE, 28, 28, 1), "float32")
    model = conv_autoencoder("keras", seed=0)
    function = training_step(model, x, parts=SETTINGS[setting][2])
    return medians(alternate({setting: function}, rounds, calls=40))[setting]


def data(rounds):
    """Milliseconds a step of `fit`, by how the images come to it."""
    pixels = np.resize(load_images("mnist5k").x_train, (EPOCH, 28, 28, 1))
    x = to_float(pixels)
    ways = {
        "arrays": fitting(1, x, x),
        "uint8 by index": fitting(1, pipeline(pixels)),
        "float32 by index": fitting(1, pipeline(x)),
        "steps in one call": fitting(STEPS_PER_EXECUTION, pipeline(pixels)),
    }
    times = medians(alternate(ways, rounds))
    found = {name: times[name] * BATCH_SIZE / EPOCH for name in ways}
    usual, bytes_ = found["arrays"], found["uint8 by index"]
    return {
        "tf.data by index for arrays in fit": [usual, bytes_],
        "uint8 for float32, by index": [found["float32 by index"], bytes_],
        "eight steps in one call": [bytes_, found["steps in one call"]],
        "no tuning of the pipeline": tuning(pixels, rounds),
    }


def pipeline(x, tuned=False):
    """The package's, with or without TensorFlow's tuning of it as it runs."""
    options = tf.data.Options()
    options.autotune.enabled = tuned
    return make_pipeline(x, BATCH_SIZE, seed=0).with_options(options)


def tuning(pixels, rounds):
    """Milliseconds a step of `fit` with and without tuning, over some lengths."""
    sources = {tuned: pipeline(pixels, tuned) for tuned in (True, False)}
    each = [(tuned, steps) for tuned in sources for steps in LENGTHS]
    fits = {pair: fitting(1, sources[pair[0]], steps=pair[1]) for pair in each}
    times = medians(alternate(fits, rounds))
    return [sum(times[t, n] for n in LENGTHS) / sum(LENGTHS) for t in sources]


def fitting(steps_at_once, *source, steps=EPOCH // BATCH_SIZE):
    """Returns a function that trains for one epoch, from the call to its return."""
    model = conv_autoencoder("keras", seed=0)
    options = {"steps_per_execution": steps_at_once}
    compile_model(model, "adam", "binary_crossentropy", **options)
    options = {"batch_size": BATCH_SIZE} if len(source) > 1 else {"shuffle": False}
    options |= {"steps_per_epoch": steps, "verbose": 0}
    return lambda: model.fit(*source, **options)


def medians(times):
    return {name: float(np.median(found)) for name, found in times.items()}


def threads(rounds):
    """Milliseconds of a step by thread setting, beside those of the first."""
    found = {setting: [] for setting in SETTINGS}
    for _ in range(3):
        for setting, (within, between, _) in SETTINGS.items():
            options = "--worker", setting, "--rounds", rounds
            watched = watch(__file__, *options, threads=(within, between))
            found[setting].append(json.loads(watched.lines[-1][1]))
    times = medians(found)
    usual, *others = SETTINGS
    return {name: [times[usual], times[name]] for name in others}


def alone(part, rounds):
    watched = watch(__file__, "--worker", part, "--rounds", rounds, threads=(1, 1))
    return json.loads(watched.lines[-1][1])


def table(report):
    """Formats how many times faster each trick is, first."""
    lines = [f"{'':50s}{'times':>7}{'usual':>10}{'other':>10}"]
    for part, rows in report.items():
        lines.append(part)
        for name, (usual, other) in rows.items():
            cells = f"{usual / other:>7.2f}{usual:>7.2f} ms{other:>7.2f} ms"
            lines.append(f"  {name:48s}{cells}")
    return "\n".join(lines)


def main():
    parts = "pieces", "threads", "data"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=parts, choices=parts)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    worker, rounds = arguments.worker, arguments.rounds
    if worker:
        works = {"pieces": pieces, "data": data}
        found = works[worker](rounds) if worker in works else step(worker, rounds)
        print(json.dumps(found))
        return
    report = {}
    for part in arguments.only:
        rows = threads(rounds) if part == "threads" else alone(part, rounds)
        report[part] = {k: [round(ms, 3) for ms in v] for k, v in rows.items()}
    print(table(report))
    entry = {"batch_size": BATCH_SIZE, **conditions()}
    kept = {*parts} - {*arguments.only}
    record_rows(arguments.out, "tricks", entry, "parts", report, kept)


if __name__ == "__main__":
    sys.exit(main())
