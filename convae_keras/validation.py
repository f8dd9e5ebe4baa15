"""Checks of arguments, made before any long work. NumPy only."""

import itertools
import math
import os
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np

# Bytes checked at a time, so that an array on disk is streamed.
CHUNK = 2**24

# Floats may miss [0, 1] by half a step of 8 bits.
ROUNDING = 0.5 / 255

# Integers from 0 to at most this are probably not of 8 bits: masks of 0 and 1,
# or scikit-learn's digits, whose white is 16.
DARK = 16

# Bytes of memory that a file may unpack to, unless `set_limit` was called.
_limit = LIMIT = 2**29

# Bytes of memory each of these takes, about.
COSTS = {"bytes": 1, "pixels": 4, "parameters": 4, "characters": 32, "images": 256}
COSTS |= {"objects": 2**17, "config characters": 256}  # of layers, of a model

# Usual values of white: of 1 to 16 bits, scikit-learn's digits and percentages.
WHITES = (1, 3, 7, 15, 16, 31, 63, 100, 127, 255, 511, 1023, 2047, 4095, 16383, 65535)


def require(condition, message):
    """Raises a `ValueError` unless a condition holds.

    Args:
        condition: bool.
        message: str, a full sentence: what was expected and what was received.

    Raises:
        ValueError: with `message`, if `condition` is false.

    Example:

    >>> require(2 > 1, "`epochs` must be a positive int. Received: 0")
    """
    if not condition:
        raise ValueError(message)


def format_shape(shape):
    """Formats a shape for messages.

    Args:
        shape: tuple of int, or None for a size that is not fixed.

    Returns:
        str.

    Example:

    >>> format_shape((28, None, 1))
    '28 x any x 1'
    """
    return " x ".join("any" if size is None else str(size) for size in shape)


def is_int(value, low=None):
    """Returns whether a value is an integer, Python's or NumPy's, but no bool.

    Args:
        value: any.
        low: int, the lowest that counts; None for any.

    Returns:
        bool.
    """
    number = isinstance(value, Integral) and not isinstance(value, bool)
    return number and (low is None or bool(value >= low))


def is_number(value):
    """Returns whether a value is a finite number, Python's or NumPy's, but no bool."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and bool(-math.inf < value < math.inf)


def check_ints(low=1, high=None, **values):
    """Raises an error for arguments that are not ints in a range.

    Args:
        low, high: ints, the ends; None for no upper one.
        **values: the arguments, by their names.

    Raises:
        ValueError: naming the first that is something else.
    """
    expected = "a positive int" if low == 1 else f"an int of at least {low}"
    expected = expected if high is None else f"an int from {low} to {high}"
    for name, value in values.items():
        fits = is_int(value, low) and (high is None or value <= high)
        received = f"Received: {reason(repr(value))}"
        require(fits, f"`{name}` must be {expected}. {received}")


def check_seed(seed):
    """Raises a `ValueError` for a seed that is no int of 64 bits."""
    fits = is_int(seed) and abs(seed) < 2**63
    expected = "`seed` must be an int between -2**63 and 2**63"
    require(fits, f"{expected}. Received: {reason(repr(seed))}")


def as_sizes(value, name, axes=(), fixed=True):
    """Returns sizes as a tuple of ints.

    Args:
        value: iterable of positive int.
        name: str, the argument's name for error messages.
        axes: tuple of str, what each size is of; empty for any number of sizes.
        fixed: bool. False: None stands for any size of an axis but the last.

    Returns:
        tuple of int, Python's, and None.

    Raises:
        ValueError: for anything else.

    Example:

    >>> as_sizes([np.int64(16), 32], "filters")
    (16, 32)
    """
    several = np.iterable(value) and not isinstance(value, bytes | dict | set)
    sizes = plain(tuple(value)) if several else (None,)
    last = len(sizes) - 1
    free = [not fixed and size is None and i < last for i, size in enumerate(sizes)]
    fits = all(f or is_int(size, 1) for f, size in zip(free, sizes, strict=True))
    fits = fits and len(sizes) == (len(axes) or len(sizes))
    expected = f"({', '.join(axes)}), positive ints" if axes else "positive ints"
    expected = f"`{name}` must be {expected}" + ", a fixed size" * bool(axes and fixed)
    require(fits, f"{expected}. Received: {reason(repr(value))}")
    return sizes


def as_image_shape(value, fixed=False):
    """Returns `(height, width, channels)`, as `as_sizes`."""
    return as_sizes(value, "image_shape", ("height", "width", "channels"), fixed)


def check_layers(channels, kernel=1):
    """Raises an error for layers that would take too much memory, before they do.

    Args:
        channels: tuple of int, the numbers of inputs and outputs of layers, one
            after another; None for what is not known.
        kernel: int, the positions that each output looks at.

    Raises:
        ValueError: if their parameters are more than the limit.
    """
    pairs = itertools.pairwise(channels)
    count = sum(kernel * a * b for a, b in pairs if None not in (a, b))
    limit = limit_of("parameters")
    expected = f"Layers must have at most {limit:,} parameters"
    expected += " (`set_limit` or --limit raises it)"
    require(count <= limit, f"{expected}. Received: {count:,}, for {channels}")


def check_limit(amount, unit):
    """Raises an error for a file that would take too much memory.

    Args:
        amount: int, how many it declares.
        unit: str, of what: one of `COSTS`.

    Raises:
        ValueError: if that is more than the limit, which `set_limit` sets.
    """
    limit = limit_of(unit)
    hint = "`set_limit` or --limit raises it"
    require(amount <= limit, f"{amount:,} {unit}, and the limit is {limit:,} ({hint})")


def limit_of(unit):
    """Returns how many of a unit, one of `COSTS`, a file may have at most: int."""
    return _limit // COSTS[unit]


def set_limit(megabytes=LIMIT // 2**20):
    """Sets how much memory a file may unpack to: more, for files that are trusted.

    It holds for pictures (4 bytes a pixel), arrays, models (4 bytes a parameter),
    JSON (32 bytes a character) and `.cae` files (256 bytes an image). Pictures of
    more than 179 million pixels need a higher `PIL.Image.MAX_IMAGE_PIXELS`, too.

    Args:
        megabytes: int.

    Raises:
        ValueError: for anything but a positive int.
    """
    global _limit
    check_ints(megabytes=megabytes)
    _limit = int(megabytes) * 2**20


def reason(error):
    """Returns what went wrong with a file, a str of one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"


def plain(value):
    """Returns NumPy's scalars as Python's, also inside tuples and lists.

    Args:
        value: any.

    Returns:
        The same, of plain types where it was of NumPy's; tuples stay tuples.

    Example:

    >>> plain((np.float64(0.5), np.int32(3), "a"))
    (0.5, 3, 'a')
    """
    if isinstance(value, tuple | list):
        return type(value)(plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def as_path(path, name="path"):
    """Returns a `Path`; a `~` at its start is the user's home folder.

    Args:
        path: str or `os.PathLike` of str.
        name: str, the argument's name for error messages.

    Returns:
        `Path`.

    Raises:
        ValueError: for anything else, and for an empty path, which would mean
            the working directory.
    """
    is_path = isinstance(path, str | os.PathLike) and str(path)
    require(is_path, f"`{name}` must be a path. Received: {path!r}")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody has that name
        return Path(path)


def as_array(x, expected):
    """Returns an array, in the same memory if it was one.

    Args:
        x: array, or nested lists of numbers.
        expected: str, what it must be, for error messages.

    Returns:
        `np.ndarray`, of no objects.

    Raises:
        ValueError: for lists of different lengths, and for what an array cannot
            tell: which elements are masked, and what the columns of a table are.
    """
    kind = type(x).__name__
    known = not (np.ma.is_masked(x) or hasattr(x, "columns"))
    require(known, f"{expected}, as a plain array. Received: a {kind}")
    try:
        x = np.asarray(x) if isinstance(x, np.ma.MaskedArray) else np.asanyarray(x)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise ValueError(f"{expected}. Received: {reason(error)}") from error
    received = f"Received: {x.dtype} {x.shape}"
    require(not x.dtype.hasobject, f"{expected}. {received}")
    return x


def check_images(x, name="x"):
    """Validates an array of images.

    Args:
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width)` or
            `(n, height, width, channels)`. With a warning also bools, other
            integers in [0, 255], and floats that miss [0, 1] by rounding, which
            are clipped.
        name: str, the argument's name for error messages.

    Returns:
        uint8 or float32 `(n, height, width, channels)`; the same memory as `x`
        where nothing had to change.

    Raises:
        ValueError: for anything else: labels, images of different sizes, an
            empty array, channels first, other dtypes, NaN, infinity, values
            out of range.
    """
    shapes = "(n, height, width) or (n, height, width, channels)"
    images = f"`{name}` must be images, {shapes}"
    x = as_array(x, f"{images}, all of one size")
    received = f"Received: {x.dtype} {x.shape}"
    labels = x.ndim < 2 or x.shape[1:] == (1,)
    kind = "labels" if labels else "one image, or rows of pixels"
    require(x.ndim > 2, f"{images}. {received}, which looks like {kind}")
    require(x.ndim < 5, f"{images}. {received}")
    require(x.size, f"`{name}` must not be empty. {received}")
    if x.ndim == 3:
        single = x.shape[2] in (1, 3, 4) and min(x.shape[:2]) > 7
        require(not single, f"{images}. {received}, which looks like one image")
        x = x[..., np.newaxis]
    channels_first = x.shape[1] in (1, 3, 4) and x.shape[3] > 4
    require(not channels_first, f"{images}. {received}, with channels first")
    return _as_floats(x, name) if x.dtype.kind == "f" else _as_bytes(x, name)


def check_finite(**arrays):
    """Raises an error for arrays, by their arguments' names, with NaN or infinity."""
    for name, x in arrays.items():
        finite = x.dtype.kind in "biuf" and np.isfinite(x).all()
        received = f"Received: {x.dtype}, or NaN or infinity"
        require(finite, f"`{name}` must be finite numbers. {received}")


def check_input(model, x, name="x"):
    """Validates images that a model is to take.

    Args:
        model: `keras.Model` of images.
        x, name: as in `check_images`.

    Returns:
        As `check_images`.

    Raises:
        ValueError: as `check_images`, or for images of another size.
    """
    x, shape = check_images(x, name), model.input_shape[1:]
    pairs = zip(shape, x.shape[1:], strict=False)
    fits = len(shape) == 3 and all(a in (None, b) for a, b in pairs)
    require(fits, f"`{name}` must be images of {shape}. Received: {x.shape[1:]}")
    return x


def _as_bytes(x, name):
    """Returns integers in [0, 255], and bools, as uint8."""
    expected = f"`{name}` must be uint8 in [0, 255] or float in [0, 1]"
    require(x.dtype.kind in "biu", f"{expected}. Received: {x.dtype}")
    if x.dtype == bool:
        _warn(f"`{name}` is bool: False becomes 0, True 255.")
        return x.astype("uint8") * np.uint8(255)
    low, high = _range(x)
    inside = low >= 0 and high <= 255
    require(inside, f"{expected}. Received: {x.dtype} {_seen(low, high, name)}")
    if x.dtype != "uint8":
        hint = f": {_seen(low, high, name)}" if high < 128 else ""
        _warn(f"`{name}` is {x.dtype}, taken as uint8, where white is 255{hint}.")
    return x.astype("uint8", copy=False)


def _as_floats(x, name):
    """Returns floats in [0, 1] as float32; clips those that miss it by rounding."""
    low, high = _range(x)
    finite = np.isfinite([low, high]).all()
    require(finite, f"`{name}` must be finite. Received: NaN or infinite pixels")
    inside = low >= -ROUNDING and high <= 1 + ROUNDING
    expected = f"`{name}` must be uint8 in [0, 255] or float in [0, 1]"
    require(inside, f"{expected}. Received: {_seen(low, high, name)}")
    if low < 0 or high > 1:
        _warn(f"`{name}` was clipped to [0, 1]. Received: {low:.9g} to {high:.9g}")
        x = np.clip(x, 0, 1)
    return x.astype("float32", copy=False)


def warn_if_nearly_black(arrays):
    """Warns of uint8 images whose white is probably not 255.

    Args:
        arrays: dict from names to arrays, as `check_images` returns them.
    """
    highest = {n: _range(x)[1] for n, x in arrays.items() if x.dtype == "uint8"}
    if highest and 0 < max(highest.values()) <= DARK:
        name = max(highest, key=highest.get)
        seen = _seen(0, highest[name], name)
        _warn(f"`{name}` is nearly black, where white is 255: {seen}.")


def _range(x):
    """Returns the lowest and the highest value; of uint8 only whether it is dark."""
    low, high = np.inf, -np.inf
    for chunk in chunks(x):
        low, high = np.minimum(low, chunk.min()), np.maximum(high, chunk.max())
        if x.dtype == "uint8" and high > DARK:
            break  # the rest, which may be on the disk, needs no look
    return low.item(), high.item()


def _seen(low, high, name):
    """Describes a range of pixels, and how it would become [0, 1]."""
    text = f"{low:.9g} to {high:.9g}"
    if low < 0 and high <= 1:
        return f"{text} (the pipeline scales to [-1, 1] itself)"
    if low < 0 or not np.isfinite(high):
        return text
    white = next((white for white in WHITES if white >= high), high)
    return f"{text} (if white is {white:.9g} there, pass {name} / {white:.9g})"


def _warn(message):
    # Past this module, to whoever called it.
    warnings.warn(message, stacklevel=5)


def chunks(x):
    """Splits an array into slices of about 16 MB.

    Args:
        x: array `(n, …)`, n at least 1; may be a `np.memmap`.

    Returns:
        Generator of views `(at least 1, …)`, in order.
    """
    rows = max(1, CHUNK // x[0].nbytes)
    return (x[start : start + rows] for start in range(0, len(x), rows))
