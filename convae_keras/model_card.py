"""What a run leaves to be read: its scores as a table, a figure, a model card."""

from pathlib import Path

from convae_keras.corruption import from_config
from convae_keras.evaluation import held_out_scores, reconstruct, shown
from convae_keras.pipelines import to_float
from convae_keras.plotting import image_rows
from convae_keras.saving import atomic_write, fingerprint, read_json, write_json
from convae_keras.validation import format_shape


def write_report(run, autoencoder, images, results=None):
    """Scores a run's model and leaves `results.json`, `figure.png`, `card.md`.

    Args:
        run: str or `Path`, a run folder.
        autoencoder: its `keras.Model`.
        images: `Images`; the test images are used, and the training images to
            fit the baselines.
        results: dict of scores; None to compute `held_out_scores`.

    Returns:
        dict, the scores.
    """
    run = Path(run)
    settings = read_json(run / "settings.json")
    corrupt = from_config(settings.get("corruption"))
    if results is None:
        results = held_out_scores(autoencoder, images, corrupt)
    write_json(run / "results.json", results)
    with atomic_write(run / "figure.png") as aside:
        _figure(autoencoder, images, corrupt).savefig(aside, dpi=120)
    card = _card(run.name, autoencoder, settings, results)
    with atomic_write(run / "card.md") as aside:
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
- {task}{packs}
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
    header, *rows = score_rows(results)
    rows = [header, ["---"] * len(header), *rows]
    rows = [f"| {' | '.join(row)} |" for row in rows]
    corrupt = from_config(settings.get("corruption"))
    if hasattr(autoencoder, "encoder"):
        code = format_shape(autoencoder.encoder.output_shape[1:])
        task = f"Output: the same images, through a code of {code} numbers"
    else:
        task = "Output: the images, restored"
    task += f", from what `{corrupt}` made of them." if corrupt else "."
    image, packs = format_shape(autoencoder.input_shape[1:]), ""
    if hasattr(autoencoder, "tables"):
        packs = f"\n- Files that it packed name it `{fingerprint(autoencoder)[:32]}`."
    turned = ", turned and mirrored by chance" if settings.get("turn") else ""
    values = {"name": name, "image": image, "task": task, "packs": packs}
    table = "\n".join(rows)
    return CARD.format(**settings, **values, turned=turned, table=table)


def score_rows(results):
    """A table's cells as text: its header, then a row for each of the results."""
    rows, packed = [], any("bytes" in row for row in results.values())
    for name, row in results.items():
        psnr = "∞" if row["psnr"] is None else f"{row['psnr']:.2f}"
        ssim = "–" if row["ssim"] is None else f"{row['ssim']:.4f}"
        cells = [name, f"{row['mse']:.5f}", psnr, ssim, f"{row['bce']:.4f}"]
        rows.append(cells + ([f"{row['bytes']:.1f}"] if packed else []))
    names = ["", "MSE", "PSNR, dB", "SSIM", "BCE"] + ["bytes an image"] * packed
    return [names, *rows]
