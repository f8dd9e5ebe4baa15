"""Stores trained runs as models that ship with the package.

    python results/build_pretrained.py RUN NAME [RUN NAME ...]
    python results/build_pretrained.py             rewrites the cards only

A model is stored in `convae_keras/pretrained/NAME`: the run's files, with weights
rounded to float16 values in `model.keras`, its hash in `settings.json`, and a card
with the fingerprint of the rounded model.
"""

import argparse
import shutil
import sys
from pathlib import Path

from convae_keras.model_card import model_card
from convae_keras.pretrained import PRETRAINED, load_pretrained, pretrained_names
from convae_keras.saving import (
    atomic_write,
    fingerprint,
    load_model,
    read_json,
    save_small,
    write_json,
)


def ship(run, name, pretrained=PRETRAINED):
    """Stores the model of a finished run.

    Args:
        run: str or `Path`, a finished run folder.
        name: str, its name for `load_pretrained`.
        pretrained: `Path`, the folder of all shipped models.
    """
    run, folder = Path(run), pretrained / name
    folder.mkdir(parents=True, exist_ok=True)
    settings = read_json(run / "settings.json")
    model = load_model(run / "model.keras")
    settings["sha256"] = save_small(model, folder / "model.keras")
    model = load_model(folder / "model.keras")
    settings["model"] = fingerprint(model)
    write_json(folder / "settings.json", settings)
    for file in ("results.json", "history.json"):
        shutil.copyfile(run / file, folder / file)
    write_card(folder, model)


def write_card(folder, model):
    """Writes a shipped model's `card.md` from its settings and results."""
    settings, results = (
        read_json(folder / f"{x}.json") for x in ("settings", "results")
    )
    with atomic_write(folder / "card.md") as temporary:
        card = model_card(folder.name, model, settings, results)
        temporary.write_text(card, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", nargs="*", metavar="RUN NAME")
    pairs = parser.parse_args().pairs
    if len(pairs) % 2:
        parser.error(f"a NAME is missing for the run {pairs[-1]}")
    for run, name in zip(pairs[::2], pairs[1::2], strict=True):
        ship(run, name)
        print(f"{run} is stored as {name}")
    if not pairs:
        for name in pretrained_names():
            write_card(PRETRAINED / name, load_pretrained(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
