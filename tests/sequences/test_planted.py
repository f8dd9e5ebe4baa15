import numpy as np
import pytest

from convae_keras.sequences import KINDS, plant

pytestmark = pytest.mark.static


def _waves(n=6, channels=2):
    steps = np.arange(600)[None, :, None] / 9
    phase = np.linspace(0, 5, n)[:, None, None] + np.arange(channels)
    return (1.4 * np.sin(steps + phase)).astype("float32")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_span_changes(kind):
    x = _waves()
    planted, labels = plant(x, kind, x[::-1], seed=3)
    again, _ = plant(x, kind, x[::-1], seed=3)
    np.testing.assert_array_equal(planted, again)
    assert planted.dtype == "float32" and labels.dtype == bool
    changed = np.any(planted != x, axis=2)
    assert not changed[~labels].any()
    assert changed[labels].mean() > 0.5
    assert (np.any(planted != x, axis=1).sum(axis=1) == 1).all(), "one channel each"
    lengths = labels.sum(axis=1)
    assert (lengths == 8).all() if kind == "spike" else 40 <= lengths.min()
    assert lengths.max() <= 120
    assert not labels[:, :100].any() and not labels[:, -100:].any()
    jumps = np.abs(np.diff(planted, axis=1)).max()
    assert (
        kind in ("noise", "flat", "spike")
        or jumps < 3 * np.abs(np.diff(x, axis=1)).max()
    )


def test_bad_input():
    x = _waves()
    with pytest.raises(ValueError, match="`kind` must be one of"):
        plant(x, "odd")
    with pytest.raises(ValueError, match="at least 440 steps. Received: 300"):
        plant(x[:, :300], "noise")
    with pytest.raises(ValueError, match="`other` must be"):
        plant(x, "swapped")
    with pytest.raises(ValueError, match="`other` must be"):
        plant(x, "swapped", x[:2])
    with pytest.raises(ValueError, match="`lengths` must be"):
        plant(x, "noise", lengths=(40, 20))
    with pytest.raises(ValueError, match="must be finite"):
        plant(np.where(x > 1.3, np.nan, x), "noise")


def test_what_never_changes_is_no_place_for_an_anomaly():
    """Most kinds would change nothing, and the labels be wrong."""
    x = np.ones((2, 500))
    x[0] = np.sin(np.arange(500) / 5)
    with pytest.raises(ValueError, match="`x` must vary. Received: .* constant"):
        plant(x, "flat")
