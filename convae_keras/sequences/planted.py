"""Anomalies of several kinds, planted into real sequences."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from convae_keras.sequences.data import check_sequences
from convae_keras.validation import check_ints, is_int, plain, require

KINDS = (
    "noise",  # white noise on top
    "flat",  # the sensor repeats itself
    "spike",  # a bump of a few steps
    "level",  # all values move, up or down
    "reversed",  # backwards in time
    "faster",  # almost twice as fast
    "smooth",  # without its fine detail
    "swapped",  # the same steps of another sequence
    "louder",  # swings almost twice as far
)


def plant(x, kind, other=None, *, lengths=(40, 120), margin=100, seed=0):
    """Plants an anomaly into each of some sequences.

    One channel changes over a random span of steps. Pieces of a curve are joined to
    the rest at both ends, so that no jump gives them away; a sensor that hangs jumps
    when it goes on. Sizes are relative to a sequence of standard deviation 1.

    Args:
        x: sequences, as `check_sequences` takes them, of mean 0 and standard
            deviation 1, about.
        kind: one of `KINDS`.
        other: sequences of the shape of `x`, for `"swapped"`, or None.
        lengths: `(shortest, longest)`, ints, steps of the span; of a spike, 8.
        margin: int, steps at either end of a sequence that stay as they are.
        seed: int.

    Returns:
        `(planted, labels)`: float32 `(n, steps, channels)`; bool `(n, steps)`,
        whether a step is in the span.

    Raises:
        ValueError: for an unknown kind, channels that are constant, where most kinds
            would change nothing, sequences too short for twice the span and
            its margins, or a missing `other`.

    Example:

    >>> x = np.sin(np.arange(500.0) / 5)[None]
    >>> planted, labels = plant(x, "flat")
    >>> len(np.unique(planted[labels]))
    1
    """
    x = check_sequences(x).astype("float32")
    varies = np.ptp(x, axis=1).all()
    require(varies, "`x` must vary. Received: channels that are constant")
    require(kind in KINDS, f"`kind` must be one of {KINDS}. Received: {kind!r}")
    expected = "`lengths` must be (shortest, longest), ints of at least 8"
    pair = np.ndim(lengths) == 1 and len(lengths) == 2
    valid = pair and is_int(lengths[0], 8) and is_int(lengths[1], lengths[0])
    require(valid, f"{expected}. Received: {lengths!r}")
    low, high = plain(tuple(lengths))
    check_ints(margin=margin)
    shortest = 2 * margin + 2 * high
    expected = f"`x` must have at least {shortest} steps"
    require(x.shape[1] >= shortest, f"{expected}. Received: {x.shape[1]}")
    other = x if other is None else check_sequences(other, "other")
    expected = f"`other` must be sequences of {x.shape}, as `x`"
    require(other.shape == x.shape, f"{expected}. Received: {other.shape}")
    message = "`other` must be sequences other than `x`, to be swapped with"
    require(kind != "swapped" or not np.array_equal(other, x), message)
    random = np.random.default_rng(seed)
    planted, labels = x.copy(), np.zeros(x.shape[:2], bool)
    for i in range(len(x)):
        length = random.integers(low, high + 1) if kind != "spike" else 8
        start = random.integers(margin, x.shape[1] - margin - 2 * length + 1)
        channel = random.integers(x.shape[2])
        span = slice(start, start + length)
        values = x[i, :, channel].astype("float64")
        source = other[i, :, channel] if kind == "swapped" else values
        planted[i, span, channel] = _changed(values, source, span, kind, random)
        labels[i, span] = True
    return planted, labels


def _changed(values, source, span, kind, random):
    """Returns the new values of a span."""
    old, start, length = values[span], span.start, span.stop - span.start
    bump = np.hanning(length + 2)[1:-1]
    plateau = bump**0.3  # 0 at both ends, and near 1 between them
    sign = random.choice([-1, 1])
    if kind == "noise":
        return old + random.normal(0, 0.15, length)
    if kind == "flat":
        return np.full(length, values[start])
    if kind == "spike":
        return old + sign * bump
    if kind == "level":
        return old + sign * plateau
    if kind == "louder":
        return old.mean() + (old - old.mean()) * (1 + 0.8 * plateau)
    if kind == "smooth":
        return uniform_filter1d(values, 15)[span]
    if kind == "reversed":
        new = old[::-1]
    elif kind == "faster":
        steps = np.linspace(0, 1.8 * (length - 1), length)
        new = np.interp(steps, np.arange(2 * length), values[start:][: 2 * length])
    else:
        new = source[span]
    first, last = values[start - 1] - new[0], values[span.stop] - new[-1]
    return new + np.linspace(first, last, length)
