"""Measures how fast the shipped reference model runs once exported, beside Keras.

    python benchmarks/exported.py

Images a second in reconstruction, by batch size: median, lowest and highest of five
rounds, in which the runtimes take turns, each on one thread. They are printed, and
written to `results/benchmarks.json`.
"""

import os
import tempfile
import time
from pathlib import Path

for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402
from processes import RESULTS, conditions, record  # noqa: E402

from convae_keras import load_images, load_pretrained  # noqa: E402
from convae_keras.export import FORMATS, export_model, load_exported  # noqa: E402
from convae_keras.pipelines import to_float  # noqa: E402

ROUNDS = 5
BATCHES = {1: 200, 128: 20}  # calls in a round, by batch size


def main():
    model = load_pretrained("reference")
    x = to_float(load_images("mnist5k").x_test)
    runs = {"Keras, predict_on_batch": lambda images: model.predict_on_batch(images)}
    with tempfile.TemporaryDirectory() as folder:
        for name, each in FORMATS.items():
            path = Path(folder, "model" + each.suffix)
            export_model(model, path, name)
            runs[name] = load_exported(path, name, threads=1)
        rows = {name: {} for name in runs}
        for size, calls in BATCHES.items():
            speeds = {name: [] for name in runs}
            for _ in range(1 + ROUNDS):  # the first compiles
                for name, run in runs.items():
                    speeds[name].append(images_per_second(run, x[:size], calls))
            for name, found in speeds.items():
                low, middle, high = map(round, np.quantile(found[1:], [0, 0.5, 1]))
                rows[name][f"batch_{size}"] = [middle, low, high]
                print(f"{size:4}  {name:24} {middle:7,} ({low:,}–{high:,})")
    record(RESULTS, {"exported": {**conditions(), "rows": rows}})


def images_per_second(run, images, calls):
    start = time.perf_counter()
    for _ in range(calls):
        run(images=images)
    return len(images) * calls / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
