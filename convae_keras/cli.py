"""The `convae` command: every verb calls the package's public functions."""

import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from convae_keras.apply import apply
from convae_keras.corruption import Downsample, GaussianNoise, from_config
from convae_keras.data import load_images
from convae_keras.devices import set_up_device
from convae_keras.metrics import bce_floor
from convae_keras.models import conv_autoencoder
from convae_keras.options import check_task, parser
from convae_keras.patches import PATCH_SIZE
from convae_keras.pipelines import chunks, expect, to_float
from convae_keras.reports import held_out_scores, score_rows, shown, write_report
from convae_keras.restorers import restorer
from convae_keras.runs import load_pretrained, load_run, read_json
from convae_keras.settings import checked_images
from convae_keras.training import train

# Without --epochs a network sees as many images, however few there are.
IMAGES_SHOWN = 150_000
# Of white: what a photograph has at most.
NOISE = (0.0, 0.2)
# What a restorer is trained with, where nothing else is said: as many images in
# a batch as hold that many pixels.
PIXELS, LEARNING_RATE = 80_000, 0.002


def main(argv=None):
    """Runs `convae VERB …`.

    Args:
        argv: list of str; None for the command line's.

    Returns:
        int, the exit status: 0, 2 for input that cannot be used, 130 after
        Ctrl-C.
    """
    verbs = {"train": _train, "evaluate": _evaluate, "apply": _apply}
    arguments = parser().parse_args(argv)
    try:
        summary = verbs[arguments.verb](arguments)
    except (ValueError, OSError) as error:
        print(f"convae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(summary))
    return 0


def _images(arguments, restores):
    is_folder = arguments.data is not None and Path(arguments.data).is_dir()
    if restores and is_folder and arguments.image_size is None:
        # Restoring is learnt from photographs as they are, not from small copies.
        arguments.patch_size = arguments.patch_size or PATCH_SIZE
    names = ("image_size", "color", "fit", "patch_size")
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    images = load_images(arguments.data, **options)
    print(images)
    return images


def _train(arguments):
    task = arguments.task
    check_task(arguments)
    images = _images(arguments, restores=task != "reconstruct")
    corrupt = _corruption(arguments, task, images)
    set_up_device()
    preset, autoencoder = _model(arguments, task, images, corrupt)
    run = Path(arguments.out or f"runs/{preset}-{images.name}")
    history = train(
        autoencoder,
        images,
        epochs=_epochs(images) if arguments.epochs is None else arguments.epochs,
        seed=arguments.seed,
        corrupt=corrupt,
        turn=_turn(arguments, images),
        run=run,
        tensorboard=arguments.tensorboard,
        **_recipe(arguments, preset, images),
    )
    results = write_report(run, autoencoder, images)
    _print_scores(results)
    print(f"The model and its card are in {run}")
    return _summary(run, images, autoencoder, results) | {
        "epochs": len(history["loss"]),
        "seconds": sum(history["seconds"]),
        "val_loss": min(history["val_loss"]),
    }


def _corruption(arguments, task, images):
    """What the model is to undo; None where the images bring their inputs."""
    if task == "reconstruct":
        wanted = "a task, with images in input/ and target/"
        expect(images.inputs_train is None, "--task", wanted, task)
    if images.inputs_train is not None:
        given = (arguments.noise, arguments.scale, arguments.downsampling)
        names = "--noise`, `--scale` and `--downsampling"
        expect(given == (None, None, None), names, "left out", given)
        return None
    if task == "denoise":
        noise = arguments.noise or NOISE
        return GaussianNoise(noise[0] if len(noise) == 1 else tuple(noise))
    if task == "super-resolution":
        scale = 2 if arguments.scale is None else arguments.scale
        return Downsample(scale, arguments.downsampling or "box")
    return None


def _turn(arguments, images):
    if arguments.turn is not None:
        return arguments.turn
    # A photograph's patch is a photograph whichever way it lies.
    return images.name == "photographs" or arguments.patch_size is not None


def _model(arguments, task, images, corrupt):
    preset = arguments.preset
    if preset is None:
        preset = "reference" if task == "reconstruct" else "restorer"
    if preset != "restorer":
        switches = {"image_shape": images.image_shape, "seed": arguments.seed}
        if arguments.latent_dim is not None:
            switches["latent_dim"] = arguments.latent_dim
        return preset, conv_autoencoder(preset, **switches)
    latent_dim = arguments.latent_dim
    expect(latent_dim is None, "--latent-dim", "left out for a restorer", latent_dim)
    inputs = shown(to_float(images.x_val[:1]), corrupt or images.inputs_val)
    scale = images.image_shape[0] // inputs.shape[1]
    shape = (None, None, inputs.shape[3])
    return preset, restorer(shape, scale=scale, residual=True, seed=arguments.seed)


def _recipe(arguments, preset, images):
    names = ("batch_size", "learning_rate", "loss")
    recipe = {name: getattr(arguments, name) for name in names}
    if preset == "restorer":
        batch_size = max(8, PIXELS // int(np.prod(images.image_shape[:2])))
        own = {"batch_size": batch_size, "learning_rate": LEARNING_RATE, "loss": "mae"}
        recipe = {n: own[n] if recipe[n] is None else recipe[n] for n in names}
    return recipe


def _epochs(images):
    return max(1, round(IMAGES_SHOWN / len(images.x_train)))


def _evaluate(arguments):
    autoencoder = load_run(arguments.run)
    settings = Path(arguments.run) / "settings.json"
    settings = read_json(settings) if settings.exists() else {}
    corrupt = from_config(settings.get("corruption"))
    images = _images(arguments, restores=corrupt is not None)
    images = checked_images(autoencoder, images, corrupt)
    results = held_out_scores(autoencoder, images, corrupt)
    _print_scores(results)
    return _summary(arguments.run, images, autoencoder, results)


def _apply(arguments):
    is_run = Path(arguments.run).is_dir()
    model = (load_run if is_run else load_pretrained)(arguments.run)
    written, skipped = apply(
        model, arguments.input, arguments.output, arguments.overwrite
    )
    print(f"Written: {len(written)}, skipped: {len(skipped)}")
    return {"written": [str(path) for path in written], "skipped": skipped}


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
