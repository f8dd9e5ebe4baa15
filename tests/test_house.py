"""The rules of the house in CONTRIBUTING.md, held against the files."""

import ast
import functools
import importlib.metadata
import io
import json
import re
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.static

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "convae_keras").glob("*.py"))
NOTEBOOKS = sorted(
    path for folder in ("notebooks", "exercises") for path in (ROOT / folder).glob("*")
)
SCRIPTS = sorted((ROOT / "tests").glob("*.py")) + sorted(ROOT.glob("results/*.py"))

FILE_LINES, FUNCTION_LINES, MODULE_LINES = 150, 30, 4000
DOORS = ("__init__", "__main__")
# Keras's other backends: imported only by who has chosen them.
BACKENDS = {"jax", "torch"}
# What a library we call cannot do without, and leaves to us to install.
SILENT = {"pywavelets"}
# What a checkout runs, or Keras loads, without anyone importing it.
TOOLS = {"-e", "jax", "jupyterlab", "nbval", "ruff", "tensorboard"}


def _read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def _code(path):
    """Python of a file: all of it, or a notebook's code cells."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8") if path.suffix == ".py" else ""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", "\n".join(code), flags=re.M)


def _ids(paths):
    return [path.name for path in paths]


# --- the rooms ---------------------------------------------------------------


def _rooms():
    return re.findall(r"^\| `(\w+)\.py` \|", _read("CONTRIBUTING.md"), flags=re.M)


def _own_imports(source):
    """Rooms that a source imports; `__init__` stands for a name of the package."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"convae_keras.{node.module or ''}" if node.level else node.module
            modules = [f"{module.rstrip('.')}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [module.split(".") for module in modules]
        found += [(p + ["__init__"])[1] for p in parts if p[0] == "convae_keras"]
    return [name if name in _rooms() else "__init__" for name in found]


def _trespasses(room, source):
    """Imports of a room that the table does not allow."""
    rooms = _rooms()
    tasks = rooms[rooms.index("training") + 1 : rooms.index("options")]
    if room == "__main__":
        allowed = ["cli"]
    elif room == "__init__":
        allowed = [name for name in rooms if name != "cli"]
    else:
        above = rooms[: rooms.index(room)]
        allowed = [name for name in above if room not in tasks or name not in tasks]
    return [name for name in _own_imports(source) if name not in allowed]


def test_every_room_is_in_the_table():
    assert sorted(_rooms()) == sorted({p.stem for p in PACKAGE} - set(DOORS))


@pytest.mark.parametrize("path", PACKAGE, ids=_ids(PACKAGE))
def test_imports_go_up_the_table(path):
    assert not _trespasses(path.stem, _code(path))


@pytest.mark.parametrize(
    "room, source",
    [
        ("layers", "from convae_keras.models import conv_autoencoder"),
        ("layers", "from convae_keras import models"),
        ("layers", "from . import models"),
        ("layers", "def f():\n    import convae_keras.models as m"),
        ("training", "from .cli import main"),
        ("training", "from convae_keras import load_images"),
        ("__init__", "from convae_keras.cli import main"),
        ("__main__", "from convae_keras.models import conv_autoencoder"),
    ],
)
def test_a_trespass_is_seen(room, source):
    assert _trespasses(room, source)


# --- sizes -------------------------------------------------------------------


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
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, owners) and ast.get_docstring(node) is not None:
            lines -= _span(node.body[0])
    return lines


def _long_functions(source):
    lines, nodes = _code_lines(source), ast.walk(ast.parse(source))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    sizes = [(function.name, len(lines & _span(function))) for function in functions]
    return [(name, size) for name, size in sizes if size > FUNCTION_LINES]


@pytest.mark.parametrize("path", PACKAGE, ids=_ids(PACKAGE))
def test_file_is_one_idea(path):
    lines, long = len(_code_lines(_code(path))), _long_functions(_code(path))
    assert lines <= FILE_LINES
    assert not long


def test_module_is_small():
    lines = sum(len(_code_lines(_code(path))) for path in PACKAGE)
    assert lines <= MODULE_LINES


def test_only_code_is_counted():
    source = (
        '"""Two\nlines."""\n\n# comment\ndef f():\n    """One."""\n    return (\n1)'
    )
    assert len(_code_lines(source)) == 3
    source = "def f():\n" + "    x = 1\n" * FUNCTION_LINES
    assert _long_functions(source) == [("f", FUNCTION_LINES + 1)]


# --- what nobody may use -----------------------------------------------------


def _forbidden(source):
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id="Lambda") | ast.Attribute(attr="Lambda"):
                found.append("Lambda")
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                modules = [getattr(node, "module", None), *(n.name for n in names)]
                found += {"Lambda", "pickle", "cloudpickle", "dill"} & {*modules}
            case ast.keyword(arg="safe_mode", value=ast.Constant(value=False)):
                found.append("safe_mode=False")
            case ast.keyword(arg="jit_compile" | "allow_pickle" as name, value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    found.append(name)
    return found


# The tests are left out: they make the broken files that must be refused.
@pytest.mark.parametrize("path", PACKAGE + NOTEBOOKS, ids=_ids(PACKAGE + NOTEBOOKS))
def test_nothing_forbidden(path):
    assert not _forbidden(_code(path))


@pytest.mark.parametrize(
    "source",
    [
        "keras.layers.Lambda(abs)",
        "from keras.layers import Lambda",
        "import pickle",
        "from pickle import dumps",
        "load_model(path, safe_mode=False)",
        "model.compile(jit_compile=True)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_forbidden_is_seen(source):
    assert _forbidden(source)


# --- dependencies ------------------------------------------------------------


def _plain(name):
    return re.split(r"[\s\[<>=!~;]", name.strip())[0].lower().replace("_", "-")


def _declared():
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    return {_plain(line) for line in project["dependencies"]}


def _required():
    lines = [line for line in _read("requirements.txt").splitlines() if line.strip()]
    return {_plain(line): line for line in lines}


@functools.cache
def _distributions():
    return importlib.metadata.packages_distributions()


def _packages(source):
    """Distributions, by the name pip knows, that a source imports."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module.split(".")[0])
    own = {"convae_keras", *(path.stem for path in SCRIPTS)}
    modules -= own | set(sys.stdlib_module_names)
    return {_plain(_distributions().get(module, [module])[0]) for module in modules}


def test_the_module_declares_what_it_imports():
    imported = set().union(*(_packages(_code(path)) for path in PACKAGE))
    assert (imported - BACKENDS) | SILENT == _declared()


@pytest.mark.parametrize("path", SCRIPTS + NOTEBOOKS, ids=_ids(SCRIPTS + NOTEBOOKS))
def test_the_course_declares_what_it_imports(path):
    assert _packages(_code(path)) <= _declared() | set(_required())


def test_an_import_is_seen():
    assert _packages("import json\nfrom PIL import Image") == {"pillow"}
    assert _packages("def f():\n    import nobody_has.this") == {"nobody-has"}


def test_requirements_say_where_they_are_used():
    lines = list(_required().values())
    assert re.match(r"-e \.\s", lines[0])
    assert [line for line in lines if not re.search(r"\s# \w", line)] == []


def test_every_range_has_two_ends():
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    extras = sum(project["optional-dependencies"].values(), [])
    lines = project["dependencies"] + extras + list(_required().values())[1:]
    ends = r"[\w.-]+(\[[\w-]+\])?>=[\d.]+,<[\d.]+\s*(#.*)?"
    assert [line for line in lines if not re.fullmatch(ends, line)] == []


def test_requirements_are_used():
    sources = [_code(path) for path in SCRIPTS + NOTEBOOKS]
    imported = set().union(*(_packages(source) for source in sources))
    assert sorted(set(_required()) - TOOLS - imported) == []


def test_conda_installs_the_same_list():
    lines = re.findall(r"^ *- (.+)$", _read("environment.yml"), flags=re.M)
    python, *rest = [line for line in lines if line != "conda-forge"]
    assert _plain(python) == "python"
    assert rest == ["pip", "pip:", "-r requirements.txt"]


# --- at import ---------------------------------------------------------------

OFFLINE = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        raise SystemExit(f"{event} {arguments}")

sys.addaudithook(refuse)
"""


def _offline(code):
    """Runs code where no socket can be connected; returns what it complained of."""
    command = [sys.executable, "-c", OFFLINE + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_import_touches_no_network():
    result = _offline("import convae_keras")
    assert result.returncode == 0, result.stderr


def test_a_touch_of_the_network_is_seen():
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert "socket." in _offline(code).stderr
