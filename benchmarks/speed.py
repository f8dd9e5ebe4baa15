"""Measures how fast networks train, beside those that tutorials print.

    python benchmarks/speed.py                         every network
    python benchmarks/speed.py --only code preset      those with such a name

Each network is trained in a process of its own, and is timed from outside, by the lines
that it prints. They take turns, several times; an epoch before those that are timed is
not counted. Written to `results/benchmarks.json`: images a second in training (median,
lowest and highest over all timed epochs), and in reconstruction, by batch size; seconds
until the first epoch begins; peak memory.
"""

import argparse
import sys

import numpy as np
from networks import BATCH_SIZE, NETWORKS
from processes import RESULTS, conditions, record_rows, watch

SIZES = {1: 300, 128: 20_000, 1000: 20_000}  # images to reconstruct, by batch size


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[""], help="texts in their names")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each network")
    parser.add_argument("--epochs", type=int, default=3, help="timed in a turn")
    parser.add_argument("--images", type=int, default=40_000, help="of an epoch")
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments)
    turns = {n: [] for n in NETWORKS if any(text in n for text in arguments.only)}
    if not turns:
        parser.error(f"--only matches none of {[*NETWORKS]}")
    kept = NETWORKS.keys() - turns.keys()
    for _ in range(arguments.rounds):
        for name in [*turns]:
            turn = run(name, arguments)
            if turn is None:
                print(f"{name}: left out, its library is not installed")
                del turns[name]
                continue
            turns[name].append(turn)
            speeds = " ".join(f"{speed:,.0f}" for speed in turn["training"])
            print(f"{name:24s} {speeds} images/s", flush=True)
    report = {name: summary(found) for name, found in turns.items()}
    sizes = {key: vars(arguments)[key] for key in ("rounds", "epochs", "images")}
    print(table(report))
    entry = {**sizes, "batch_size": BATCH_SIZE, **conditions()}
    record_rows(arguments.out, None, entry, "networks", report, kept)
    return 0


def work(arguments):
    """Trains and reconstructs; prints a line at the end of each part."""
    train, predict = NETWORKS[arguments.worker]()
    x = digits(arguments.images)
    train(x, 1 + arguments.epochs)
    for size, count in SIZES.items():
        predict(x[: 2 * size], size)  # compiles it
        print(f"begin {size}", flush=True)
        predict(x[:count], size)
        print(f"end {size}", flush=True)
    return 0


def digits(count):
    """As many real digits as asked for, some of them more than once."""
    from convae_keras import load_images
    from convae_keras.pipelines import to_float

    x = to_float(load_images("mnist5k").x_train)
    return np.resize(x, (count, *x.shape[1:]))


def run(name, arguments):
    """Trains a network in a process of its own, and times the lines it prints."""
    options = ["--worker", name, "--epochs", arguments.epochs]
    watched = watch(__file__, *options, "--images", arguments.images)
    if watched is None:
        return None
    epochs = [when for when, line in watched.lines if line.startswith("epoch")]
    speeds = {}
    for size, count in SIZES.items():
        seconds = watched.when(f"end {size}") - watched.when(f"begin {size}")
        speeds[str(size)] = min(count, arguments.images) / seconds
    seconds = np.diff(epochs)
    images = arguments.images // BATCH_SIZE * BATCH_SIZE
    return {
        "training": (images / seconds).tolist(),
        "reconstruction": speeds,
        "seconds_before_training": epochs[0] - float(np.median(seconds)),
        "peak_megabytes": watched.peak_megabytes,
    }


def summary(turns):
    """Medians over turns, and the range of training speeds."""
    training = [speed for turn in turns for speed in turn["training"]]
    keys = ("seconds_before_training", "peak_megabytes")
    medians = {key: round(float(np.median([t[key] for t in turns])), 1) for key in keys}
    sizes = turns[0]["reconstruction"]
    by_size = {s: [turn["reconstruction"][s] for turn in turns] for s in sizes}
    return {
        "training": round(float(np.median(training))),
        "training_range": [round(min(training)), round(max(training))],
        "reconstruction": {s: round(float(np.median(v))) for s, v in by_size.items()},
        **medians,
    }


def table(report):
    """Formats speeds, ratios to the printed code first."""
    lines = [
        f"{'':24s}{'x Keras':>9}{'x PyTorch':>11}{'images/s':>10}{'MB':>7}{'start':>8}"
    ]
    printed = [report.get(f"printed {name} code") for name in ("Keras", "PyTorch")]
    for name, row in report.items():
        ratios = [
            f"{row['training'] / p['training']:.2f}" if p else "–" for p in printed
        ]
        cells = f"{ratios[0]:>9}{ratios[1]:>11}{row['training']:>10,}"
        cells += (
            f"{row['peak_megabytes']:>7.0f}{row['seconds_before_training']:>6.1f} s"
        )
        lines.append(f"{name:24s}{cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
