"""Sequences, split in three; windows of them, and back."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convae_keras.data.sources import Images
from convae_keras.validation import is_int, require


def check_sequences(x, name="x"):
    """Validates an array of sequences.

    Args:
        x: float of any range, `(n, steps)` or `(n, steps, channels)`; or uint8 in
            [0, 255], which a pipeline scales to [0, 1], such as one-hot columns
            whose ones are 255. Other integers and bools become float.
        name: str, the argument's name for error messages.

    Returns:
        float32 or uint8 `(n, steps, channels)`; the same memory as `x` where
        nothing had to change.

    Raises:
        ValueError: for anything else: sequences of different lengths, an empty
            array, no numbers, NaN, infinity.
    """
    expected = f"`{name}` must be sequences, (n, steps) or (n, steps, channels)"
    try:
        x = np.asanyarray(x)
    except ValueError as error:  # a list of sequences of different lengths
        message = f"{expected}, all of one length. Received: {error}"
        raise ValueError(message) from error
    received = f"Received: {x.dtype} {x.shape}"
    require(x.dtype.kind in "fiub", f"{expected} of numbers. {received}")
    require(x.ndim in (2, 3), f"{expected}. {received}")
    require(x.size, f"`{name}` must not be empty. {received}")
    x = x if x.dtype == "uint8" else x.astype("float32", copy=False)
    x = x[..., np.newaxis] if x.ndim == 2 else x
    broken = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))
    where = f"NaN or infinity in {len(broken)} sequences, the first at {broken[:1]}"
    require(not len(broken), f"`{name}` must be finite. Received: {where}")
    return x


class Sequences(Images):
    """A set of sequences, split into training, validation and test sequences.

    What `Images` are for images, and taken by `train` as they are: the arrays
    `x_train`, `x_val` and `x_test` are float32 `(n, steps, channels)` of any range,
    or uint8, as `check_sequences` returns them. Labels and inputs are as in
    `Images`. A model works on floats as they are; nothing is scaled.

    Raises:
        ValueError: for arrays that are not sequences, sequences of different
            shapes, or labels or inputs that do not match their split.

    Example:

    >>> x = np.sin(np.arange(64)) * np.ones((12, 1))
    >>> Sequences("waves", x[:8], None, x[8:10], None, x[10:], None)
    waves: 8 training, 2 validation and 2 test sequences of 64 x 1, no labels
    """

    unit = "sequences"

    @staticmethod
    def check(x, name):
        return check_sequences(x, name)


def windows(x, length, step=1):
    """Cuts sequences into windows that may overlap.

    Args:
        x: sequences, as `check_sequences` takes them.
        length: int, steps of a window.
        step: int, from the start of a window to the next. Steps at the end that
            fill no window are left out.

    Returns:
        View `(n, windows, length, channels)` of `x`, read-only.

    Raises:
        ValueError: for arrays that are not sequences, or sequences that are
            shorter than a window.

    Example:

    >>> windows(np.arange(10.0)[None], 4, step=3)[0, :, :, 0]
    array([[0., 1., 2., 3.],
           [3., 4., 5., 6.],
           [6., 7., 8., 9.]], dtype=float32)
    """
    x = check_sequences(x)
    for key, value in {"length": length, "step": step}.items():
        message = f"`{key}` must be a positive int. Received: {value!r}"
        require(is_int(value, 1), message)
    expected = f"`x` must be sequences of at least {length} steps, one window"
    require(length <= x.shape[1], f"{expected}. Received: {x.shape[1]}")
    return np.moveaxis(sliding_window_view(x, length, axis=1)[:, ::step], -1, 2)


def overlap_mean(x, length, step=1):
    """Puts windows back in their places, and averages where they overlap.

    Args:
        x: float `(n, windows, window_length, channels)`.
        length: int, steps of a sequence.
        step: int, as in `windows`.

    Returns:
        float32 `(n, length, channels)`. Steps at the end that no window covers
        have the value of the last that one does.

    Raises:
        ValueError: for windows that do not fit in `length` steps.

    Example:

    >>> x = np.arange(10.0)[None]
    >>> bool((overlap_mean(windows(x, 4, 3), 10, 3)[..., 0] == x).all())
    True
    """
    expected = "`x` must be windows, (n, windows, window_length, channels)"
    require(np.ndim(x) == 4, f"{expected}. Received: {np.shape(x)}")
    n, count, size, channels = x.shape
    covered = step * (count - 1) + size
    expected = f"`length` must be at least {covered}, what the windows cover"
    require(covered <= length, f"{expected}. Received: {length}")
    total = np.zeros((n, covered, channels), "float32")
    counts = np.zeros((covered, 1), "float32")
    for i in range(count):
        place = slice(i * step, i * step + size)
        total[:, place] += x[:, i]
        counts[place] += 1
    rest = [(0, 0), (0, length - covered), (0, 0)]
    return np.pad(total / np.maximum(counts, 1), rest, mode="edge")
