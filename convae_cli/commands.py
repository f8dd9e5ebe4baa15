"""What the verbs of the `convae` command run, one function each.

Each takes the parsed arguments, calls public functions of `convae_keras`, prints
what was done, and returns it as plain values. Importing this file imports Keras.
"""

import logging
import sys
from pathlib import Path

import keras
import numpy as np

from convae_cli import data, joined, tasks
from convae_cli.checks import is_pretrained, pretrained_folder, require
from convae_cli.opened import (
    at_work,
    open_codec,
    open_model,
    open_part,
    open_restorers,
    open_run,
    set_limit,
)
from convae_keras import set_up_device, validation
from convae_keras import train as train_model
from convae_keras.anomaly import is_detector
from convae_keras.corruption import from_config
from convae_keras.evaluation import model_inputs
from convae_keras.export import export_model
from convae_keras.files import archive, generated, restore
from convae_keras.files import search as features
from convae_keras.files.anomalies import TABLE, find_anomalies
from convae_keras.generation.generator import is_generator
from convae_keras.metrics import bce_floor
from convae_keras.model_card import score_rows, verdict, write_report
from convae_keras.models import count_trainable
from convae_keras.pipelines import to_float
from convae_keras.pretrained import find_pretrained
from convae_keras.progress import epoch_seconds, format_seconds
from convae_keras.runs import SETTINGS
from convae_keras.saving import read_json
from convae_keras.training import checked_images
from convae_keras.untrusted import named

# TensorFlow warns of images of many sizes.
logging.getLogger("tensorflow").setLevel("ERROR")


def prepare(arguments):
    """Prepares any verb: limits memory, joins other processes, finds the devices."""
    set_limit(arguments.limit)
    if getattr(arguments, "join", None):
        joined.join(*arguments.join)
    keras.ops.zeros(())  # finds the devices, which C++ libraries announce


def train(arguments):
    """Trains a model, and writes its run folder."""
    task = tasks.TASKS[arguments.task]
    task.corruption(arguments, None)  # checks its flags before any work
    images = data.load(arguments, task.restores, task.scale(arguments))
    print(images)
    tasks.choose_preset(task, arguments, images)
    corrupt = tasks.corruption_of(task, arguments, images)
    set_up_device(half=arguments.half)
    autoencoder = task.build(arguments, images, corrupt)
    run = Path(arguments.out or f"runs/{arguments.preset}-{images.name}")
    options = tasks.train_options(task, arguments, images)
    options |= {"corrupt": corrupt, "run": run}
    # A bar where somebody watches, a line an epoch in a log.
    options["verbose"] = 1 if sys.stdout.isatty() else 2
    if not arguments.join:
        _print_time(run, autoencoder, images, options)
    history = train_model(autoencoder, images, **options)
    done = {"epochs": len(history["loss"]), "seconds": sum(history["seconds"])}
    done["val_loss"] = min(history["val_loss"])
    if arguments.join:
        autoencoder = joined.leave(run)
        if autoencoder is None:  # the first process does the rest
            return done
    task.finish(run, autoencoder, images)
    results = task.scores(autoencoder, images, corrupt)
    write_report(run, autoencoder, images, results)
    _print_scores(results)
    print(f"The model and its card are in {run}")
    return _summary(run, images, autoencoder, results) | done


def _print_time(run, autoencoder, images, options):
    """Says how long it will take, unless there is something to resume or report."""
    epochs, corrupt = options["epochs"], options["corrupt"]
    batch_size = 128 if options["batch_size"] is None else options["batch_size"]
    if (run / "history.json").exists() or min(epochs, batch_size) < 1:
        return  # what cannot be is refused by `train`
    x = to_float(images.x_train[:batch_size])
    x = model_inputs(x, images.inputs_train if corrupt is None else corrupt)
    counts = len(images.x_train), len(images.x_val)
    total = format_seconds(epochs * epoch_seconds(autoencoder, x, *counts))
    print(f"Epochs: at most {epochs}, about {total}; --epochs makes it shorter.")


def evaluate(arguments):
    """Scores a trained model on test images."""
    folder = pretrained_folder() if is_pretrained(arguments.run) else ""
    run = Path(folder, arguments.run)
    autoencoder = open_run(run)
    path = run / "settings.json"
    settings = read_json(path, SETTINGS) if path.exists() else {}
    if (run / "checkpoint.npz").exists():
        epochs = f"{settings.get('epochs')} epochs are not all done"
        print(f"This run is unfinished: its {epochs}, and it may get better.")
    with named(path):
        corrupt = from_config(settings.get("corruption"))
    task = tasks.task_of(settings, autoencoder)
    # As in training: a codec of one size has learned from images that were resized.
    any_size = None in autoencoder.input_shape[1:]
    cut = task.restores and (any_size or task.undoes is not None)
    images = data.load(arguments, cut, getattr(corrupt, "factor", 1))
    print(images)
    has_inputs = images.inputs_test is not None
    message = "`--data` must be a folder with input/ and target/. Received: "
    require(has_inputs or not settings.get("paired"), f"{message}{arguments.data}")
    images = checked_images(autoencoder, images, corrupt)
    results = task.scores(autoencoder, images, corrupt)
    _print_scores(results)
    return _summary(arguments.run, images, autoencoder, results)


def apply(arguments):
    """Restores images of any size."""
    paths = arguments.input, arguments.output
    options = _options(arguments, "overwrite", "skip_existing", *data.DECODING)
    with at_work(arguments, open_restorers) as ((model, grey), workers):
        options |= {"grey": grey, "workers": workers}
        written, skipped = restore.apply(model, *paths, **options)
    print(f"Written: {len(written)}, skipped: {len(skipped)}")
    return {"written": [str(path) for path in written], "skipped": skipped}


def encode(arguments):
    """Writes the features of images."""
    paths = arguments.input, arguments.output
    options = _options(
        arguments, "layer", "pooling", "fit", "overwrite", *data.DECODING
    )
    with at_work(arguments, open_model) as (model, workers):
        options["workers"] = workers
        names, skipped = features.encode_files(model, *paths, **options)
    print(f"The features of {len(names)} images are in {arguments.output}")
    return {"images": len(names), "skipped": skipped}


def search(arguments):
    """Lists the images nearest to a query image."""
    paths = arguments.where, arguments.query
    options = _options(arguments, "count", "fit", *data.DECODING)
    found = features.search(open_model(arguments.run), *paths, **options)
    for name, distance in found:
        print(f"{distance:8.3f}  {name}")
    return {"found": [{"name": name, "distance": d} for name, d in found]}


def compress(arguments):
    """Compresses images into one file."""
    paths = arguments.input, arguments.output
    options = _options(arguments, "lossless", "overwrite", *data.DECODING)
    with at_work(arguments, open_codec) as (codec, workers):
        options["workers"] = workers
        count, skipped = archive.compress(codec, *paths, **options)
    size = Path(arguments.output).stat().st_size
    print(f"{count} images in {size:,} bytes, {size / count:.1f} each")
    return {"images": count, "bytes": size, "skipped": skipped}


def decompress(arguments):
    """Restores the images of such a file."""
    paths = arguments.input, arguments.output
    options = _options(arguments, "overwrite", "skip_existing")
    count, skipped = archive.decompress(open_codec(arguments.run), *paths, **options)
    print(f"{count} images are in {arguments.output}")
    return {"images": count, "skipped": skipped}


def generate(arguments):
    """Draws new images."""
    generator = open_part(arguments.run, "generator.keras", "generate", is_generator)
    names = "count", "label", "seed", "overwrite", "skip_existing"
    options = _options(arguments, *names)
    paths, labels = generated.write_generated(generator, arguments.output, **options)
    print(f"{len(labels)} images are in {arguments.output}")
    return {"written": [str(path) for path in paths], "labels": labels}


def anomalies(arguments):
    """Finds unusual images."""
    detector = open_part(arguments.run, "detector.keras", "anomaly", is_detector)
    paths = arguments.input, arguments.output
    options = _options(arguments, "rate", "fit", "overwrite", *data.DECODING)
    rows, rate, skipped = find_anomalies(detector, *paths, **options)
    found = [row for row in rows if row["anomaly"]]
    for row in found[:10]:
        print(f"{row['score']:8.3f}  p = {row['p_value']:.3g}  {row['name']}")
    more = "" if len(found) <= 10 else f", the first 10 above; all in {TABLE}"
    print(f"{len(found)} of {len(rows)} images are unusual, p ≤ {rate:.3g}{more}")
    print(f"Scores and maps are in {arguments.output}")
    summary = {"images": len(rows), "rate": rate, "anomalies": found}
    return summary | {"skipped": skipped}


def info(arguments):
    """Shows the contents of such a file."""
    found = archive.describe(arguments.input)
    found["shipped_as"] = find_pretrained(found["model"])
    names = found["names"] or []
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    for key, value in (found | {"names": ", ".join(names[:10]) + more}).items():
        print(f"{key:16}{value}")
    return found


def export(arguments):
    """Exports a model."""
    options = _options(arguments, "format", "part", "tolerance", "overwrite")
    report = export_model(open_model(arguments.run), arguments.out, **options)
    difference = report["largest_difference"]
    print(f"{report['runtime']} computes what Keras does, to {difference:.1g}")
    print(f"The model is in {arguments.out}, and its inputs in {arguments.out}.json")
    return {"out": arguments.out, **report}


def _options(arguments, *names):
    """Returns the arguments of these names, as keywords."""
    return {name: getattr(arguments, name) for name in names}


def _summary(run, images, autoencoder, results):
    # Not all at once: they may lie on the disk, and be more than memory holds.
    floors = [bce_floor(to_float(chunk)) for chunk in validation.chunks(images.x_test)]
    summary = {"run": str(run), "data": str(images)}
    summary |= {"parameters": count_trainable(autoencoder), **results["autoencoder"]}
    floor = float(np.concatenate(floors).mean())
    return summary | {"bce_floor": floor, "rows": results}


def _print_scores(results):
    header, *rows = score_rows(results)
    rows = [["on the test images", *header[1:]], *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        cells = (f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))
        print("  ".join([f"{name:{widths[0]}}", *cells]))
    if said := verdict(results):
        print(said)
