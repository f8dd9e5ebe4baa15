"""Checks of what callers pass in, before any long work. NumPy only."""

import numpy as np

# Bytes that are looked at together, so that a set on the disk streams.
CHUNK = 2**24


def require(condition, message):
    """Raises a `ValueError` with `message` unless `condition` holds.

    Args:
        condition: bool.
        message: str, a whole sentence: what was expected and what was received.
    """
    if not condition:
        raise ValueError(message)


def expect(condition, name, expected, received):
    """Raises a `ValueError`, worded as everywhere here, unless `condition`."""
    if not condition:
        raise ValueError(f"`{name}` must be {expected}. Received: {received}")


def format_shape(shape):
    """Formats a shape: `28 x 28 x 1`, and `any x any x 3` where a size is None."""
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
        ValueError: for anything else: labels, images of unequal sizes, none at
            all, channels first, other dtypes, NaN, infinity, other ranges.
    """
    images = (
        f"`{name}` must be images, (n, height, width) or (n, height, width, channels)"
    )
    try:
        x = np.asanyarray(x)
    except ValueError as error:  # a list, and not of one size
        raise ValueError(f"{images}, all of one size. Received: {error}") from error
    got = f"Received: {x.dtype} {x.shape}"
    require(x.dtype != object, f"{images}, all of one size. {got}")
    require(x.ndim > 2, f"{images}. {got}, which looks like labels")
    require(x.ndim < 5, f"{images}. {got}")
    require(x.size, f"`{name}` must hold at least one image of one pixel. {got}")
    if x.ndim == 3:
        single = x.shape[2] in (1, 3) and min(x.shape[:2]) > 7
        require(not single, f"{images}. {got}, which looks like one image")
        x = x[..., np.newaxis]
    channels_first = x.shape[1] in (1, 3, 4) and x.shape[3] > 4
    require(not channels_first, f"{images}. {got}, with channels first")
    return x if x.dtype == "uint8" else _check_floats(x, name)


def _check_floats(x, name):
    expected = f"`{name}` must be uint8 in [0, 255] or float in [0, 1]"
    require(x.dtype.kind == "f", f"{expected}. Received: {x.dtype}")
    for chunk in chunks(x):
        low, high = float(chunk.min()), float(chunk.max())
        finite = np.isfinite([low, high]).all()
        require(finite, f"`{name}` must be finite. Received: NaN or infinite pixels")
        hint = "divide by 255" if high > 1 else "[-1, 1] is for the pipeline to make"
        got = f"Received: {low:g} to {high:g} ({hint})"
        require(low >= 0 and high <= 1, f"{expected}. {got}")
    return x.astype("float32", copy=False)


def chunks(x):
    """Slices of `x` that are small enough to be looked at one by one."""
    rows = max(1, CHUNK // x[0].nbytes)
    return (x[start : start + rows] for start in range(0, len(x), rows))
