"""Checks of arguments, made before any long work. NumPy only."""

import numpy as np

# Bytes checked at a time, so that an array on disk is streamed.
CHUNK = 2**24


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
    return " x ".join(str(size or "any") for size in shape)


def check_images(x, name="x"):
    """Validates an array of images.

    Args:
        x: uint8 in [0, 255] or float in [0, 1], `(n, height, width)` or
            `(n, height, width, channels)`.
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
    try:
        x = np.asanyarray(x)
    except ValueError as error:  # a list of images of different sizes
        raise ValueError(f"{images}, all of one size. Received: {error}") from error
    received = f"Received: {x.dtype} {x.shape}"
    require(x.dtype != object, f"{images}, all of one size. {received}")
    require(x.ndim > 2, f"{images}. {received}, which looks like labels")
    require(x.ndim < 5, f"{images}. {received}")
    require(x.size, f"`{name}` must not be empty. {received}")
    if x.ndim == 3:
        single = x.shape[2] in (1, 3) and min(x.shape[:2]) > 7
        require(not single, f"{images}. {received}, which looks like one image")
        x = x[..., np.newaxis]
    channels_first = x.shape[1] in (1, 3, 4) and x.shape[3] > 4
    require(not channels_first, f"{images}. {received}, with channels first")
    return x if x.dtype == "uint8" else _check_floats(x, name)


def _check_floats(x, name):
    """Validates dtype and range of float images; returns float32."""
    expected = f"`{name}` must be uint8 in [0, 255] or float in [0, 1]"
    require(x.dtype.kind == "f", f"{expected}. Received: {x.dtype}")
    for chunk in chunks(x):
        low, high = float(chunk.min()), float(chunk.max())
        finite = np.isfinite([low, high]).all()
        require(finite, f"`{name}` must be finite. Received: NaN or infinite pixels")
        hint = "divide by 255" if high > 1 else "the pipeline scales to [-1, 1] itself"
        received = f"Received: {low:g} to {high:g} ({hint})"
        require(low >= 0 and high <= 1, f"{expected}. {received}")
    return x.astype("float32", copy=False)


def chunks(x):
    """Splits an array into slices of about 16 MB.

    Args:
        x: array `(n, …)`, n at least 1; may be a `np.memmap`.

    Returns:
        Generator of views `(at least 1, …)`, in order.
    """
    rows = max(1, CHUNK // x[0].nbytes)
    return (x[start : start + rows] for start in range(0, len(x), rows))
