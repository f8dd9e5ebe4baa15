"""The Fréchet distance of Gaussians that are known, and who lies in whose balls."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from convae_keras.generation.frechet import frechet_distance, precision_recall

pytestmark = pytest.mark.static


def normal(n=2000, dim=4, seed=0):
    return np.random.RandomState(seed).normal(size=(n, dim))


def test_the_same_features_have_no_distance():
    x = normal()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x[::-1].astype("float32")) == pytest.approx(0, abs=1e-6)


def test_a_shift_and_a_scale():
    x = normal()
    assert frechet_distance(x, x + [3, 0, 4, 0]) == pytest.approx(25)
    deviations = x.std(axis=0, ddof=1)
    expected = (4 * x.mean(axis=0) ** 2).sum() + (4 * deviations**2).sum()
    assert frechet_distance(x, 3 * x) == pytest.approx(expected)


def test_covariances_that_do_not_commute():
    first, second = normal(), normal(seed=1) @ normal(4, seed=2)
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    means = first.mean(axis=0) - second.mean(axis=0)
    expected = means @ means + np.trace(a + b - 2 * sqrtm(a @ b)).real
    assert frechet_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(second, first) == pytest.approx(expected)


def test_one_feature():
    assert frechet_distance([[0.0], [2.0]], [[1.0], [3.0]]) == pytest.approx(1)


def test_the_same_set_is_covered():
    x = normal(500)
    found = precision_recall(x, x, neighbors=3)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # A feature lies in its own ball and, on average, in three others, but for
    # rounding: at the edge of a ball lies the feature that gave it its radius.
    assert 1 < found["density"] < 4 / 3 + 1e-9


def test_sets_that_are_far_apart():
    found = precision_recall(normal(200), normal(200) + 100)
    assert set(found.values()) == {0}


def test_samples_that_leave_a_part_out_have_less_recall():
    real = np.concatenate([normal(500), normal(500) + 20])
    found = precision_recall(real, normal(1000, seed=1))
    assert found["precision"] > 0.9 and found["coverage"] < 0.55
    assert found["recall"] < 0.55
    other = precision_recall(normal(1000, seed=1), real)
    assert other["precision"] < 0.55 and other["recall"] > 0.9


def test_by_hand():
    real, generated = [[0.0], [1.0], [3.0]], [[0.5], [10.0], [12.0]]
    found = precision_recall(real, generated, neighbors=1)
    # Real balls: [-1, 1], [0, 2], [1, 5]; samples': [-9, 10], [8, 12], [10, 14].
    expected = {"precision": 1 / 3, "recall": 1, "density": 2 / 3, "coverage": 2 / 3}
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "real, generated, message",
    [
        (normal(), normal(dim=3), r"as many features.*\(2000, 4\) and \(2000, 3\)"),
        (normal()[0], normal(), r"must be \(n, features\)"),
        (normal(1), normal(), "at least 2 features each. Received: 1"),
        (normal() * np.nan, normal(), "must be finite"),
    ],
)
def test_other_features(real, generated, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(real, generated)


def test_too_many_neighbors():
    with pytest.raises(ValueError, match="at least 6 features each. Received: 5"):
        precision_recall(normal(5), normal(5))
    with pytest.raises(ValueError, match="`neighbors` must be a positive int"):
        precision_recall(normal(5), normal(5), neighbors=0)
