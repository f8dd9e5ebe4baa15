"""The `convae` command: every verb calls the package's public functions."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from convae_keras.data import load_images
from convae_keras.devices import set_up_device
from convae_keras.metrics import bce_floor
from convae_keras.models import conv_autoencoder
from convae_keras.pipelines import chunks, to_float
from convae_keras.reports import held_out_scores, score_rows, write_report
from convae_keras.runs import load_run
from convae_keras.settings import checked_images
from convae_keras.training import train

# Without --epochs a network sees as many images, however few there are.
IMAGES_SHOWN = 150_000


def main(argv=None):
    """Runs `convae VERB …`.

    Args:
        argv: list of str; None for the command line's.

    Returns:
        int, the exit status: 0, 2 for input that cannot be used, 130 after
        Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    try:
        summary = arguments.verb(arguments)
    except (ValueError, OSError) as error:
        print(f"convae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(summary))
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="convae", description="Convolutional autoencoders."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_train(verbs.add_parser("train", help="train a model, leave a run folder"))
    _add_evaluate(verbs.add_parser("evaluate", help="score a model on test images"))
    return parser


def _add_train(verb):
    verb.set_defaults(verb=_train)
    add = verb.add_argument
    add("--preset", default="reference", help="keras, pytorch or reference")
    add("--task", default="reconstruct", choices=["reconstruct"])
    add("--out", metavar="RUN", help="run folder (default: runs/PRESET-DATA)")
    add("--epochs", type=int, help="default: as many as show 150,000 images")
    add("--batch-size", type=int)
    add("--latent-dim", type=int, help="size of a dense code")
    add("--learning-rate", type=float, help="the highest of the schedule")
    add("--loss", help="binary_crossentropy or mse")
    add("--seed", type=int, default=0)
    add("--tensorboard", action="store_true", help="logs in RUN/logs")
    _add_data(add)


def _add_evaluate(verb):
    verb.set_defaults(verb=_evaluate)
    verb.add_argument("run", metavar="RUN", help="run folder")
    _add_data(verb.add_argument)


def _add_data(add):
    sources = "mnist, fashion_mnist, cifar10, mnist5k, an .npz or a folder"
    add("--data", metavar="SOURCE", help=f"{sources} (default: CONVAE_DATA, or mnist)")
    size = "of a folder's images: side, or height and width"
    add("--image-size", type=int, nargs="+", metavar="PIXELS", help=size)
    add("--color", choices=["grey", "rgb"], help="of a folder's images")
    add("--fit", choices=["crop", "pad"], help="of a folder's images")
    add("--json", action="store_true", help="one JSON object as the last line")


def _images(arguments):
    names = ("image_size", "color", "fit")
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    images = load_images(arguments.data, **options)
    print(images)
    return images


def _train(arguments):
    images = _images(arguments)
    set_up_device()
    switches = {"image_shape": images.image_shape, "seed": arguments.seed}
    if arguments.latent_dim is not None:
        switches["latent_dim"] = arguments.latent_dim
    autoencoder = conv_autoencoder(arguments.preset, **switches)
    run = Path(arguments.out or f"runs/{arguments.preset}-{images.name}")
    history = train(
        autoencoder,
        images,
        epochs=_epochs(images) if arguments.epochs is None else arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        loss=arguments.loss,
        seed=arguments.seed,
        run=run,
        tensorboard=arguments.tensorboard,
    )
    results = write_report(run, autoencoder, images)
    _print_scores(results)
    print(f"The model and its card are in {run}")
    return _summary(run, images, autoencoder, results) | {
        "epochs": len(history["loss"]),
        "seconds": sum(history["seconds"]),
        "val_loss": min(history["val_loss"]),
    }


def _epochs(images):
    return max(1, round(IMAGES_SHOWN / len(images.x_train)))


def _evaluate(arguments):
    autoencoder = load_run(arguments.run)
    images = checked_images(autoencoder, _images(arguments))
    results = held_out_scores(autoencoder, images)
    _print_scores(results)
    return _summary(arguments.run, images, autoencoder, results)


def _summary(run, images, autoencoder, results):
    # Not all at once: they may lie on the disk, and be more than memory holds.
    floors = [bce_floor(to_float(chunk)) for chunk in chunks(images.x_test)]
    return {
        "run": str(run),
        "data": str(images),
        "parameters": autoencoder.count_params(),
        **results["autoencoder"],
        "bce_floor": float(np.concatenate(floors).mean()),
        "rows": results,
    }


def _print_scores(results):
    table = Table("on the test images", "MSE", "PSNR, dB", "SSIM", "BCE")
    for row in score_rows(results):
        table.add_row(*row)
    Console().print(table)
