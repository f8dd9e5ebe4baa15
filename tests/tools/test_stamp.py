"""The repository's address and version, written from `pyproject.toml`."""

import json
import re
import tomllib

import pytest
import stamp

pytestmark = pytest.mark.static

PROJECT = tomllib.loads((stamp.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS, VERSION = PROJECT["urls"]["Repository"], PROJECT["version"]
OTHER = "https://github.com/some-one/autoencoders", "2.0.1"
IDS = [f"{path.parent.name}/{path.name}" for path in stamp.paths()]


@pytest.mark.parametrize("path", stamp.paths(), ids=IDS)
def test_everything_is_stamped(path):
    text = path.read_text(encoding="utf-8")
    assert stamp.stamped(text, path, ADDRESS, VERSION) == text


@pytest.mark.parametrize("path", stamp.paths(), ids=IDS)
def test_another_address_reaches_every_place_and_comes_back(path):
    text = path.read_text(encoding="utf-8")
    other = stamp.stamped(text, path, *OTHER)
    ours = ADDRESS.removeprefix("https://github.com/")
    assert ours not in other and f"@v{VERSION}" not in other
    assert stamp.stamped(other, path, ADDRESS, VERSION) == text


def test_in_a_notebook_only_links_and_the_install_line_change():
    for path in stamp.paths():
        if path.suffix == ".ipynb":
            text = path.read_text(encoding="utf-8")
            versions = text, stamp.stamped(text, path, *OTHER)
            old, new = (json.loads(version)["cells"] for version in versions)
            changed = {"code": [], "markdown": []}
            for a, b in zip(old, new, strict=True):
                pairs = zip(a["source"], b["source"], strict=True)
                changed[a["cell_type"]] += [x for x, y in pairs if x != y]
                assert a | {"source": None} == b | {"source": None}
            (install,) = changed["code"]
            assert install.startswith("    %pip install")
            assert all("](https://colab." in line for line in changed["markdown"])


def test_a_notebook_links_to_both_and_to_its_neighbors():
    path = stamp.ROOT / "notebooks" / "02_reconstruction.ipynb"
    line = stamp.badges(path, "some-one/autoencoders")
    colab = "https://colab.research.google.com/github/some-one/autoencoders/blob/main/"
    found = re.findall(r"\]\((\S+?)\)", line)
    assert found[1] == f"{colab}notebooks/02_reconstruction.ipynb"
    assert found[3].startswith("https://mybinder.org/v2/gh/some-one/autoencoders/main?")
    assert found[3].endswith("lab/tree/notebooks/02_reconstruction.ipynb")
    assert found[4:] == [
        f"{colab}notebooks/{name}.ipynb" for name in ("01_training", "03_denoising")
    ]
