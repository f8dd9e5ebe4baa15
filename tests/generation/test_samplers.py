"""Mixtures of codes, by class too, and ways between codes."""

import numpy as np
import pytest

from convae_keras.generation.samplers import Mixture, interpolate

pytestmark = pytest.mark.static


@pytest.fixture(scope="module")
def codes():
    """Two classes, each of two clusters: at 0 and 10, and at 20 and 30."""
    random, centers = np.random.RandomState(0), np.repeat([0, 10, 20, 30], 100)
    return random.normal(centers[:, None], 1, (400, 3)), np.repeat(["a", "b"], 200)


def test_one_component_is_the_fitted_gaussian(codes):
    x, _ = codes
    samples, labels = Mixture(1).fit(x).sample(4000)
    assert samples.dtype == "float32" and labels is None
    np.testing.assert_allclose(samples.mean(axis=0), x.mean(axis=0), atol=0.6)
    expected = np.cov(x, rowvar=False)
    np.testing.assert_allclose(np.cov(samples, rowvar=False), expected, rtol=0.1)


def test_a_diagonal_covariance(codes):
    samples, _ = Mixture(1, covariance="diag").fit(codes[0]).sample(4000)
    assert abs(np.corrcoef(samples, rowvar=False)[0, 1]) < 0.1


def test_a_mixture_a_class(codes):
    samples, labels = Mixture(2).fit(*codes).sample(1000, seed=1)
    assert sorted(set(labels)) == ["a", "b"]
    assert (labels == "a").mean() == pytest.approx(0.5, abs=0.06)
    nearest = np.round(samples.mean(axis=1) / 10)
    assert (np.isin(nearest, [0, 1]) == (labels == "a")).all()
    assert set(nearest) == {0, 1, 2, 3}
    # Components come in no order.
    assert len(set(nearest[labels == "a"][:20])) == 2


def test_a_label_and_a_seed(codes):
    sampler = Mixture(2).fit(*codes)
    first, labels = sampler.sample(50, label="b", seed=3)
    assert set(labels) == {"b"} and (first > 14).all()
    again, _ = sampler.sample(50, label="b", seed=3)
    other, _ = sampler.sample(50, label="b", seed=4)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_number_of_components_is_chosen_on_validation_codes(codes):
    x, _ = codes
    sampler = Mixture([1, 4, 80]).fit(x[::2], val_codes=x[1::2])
    assert sampler.components == 4
    assert max(sampler.likelihoods, key=sampler.likelihoods.get) == 4


@pytest.mark.parametrize("components", [0, 2.5, [], [3, "4"], True])
def test_components_are_positive_ints(components):
    with pytest.raises(ValueError, match="`components` must be a positive int"):
        Mixture(components)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((np.zeros((5, 2, 2)),), r"`codes` must be \(n, latent_dim\)"),
        ((np.zeros((0, 2)),), r"Received: \(0, 2\)"),
        ((np.full((50, 2), np.nan),), "must be finite"),
        ((np.zeros((50, 2)), np.zeros(49)), r"`labels` must be \(50,\)"),
        ((np.zeros((50, 2)), np.arange(50) < 3), "at least 5 of each class.*: 3"),
    ],
)
def test_other_codes(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mixture(5).fit(*arguments)


def test_nothing_to_choose_by(codes):
    with pytest.raises(ValueError, match="needs `val_codes`"):
        Mixture([1, 2]).fit(codes[0])
    with pytest.raises(ValueError, match="`val_labels` must be given if and only if"):
        Mixture([1, 2]).fit(*codes, codes[0])
    other = np.full(len(codes[0]), "c")
    with pytest.raises(ValueError, match=r"of \['a', 'b'\]. Received: \['c'\]"):
        Mixture([1, 2]).fit(*codes, codes[0], other)


def test_other_samples(codes):
    with pytest.raises(ValueError, match="`fit` must be called before `Mixture`"):
        Mixture(1).sample(1)
    sampler = Mixture(1).fit(*codes)
    with pytest.raises(ValueError, match="`count` must be a positive int. Received: 0"):
        sampler.sample(0)
    with pytest.raises(ValueError, match=r"one of \['a', 'b'\]. Received: 'c'"):
        sampler.sample(1, label="c")


# --- ways between codes ------------------------------------------------------


def test_a_straight_way():
    start, end = np.zeros((5, 3)), np.ones((5, 3))
    way = interpolate(start, end, steps=5)
    assert way.shape == (5, 5, 3) and way.dtype == "float32"
    np.testing.assert_allclose(way[:, 0, 0], [0, 0.25, 0.5, 0.75, 1])


def test_a_great_circle_stays_on_the_sphere():
    way = interpolate([3, 0, 0], [0, 3, 0], steps=3, spherical=True)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(way[1], [3 / 2**0.5, 3 / 2**0.5, 0], atol=1e-6)
    straight = interpolate([3, 0, 0], [0, 3, 0], steps=3)
    assert np.linalg.norm(straight[1]) < 2.2


def test_a_great_circle_between_the_same():
    way = interpolate([1, 2], [1, 2], steps=4, spherical=True)
    np.testing.assert_allclose(way, np.tile([1, 2], (4, 1)), rtol=1e-5)


@pytest.mark.parametrize("factor", [1, 1.0001])
def test_a_great_circle_between_opposites(factor):
    code = np.random.RandomState(0).normal(size=(2, 32))
    with pytest.raises(ValueError, match="`start` and `end` must not be opposite"):
        interpolate(code, -factor * code, spherical=True)
    np.testing.assert_allclose(interpolate(code, -code, 3)[1], 0)


def test_other_ways():
    with pytest.raises(ValueError, match="the same shape"):
        interpolate([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="`steps` must be an int of at least 2"):
        interpolate([1, 2], [1, 2], steps=1)
