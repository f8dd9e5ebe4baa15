"""What a trained model is worth: scores beside baselines, figure, card."""

from pathlib import Path

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import mean_image, pca
from convae_keras.models import pixel_range
from convae_keras.pipelines import to_float
from convae_keras.plotting import image_rows
from convae_keras.runs import read_json, replacing, write_json


def reconstruct(autoencoder, x, batch_size=500):
    """Runs images through a model and brings them back to [0, 1].

    Args:
        autoencoder: a `keras.Model` from images to images.
        x: float `(n, height, width, channels)` in [0, 1].
        batch_size: int.

    Returns:
        float32, the shape of `x`, in [0, 1].
    """
    low, high = pixel_range(autoencoder)
    inputs = x * (high - low) + low
    outputs = autoencoder.predict(inputs, batch_size=batch_size, verbose=0)
    return (outputs - low) / (high - low)


def scores(reconstruct, x, chunk=1000):
    """Mean scores of a reconstruction over a set of images.

    Args:
        reconstruct: function from images, float in [0, 1], to the same.
        x: uint8 or float32 `(n, height, width, channels)`; read in chunks.
        chunk: int, images at a time.

    Returns:
        dict of floats, means over images: `mse`, `psnr` (dB; None where an
        image came back without any error), `ssim` (None for images with a side
        below 7), `bce` (nats a pixel).
    """
    measures = (metrics.mse, metrics.psnr, metrics.ssim, metrics.bce)
    found = []
    for start in range(0, len(x), chunk):
        targets = to_float(x[start : start + chunk])
        outputs = reconstruct(targets)
        found.append([measure(targets, outputs) for measure in measures])
    means = np.concatenate(found, axis=1).mean(axis=1).tolist()
    names = (measure.__name__ for measure in measures)
    return {
        name: mean if np.isfinite(mean) else None
        for name, mean in zip(names, means, strict=True)
    }


def held_out_scores(autoencoder, images):
    """A model's scores on the test images, beside those of its rivals.

    The rivals are the mean training image and PCA at the model's code size, or,
    where the code has no fewer numbers than the image, the plain copy of the
    image, which such a code can hold.

    Args:
        autoencoder: an `Autoencoder`.
        images: `Images`.

    Returns:
        dict from a row's name to `scores`, the model's first.
    """
    x_train, x_test = images.x_train, images.x_test
    rivals = {
        "autoencoder": lambda x: reconstruct(autoencoder, x),
        "mean image": mean_image(x_train),
    }
    shape = autoencoder.encoder.compute_output_shape((1, *images.image_shape))
    code_size = int(np.prod(shape))
    if code_size >= np.prod(images.image_shape):
        rivals["copy"] = lambda x: x
    elif code_size < len(x_train):
        rivals[f"PCA, {code_size} numbers"] = pca(x_train, code_size)
    return {name: scores(rival, x_test) for name, rival in rivals.items()}


def write_report(run, autoencoder, images):
    """Scores a run's model and leaves `results.json`, `figure.png`, `card.md`.

    Args:
        run: str or `Path`, a run folder.
        autoencoder: its `Autoencoder`.
        images: `Images`; the test images are used, and the training images to
            fit the rivals.

    Returns:
        dict, as `held_out_scores`.
    """
    run = Path(run)
    results = held_out_scores(autoencoder, images)
    write_json(run / "results.json", results)
    x = to_float(images.x_test[:10])
    figure = image_rows({"original": x, "reconstruction": reconstruct(autoencoder, x)})
    with replacing(run / "figure.png") as aside:
        figure.savefig(aside, dpi=120)
    card = _card(run.name, autoencoder, read_json(run / "settings.json"), results)
    with replacing(run / "card.md") as aside:
        aside.write_text(card, encoding="utf-8")
    return results


CARD = """# {name}

A convolutional autoencoder of {parameters:,} parameters.

- Data: {data}.
- Input and output: float32 `(n, {image})`, pixels in {pixel_range}.
- Code: {code} numbers.
- Training: {epochs} epochs in batches of {batch_size}, loss `{loss}`, Adam with a
  warmed-up cosine from {learning_rate}, seed {seed}. Kept are the weights of the best
  epoch on validation images.
- Limits: it knows images like those. What it makes of others is a mixture of them.

On the test images, which had no part in training or in any choice:

{table}

Load it with `convae_keras.load_run`, or, where it came with the package, with
`convae_keras.load_pretrained`.
"""


def _card(name, autoencoder, settings, results):
    shapes = autoencoder.input_shape[1:], autoencoder.encoder.output_shape[1:]
    image, code = (" × ".join(str(side or "any") for side in shape) for shape in shapes)
    rows = ["| | MSE | PSNR, dB | SSIM | BCE |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(row)} |" for row in score_rows(results)]
    return CARD.format(
        **settings, name=name, image=image, code=code, table="\n".join(rows)
    )


def score_rows(results):
    """A table's cells: name, MSE, PSNR, SSIM and BCE of each row, as text."""
    for name, row in results.items():
        psnr = "∞" if row["psnr"] is None else f"{row['psnr']:.2f}"
        ssim = "–" if row["ssim"] is None else f"{row['ssim']:.4f}"
        yield name, f"{row['mse']:.5f}", psnr, ssim, f"{row['bce']:.4f}"
