"""Splits files and arrays in three: for training, validation and testing."""

import hashlib
import warnings
from pathlib import PurePath

import numpy as np

from convae_keras.validation import require

SPLITS = ("train", "val", "test")

# What the folders of splits are called, in any case.
FOLDERS = {"train": "train", "training": "train", "val": "val", "valid": "val"}
FOLDERS |= {"validation": "val", "test": "test", "testing": "test"}

# Missing splits are taken from the training images in this order: one image in
# 10 for testing, then one in 12 of the rest for validation.
ONE_IN = {"test": 10, "val": 12}


def find_splits(paths, seed, unreadable=()):
    """Sorts the images of a folder by split and label.

    Args:
        paths: list of str, relative to the folder, separated by `/`.
        seed: int, for the order.
        unreadable: set of paths that are left out and decide nothing.

    Returns:
        dict from each existing split to its files, shuffled: pairs of a path and
        a label or None.

    Raises:
        ValueError: if there is a `val/` or `test/` but no `train/`.
    """
    readable = [path for path in paths if path not in unreadable]
    tops = {_top(path) for path in readable if "/" in path}
    found = {top: FOLDERS[top.lower()] for top in tops if top.lower() in FOLDERS}
    outside = [path for path in readable if _top(path) not in found]
    if outside and len({*found.values()}) > 1:
        reason = f"{len(outside)} images are in none of them, such as {outside[0]}"
        message = f"{', '.join(sorted(found))} are read as classes, not as splits"
        warnings.warn(f"{message}: {reason}", stacklevel=4)
    splits = {"train": paths}
    if found and not outside:
        expected = "`folder` must contain `train/` beside `val/` or `test/`"
        require("train" in found.values(), f"{expected}. Received: {sorted(tops)}")
        splits = {s: [p for p in paths if found.get(_top(p)) == s] for s in SPLITS}
    for split, inside in splits.items():
        # Unlike `default_rng`, it promises the same order in every NumPy.
        order = np.random.RandomState(seed).permutation(len(inside))
        inside = [inside[i] for i in order if inside[i] not in unreadable]
        labels = [PurePath(path).parent.as_posix() for path in inside]
        if len(splits) > 1:  # without the name of the split
            labels = [label.partition("/")[2] or "." for label in labels]
        # Images beside the folders of labels form a class of their own, ".".
        labels = [None] * len(labels) if {*labels} == {"."} else labels
        splits[split] = [*zip(inside, labels, strict=True)]
    return {split: inside for split, inside in splits.items() if inside}


def _top(path):
    """Returns the first part of a path: a folder, or the file itself."""
    return path.partition("/")[0]


def carve(parts, origin):
    """Takes the splits that are missing from the end of the training images.

    Args:
        parts: dict of `x_train`, `y_train` and optionally the same of `val` and
            `test`. The `y` may be None. There may be `names` of the images, too.
            Anything else is kept as it is.
        origin: str, where they come from, for error messages.

    Returns:
        dict with all three splits; those taken from `x_train` are views.

    Raises:
        ValueError: if there are too few training images, or their labels are
            more or fewer.
    """
    missing = [split for split in ONE_IN if f"x_{split}" not in parts]
    n, needed = len(parts["x_train"]), 1 + len(missing)
    expected = f"`x_train` needs at least {needed} images, to split off {missing}"
    require(n >= needed, f"{expected}. Received: {n} in '{origin}'")
    labels = n if parts["y_train"] is None else len(parts["y_train"])
    require(labels == n, f"`y_train` must have {n} labels. Received: {labels}")
    parts = dict(parts)
    for split in missing:
        n -= max(1, n // ONE_IN[split])
        for kind in [k for k in ("x", "y", "names") if f"{k}_train" in parts]:
            rows = parts[f"{kind}_train"]
            pair = (None, None) if rows is None else (rows[:n], rows[n:])
            parts[f"{kind}_train"], parts[f"{kind}_{split}"] = pair
    return parts


def warn_of_copies(parts, origin):
    """Warns of images that are in two splits, whose scores would be too good.

    Args:
        parts: dict of arrays `x_…` and lists `names_…` of each split.
        origin: str, where they come from.
    """
    found, copies = {}, []
    for split in SPLITS:
        own = {}
        for name, x in zip(parts[f"names_{split}"], parts[f"x_{split}"], strict=True):
            digest = hashlib.sha256(x).digest()
            if digest in found:
                copies.append(f"{name} = {found[digest]}")
            own[digest] = name
        found = own | found
    if copies:
        named = ", ".join(copies[:10]) + ", …" * (len(copies) > 10)
        message = f"{len(copies)} images of '{origin}' are the same as one in another"
        warnings.warn(f"{message} split: {named}", stacklevel=3)
