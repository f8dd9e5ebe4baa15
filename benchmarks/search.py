"""Measures what finds crops of the same photograph: features, pixels, or colors.

    python benchmarks/search.py FOLDER RUN

Of each photograph in the folder 40 crops are cut at random and shrunk to the size
that the model of the run folder takes. Prints how many of the nearest five, in
percent, are of the same photograph.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from convae_keras import load_run
from convae_keras.data.image_files import image_paths
from convae_keras.features import encode, precision_at

CROPS, NEAREST, BINS = 40, 5, 8


def crops(path, side, random):
    """Square crops of one photograph, uint8 `(CROPS, side, side, 3)`."""
    image = Image.open(path).convert("RGB")
    found = []
    for _ in range(CROPS):
        size = random.integers(160, min(600, *image.size) + 1)
        left, top = (random.integers(0, n - size + 1) for n in image.size)
        box = (left, top, left + size, top + size)
        found.append(image.resize((side, side), Image.Resampling.LANCZOS, box))
    return np.stack(found)


def histogram(image):
    """Square roots of how often each of 8 x 8 x 8 colors occurs."""
    pixels = image.reshape(-1, 3)
    counts, _ = np.histogramdd(pixels, BINS, [(0, 256)] * 3)
    return np.sqrt(counts.ravel() / len(pixels)).astype("float32")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, model = Path(sys.argv[1]), load_run(sys.argv[2])
    paths, random = image_paths(folder)[0], np.random.default_rng(0)
    side = model.input_shape[1]
    x = np.concatenate([crops(folder / path, side, random) for path in paths])
    y = np.repeat(np.arange(len(paths)), CROPS)
    ways = {"features": encode(model, x), "histogram": np.stack([*map(histogram, x)])}
    ways["pixels"] = x.reshape(len(x), -1).astype("float32") / 255
    print(f"{len(x)} crops of {len(paths)} photographs")
    for name, values in ways.items():
        # Each crop is nearest to itself, and left out.
        whole = precision_at(values, y, values, y, NEAREST + 1)
        print(f"{name:10} {100 * (whole * (NEAREST + 1) - 1) / NEAREST:.1f} %")


if __name__ == "__main__":
    main()
