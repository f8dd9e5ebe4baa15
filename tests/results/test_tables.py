"""Tables of results: formatted from the ledger, and equal to what is committed."""

import json

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
        ["anomaly", "`auroc`", "0.9", "0.01", "3"],
        ["training", "`bce`", "0.0612345", "0.01", "3"],
        ["training", "`floor`", "0.05", "", "1"],
    ]


ROW = """
[[row]]
task = "train"
metric = "BCE, nats"
better = "lower"
notebook = "training"
ours = "{ours}"
baseline = "floor"
against = "entropy"
decimals = 3
"""


def test_headlines(folder):
    text = (ROW + ROW.replace("lower", "higher")).format(ours="bce")
    (folder / "table.toml").write_text(text, encoding="utf-8")
    assert cells(tables.headlines(folder)) == [
        ["train", "BCE, nats ↓", "0.061 ± 0.01", "entropy: 0.050", "tie"],
        ["train", "BCE, nats ↑", "0.061 ± 0.01", "entropy: 0.050", "tie"],
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
    ours, baseline = {"mean": ours, "std": 0.1}, {"mean": baseline, "std": 0.2}
    assert tables.winner(ours, baseline, better) == wins


def test_a_table_is_replaced():
    text = "# Title\n\n<!-- results -->\n{}\n<!-- /results -->\n\n## End\n"
    made = tables.with_table(text.format("old"), "new")
    assert made == text.format("new")
    assert tables.with_table(made, "new") == made


@pytest.mark.parametrize(
    "path, name, table",
    [
        ("README.md", "results", tables.headlines),
        ("README.md", "speeds", tables.speeds),
        ("results/README.md", "results", tables.all_results),
    ],
)
def test_committed_tables(path, name, table):
    """`python results/tables.py` writes them."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert f"<!-- {name} -->" in text
    assert tables.with_table(text, table(tables.RESULTS), name) == text
