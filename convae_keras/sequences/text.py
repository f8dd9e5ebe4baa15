"""Lines of text: where to find some, and as one-hot columns."""

import ast
import hashlib
import importlib.util
import re
from pathlib import Path

import numpy as np

from convae_keras.validation import as_array, check_finite, check_ints, require

# Printable ASCII: what English prose is written in.
CHARACTERS = "".join(map(chr, range(32, 127)))


def read_documentation(packages):
    """Reads the English prose in the documentation of installed packages.

    Their modules are parsed, not run. A paragraph of a docstring counts as prose if
    it is a sentence or more, with few characters but letters. Each is read once,
    however often it occurs.

    Args:
        packages: iterable of str, such as `("numpy", "scipy")`.

    Returns:
        dict from `"train"`, `"val"` and `"test"` to a str, the paragraphs of 18, 1
        and 1 in 20 modules: those of a module are in the same split.

    Raises:
        ValueError: for a package that is not installed.

    Example:

    >>> text = read_documentation(["numpy"])
    >>> "array" in text["train"]
    True
    """
    expected = "`packages` must be names of installed packages"
    valid = not isinstance(packages, str)
    require(valid, f"{expected}, such as ('numpy',). Received: {packages!r}")
    seen, text = set(), {"train": [], "val": [], "test": []}
    for package in packages:
        is_name = isinstance(package, str) and package.isidentifier()
        spec = importlib.util.find_spec(package) if is_name else None
        folder = spec and spec.submodule_search_locations and spec.origin
        require(folder, f"{expected}. Received: {package!r}")
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            part = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 20
            split = {0: "test", 1: "val"}.get(part, "train")
            for paragraph in _paragraphs(path):
                if _is_prose(paragraph) and paragraph not in seen:
                    seen.add(paragraph)
                    text[split].append(paragraph)
    return {split: " ".join(paragraphs) for split, paragraphs in text.items()}


def _paragraphs(path):
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # templates, say
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                yield " ".join(paragraph.split())


def _is_prose(paragraph):
    if len(paragraph) < 64 or not paragraph.endswith("."):
        return False
    if any(mark in paragraph for mark in (">>>", "::", "``", "--", "Args:")):
        return False
    plain = sum(c.isalpha() or c in " ,." for c in paragraph)
    return plain > 0.95 * len(paragraph) and set(paragraph) <= set(CHARACTERS)


def split_lines(text, length=64, step=None):
    """Cuts a text into lines.

    Args:
        text: str.
        length: int, characters of a line.
        step: int, from the start of a line to the next; None for `length`.

    Returns:
        list of str, each of `length` characters. A rest is left out.

    Raises:
        ValueError: for a text shorter than a line.
    """
    step = length if step is None else step
    check_ints(length=length, step=step)
    require(isinstance(text, str), f"`text` must be a str. Received: {type(text)}")
    message = f"`text` must have at least {length} characters. Received: {len(text)}"
    require(len(text) >= length, message)
    return [text[i : i + length] for i in range(0, len(text) - length + 1, step)]


def one_hot(lines, characters=CHARACTERS):
    """Writes lines of text as one-hot columns.

    Args:
        lines: list of str of one length.
        characters: str, those that may occur, each once.

    Returns:
        uint8 `(n, length, len(characters))`: 255 where a step's character is, else
        0.

    Raises:
        ValueError: for lines of different lengths, or with other characters.

    Example:

    >>> one_hot(["ab", "ba"], "abc")[0]
    array([[255,   0,   0],
           [  0, 255,   0]], dtype=uint8)
    """
    return (np.eye(len(characters), dtype="uint8") * 255)[to_index(lines, characters)]


def to_index(lines, characters=CHARACTERS):
    """Writes lines of text as numbers.

    Args:
        lines, characters: as in `one_hot`.

    Returns:
        int64 `(n, length)`, positions in `characters`.

    Raises:
        ValueError: as `one_hot`.
    """
    expected = "`lines` must be a list of str"
    valid = isinstance(lines, list | tuple) and all(isinstance(x, str) for x in lines)
    require(valid and lines, f"{expected}, at least one. Received: {lines!r:.60}")
    lengths = sorted({*map(len, lines)})
    one = len(lengths) == 1 and lengths[0]
    require(one, f"{expected} of one length. Received lengths: {lengths[:5]}")
    unknown = sorted(set("".join(lines)) - set(characters))
    expected = f"`lines` must have characters of {characters!r} only"
    require(not unknown, f"{expected}. Received: {unknown[:20]}")
    table = {character: i for i, character in enumerate(characters)}
    return np.array([[table[character] for character in line] for line in lines])


def to_lines(x, characters=CHARACTERS):
    """Reads lines from one-hot columns, or from a model's probabilities.

    Args:
        x: `(n, length, len(characters))`; the largest of a step counts.
        characters: as in `one_hot`.

    Returns:
        list of str.

    Raises:
        ValueError: for an array of another shape, or with NaN or infinity.
    """
    expected = f"`x` must be (n, length, {len(characters)})"
    x = as_array(x, expected)
    fits = x.ndim == 3 and x.shape[2] == len(characters)
    require(fits, f"{expected}. Received: {x.shape}")
    check_finite(x=x)
    return ["".join(characters[i] for i in line) for line in np.argmax(x, axis=-1)]
