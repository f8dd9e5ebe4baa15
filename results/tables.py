"""Writes the tables in README.md, README.zh.md and results/README.md.

    python results/tables.py

`results/README.md` lists every recorded number. The READMEs have the rows that
`results/table.toml` describes, the notebooks of `results/course.toml`, and the speeds
that `benchmarks/` measured. All numbers are read from `results/*.json`, and the minutes
from the notebooks.
"""

import json
import re
import sys
import tomllib
from functools import partial
from pathlib import Path

from convae_keras.model_card import markdown_table
from convae_keras.saving import atomic_write, read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
ARROWS = {"higher": "↑", "lower": "↓"}

# The words of the tables that are not in a `.toml` file.
WORDS = {
    "en": {
        "results": [
            "task",
            "metric",
            "ours",
            "best baseline",
            "runs of each",
            "better",
            "notebook",
        ],
        "course": [
            "",
            "notebook",
            "what it shows",
            "data",
            "after",
            "minutes",
            "result",
        ],
        "winners": {"ours": "ours", "baseline": "baseline", "tie": "tie"},
        "minutes": "{}, full {}",
        "against": "{}: {}",
        "comma": ", ",
    },
    "zh": {
        "results": [
            "任务",
            "指标",
            "本项目",
            "最强基线",
            "运行次数",
            "更优者",
            "笔记本",
        ],
        "course": ["", "笔记本", "内容", "数据", "先修", "用时（分钟）", "结果"],
        "winners": {"ours": "本项目", "baseline": "基线", "tie": "持平"},
        "minutes": "{}，完整 {}",
        "against": "{}：{}",
        "comma": "、",
    },
}


def write():
    """Writes tables and numbers between the markers of their files."""
    for path, own in texts().items():
        text = filled(path, own)
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return 0


def texts():
    """Returns a dict from each file to a dict of its tables' functions, by name."""
    chinese = {"course": partial(course, language="zh")}
    chinese["results"] = partial(headlines, language="zh")
    return {
        ROOT / "README.md": {"course": course, "results": headlines, "speeds": speeds},
        ROOT / "README.zh.md": chinese,
        ROOT / "docs" / "corrections.md": {},
        RESULTS / "README.md": {"results": all_results},
    }


def filled(path, own):
    """Returns the text of a file, with its tables and numbers as they are measured."""
    text = with_numbers(path.read_text(encoding="utf-8"), RESULTS)
    for name, table in own.items():
        text = with_table(text, table(RESULTS), name)
    return text


def all_results(folder):
    """Formats every recorded number.

    Args:
        folder: `Path`, holding `NAME.json` files as `ledger.record` writes them.

    Returns:
        str, a Markdown table.
    """
    rows = [["notebook", "result", "mean", "±", "runs", "tolerance"]]
    for path in sorted(folder.glob("*.json")):
        # `benchmarks.json` has speeds, of another form.
        for key, metric in read_json(path).get("metrics", {}).items():
            mean, runs = f"{metric['mean']:.6g}", metric["runs"]
            std = f"{metric['std']:.1g}" if runs > 1 else ""
            tolerance = f"{metric['tolerance']:g}"
            rows.append([path.stem, f"`{key}`", mean, std, str(runs), tolerance])
    return markdown_table(rows)


def course(folder, language="en"):
    """Formats the index of the course.

    Args:
        folder: `Path`, holding `course.toml` and `NAME.json` files.
        language: `"en"` or `"zh"`.

    Returns:
        str, a Markdown table.

    Raises:
        KeyError: for a headline with a number that is not recorded.
    """
    words, measured = WORDS[language], _means(folder)
    rows = [words["course"]]
    for entry in _entries(folder / "course.toml", "notebook"):
        path = f"notebooks/{entry['file']}.ipynb"
        texts = [entry[key] for key in ("title", "shows", "data", "headline")]
        title, shows, data, headline = texts if language == "en" else entry["zh"]
        result = headline.format(**measured)
        minutes = words["minutes"].format(*_minutes(ROOT / path))
        link = f"[{title}]({path})"
        after = entry["after"].replace(", ", words["comma"])
        rows.append([entry["file"][:2], link, shows, data, after, minutes, result])
    return markdown_table(rows)


def _entries(path, kind):
    with open(path, "rb") as file:
        return tomllib.load(file)[kind]


def _means(folder):
    """Returns the mean of each recorded number, by file and key."""
    files = {path.stem: read_json(path) for path in folder.glob("*.json")}
    return {
        name: {key: metric["mean"] for key, metric in entry["metrics"].items()}
        for name, entry in files.items()
        if "metrics" in entry
    }


def _minutes(path):
    """Reads the minutes of a lesson and of a full run from a notebook."""
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return re.search(r"lesson (?:about )?(\d+) minutes? · full (\d+)", first).groups()


def headlines(folder, language="en"):
    """Formats the rows of `table.toml`: a result, its best baseline, who wins.

    Args:
        folder: `Path`, holding `table.toml` and `NAME.json` files.
        language: `"en"` or `"zh"`.

    Returns:
        str, a Markdown table.

    Raises:
        KeyError: for a row whose results are not recorded.
    """
    words = WORDS[language]
    rows = [words["results"]]
    for row in _entries(folder / "table.toml", "row"):
        metrics = read_json(folder / f"{row['notebook']}.json")["metrics"]
        ours, baseline = metrics[row["ours"]], metrics[row["baseline"]]
        mine, theirs = (_cell(each, row) for each in (ours, baseline))
        texts = [row[key] for key in ("task", "metric", "against")]
        task, metric, against = texts if language == "en" else row["zh"]
        metric = f"{metric} {ARROWS[row['better']]}"
        against = words["against"].format(against, theirs)
        better = words["winners"][winner(ours, baseline, row["better"])]
        runs = f"{ours['runs']}{words['comma']}{baseline['runs']}"
        rows.append([task, metric, mine, against, runs, better, row["file"]])
    return markdown_table(rows)


def speeds(folder):
    """Formats how fast networks train, beside the codes that tutorials print.

    Args:
        folder: `Path`, holding `benchmarks.json`.

    Returns:
        str, a Markdown table, a paragraph for each race to a printed recipe's loss, and
        a table of the exported reference model.
    """
    measured = read_json(folder / "benchmarks.json")
    rows = [["", "images/s in training", "peak memory, MB", "start, s"]]
    for name, row in measured["networks"].items():
        low, high = (f"{speed:,}" for speed in row["training_range"])
        training = f"{row['training']:,} ({low} to {high})"
        rest = row["peak_megabytes"], row["seconds_before_training"]
        rows.append([name, training, f"{rest[0]:,.0f}", f"{rest[1]:.1f}"])
    lines = [markdown_table(rows)]
    for name, race in measured.get("time_to_loss", {}).get("recipes", {}).items():
        lines.append(_race(name, race))
    if "exported" in measured:
        rows = [
            ["exported reference model", "images/s, one by one", "in batches of 128"]
        ]
        for name, row in measured["exported"]["rows"].items():
            rows.append(
                [name, *(f"{row[key][0]:,}" for key in ("batch_1", "batch_128"))]
            )
        lines.append(markdown_table(rows))
    return "\n\n".join(lines)


def _race(name, race):
    """Says in words how soon a preset has the loss of a printed recipe."""
    settings = race["settings"]
    plural = "" if settings["epochs"] == 1 else "s"
    return (
        f"With {settings['epochs']} epoch{plural}, batches of {settings['batch_size']} "
        f"and a learning rate of {settings['learning_rate']:g}, the `{name}` preset "
        f"has the test loss of the printed code after {race['seconds']:.1f} s, "
        f"compilation included ({race['reached']} of {len(race['losses'])} seeds). The "
        f"{race['printed_epochs']} epochs of the printed code would take "
        f"{race['printed_seconds']:.0f} s, computed from its first epochs."
    )


def _cell(metric, row):
    digits = row.get("deviation_digits", 1)
    spread = f" ± {metric['std']:.{digits}g}" if metric["runs"] > 1 else ""
    return f"{metric['mean']:.{row['decimals']}f}{spread}"


def winner(ours, baseline, better):
    """Compares two results.

    Args:
        ours, baseline: dicts with `mean`, `std` and `tolerance`.
        better: `"higher"` or `"lower"`.

    Returns:
        `"ours"` or `"baseline"`; `"tie"` if the means differ by less than the
        sum of their standard deviations, or than another run of either may.
    """
    difference = ours["mean"] - baseline["mean"]
    spread = ours["std"] + baseline["std"]
    if abs(difference) < max(spread, ours["tolerance"], baseline["tolerance"]):
        return "tie"
    return "ours" if (difference > 0) == (better == "higher") else "baseline"


def with_numbers(text, folder):
    """Returns a text with recorded numbers written into it.

    Args:
        text: str, in which `<!--= training[bce]:.2f -->0.06<!---->` stands for the
            mean of `bce` in `training.json`, with two decimals.
        folder: `Path`, holding `NAME.json` files.

    Returns:
        str, with what is between the two comments replaced.

    Raises:
        KeyError: for a number that is not recorded.
    """
    measured = _means(folder)

    def number(match):
        value = f"{{{match[1]}}}".format(**measured)
        return f"<!--= {match[1]} -->{value}<!---->"

    return re.sub(r"<!--= (.*?) -->.*?<!---->", number, text)


def with_table(text, table, name="results"):
    """Returns a text with `table` in place of what was between its markers."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(write())
