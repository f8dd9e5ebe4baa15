"""Writes the tables of results in README.md and results/README.md.

    python results/tables.py

`results/README.md` lists every recorded number, README.md the rows that
`results/table.toml` describes. All numbers are read from `results/*.json`.
"""

import sys
import tomllib
from pathlib import Path

from convae_keras.model_card import markdown_table
from convae_keras.saving import atomic_write, read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
ARROWS = {"higher": "↑", "lower": "↓"}


def write():
    """Writes both tables between the markers of their files."""
    tables = {ROOT / "README.md": headlines, RESULTS / "README.md": all_results}
    for path, table in tables.items():
        text = with_table(path.read_text(encoding="utf-8"), table(RESULTS))
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


def with_table(text, table):
    """Returns a text with `table` in place of what was between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(write())
