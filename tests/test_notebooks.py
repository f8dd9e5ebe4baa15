"""The notebooks and solutions as committed: read, not run.

Each rule is a function that takes a notebook and its path and returns a list of
what is wrong.
"""

import ast
import hashlib
import json
import re
import statistics
import tomllib
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.static

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
SOLUTIONS = sorted(ROOT.glob("exercises/*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FINISHED = json.loads((ROOT / "convae_keras/finished_runs.json").read_text("utf-8"))
# In this order in every notebook; other headings may be between them.
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


def _name(path):
    return f"{path.parent.name}/{path.stem}"


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


def install(notebook, path):
    """The first code cell installs this version on Colab, and only there."""
    address = f"git+{PROJECT['urls']['Repository']}@v{PROJECT['version']}"
    expected = f"""import sys

if "google.colab" in sys.modules:
    %pip install -q "convae-keras[course] @ {address}\""""
    first = _cells(notebook, "code")[0].source
    return [] if first == expected else [first]


def run_modes(notebook, path):
    """The run mode is read in one cell, the one under Hyper-parameters."""
    sources = [cell.source for cell in _cells(notebook, "code")]
    old = [text for text in sources if re.search(r"\bis_fast\b|\bFAST\b", text)]
    modes = [text for text in sources if re.search(r"(?<![\w.])(choose|mode)\(", text)]
    parameters, below = modes[:1], False
    if path in NOTEBOOKS:
        for cell in notebook.cells:
            below = below or "## Hyper-parameters" in cell.source.splitlines()
            if below and cell.cell_type == "code":
                parameters = [cell.source]
                break
    return old + [text for text in modes if text not in parameters]


def finished_runs(notebook, path):
    """Every finished run that is named is one that `make course-runs` trains."""
    code = "\n".join(cell.source for cell in _cells(notebook, "code"))
    named = re.findall(r"""finished_run\(f?["']([^"']+)["']""", code)
    patterns = [re.sub(r"\{[^}]*\}", ".+", name) for name in named]
    script = (ROOT / "results/course_runs.py").read_text("utf-8")
    known = " ".join(re.findall(r'^    "(\w+)": ', script, flags=re.M))
    return [p for p in patterns if not re.search(rf"(?<!\S){p}(?!\S)", known)]


def opening(notebook, path):
    """Title, Colab badge, runtime, and the neighbors' links, in the first cell."""
    first = notebook.cells[0].source
    name = re.escape(path.name)
    wanted = {
        "title": first.startswith("# "),
        "badge": re.search(rf"^.*badge.*colab.*/{name}.*$", first, flags=re.M),
        "runtime": re.search(r"\bruntime\b.*\d", first, flags=re.I),
    }
    course = sorted(path.parent.glob("[0-9][0-9]*.ipynb"))
    here = course.index(path)
    neighbors = course[max(here - 1, 0) : here] + course[here + 1 : here + 2]
    wanted |= {other.name: f"]({other.name})" in first for other in neighbors}
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


def alternative_texts(notebook, path):
    """A cell that shows a figure says in its metadata, `alt`, what can be seen."""
    figures = [
        cell
        for cell in notebook.cells
        if any("image/png" in out.get("data", {}) for out in cell.get("outputs", []))
    ]
    return [cell.source for cell in figures if len(cell.metadata.get("alt", "")) < 20]


def links(notebook, path):
    """Every local link leads to a file: notebooks, solutions, pictures."""
    targets = re.findall(r"\]\(<?([^)\s>]+)", _prose(notebook))
    local = [t.partition("#")[0] for t in targets if not re.match(r"\w+:", t)]
    return [t for t in local if t and not (path.parent / t).exists()]


EVERYWHERE = [
    executed_in_order,
    no_errors,
    no_machine_paths,
    code_parses,
    quoted_installs,
    install,
    run_modes,
    finished_runs,
    alternative_texts,
    links,
]
IN_NOTEBOOKS = [size, short_cells, opening, skeleton, exercises, claims]


# --- applied to the course ---------------------------------------------------


def test_the_course_is_numbered_without_gaps():
    numbers = [int(re.match(r"(\d\d)_[a-z_]+$", path.stem)[1]) for path in NOTEBOOKS]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert numbers


@pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=_name)
def test_notebook(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    rules = EVERYWHERE + (IN_NOTEBOOKS if path in NOTEBOOKS else [])
    found = {rule.__doc__: rule(notebook, path) for rule in rules}
    wrong = [f"{rule} {where!r:.300}" for rule, where in found.items() if where]
    assert not wrong, "\n".join(wrong)


def test_the_finished_runs_are_as_they_were_trained():
    files = sorted(ROOT.glob("results/runs/*.keras"))
    hashes = {p.stem: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    assert hashes == {name: run["sha256"] for name, run in FINISHED["runs"].items()}
    assert sum(path.stat().st_size for path in files) <= 15 * 2**20
