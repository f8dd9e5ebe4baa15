"""What a trained model is worth: scores beside baselines, figure, card."""

from pathlib import Path

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import classical_denoiser, enlarge, mean_image, pca
from convae_keras.corruption import Corruption, Warp, from_config
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
        float32 `(n, …)`, what the model gives, clipped to [0, 1].
    """
    low, high = pixel_range(autoencoder)
    inputs = x * (high - low) + low
    outputs = autoencoder.predict(inputs, batch_size=batch_size, verbose=0)
    return np.clip((outputs - low) / (high - low), 0, 1)


def scores(reconstruct, x, inputs=None, chunk=1000):
    """Mean scores of a reconstruction, or restoration, over a set of images.

    Args:
        reconstruct: function from what it is shown, float in [0, 1], to images
            in [0, 1].
        x: uint8 or float32 `(n, height, width, channels)`, the images that
            should come out; read in chunks.
        inputs: what is shown in their place: as many images, or a `Corruption`,
            always drawn alike. None for `x` itself.
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
        outputs = reconstruct(shown(targets, inputs, start))
        found.append([measure(targets, outputs) for measure in measures])
    means = np.concatenate(found, axis=1).mean(axis=1).tolist()
    names = (measure.__name__ for measure in measures)
    return {
        name: mean if np.isfinite(mean) else None
        for name, mean in zip(names, means, strict=True)
    }


def shown(targets, inputs=None, start=0):
    """What a model is shown, where it has to give back `targets`.

    Args:
        targets: float32 `(n, height, width, channels)` in [0, 1].
        inputs: as in `scores`.
        start: int, which image of the whole set is the first of these.

    Returns:
        float32 `(n, …)`.
    """
    if inputs is None:
        return targets
    if isinstance(inputs, Corruption):
        return inputs(targets, seed=start)
    return to_float(inputs[start : start + len(targets)])


def held_out_scores(autoencoder, images, corrupt=None):
    """A model's scores on the test images, beside those of its rivals.

    The rivals of an autoencoder are the mean training image and PCA at the
    model's code size, or, where the code has no fewer numbers than the image,
    the plain copy of the image, which such a code can hold. Those of a restorer
    are what it is shown, and two filters tuned on validation images, or three
    ways to enlarge. A warp's are what it is shown and the mean training image.

    Args:
        autoencoder: a `keras.Model`.
        images: `Images`.
        corrupt: `Corruption` that the model is to undo, or None.

    Returns:
        dict from a row's name to `scores`, the model's first.
    """
    inputs = images.inputs_test if corrupt is None else corrupt
    find = _autoencoder_rivals if inputs is None else _restorer_rivals
    find = _unwarping_rivals if isinstance(corrupt, Warp) else find
    rivals = {"autoencoder": lambda x: reconstruct(autoencoder, x)}
    rivals |= find(autoencoder, images, corrupt)
    return {name: scores(row, images.x_test, inputs) for name, row in rivals.items()}


def _autoencoder_rivals(autoencoder, images, corrupt):
    rivals = {"mean image": mean_image(images.x_train)}
    if not hasattr(autoencoder, "encoder"):
        return rivals
    shape = autoencoder.encoder.compute_output_shape((1, *images.image_shape))
    code_size = int(np.prod(shape))
    if code_size >= np.prod(images.image_shape):
        rivals["copy"] = lambda x: x
    elif code_size < len(images.x_train):
        rivals[f"PCA, {code_size} numbers"] = pca(images.x_train, code_size)
    return rivals


def _unwarping_rivals(autoencoder, images, corrupt):
    return {"input": lambda x: x, "mean image": mean_image(images.x_train)}


def _restorer_rivals(restorer, images, corrupt):
    clean = to_float(images.x_val[:200])
    inputs = shown(clean, images.inputs_val if corrupt is None else corrupt)
    scale = clean.shape[1] // inputs.shape[1]
    if scale > 1:
        methods = ("nearest", "bicubic", "Lanczos")
        return {name: lambda x, name=name: enlarge(x, scale, name) for name in methods}
    filters = ("Gaussian filter", "median filter")
    tuned = {name: classical_denoiser(name, inputs, clean) for name in filters}
    return {"input": lambda x: np.clip(x, 0, 1), **tuned}


def write_report(run, autoencoder, images):
    """Scores a run's model and leaves `results.json`, `figure.png`, `card.md`.

    Args:
        run: str or `Path`, a run folder.
        autoencoder: its `keras.Model`.
        images: `Images`; the test images are used, and the training images to
            fit the rivals.

    Returns:
        dict, as `held_out_scores`.
    """
    run = Path(run)
    settings = read_json(run / "settings.json")
    corrupt = from_config(settings.get("corruption"))
    results = held_out_scores(autoencoder, images, corrupt)
    write_json(run / "results.json", results)
    with replacing(run / "figure.png") as aside:
        _figure(autoencoder, images, corrupt).savefig(aside, dpi=120)
    card = _card(run.name, autoencoder, settings, results)
    with replacing(run / "card.md") as aside:
        aside.write_text(card, encoding="utf-8")
    return results


def _figure(autoencoder, images, corrupt):
    x = to_float(images.x_test[:10])
    inputs = images.inputs_test if corrupt is None else corrupt
    rows = {"original": x}
    if inputs is not None:
        rows["input"] = shown(x, inputs)
    name = "reconstruction" if inputs is None else "restored"
    return image_rows(rows | {name: reconstruct(autoencoder, shown(x, inputs))})


CARD = """# {name}

A convolutional autoencoder of {parameters:,} parameters.

- Data: {data}.
- Input: float32 `(n, {image})`, pixels in {pixel_range}.
- {task}
- Training: {epochs} epochs in batches of {batch_size}{turned}, loss `{loss}`, Adam
  with a warmed-up cosine from {learning_rate}, seed {seed}. Kept are the weights of
  the best epoch on validation images.
- Limits: it knows images like those. What it makes of others is a mixture of them.

On the test images, which had no part in training or in any choice:

{table}

Load it with `convae_keras.load_run`, or, where it came with the package, with
`convae_keras.load_pretrained`.
"""


def _card(name, autoencoder, settings, results):
    rows = ["| | MSE | PSNR, dB | SSIM | BCE |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(row)} |" for row in score_rows(results)]
    corrupt = from_config(settings.get("corruption"))
    if hasattr(autoencoder, "encoder"):
        code = _sides(autoencoder.encoder.output_shape[1:])
        task = f"Output: the same images, through a code of {code} numbers"
    else:
        task = "Output: the images, restored"
    task += f", from what `{corrupt}` made of them." if corrupt else "."
    image = _sides(autoencoder.input_shape[1:])
    turned = ", turned and mirrored by chance" if settings.get("turn") else ""
    values = {"name": name, "image": image, "task": task, "turned": turned}
    return CARD.format(**settings, **values, table="\n".join(rows))


def _sides(shape):
    return " × ".join(str(side or "any") for side in shape)


def score_rows(results):
    """A table's cells: name, MSE, PSNR, SSIM and BCE of each row, as text."""
    for name, row in results.items():
        psnr = "∞" if row["psnr"] is None else f"{row['psnr']:.2f}"
        ssim = "–" if row["ssim"] is None else f"{row['ssim']:.4f}"
        yield name, f"{row['mse']:.5f}", psnr, ssim, f"{row['bce']:.4f}"
