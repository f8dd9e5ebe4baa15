"""Tables of results: formatted from the ledger, and equal to what is committed."""

import json
import re
import tomllib

import pytest
import tables

pytestmark = pytest.mark.static

ROOT = tables.ROOT


def entry(**means):
    rest = {"std": 0.0123, "tolerance": 0.1, "runs": 3}
    return {"metrics": {key: {"mean": mean, **rest} for key, mean in means.items()}}


@pytest.fixture
def folder(tmp_path):
    files = {"training": entry(bce=0.0612345, floor=0.05), "anomaly": entry(auroc=0.9)}
    files["training"]["metrics"]["floor"] |= {"runs": 1, "std": 0.0}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "reproduce.py").write_text("not a result", encoding="utf-8")
    return tmp_path


def cells(table):
    head, rule, *rows = table.splitlines()
    assert head.count("|") == rule.count("|")
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_all_results(folder):
    assert cells(tables.all_results(folder)) == [
        ["anomaly", "`auroc`", "0.9", "0.01", "3", "0.1"],
        ["training", "`bce`", "0.0612345", "0.01", "3", "0.1"],
        ["training", "`floor`", "0.05", "", "1", "0.1"],
    ]


ROW = """
[[row]]
task = "train"
metric = "BCE, nats"
better = "lower"
notebook = "training"
file = "01"
ours = "{ours}"
baseline = "floor"
against = "entropy"
decimals = 3
"""


def test_headlines(folder):
    text = (ROW + ROW.replace("lower", "higher")).format(ours="bce")
    (folder / "table.toml").write_text(text, encoding="utf-8")
    assert cells(tables.headlines(folder)) == [
        ["train", "BCE, nats ↓", "0.061 ± 0.01", "entropy: 0.050", "3, 1", "tie", "01"],
        ["train", "BCE, nats ↑", "0.061 ± 0.01", "entropy: 0.050", "3, 1", "tie", "01"],
    ]


def test_a_headline_that_is_not_recorded(folder):
    (folder / "table.toml").write_text(ROW.format(ours="accuracy"), encoding="utf-8")
    with pytest.raises(KeyError, match="accuracy"):
        tables.headlines(folder)


@pytest.mark.parametrize(
    "ours, baseline, better, wins",
    [
        (2.0, 1.0, "higher", "ours"),
        (2.0, 1.0, "lower", "baseline"),
        (1.0, 2.0, "higher", "baseline"),
        (1.0, 2.0, "lower", "ours"),
        (1.0, 1.25, "lower", "tie"),
    ],
)
def test_winner(ours, baseline, better, wins):
    ours = {"mean": ours, "std": 0.1, "tolerance": 0.05}
    baseline = {"mean": baseline, "std": 0.2, "tolerance": 0.1}
    assert tables.winner(ours, baseline, better) == wins


def test_printed_numbers_give_the_same_verdict():
    rows = tomllib.loads((tables.RESULTS / "table.toml").read_text("utf-8"))["row"]
    for row in rows:
        path = tables.RESULTS / f"{row['notebook']}.json"
        metrics = json.loads(path.read_text("utf-8"))["metrics"]
        pair = [metrics[row[key]] for key in ("ours", "baseline")]
        printed = [as_printed(metric, row) for metric in pair]
        better = row["better"]
        assert tables.winner(*printed, better) == tables.winner(*pair, better), row


def as_printed(metric, row):
    """What a reader of the table knows; the tolerance is in results/README.md."""
    mean, _, std = tables._cell(metric, row).partition(" ± ")
    return metric | {"mean": float(mean), "std": float(std or 0)}


def test_one_run_each_is_a_tie_within_the_tolerance():
    ours = {"mean": 0.991, "std": 0.0, "tolerance": 0.002}
    assert tables.winner(ours, ours | {"mean": 0.990}, "higher") == "tie"
    assert tables.winner(ours, ours | {"mean": 0.980}, "higher") == "ours"


def test_a_table_is_replaced():
    text = "# Title\n\n<!-- results -->\n{}\n<!-- /results -->\n\n## End\n"
    made = tables.with_table(text.format("old"), "new")
    assert made == text.format("new")
    assert tables.with_table(made, "new") == made


COURSE = """
[[notebook]]
file = "01_training"
title = "Training"
shows = "layers"
data = "MNIST"
after = "NumPy"
headline = "BCE {training[bce]:.3f}"
zh = ["训练", "层", "数据", "BCE {training[bce]:.2f}"]
"""


@pytest.mark.parametrize(
    "language, expected",
    [
        ("en", ["Training", "layers", "MNIST", "NumPy", "BCE 0.061"]),
        ("zh", ["训练", "层", "数据", "NumPy", "BCE 0.06"]),
    ],
)
def test_course(folder, language, expected):
    (folder / "course.toml").write_text(COURSE, encoding="utf-8")
    table = tables.course(folder, language)
    ((number, link, shows, data, after, minutes, headline),) = cells(table)
    title, path = re.fullmatch(r"\[(.+)\]\((.+)\)", link).groups()
    assert [title, shows, data, after, headline] == expected
    assert (number, path) == ("01", "notebooks/01_training.ipynb")
    assert re.search(r"^\d+\D+\d+$", minutes)


def test_numbers_in_a_text(folder):
    text = "It is <!--= training[bce]:.3f -->0<!---->, not 1."
    made = tables.with_numbers(text, folder)
    assert made == "It is <!--= training[bce]:.3f -->0.061<!---->, not 1."
    assert tables.with_numbers(made, folder) == made
    with pytest.raises(KeyError, match="accuracy"):
        tables.with_numbers(text.replace("bce", "accuracy"), folder)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "docs/corrections.md"])
def test_committed_tables_and_numbers(name):
    """`python results/tables.py` writes them."""
    for path, own in tables.texts().items():
        if path == ROOT / name:
            text = path.read_text(encoding="utf-8")
            assert all(f"<!-- {table} -->" in text for table in own)
            assert tables.filled(path, own) == text


def test_every_number_of_the_ledger_is_listed():
    path = tables.RESULTS / "README.md"
    text, own = path.read_text(encoding="utf-8"), tables.texts()[path]
    assert tables.filled(path, own) == text


def test_the_index_has_every_notebook():
    found = [path.stem for path in sorted(ROOT.glob("notebooks/*.ipynb"))]
    entries = tomllib.loads((tables.RESULTS / "course.toml").read_text("utf-8"))
    assert [entry["file"] for entry in entries["notebook"]] == found
