"""Measures how soon ours reaches the test loss at which a printed recipe ends.

    python benchmarks/time_to_loss.py                       both recipes
    python benchmarks/time_to_loss.py --only keras          one of them

The printed code trains for a few epochs in a process of its own; its whole recipe is
counted as its first epoch, with all that comes before it, and the median of the others
as often as the recipe repeats it. Ours trains to its end, once a seed: building,
compilation and validation are in its time, since both are timed from outside, from the
line that says that libraries and images are loaded. The loss to reach is what the
notebooks recorded of the whole recipe (`results/*.json`).
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from networks import BATCH_SIZE, NETWORKS
from processes import RESULTS, conditions, record_rows, watch


@dataclass(frozen=True)
class Recipe:
    """A printed recipe, and the settings with which ours reaches its loss."""

    code: str
    epochs: int
    loss: str
    recorded: tuple  # file and key of the loss to reach
    settings: dict  # the fastest of those tried that reach it with every seed


RECIPES = {
    "keras": Recipe(
        "printed Keras code",
        50,
        "bce",
        ("training", "bce_printed_50_epochs"),
        {"epochs": 1, "batch_size": 12, "learning_rate": 0.03},
    ),
    "pytorch": Recipe(
        "printed PyTorch code",
        10,
        "mse",
        ("reconstruction", "mse_printed_pytorch"),
        {"epochs": 1, "batch_size": 32, "learning_rate": 0.02},
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[*RECIPES], choices=[*RECIPES])
    parser.add_argument("--epochs", type=int, default=3, help="timed of printed code")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--data", help="as for load_images; CONVAE_DATA, or mnist")
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(*arguments.worker, arguments)
    report = {name: compare(name, arguments) for name in arguments.only}
    report = {name: row for name, row in report.items() if row}
    print(table(report))
    entry = {"batch_size_printed": BATCH_SIZE, **conditions()}
    kept = RECIPES.keys() - {*arguments.only}
    record_rows(arguments.out, "time_to_loss", entry, "recipes", report, kept)
    return 0


def work(name, seed, arguments):
    """Trains the printed code, or ours with a seed; says when it begins and ends."""
    from convae_keras import conv_autoencoder, load_images, metrics, train
    from convae_keras.evaluation import reconstruct
    from convae_keras.pipelines import to_float

    recipe, images = RECIPES[name], load_images(arguments.data)
    if seed == "printed":
        printed, x = NETWORKS[recipe.code]()[0], to_float(images.x_train)
        print("begin", flush=True)
        printed(x, 1 + arguments.epochs)
        return 0
    print("begin", flush=True)
    model = conv_autoencoder(name, seed=int(seed))
    train(model, images, **recipe.settings, seed=int(seed), verbose=0)
    print("end", flush=True)
    x = to_float(images.x_test)
    loss = getattr(metrics, recipe.loss)(x, reconstruct(model, x)).mean()
    print(f"loss {loss:.8f}")
    return 0


def compare(name, arguments):
    """Runs the printed code before each seed of ours; None without its library."""
    recipe, options = RECIPES[name], ["--epochs", arguments.epochs]
    options += ["--data", arguments.data] if arguments.data else []
    printed, ours, losses = [], [], []
    for seed in arguments.seeds:
        watched = watch(__file__, *options, "--worker", name, "printed")
        if watched is None:
            print(f"{recipe.code}: left out, its library is not installed")
            return None
        ends = [when for when, line in watched.lines if line.startswith("epoch")]
        first, others = ends[0] - watched.when("begin"), np.diff(ends)
        printed.append(float(first + (recipe.epochs - 1) * np.median(others)))
        watched = watch(__file__, *options, "--worker", name, seed)
        ours.append(watched.when("end") - watched.when("begin"))
        losses.append(float(watched.lines[-1][1].split()[1]))
        print(f"{name} {seed}: {printed[-1]:.0f} s, ours {ours[-1]:.1f} s", flush=True)
    return summary(recipe, printed, ours, losses)


def summary(recipe, printed, ours, losses):
    """Medians of the times, and every loss beside the one to reach."""
    from convae_keras.saving import read_json

    file, key = recipe.recorded
    goal = read_json(RESULTS.parent / f"{file}.json")["metrics"][key]["mean"]
    printed_seconds, seconds = float(np.median(printed)), float(np.median(ours))
    return {
        "share": round(seconds / printed_seconds, 4),
        "seconds": round(seconds, 1),
        "seconds_range": [round(min(ours), 1), round(max(ours), 1)],
        "printed_seconds": round(printed_seconds, 1),
        "printed_epochs": recipe.epochs,
        "settings": recipe.settings,
        "loss": recipe.loss,
        "printed_loss": goal,
        "losses": losses,
        "reached": sum(loss <= goal for loss in losses),
    }


def table(report):
    """Formats the share of time first."""
    lines = [f"{'':10s}{'share':>7}{'ours':>9}{'printed':>9}  {'loss':>9} to reach"]
    for name, row in report.items():
        cells = f"{row['share']:>7.3f}{row['seconds']:>7.1f} s"
        cells += f"{row['printed_seconds']:>7.0f} s  {max(row['losses']):>9.6f}"
        reached = f"{row['reached']} of {len(row['losses'])} seeds"
        lines.append(f"{name:10s}{cells} {row['printed_loss']:.6f}, by {reached}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
