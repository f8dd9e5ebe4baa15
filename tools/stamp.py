"""Writes the repository's address and the version wherever they are used.

    python tools/stamp.py

Both have their home in `pyproject.toml`. From there come the badges and links to Colab
and Binder, what the notebooks install on Colab, and the entries of `CITATION.cff`. Of a
notebook nothing else changes, not a byte.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
COLAB, BINDER = "https://colab.research.google.com", "https://mybinder.org"


def write():
    """Stamps every file, and prints the names of those that changed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for path in paths():
        text = path.read_text(encoding="utf-8")
        new = stamped(text, path, project["urls"]["Repository"], project["version"])
        if new != text:
            # Without `convae_keras.saving`: whoever has just edited `pyproject.toml`
            # need not wait for a new environment.
            aside = path.with_name(f"{path.name}.aside")
            aside.write_text(new, encoding="utf-8", newline="\n")
            aside.replace(path)
            print(path.relative_to(ROOT))
    return 0


def paths():
    """Returns the files that have an address in them, as a list of `Path`."""
    patterns = ("*.md", "CITATION.cff", "docs/*.md", "[ne]*/*.ipynb")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def stamped(text, path, address, version):
    """Returns the text of a file with the address and version written into it.

    Args:
        text: str, of Markdown, of `CITATION.cff`, or the JSON of a notebook.
        path: `Path` of the file.
        address: str, `https://github.com/OWNER/NAME`.
        version: str.

    Returns:
        str.
    """
    name = address.removeprefix("https://github.com/")
    places = {
        rf"({COLAB}/github/)[^/\s]+/[^/\s]+/blob/[^/\s]+/": rf"\1{name}/blob/{BRANCH}/",
        rf"({BINDER}/v2/gh/)[^/\s]+/[^/\s]+/[^?\s]+": rf"\1{name}/{BRANCH}",
        r"git\+https://[^@\s]+@v[\w.]+": f"git+{address}@v{version}",
    }
    if path.suffix == ".cff":
        places[r"(?m)^(repository-code:).*"] = rf'\1 "{address}"'
        places[r"(?m)^(version:).*"] = rf"\1 {version}"
    for pattern, replacement in places.items():
        text = re.sub(pattern, replacement, text)
    if path.parent.name == "notebooks":
        # The line as it stands in the JSON; there is nothing in it to escape.
        line = r'(?<=")\[!\[Open in Colab\][^"\\]*'
        text = re.sub(line, lambda _: badges(path, name), text, count=1)
    return text


def badges(path, name):
    """Returns a notebook's line of badges, with its neighbors' links.

    Args:
        path: `Path` of the notebook, in a folder with the others.
        name: str, `OWNER/NAME`.

    Returns:
        str, a line of Markdown.
    """
    course = sorted(path.parent.glob("[0-9][0-9]_*.ipynb"))
    here = course.index(path)
    around = {"previous": course[:here][-1:], "next": course[here + 1 :][:1]}
    links = [f"[{key}]({_colab(p, name)})" for key in around for p in around[key]]
    colab = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({_colab(path, name)})"
    binder = f"{BINDER}/v2/gh/{name}/{BRANCH}?urlpath=lab/tree/notebooks/{path.name}"
    binder = f"[![Open in Binder]({BINDER}/badge_logo.svg)]({binder})"
    return f"{colab} {binder} · on Colab: {' · '.join(links)}"


def _colab(path, name):
    return f"{COLAB}/github/{name}/blob/{BRANCH}/{path.parent.name}/{path.name}"


if __name__ == "__main__":
    sys.exit(write())
