"""The site, built by Sphinx from what is in the clone: `make site`.

The folder of sources is the clone itself, so that links between pages are the same
here and in the repository. No notebook is executed.
"""

import json
import re
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAYGROUND = ROOT / "build" / "playground"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = PROJECT["name"]
release = PROJECT["version"]
author = PROJECT["authors"][0]["name"]
copyright = f"{author}, {PROJECT['license']}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
extensions += ["sphinx.ext.napoleon"]
templates_path = [str(ROOT / "docs" / "site")]  # module.rst, playground.html
root_doc = "README"
include_patterns = ["*.md", "notebooks/*.ipynb", "exercises/*.ipynb", "docs/**"]
include_patterns += ["results/README.md", "convae_keras/pretrained/*/card.md"]
# Sphinx walks through every folder that is not named here.
exclude_patterns = [".*", "build", "runs", "tests", "benchmarks", "docs/site"]
exclude_patterns += ["docs/playground"]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

# As in Keras: names in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False  # those of Keras are Markdown
highlight_language = "none"

napoleon_use_rtype = False  # a type and what it is, in one line
# Those of Keras that Google style lacks.
napoleon_custom_sections = [("Call arguments", "params_style")]
napoleon_custom_sections += ["Input shape", "Output shape"]
ANCHOR = r"(?<=\.ipynb)#([^)\"\s]+)"
MARKDOWN_LINK = r"\[([^]]+)\]\(((?:[^()\s]|\([^()\s]*\))+)\)"

FURO = ("brand", "search", "scroll-start", "navigation", "scroll-end")
html_theme = "furo"
html_title = project
html_sidebars = {"**": [f"sidebar/{name}.html" for name in FURO]}
html_sidebars["**"].insert(-1, "playground.html")
html_context = {"playground": (PLAYGROUND / "index.html").exists()}
html_theme_options = {
    "source_repository": PROJECT["urls"]["Repository"],
    "source_branch": "main",
    "source_directory": "",
}


def setup(app):
    app.connect("source-read", _prepare)
    app.connect("autodoc-process-docstring", _as_sphinx_reads, priority=100)
    app.connect("build-finished", _finish)


def _prepare(app, docname, source):
    """Adds to a page what its source has for other readers, or in another form."""
    if app.env.doc2path(docname).suffix == ".ipynb":
        source[0] = _with_descriptions(source[0])
    if docname == root_doc:
        source[0] += (ROOT / "docs" / "site" / "contents.md").read_text("utf-8")
    source[0] = re.sub(ANCHOR, _anchor, source[0])


def _with_descriptions(text):
    """Moves the descriptions of a cell's figures to where MyST-NB looks for one."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        outputs = [output.get("metadata", {}) for output in cell.get("outputs", [])]
        alts = [metadata.get("image/png", {}).get("alt") for metadata in outputs]
        alt = " ".join(filter(None, alts)) or cell["metadata"].get("alt")
        if alt:
            cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    return json.dumps(notebook)


def _anchor(match):
    """A heading as JupyterLab names it, named as MyST and GitHub do."""
    return "#" + re.sub(r"[^\w-]", "", match[1].lower())


def _as_sphinx_reads(app, what, name, obj, options, lines):
    """Docstrings are written as in Keras: links in Markdown, and bare `*args`."""
    for number, line in enumerate(lines):
        line = re.sub(MARKDOWN_LINK, r"`\1 <\2>`__", line)
        lines[number] = re.sub(r"\*(?=\**\w+:)", r"\\*", line)


def _finish(app, error):
    if not error:
        if html_context["playground"]:
            shutil.copytree(PLAYGROUND, app.outdir / "playground", dirs_exist_ok=True)
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")
