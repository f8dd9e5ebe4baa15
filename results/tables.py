"""Writes the tables of results in README.md and results/README.md.

    python results/tables.py

`results/README.md` lists every recorded number, README.md the rows that
`results/table.toml` describes, and the speeds that `benchmarks/` measured. All numbers
are read from `results/*.json`.
"""

import sys
import tomllib
from pathlib import Path

from convae_keras.model_card import markdown_table
from convae_keras.saving import atomic_write, read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
ARROWS = {"higher": "↑", "lower": "↓"}


def write():
    """Writes the tables between the markers of their files."""
    tables = {ROOT / "README.md": {"results": headlines, "speeds": speeds}}
    tables |= {RESULTS / "README.md": {"results": all_results}}
    for path, own in tables.items():
        text = path.read_text(encoding="utf-8")
        for name, table in own.items():
            text = with_table(text, table(RESULTS), name)
        with atomic_write(path) as aside:
            aside.write_text(text, encoding="utf-8")
    return 0


def all_results(folder):
    """Formats every recorded number.

    Args:
        folder: `Path`, holding `NAME.json` files as `ledger.record` writes them.

    Returns:
        str, a Markdown table.
    """
    rows = [["notebook", "result", "mean", "±", "runs"]]
    for path in sorted(folder.glob("*.json")):
        # `benchmarks.json` has speeds, of another form.
        for key, metric in read_json(path).get("metrics", {}).items():
            mean, runs = f"{metric['mean']:.6g}", metric["runs"]
            std = f"{metric['std']:.1g}" if runs > 1 else ""
            rows.append([path.stem, f"`{key}`", mean, std, str(runs)])
    return markdown_table(rows)


def headlines(folder):
    """Formats the rows of `table.toml`: a result, its best baseline, who wins.

    Args:
        folder: `Path`, holding `table.toml` and `NAME.json` files.

    Returns:
        str, a Markdown table.

    Raises:
        KeyError: for a row whose results are not recorded.
    """
    rows = [["task", "metric", "ours", "best baseline", "better"]]
    with open(folder / "table.toml", "rb") as file:
        entries = tomllib.load(file)["row"]
    for row in entries:
        metrics = read_json(folder / f"{row['notebook']}.json")["metrics"]
        ours, baseline = metrics[row["ours"]], metrics[row["baseline"]]
        mine, theirs = (_cell(each, row["decimals"]) for each in (ours, baseline))
        against = f"{row['against']}: {theirs}"
        metric = f"{row['metric']} {ARROWS[row['better']]}"
        cells = [row["task"], metric, mine, against]
        rows.append([*cells, winner(ours, baseline, row["better"])])
    return markdown_table(rows)


def speeds(folder):
    """Formats how fast networks train, beside the codes that tutorials print.

    Args:
        folder: `Path`, holding `benchmarks.json`.

    Returns:
        str, a Markdown table, and a line for each race to a printed recipe's loss.
    """
    measured = read_json(folder / "benchmarks.json")
    rows = [["", "images/s in training", "peak memory, MB", "start, s"]]
    for name, row in measured["rivals"].items():
        low, high = (f"{speed:,}" for speed in row["training_range"])
        training = f"{row['training']:,} ({low} to {high})"
        rest = row["peak_megabytes"], row["seconds_before_training"]
        rows.append([name, training, f"{rest[0]:,.0f}", f"{rest[1]:.1f}"])
    lines = [markdown_table(rows)]
    for name, race in measured.get("time_to_loss", {}).get("recipes", {}).items():
        ours = f"The `{name}` preset has the test loss of the printed code after "
        ours += f"{race['seconds']:.1f} s, compilation included"
        seeds = f"{race['reached']} of {len(race['losses'])} seeds"
        printed = f"{race['printed_epochs']} epochs take {race['printed_seconds']:.0f}"
        lines.append(f"{ours} ({seeds}). Its {printed} s.")
    return "\n\n".join(lines)


def _cell(metric, decimals):
    spread = f" ± {metric['std']:.1g}" if metric["runs"] > 1 else ""
    return f"{metric['mean']:.{decimals}f}{spread}"


def winner(ours, baseline, better):
    """Compares two results.

    Args:
        ours, baseline: dicts with `mean` and `std`.
        better: `"higher"` or `"lower"`.

    Returns:
        `"ours"` or `"baseline"`; `"tie"` if the means differ by less than the
        sum of their standard deviations.
    """
    difference = ours["mean"] - baseline["mean"]
    if abs(difference) < ours["std"] + baseline["std"]:
        return "tie"
    return "ours" if (difference > 0) == (better == "higher") else "baseline"


def with_table(text, table, name="results"):
    """Returns a text with `table` in place of what was between its markers."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(write())
