"""Measures the models for photographs that ship with the package on any folder.

    python benchmarks/photographs.py FOLDER [SIDE]

Each photograph, cropped and shrunk to SIDE x SIDE pixels (510), is denoised and
enlarged by the shipped models and by usual ways, the filter tuned on the photographs
that the models were validated on. Prints one Markdown table: mean PSNR in dB, and on
how many photographs the model is ahead.
"""

import functools
import sys
from pathlib import Path

import numpy as np

from convae_keras import load_pretrained
from convae_keras.baselines import classical_denoiser, enlarge
from convae_keras.corruption import Downsample, GaussianNoise
from convae_keras.data.image_files import image_paths, read_image
from convae_keras.data.patches import photographs
from convae_keras.metrics import psnr
from convae_keras.model_card import markdown_table
from convae_keras.pipelines import to_float
from convae_keras.tiling import restore

LEVELS, SCALES = (5, 15, 25, 50), (2, 3)


def restored(model, x):
    """What the model makes of one image, float `(1, height, width, 3)` in [0, 1]."""
    pixels = np.round(255 * x[0].clip(0, 1)).astype("uint8")
    return to_float(restore(model, pixels)[None])


def compare(name, targets, inputs, model, usual):
    """One row of the table: the name, mean PSNR of both, wins."""
    pairs = [*zip(targets, inputs, strict=True)]
    ours = [psnr(y, restored(model, x))[0] for y, x in pairs]
    theirs = [psnr(y, usual(x))[0] for y, x in pairs]
    ahead = sum(a > b for a, b in zip(ours, theirs, strict=True))
    cells = [f"{np.mean(ours):.2f}", f"{np.mean(theirs):.2f}"]
    return [name, *cells, f"{ahead} of {len(ours)}"]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, side = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 510
    side -= side % 6  # both scales divide it
    paths, _ = image_paths(folder)
    images = [read_image(Path(folder) / path, (side, side), "RGB")[0] for path in paths]
    targets = [to_float(pixels[None]) for pixels in images]
    known = [x[100:300, 200:500] for x in photographs("val").values()]
    known = to_float(np.stack(known))
    rows = [["", "model", "baseline", "ahead on"]]
    denoiser = load_pretrained("denoiser")
    for level in LEVELS:
        noise = GaussianNoise(level / 255)
        usual = classical_denoiser("non-local means", noise(known), known)
        noisy = [noise(y, seed) for seed, y in enumerate(targets)]
        name = f"σ {level} of 255, non-local means"
        rows.append(compare(name, targets, noisy, denoiser, usual))
    for scale in SCALES:
        enlarger = load_pretrained(f"enlarger_x{scale}")
        small = [Downsample(scale)(y) for y in targets]
        usual = functools.partial(enlarge, scale=scale, method="Lanczos")
        rows.append(compare(f"×{scale}, Lanczos", targets, small, enlarger, usual))
    print(f"{len(images)} photographs, {side} x {side}")
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
