"""The site's contents, held against what there is: read, not built."""

import importlib.util
import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

pytestmark = pytest.mark.static

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def conf():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs/site/conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_contents(conf):
    text = (ROOT / "docs/site/contents.md").read_text("utf-8")
    entries = re.findall(r"^/(.+)$", text, flags=re.M)
    pages = {p for pattern in conf.include_patterns for p in ROOT.glob(pattern)}
    pages = {path for path in pages if path.suffix in {".md", ".ipynb"}}
    names = {path.relative_to(ROOT).with_suffix("").as_posix() for path in pages}
    hidden = [f"{name}/*" for name in conf.exclude_patterns]
    names = {n for n in names if not any(fnmatch(n, pattern) for pattern in hidden)}
    assert {path.parent.name for path in pages} >= {"notebooks", "exercises"}
    missing = {n for n in names if not any(fnmatch(n, entry) for entry in entries)}
    assert missing == {conf.root_doc}


def test_every_module_is_in_the_reference():
    text = (ROOT / "docs/reference.md").read_text("utf-8")
    named = re.findall(r"^   (convae_keras[\w.]*)$", text, flags=re.M)
    paths = [path.relative_to(ROOT) for path in ROOT.glob("convae_keras/**/*.py")]
    parts = [path.with_suffix("").parts for path in paths]
    modules = {".".join(part for part in p if part != "__init__") for p in parts}
    assert sorted(named) == sorted(modules - {"convae_keras.__main__"})


@pytest.mark.parametrize("where", ["cell", "output"])
def test_a_figure_keeps_its_description(conf, where):
    alt = {"alt": "Loss against epochs: both fall."}
    output = {"output_type": "display_data", "data": {"image/png": ""}, "metadata": {}}
    cell = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [output]}
    if where == "cell":
        cell["metadata"] |= alt
    else:
        output["metadata"]["image/png"] = alt
    text = conf._with_descriptions(json.dumps({"cells": [cell]}))
    (found,) = json.loads(text)["cells"]
    assert found["metadata"]["mystnb"] == {"image": alt}


@pytest.mark.parametrize(
    "written, read",
    [
        (
            "- [A, 1989](https://a.org/0(89)9-2)",
            "- `A, 1989 <https://a.org/0(89)9-2>`__",
        ),
        ("function, x, *others: as `f`.", "function, x, \\*others: as `f`."),
        ("**options: below 2**24.", "\\*\\*options: below 2**24."),
    ],
)
def test_docstrings_are_read_as_keras_writes_them(conf, written, read):
    lines = [written]
    conf._as_sphinx_reads(None, "function", "f", None, None, lines)
    assert lines == [read]


def test_an_anchor_of_jupyterlab_is_one_of_the_site(conf):
    link = "notebooks/01_training.ipynb#Convolution,-which-is-cross-correlation"
    found = re.sub(conf.ANCHOR, conf._anchor, link)
    assert found.endswith(".ipynb#convolution-which-is-cross-correlation")
