"""What a run leaves to be read: scores, a figure and a model card."""

import math

from convae_keras.corruption import from_config
from convae_keras.evaluation import held_out_scores, model_inputs, reconstruct
from convae_keras.pipelines import to_float
from convae_keras.plotting import image_rows
from convae_keras.saving import atomic_write, fingerprint, read_json, write_json
from convae_keras.validation import as_path, format_shape

# What a card says of every training.
SETTINGS = {"parameters": int, "data": str, "pixel_range": [float, float]}
SETTINGS |= {"epochs": int, "batch_size": int, "seed": int, "loss": str}
SETTINGS |= {"learning_rate": float}

# Names of the identity, which is no model; "copy" in runs before it was renamed.
EXACT = "identity", "copy"


def write_report(run, autoencoder, images, results=None):
    """Writes `results.json`, `figure.png` and `card.md` into a run folder.

    Args:
        run: str or `Path`, a run folder.
        autoencoder: its `keras.Model`.
        images: `Images`; the model is scored on the test images, and baselines
            are fitted to the training images.
        results: dict as `held_out_scores` returns it; None to compute it.

    Returns:
        dict, the scores.

    Raises:
        ValueError: if `settings.json` is missing or damaged.
        OSError: if a file cannot be written.
    """
    run = as_path(run, "run")
    settings = read_json(run / "settings.json", SETTINGS)
    corrupt = from_config(settings.get("corruption"))
    if results is None:
        results = held_out_scores(autoencoder, images, corrupt)
    write_json(run / "results.json", results)
    with atomic_write(run / "figure.png") as temporary:
        _figure(autoencoder, images, corrupt).savefig(temporary, dpi=120)
    card = model_card(run.name, autoencoder, settings, results)
    with atomic_write(run / "card.md") as temporary:
        # The name of a folder need not be UTF-8.
        temporary.write_text(card, encoding="utf-8", errors="backslashreplace")
    return results


def _figure(autoencoder, images, corrupt):
    x = to_float(images.x_test[:10])
    inputs = images.inputs_test if corrupt is None else corrupt
    given = model_inputs(x, inputs)
    outputs = reconstruct(autoencoder, given)
    if inputs is None:
        return image_rows({"original": x, "reconstruction": outputs})
    return image_rows({"original": x, "input": given, "restored": outputs})


# The title of each score's column, how it is written, and what is where there is none.
COLUMNS = {
    "mse": ("MSE", "{:.5f}", "–"),
    "psnr": ("PSNR, dB", "{:.2f}", "∞"),
    "ssim": ("SSIM", "{:.4f}", "–"),
    "bce": ("BCE", "{:.4f}", "–"),
    "bytes": ("bytes an image", "{:.1f}", "–"),
    "accuracy": ("accuracy", "{:.4f}", "–"),
    "frechet": ("Fréchet distance", "{:.2f}", "–"),
    "precision": ("precision", "{:.3f}", "–"),
    "recall": ("recall", "{:.3f}", "–"),
}

CARD = """# {name}

A {kind} with {parameters:,} trainable parameters.

- Data: {data}.
- Input: {input}.
- Output: {output}.
{corruption}{codec}\
- Training: {epochs} epochs, batch size {batch_size}{augmentation}, seed {seed}.
  Loss `{loss}`; Adam, learning rate {learning_rate} with {schedule}.
  The weights are {weights}.
- Limitations: trained on this data only; results on other images are unreliable.

Scores on the test images, which were not used for training or for any choice:

{table}
{verdict}
`convae_keras.load_run` loads the model from a run folder, and
`convae_keras.load_pretrained` if it ships with the package.
"""


def model_card(name, autoencoder, settings, results):
    """Writes a model card: data, training, limitations and scores.

    Args:
        name: str, its title.
        autoencoder: `keras.Model`.
        settings: dict, the `settings.json` of its run.
        results: dict, as `held_out_scores` returns it.

    Returns:
        str, Markdown.
    """
    corrupt = from_config(settings.get("corruption"))
    flips = ", random flips and 90° rotations" if settings.get("turn") else ""
    patience = settings.get("patience")
    stopped = f", or until {patience} bring nothing better" if patience else ""
    codec, said = "", verdict(results)
    if hasattr(autoencoder, "tables"):
        digits = fingerprint(autoencoder)[:32]
        codec = f"- Fingerprint, in the files that it compressed: `{digits}`.\n"
    return CARD.format(
        **{key: settings[key] for key in SETTINGS},
        **_description(autoencoder, settings["pixel_range"]),
        name=name,
        corruption=f"- Corruption of the input: `{corrupt}`.\n" if corrupt else "",
        codec=codec,
        augmentation=flips + stopped,
        table=markdown_table(score_rows(results)),
        verdict=f"\n{said}\n" if said else "",
    )


def _description(model, pixel_range):
    """What kind of model it is, what goes in and out, and how it was trained."""
    found = {"kind": "convolutional autoencoder", "output": "the restored images"}
    found |= {"schedule": "warm-up and cosine decay"}
    found |= {"weights": "those of the epoch with the lowest validation loss"}
    if len(model.inputs) > 1:
        noise = format_shape(model.inputs[0].shape[1:])
        found |= {"kind": "generator of images", "schedule": "cosine decay"}
        found |= {"weights": "the average over the last steps"}
        found["input"] = f"float32 noise `(n, {noise})`, and int labels `(n,)`"
        return found | {"output": "images, pixels in [0, 1]"}
    image = format_shape(model.input_shape[1:])
    low, high = pixel_range
    found["input"] = f"float32 `(n, {image})`, pixels in [{low}, {high}]"
    if hasattr(model, "encoder"):
        code = format_shape(model.encoder.output_shape[1:])
        found["output"] = f"the reconstructed images, from a code of {code} numbers"
    elif len(model.output_shape) == 2:
        found |= {"kind": "convolutional classifier"}
        found["output"] = f"probabilities of {model.output_shape[1]} classes"
    return found


def verdict(results):
    """Says whether a baseline is better than the model.

    Args:
        results: dict, as `held_out_scores` returns it. The identity does
            not count; where there are bytes, nor do baselines with more of them.

    Returns:
        str, which baseline is better and what to try; empty if none is, or there
        is no PSNR.
    """
    (_, own), *others = results.items()
    if "psnr" not in own:
        return ""
    most = own.get("bytes", 0)
    fair = {k: r for k, r in others if k not in EXACT and r.get("bytes", 0) <= most}
    best = max(fair, key=lambda name: _decibels(fair[name]), default=None)
    if best is None or _decibels(fair[best]) <= _decibels(own):
        return ""
    scores = f"{_decibels(fair[best]):.2f} dB, and the model {_decibels(own):.2f}"
    advice = "Use it, or try more images, longer training or images that are more alike"
    return f"The baseline {best} is better: {scores}. {advice}."


def _decibels(row):
    return math.inf if row["psnr"] is None else row["psnr"]


def score_rows(results):
    """Formats scores as the cells of a table.

    Args:
        results: dict, as `held_out_scores` returns it, or of other rows with keys
            of `COLUMNS`.

    Returns:
        list of lists of str, the header first: the columns of which a row has a
        score.
    """
    known = {key for row in results.values() for key in row}
    columns = {key: column for key, column in COLUMNS.items() if key in known}
    rows = [["", *(title for title, _, _ in columns.values())]]
    for name, row in results.items():
        cells = [
            form.format(row[key]) if row.get(key) is not None else missing
            for key, (_, form, missing) in columns.items()
        ]
        rows.append([name, *cells])
    return rows


def markdown_table(rows):
    """Formats rows of str, the header first, as a Markdown table."""
    header, *rows = rows
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
