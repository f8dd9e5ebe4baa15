"""The notebooks themselves, as committed: read, not run.

Each rule is a function that takes a notebook and its path and returns
complaints. Below, a sound notebook is made and then broken, once for every rule.
"""

import ast
import json
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

pytestmark = pytest.mark.static

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
# In this order in every notebook; others may stand between.
SKELETON = (
    "You will learn",
    "Setup",
    "Hyper-parameters",
    "The data",
    "Intuition",
    "The model",
    "Training",
    "Results",
    "Where it breaks",
    "Summary",
    "Exercises",
    "References",
)
MARKER = "# NBVAL_CHECK_OUTPUT"
MACHINE_PATH = re.compile(r"(?<![\w./:])/(home|root|work|Users)/|\bC:\\|file://")


def _cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def _prose(notebook):
    """Markdown without its code and formulas."""
    text = "\n\n".join(cell.source for cell in _cells(notebook, "markdown"))
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    return re.sub(r"`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", "", text, flags=re.S)


def _headings(notebook):
    return re.findall(r"^## +(.+?) *$", _prose(notebook), flags=re.M)


def _lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def _outputs(notebook):
    return [output for cell in _cells(notebook, "code") for output in cell.outputs]


def _written(notebook):
    """Everything a reader can read: sources and textual outputs, not pictures."""
    yield from (cell.source for cell in notebook.cells)
    for output in _outputs(notebook):
        yield output.get("text", "")
        data = output.get("data", {})
        yield from (str(data[mime]) for mime in data if mime.startswith("text/"))


def _checked(notebook):
    return [cell for cell in _cells(notebook, "code") if MARKER in cell.source]


# --- the rules ---------------------------------------------------------------


def executed_in_order(notebook, path):
    """Every code cell was run once, from top to bottom, in a clean kernel."""
    counts = [cell.execution_count for cell in _cells(notebook, "code")]
    return [] if counts == [*range(1, len(counts) + 1)] else [counts]


def no_errors(notebook, path):
    """No traceback and no noise on standard error is stored."""
    kinds = [o.get("name", o.output_type) for o in _outputs(notebook)]
    return [kind for kind in kinds if kind in ("error", "stderr")]


def no_machine_paths(notebook, path):
    """Nothing tells on whose machine it ran."""
    return [text for text in _written(notebook) if MACHINE_PATH.search(text)]


def size(notebook, path):
    """Under 1 MB, 40 to 65 cells, 40 to 65 % of them prose."""
    cells = len(notebook.cells)
    share = len(_cells(notebook, "markdown")) / max(cells, 1)
    found = {"bytes": path.stat().st_size, "cells": cells, "markdown": share}
    bounds = {"bytes": (1, 1e6), "cells": (40, 65), "markdown": (0.4, 0.65)}
    pairs = [(key, found[key], *bounds[key]) for key in found]
    return [(key, value) for key, value, low, high in pairs if not low <= value <= high]


def short_cells(notebook, path):
    """Code cells of 11 lines in the median at most, 30 in any, none empty."""
    lengths = [len(_lines(cell)) for cell in _cells(notebook, "code")]
    complaints = [n for n in lengths if not 1 <= n <= 30]
    return complaints + [n for n in [statistics.median(lengths or [0])] if n > 11]


def code_parses(notebook, path):
    """Every code cell is Python, but for lines that begin with % or !."""
    complaints = []
    for cell in _cells(notebook, "code"):
        source = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)
        try:
            ast.parse(source)
        except SyntaxError as error:
            complaints.append(f"{error}: {source}")
    return complaints


def quoted_installs(notebook, path):
    """No `!pip install name>=1`: to a shell, that > is a file's name."""
    lines = [line for cell in _cells(notebook, "code") for line in _lines(cell)]
    shell = [line for line in lines if re.match(r"\s*[%!]", line) and "pip" in line]
    return [
        line for line in shell if re.search("[<>]", re.sub(r"([\"']).*?\1", "", line))
    ]


def opening(notebook, path):
    """Title, Colab badge, runtime, and the neighbours' links, in the first cell."""
    first = notebook.cells[0].source
    name = re.escape(path.name)
    wanted = {
        "title": first.startswith("# "),
        "badge": re.search(rf"^.*badge.*colab.*/{name}.*$", first, flags=re.M),
        "runtime": re.search(r"\bruntime\b.*\d", first, flags=re.I),
    }
    course = sorted(path.parent.glob("[0-9][0-9]*.ipynb"))
    here = course.index(path)
    neighbours = course[max(here - 1, 0) : here] + course[here + 1 : here + 2]
    wanted |= {other.name: f"]({other.name})" in first for other in neighbours}
    return [name for name, found in wanted.items() if not found]


def skeleton(notebook, path):
    """The headings that every notebook shares, each once and in order."""
    found = [heading for heading in _headings(notebook) if heading in SKELETON]
    return [] if found == [*SKELETON] else [found]


def exercises(notebook, path):
    """3 to 5 numbered exercises."""
    section = _prose(notebook).partition("## Exercises")[2].partition("\n## ")[0]
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", section, flags=re.M)]
    sound = 3 <= len(numbers) <= 5 and numbers == [*range(1, len(numbers) + 1)]
    return [] if sound else [numbers]


def claims(notebook, path):
    """3 cells or more whose claims are compared; markers on their own line."""
    lines = [line for cell in _cells(notebook, "code") for line in _lines(cell)]
    marks = [line for line in lines if "nbval" in line.lower() and line != MARKER]
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    marks += [tag for tag in tags if "nbval" in tag or tag == "raises-exception"]
    silent = [cell.source for cell in _checked(notebook) if not cell.outputs]
    claiming = [
        cell for cell in _checked(notebook) if re.search(r"\bclaim\(", cell.source)
    ]
    return marks + silent + ([] if len(claiming) >= 3 else [f"{len(claiming)} claims"])


def links(notebook, path):
    """Every local link leads to a file: notebooks, solutions, pictures."""
    targets = re.findall(r"\]\(<?([^)\s>]+)", _prose(notebook))
    local = [t.partition("#")[0] for t in targets if not re.match(r"\w+:", t)]
    return [t for t in local if t and not (path.parent / t).exists()]


RULES = [
    executed_in_order,
    no_errors,
    no_machine_paths,
    size,
    short_cells,
    code_parses,
    quoted_installs,
    opening,
    skeleton,
    exercises,
    claims,
    links,
]


# --- held against the course -------------------------------------------------


def test_the_course_is_numbered_without_gaps():
    numbers = [int(re.match(r"(\d\d)_[a-z_]+$", path.stem)[1]) for path in NOTEBOOKS]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert numbers


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_notebook(rule, path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert rule(notebook, path) == [], rule.__doc__


# --- held against a notebook made to be broken -------------------------------


def _run(source, *lines):
    text = "".join(f"{line}\n" for line in lines)
    outputs = [new_output("stream", name="stdout", text=text)] if lines else []
    return new_code_cell(source, outputs=outputs)


def _sound(folder):
    """A small notebook that keeps every rule, in a course of two."""
    badge = "[![Colab](badge.svg)](https://colab.test/notebooks/01_first.ipynb)"
    top = f"# Title\n\n{badge}\n\nRuntime: 2 minutes. Next: [02](02_second.ipynb)"
    cells = [new_markdown_cell(top)]
    for heading in SKELETON:
        text = f"## {heading}\n\nSome words, $f[x](y)$."
        if heading == "Exercises":
            text += "\n\n" + "\n".join(f"{i}. Try it." for i in (1, 2, 3))
        cells += [new_markdown_cell(text), new_markdown_cell("[file](picture.png)")]
        cells += [_run("x = 1\nx"), _run("%matplotlib inline\n!pip install 'a>=1'")]
    claim = f'{MARKER}\nclaim("it beats PCA", 1 < 2)'
    cells += [_run(claim, "True") for _ in range(3)]
    notebook = new_notebook(cells=cells)
    for count, cell in enumerate(_cells(notebook, "code"), 1):
        cell.execution_count = count
    for name in ("badge.svg", "picture.png", "02_second.ipynb"):
        (folder / name).touch()
    return notebook


def _complaints(rule, notebook, folder):
    path = folder / "01_first.ipynb"
    path.write_text(json.dumps(notebook))
    return rule(notebook, path)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_notebook_passes(rule, tmp_path):
    assert _complaints(rule, _sound(tmp_path), tmp_path) == []


def _rewrite(kind, old, new):
    """A breaker: puts `new` for `old` in the first cell of a kind that has it."""

    def broken(notebook):
        cell = next(cell for cell in _cells(notebook, kind) if old in cell.source)
        cell.source = cell.source.replace(old, new)

    return broken


def _say(kind="stream", **output):
    """A breaker: appends an output to the first code cell."""
    output = new_output(kind, **output)
    return lambda notebook: _cells(notebook, "code")[0].outputs.append(output)


def _add(cell, times=1):
    return lambda notebook: notebook.cells.extend([cell] * times)


def _set(**values):
    return lambda notebook: _cells(notebook, "code")[-1].update(values)


ERROR = {"ename": "E", "evalue": "", "traceback": []}
BROKEN = [
    (executed_in_order, "not run", _set(execution_count=None)),
    (executed_in_order, "run again", _set(execution_count=99)),
    (no_errors, "stderr", _say(name="stderr", text="a warning")),
    (no_errors, "traceback", _say("error", **ERROR)),
    (no_machine_paths, "home", _say(text="saved in /home/me/runs")),
    (no_machine_paths, "windows", _say(text=r"saved in C:\Users\me")),
    (no_machine_paths, "html", _say("display_data", data={"text/html": "/root/x"})),
    (no_machine_paths, "file", _rewrite("markdown", "Some words", "[x](file:///x)")),
    (size, "few cells", lambda notebook: notebook.cells.__delitem__(slice(14))),
    (size, "many cells", _add(new_markdown_cell("words"), 26)),
    (size, "bytes", _say(text="x" * 10**6)),
    (size, "much prose", _add(new_markdown_cell("words"), 25)),
    (size, "much code", _add(new_code_cell("x"), 25)),
    (short_cells, "one long", _add(new_code_cell("x = 1\n" * 31))),
    (short_cells, "many long", _add(new_code_cell("x = 1\n" * 12), 30)),
    (short_cells, "empty", _add(new_code_cell(""))),
    (code_parses, "syntax", _rewrite("code", "x = 1", "x =")),
    (quoted_installs, "bare >", _rewrite("code", "'a>=1'", "a>=1")),
    (opening, "title", _rewrite("markdown", "# Title", "Title")),
    (opening, "badge", _rewrite("markdown", "badge", "picture")),
    (opening, "badge of another", _rewrite("markdown", "01_first", "07_other")),
    (opening, "runtime", _rewrite("markdown", "Runtime", "Price")),
    (opening, "next", _rewrite("markdown", "(02_second.ipynb)", "(03_third.ipynb)")),
    (skeleton, "missing", _rewrite("markdown", "## Summary", "## Summing up")),
    (skeleton, "twice", _rewrite("markdown", "## Results", "## Training")),
    (skeleton, "level", _rewrite("markdown", "## Setup", "### Setup")),
    (exercises, "two", _rewrite("markdown", "3. ", "")),
    (exercises, "six", _rewrite("markdown", "3. ", "3. a\n4. b\n5. c\n6. ")),
    (claims, "marker shares a line", _rewrite("code", MARKER, f"x = 1  {MARKER}")),
    (claims, "skipped", _rewrite("code", MARKER, "# NBVAL_SKIP")),
    (claims, "two", _rewrite("code", "claim(", "print(")),
    (claims, "silent", _set(outputs=[])),
    (claims, "tagged", _set(metadata={"tags": ["nbval-skip"]})),
    (links, "gone", _rewrite("markdown", "picture.png", "../exercises/01.ipynb")),
]


@pytest.mark.parametrize(
    "rule, breaker",
    [(rule, breaker) for rule, _, breaker in BROKEN],
    ids=[f"{rule.__name__}: {what}" for rule, what, _ in BROKEN],
)
def test_a_broken_notebook_is_seen(rule, breaker, tmp_path):
    notebook = _sound(tmp_path)
    breaker(notebook)
    assert _complaints(rule, notebook, tmp_path) != []


def test_every_rule_can_fail():
    assert {rule for rule, *_ in BROKEN} == set(RULES)
