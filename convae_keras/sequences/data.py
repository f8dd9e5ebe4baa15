"""Sequences, split in three; windows of them, and back."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convae_keras.data.sources import Images
from convae_keras.validation import as_array, check_finite, check_ints, require


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
    x = as_array(x, f"{expected}, all of one length")
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

    def __post_init__(self):
        super().__post_init__()
        kinds = {str(x.dtype) for x in (self.x_train, self.x_val, self.x_test)}
        message = f"All `x` must be uint8, or all float. Received: {sorted(kinds)}"
        require(len(kinds) == 1, message)

    @staticmethod
    def check(x, name):
        """Validates one of the arrays; see `check_sequences`."""
        return check_sequences(x, name)


def windows(x, length, step=1, cover=False, name="x"):
    """Cuts sequences into windows that may overlap.

    Args:
        x: sequences, as `check_sequences` takes them.
        length: int, steps of a window.
        step: int, from the start of a window to the next.
        cover: bool, whether a last window is flush with the end, nearer to the one
            before it. Otherwise steps that fill no window are left out.
        name: as in `check_sequences`.

    Returns:
        Array `(n, windows, length, channels)`, read-only where it is a view of `x`.

    Raises:
        ValueError: for arrays that are not sequences, or sequences that are
            shorter than a window.

    Example:

    >>> windows(np.arange(9.0)[None], 4, step=3)[0, :, :, 0]
    array([[0., 1., 2., 3.],
           [3., 4., 5., 6.]], dtype=float32)
    >>> windows(np.arange(9.0)[None], 4, step=3, cover=True).shape
    (1, 3, 4, 1)
    """
    x = check_sequences(x, name)
    check_ints(length=length, step=step)
    expected = f"`{name}` must be sequences of at least {length} steps, one window"
    require(length <= x.shape[1], f"{expected}. Received: {x.shape[1]}")
    cut = np.moveaxis(sliding_window_view(x, length, axis=1), -1, 2)
    if cover and (cut.shape[1] - 1) % step:
        return np.concatenate([cut[:, ::step], cut[:, -1:]], axis=1)
    return cut[:, ::step]


def overlap_mean(x, length, step=1):
    """Puts windows back in their positions, and averages where they overlap.

    Args:
        x: float `(n, windows, window_length, channels)`, as many windows as
            `windows` cuts from a sequence, with `cover` or without.
        length: int, steps of a sequence.
        step: int, as in `windows`; at most the length of a window.

    Returns:
        float32 `(n, length, channels)`. Steps at the end that no window covers
        have the value of the last that one does.

    Raises:
        ValueError: for another number of windows, or windows with gaps between.

    Example:

    >>> x = np.arange(10.0)[None]
    >>> bool((overlap_mean(windows(x, 4, 3), 10, 3)[..., 0] == x).all())
    True
    """
    expected = "`x` must be windows, (n, windows, window_length, channels)"
    x = as_array(x, expected)
    require(x.ndim == 4 and x.size, f"{expected}. Received: {x.shape}")
    check_finite(x=x)
    n, count, size, channels = x.shape
    check_ints(size, length=length)
    check_ints(1, size, step=step)
    starts = [*range(0, length - size + 1, step)]
    if count == len(starts) + 1 and starts[-1] + size < length:
        starts.append(length - size)
    expected = f"`x` must have {len(starts)} windows, for {length} steps"
    require(count == len(starts), f"{expected}. Received: {count}")
    total = np.zeros((n, length, channels), "float32")
    counts = np.zeros((length, 1), "float32")
    for i, start in enumerate(starts):
        total[:, start : start + size] += x[:, i]
        counts[start : start + size] += 1
    covered = starts[-1] + size
    rest = [(0, 0), (0, length - covered), (0, 0)]
    return np.pad(total[:, :covered] / counts[:covered], rest, mode="edge")
