"""The rules of CONTRIBUTING.md that no tool checks."""

import ast
import io
import json
import re
import sys
import tokenize
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.static

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("convae_keras/**/*.py"), *ROOT.glob("convae_cli/*.py")])
FILE_LINES, FUNCTION_LINES, ALL_LINES = 200, 40, 7750


def _read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def _span(node):
    return {*range(node.lineno, node.end_lineno + 1)}


def _code_lines(source):
    """Numbers of the lines that hold code: no comment, blank or docstring."""
    nothing = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    nothing |= {tokenize.INDENT, tokenize.DEDENT}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in nothing:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            lines -= _span(node.body[0]) if ast.get_docstring(node) else set()
    return lines


def test_files_and_functions_are_short():
    sizes, long = {}, {}
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        lines, name = _code_lines(source), path.relative_to(ROOT).as_posix()
        sizes[name] = len(lines)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                long[f"{name}::{node.name}"] = len(lines & _span(node))
    assert {k: n for k, n in sizes.items() if n > FILE_LINES} == {}
    assert {k: n for k, n in long.items() if n > FUNCTION_LINES} == {}
    assert sum(sizes.values()) <= ALL_LINES


def test_no_unsafe_option():
    options = r"safe_mode\s*=\s*False|allow_pickle\s*=\s*True|jit_compile\s*=\s*True"
    paths = MODULES + sorted(ROOT.glob("[ne]*/*.ipynb"))
    found = [p.name for p in paths if re.search(options, p.read_text(encoding="utf-8"))]
    assert found == []


def test_requirements_are_bounded_and_say_where_they_are_used():
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    package, *lines = _read("requirements.txt").splitlines()
    extras = r"\[course,completion,export,tensorboard,workers\]"
    assert re.fullmatch(rf"-e \.{extras} +# .*", package)
    lines += _read("requirements-tools.txt").splitlines()
    assert [line for line in lines if not re.search(r"\s# \w", line)] == []
    lines += sum(project["optional-dependencies"].values(), project["dependencies"])
    ends = r"[\w.-]+(\[[\w-]+\])?>=[\d.]+,<[\d.]+\s*(#.*)?"
    assert [line for line in lines if not re.fullmatch(ends, line)] == []


def _python(path):
    """The Python of a file: all of it, or a notebook's code cells."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return text
    cells = (c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    code = "\n".join("".join(source) for source in cells)
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.M)


@pytest.mark.slow
def test_tests_and_scripts_import_what_is_declared():
    """As deptry does for the rest: it reads neither requirements.txt nor magics."""
    folders = "results", "benchmarks", "tools", "docs/playground", "docs/site"
    scripts = [path for name in folders for path in ROOT.glob(f"{name}/*.py")]
    paths = [*ROOT.glob("tests/**/*.py"), *scripts]
    paths += ROOT.glob("[ne]*/*.ipynb")
    nodes = [n for p in paths for n in ast.walk(ast.parse(_python(p)))]
    found = {name.name for n in nodes if isinstance(n, ast.Import) for name in n.names}
    found |= {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
    found = {name.partition(".")[0] for name in found} - sys.stdlib_module_names
    found -= {"convae_keras", "convae_cli", "helpers"}
    found -= {path.stem for path in scripts}
    found -= {"torch"}  # a baseline, which a benchmark leaves out where it is missing
    installed = packages_distributions()
    found = {installed.get(name, [name])[0].lower() for name in found}
    name, tools = r'^(?: *"|)([\w-]+)>=', _read("requirements.txt")
    declared = {*re.findall(name, _read("pyproject.toml") + tools, flags=re.M)}
    assert found <= declared
    run = "deptry import-linter jupyterlab nbval pytest-xdist ruff"  # not imported
    assert {*re.findall(name, tools, flags=re.M)} - found == {*run.split()}


def test_notes_of_dependencies_name_the_modules_that_import_them():
    """Where a note names modules at all."""
    needed = _read("pyproject.toml").partition("[project.optional-dependencies]")[0]
    notes = re.findall(r'^ +"([\w-]+)>=.*?# *(.*(?:\n +#.*)*)', needed, re.M)
    named = {name: re.findall(r"[\w/]+(?:\.py|/)", note) for name, note in notes}
    packages, missing = packages_distributions(), []
    for path in ROOT.glob("convae_keras/**/*.py"):
        module = path.relative_to(ROOT / "convae_keras").as_posix()
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        found = [n.module for n in nodes if isinstance(n, ast.ImportFrom)]
        found += [x.name for n in nodes if isinstance(n, ast.Import) for x in n.names]
        for package in {name.partition(".")[0] for name in found}:
            for name in packages.get(package, []):
                places = named.get(name.lower())
                if places and not any(_is_in(module, place) for place in places):
                    missing.append(f"{name}: {module}")
    assert len(notes) > 10 and missing == []


def _is_in(module, place):
    return module.startswith(place) if place.endswith("/") else module == place


def test_colab_keeps_the_versions_that_it_has():
    """A dependency that needs a newer NumPy has pip replace it, and TensorFlow too."""
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["course"]
    oldest = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in lines)
    compared, too_new = 0, []
    for name in oldest:
        for needed in map(Requirement, requires(name) or []):
            applies = not needed.marker or needed.marker.evaluate({"extra": ""})
            if applies and needed.name in oldest:
                compared += 1
                if oldest[needed.name] not in needed.specifier:
                    too_new.append(f"{name} needs {needed}")
    assert compared > 20
    assert too_new == []


def test_conda_installs_the_same_list():
    lines = re.findall(r"^ *- (.+)$", _read("environment.yml"), flags=re.M)
    assert lines[0] == "conda-forge" and re.match(r"python=3\.1[123]$", lines[1])
    assert lines[2:] == ["pip", "pip:", "-r requirements.txt"]


def test_binder_installs_what_colab_does():
    lines = [x for x in _read(".binder/requirements.txt").splitlines() if x[0] != "#"]
    assert lines == ["-e .[course]"]
    version = _read(".binder/runtime.txt").strip().removeprefix("python-")
    assert f"python={version}\n" in _read("environment.yml")


def test_the_repository_has_one_address():
    address = tomllib.loads(_read("pyproject.toml"))["project"]["urls"]["Repository"]
    ours = address.removeprefix("https://github.com/")
    found = set()
    for pattern in ("*.md", "*.cff", "[ne]*/*.ipynb", "results/*", "convae_*/**/*"):
        for path in ROOT.glob(pattern):
            if path.suffix in {".md", ".cff", ".ipynb", ".py", ".json"}:
                text = path.read_text(encoding="utf-8")
                found |= {*re.findall(r"colab\.[\w./]+?/github/([\w-]+/[\w-]+)", text)}
                found |= {*re.findall(r"github\.com/([\w-]+/convae[\w-]*)", text)}
    assert found == {ours}


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "results" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To a file of ours; to a heading of a notebook, as JupyterLab names it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?://|#", link):
            name, _, anchor = link.partition("#")
            path = page.parent / name
            assert path.exists(), link
            if path.suffix == ".ipynb" and anchor:
                assert anchor in _headings(path), link


def _headings(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    return [name.replace(" ", "-") for name in re.findall(r"^#+ (.*)$", text, re.M)]
