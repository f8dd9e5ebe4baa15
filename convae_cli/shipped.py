"""`convae models`: what ships with the package, read without Keras."""

import json

from convae_cli.checks import pretrained_folder, pretrained_names


def models(arguments):
    """Lists the models that ship with the package.

    Args:
        arguments: `argparse.Namespace`, of which nothing is used.

    Returns:
        dict of `models`: for each its `name`, `parameters`, `bytes`, `data`,
        `scores` on the test images, those of `baselines`, and the path of its `card`.
    """
    found = [_describe(name) for name in pretrained_names()]
    rows = [("model", "parameters", "bytes", "data", "on its test images")]
    for each in found:
        scores = ", ".join(
            f"{key} {score:.4g}" for key, score in each["scores"].items()
        )
        numbers = (f"{each[key]:,}" for key in ("parameters", "bytes"))
        rows.append((each["name"], *numbers, each["data"].partition(":")[0], scores))
    for name, parameters, size, data, scores in rows:
        print(f"{name:14} {parameters:>10} {size:>9}  {data:12} {scores}")
    print(f"Their cards, with baselines, are in {pretrained_folder()}")
    return {"models": found}


def _describe(name):
    folder = pretrained_folder() / name
    settings, results = (
        json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
        for part in ("settings", "results")
    )
    (_, scores), *baselines = results.items()
    return {
        "name": name,
        "parameters": settings["parameters"],
        "bytes": (folder / "model.keras").stat().st_size,
        "data": settings["data"],
        "scores": scores,
        "baselines": dict(baselines),
        "card": str(folder / "card.md"),
    }
