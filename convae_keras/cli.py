"""The `convae` command: every verb calls the package's public functions."""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from convae_keras.data import load_images, to_float
from convae_keras.metrics import bce_floor
from convae_keras.models import conv_autoencoder
from convae_keras.reports import held_out_scores, score_rows, write_report
from convae_keras.runs import load_run
from convae_keras.training import set_up_device, train

# Without --epochs a network sees as many images, however few there are.
IMAGES_SHOWN = 600_000


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
    train = verbs.add_parser("train", help="train a model and leave a run folder")
    train.set_defaults(verb=_train)
    train.add_argument(
        "--preset", default="reference", help="keras, pytorch or reference"
    )
    train.add_argument("--task", default="reconstruct", choices=["reconstruct"])
    train.add_argument(
        "--out", metavar="RUN", help="run folder (default: runs/PRESET-DATA)"
    )
    train.add_argument(
        "--epochs", type=int, help="default: as many as show 600,000 images"
    )
    train.add_argument("--batch-size", type=int, default=64)
    train.add_argument("--latent-dim", type=int, help="size of a dense code")
    train.add_argument(
        "--learning-rate", type=float, help="the highest of the schedule"
    )
    train.add_argument("--loss", help="binary_crossentropy or mse")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--tensorboard", action="store_true", help="logs in RUN/logs")
    evaluate = verbs.add_parser("evaluate", help="score a trained model on test images")
    evaluate.set_defaults(verb=_evaluate)
    evaluate.add_argument("run", metavar="RUN", help="run folder")
    for verb in (train, evaluate):
        verb.add_argument(
            "--data",
            metavar="SOURCE",
            help="mnist (default), fashion_mnist, cifar10, mnist5k, an .npz or a folder of images",
        )
        verb.add_argument(
            "--image-size",
            type=int,
            nargs="+",
            metavar="PIXELS",
            help="of a folder: side, or height and width",
        )
        verb.add_argument("--color", choices=["grey", "rgb"], help="of a folder")
        verb.add_argument("--fit", choices=["crop", "pad"], help="of a folder")
        verb.add_argument(
            "--json", action="store_true", help="one JSON object as the last line"
        )
    return parser


def _images(arguments):
    names = ("image_size", "color", "fit")
    options = {name: getattr(arguments, name) for name in names}
    images = load_images(
        arguments.data, **{name: value for name, value in options.items() if value}
    )
    print(images)
    return images


def _train(arguments):
    images = _images(arguments)
    set_up_device()
    switches = {"latent_dim": arguments.latent_dim} if arguments.latent_dim else {}
    autoencoder = conv_autoencoder(
        arguments.preset,
        image_shape=images.image_shape,
        seed=arguments.seed,
        **switches,
    )
    run = Path(arguments.out or f"runs/{arguments.preset}-{images.name}")
    history = train(
        autoencoder,
        images,
        epochs=arguments.epochs or max(1, round(IMAGES_SHOWN / len(images.x_train))),
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        loss=arguments.loss,
        seed=arguments.seed,
        run=run,
        tensorboard=arguments.tensorboard,
    )
    results = write_report(run, autoencoder, images)
    _print_scores(results)
    print(f"The model, its figure and its card are in {run}")
    return _summary(run, images, autoencoder, results) | {
        "epochs": len(history["loss"]),
        "seconds": sum(history["seconds"]),
        "val_loss": min(history["val_loss"]),
    }


def _evaluate(arguments):
    autoencoder = load_run(arguments.run)
    images = _images(arguments)
    results = held_out_scores(autoencoder, images)
    _print_scores(results)
    return _summary(arguments.run, images, autoencoder, results)


def _summary(run, images, autoencoder, results):
    return {
        "run": str(run),
        "data": str(images),
        "parameters": autoencoder.count_params(),
        **results["autoencoder"],
        "bce_floor": float(bce_floor(to_float(images.x_test)).mean()),
        "rows": results,
    }


def _print_scores(results):
    table = Table("on the test images", "MSE", "PSNR, dB", "SSIM", "BCE")
    for row in score_rows(results):
        table.add_row(*row)
    Console().print(table)
