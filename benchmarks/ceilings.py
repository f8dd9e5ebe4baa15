"""Measures how much of what this machine can do a training step uses.

    python benchmarks/ceilings.py

Operations and bytes of a step are counted from a network's layers: two operations, a
product and a sum, for each weight at each place that it is applied, and one reading of
all that a layer takes and one writing of all that it returns, float32. Forward and
backward together count as three times forward: the backward pass multiplies once for
the gradient of the weights, once for that of the inputs. (The first layer needs only
the former; activations, pooling and the optimizer add operations that are not counted.)

The ceilings are measured in the same process, taking turns with the steps: a large
convolution, 3 x 3 from 64 channels to 64, and a large sum in place. One process has one
thread, the next two, since TensorFlow's threads are those of a process.
"""

import argparse
import json
import math
import sys

import numpy as np
from networks import BATCH_SIZE
from processes import RESULTS, alternate, conditions, record, watch

NETWORKS = {
    "Keras preset, plain layers": ("keras", {"fused": False}),
    "Keras preset": ("keras", {}),
    "PyTorch preset": ("pytorch", {}),
    "reference, plain layers": ("reference", {"fused": False}),
    "reference": ("reference", {}),
}
BACKWARD = 3  # times forward, the forward pass included
CONVOLVED = (16, 64, 64, 64)  # n, height, width, channels
SUMMED = 2**25  # numbers, 128 MiB: more than fits in any cache


def leaves(model):
    """Yields the layers of a model and of the models in it."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from leaves(layer)
        else:
            yield layer


def cost(model):
    """Operations and bytes of one training step with one image.

    Args:
        model: functional `keras.Model` of convolutions, dense layers, pooling,
            up-sampling, and layers that move nothing.

    Returns:
        `(operations, bytes)`: ints, forward and backward.
    """
    operations, numbers = 0, 0
    for layer in leaves(model):
        name = type(layer).__name__
        if name in ("InputLayer", "Flatten", "Reshape"):
            continue
        before, after = layer.input.shape[1:], layer.output.shape[1:]
        weights = math.prod(layer.kernel.shape) if hasattr(layer, "kernel") else 0
        places = 1 if name == "Dense" else math.prod(after[:2])
        if name in ("Conv2DTranspose", "UpsampleConv2D"):
            places = math.prod(before[:2])
        if name == "UpsampleConv2D":  # computed with a kernel larger by one
            weights = weights // layer.kernel_size**2 * (layer.kernel_size + 1) ** 2
        operations += 2 * weights * places
        numbers += math.prod(before) + math.prod(after)
    return BACKWARD * operations, BACKWARD * 4 * numbers


def training_step(model, x, parts=1):
    """Returns a function that takes a training step, with no pipeline before it.

    Args:
        model: `keras.Model` that ends in a sigmoid. It is compiled here.
        x: float32 `(n, height, width, channels)`.
        parts: int, pieces of the batch that may be computed at once.
    """
    import tensorflow as tf

    from convae_keras.training import compile_model

    compile_model(model, "adam", "binary_crossentropy")
    x = tf.constant(x)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            losses = [
                model.compute_loss(x=part, y=part, y_pred=model(part, training=True))
                for part in tf.split(x, parts)
            ]
            loss = tf.add_n(losses) / parts
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step


def machine():
    """Returns dict of functions that reach a ceiling, and of what each of them does."""
    import tensorflow as tf

    x = tf.random.normal(CONVOLVED)
    kernel = tf.random.normal((3, 3, 64, 64))
    total, term = tf.Variable(tf.zeros(SUMMED)), tf.zeros(SUMMED)
    functions = {
        "convolution": tf.function(lambda: tf.nn.conv2d(x, kernel, 1, "SAME")),
        "sum": tf.function(lambda: total.assign_add(term)),
    }
    work = {"convolution": 2 * math.prod(kernel.shape) * math.prod(CONVOLVED[:3])}
    return functions, work | {"sum": 3 * 4 * SUMMED}  # two readings, one writing


def work(rounds):
    """Prints milliseconds of the steps and of the ceilings, and what they hold."""
    from convae_keras import conv_autoencoder

    x = np.random.default_rng(0).random((BATCH_SIZE, 28, 28, 1), "float32")
    models = {n: conv_autoencoder(p, seed=0, **s) for n, (p, s) in NETWORKS.items()}
    functions, amounts = machine()
    steps = {name: training_step(model, x) for name, model in models.items()}
    times = alternate(functions | steps, rounds, calls=10)
    times = {name: float(np.median(found)) for name, found in times.items()}
    gigaflops = amounts["convolution"] / times["convolution"] / 1e6
    gigabytes = amounts["sum"] / times["sum"] / 1e6
    rows = {}
    for name, model in models.items():
        operations, moved = (BATCH_SIZE * amount for amount in cost(model))
        rows[name] = {
            "step_ms": round(times[name], 2),
            "megaflop": round(operations / 1e6, 1),
            "megabytes": round(moved / 1e6, 1),
            "share_of_arithmetic": round(operations / times[name] / 1e6 / gigaflops, 3),
            "share_of_memory": round(moved / times[name] / 1e6 / gigabytes, 3),
        }
    ceilings = {"gigaflops": round(gigaflops, 1), "gigabytes": round(gigabytes, 1)}
    print(json.dumps({**ceilings, "steps": rows}))


def table(report):
    """Formats the shares of both ceilings, one table for each number of threads."""
    lines = []
    for threads, found in report.items():
        lines.append(
            f"{threads} thread(s): {found['gigaflops']} GFLOP/s in a large convolution,"
            f" {found['gigabytes']} GB/s in a large sum"
        )
        lines.append(f"{'':28s}{'of GFLOP/s':>11}{'of GB/s':>9}{'ms':>8}{'MFLOP':>8}")
        for name, row in found["steps"].items():
            shares = (
                f"{row['share_of_arithmetic']:>11.2f}{row['share_of_memory']:>9.2f}"
            )
            lines.append(
                f"{name:28s}{shares}{row['step_ms']:>8.2f}{row['megaflop']:>8.0f}"
            )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7, help="turns of ten steps")
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(arguments.rounds)
    report = {}
    for threads in arguments.threads:
        options = "--worker", "--rounds", arguments.rounds
        watched = watch(__file__, *options, threads=(threads, 1))
        report[str(threads)] = json.loads(watched.lines[-1][1])
    entry = {"batch_size": BATCH_SIZE, **conditions(), "by_threads": report}
    record(arguments.out, {"ceilings": entry})
    print(table(report))


if __name__ == "__main__":
    sys.exit(main())
