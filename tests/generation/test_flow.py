"""Flow matching: what it learns, how it is followed, and saving."""

import keras
import numpy as np
import pytest

from convae_keras.generation import flow
from convae_keras.generation.flow import (
    FlowSampler,
    FollowFlow,
    train_generator,
    velocity_network,
)
from convae_keras.models import conv_autoencoder
from convae_keras.saving import load_model

pytestmark = pytest.mark.slow

SMALL = {"units": 32, "blocks": 1, "batch_size": 64, "steps": 8}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Of what is trained in a test itself; `sampler` learns in earnest."""
    monkeypatch.setattr(flow, "STEPS_PER_EPOCH", 5)


@pytest.fixture(scope="module")
def sampler():
    """Of two classes on lines, around (2, 5) and (-2, 5)."""
    random = np.random.RandomState(0)
    labels = np.arange(2000) % 2
    codes = random.normal(size=(2000, 1)) * [1, 0.5] + random.normal(size=(2000, 2)) / 9
    codes += np.where(labels[:, None], [2, 5], [-2, 5])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "STEPS_PER_EPOCH", 100)
        sampler = FlowSampler(**SMALL, epochs=6, learning_rate=0.02)
        return sampler.fit(codes, labels)


def test_it_learns_a_distribution_by_class(sampler):
    codes, labels = sampler.sample(1000, seed=1)
    assert codes.dtype == "float32" and (labels == 1).mean() == pytest.approx(
        0.5, abs=0.06
    )
    for label, center in ((0, (-2, 5)), (1, (2, 5))):
        found = codes[labels == label]
        np.testing.assert_allclose(found.mean(axis=0), center, atol=0.35)
        assert np.corrcoef(found, rowvar=False)[0, 1] > 0.8
    assert sampler.history["loss"][-1] < sampler.history["loss"][0]


def test_a_label_and_a_seed(sampler):
    first, labels = sampler.sample(30, label=1, seed=3)
    assert set(labels) == {1} and (first[:, 0] > 0).mean() > 0.9
    np.testing.assert_array_equal(first, sampler.sample(30, label=1, seed=3)[0])
    assert (first != sampler.sample(30, label=1, seed=4)[0]).any()


def test_the_model_is_saved_whole(sampler, tmp_path):
    sampler.model.save(tmp_path / "sampler.keras")
    inputs = [np.ones((3, 2), "float32"), np.array([0, 1, 1])]
    expected = sampler.model.predict(inputs, verbose=0)
    loaded = load_model(tmp_path / "sampler.keras")
    pairs = zip(loaded.get_weights(), sampler.model.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)
    # Another copy of a model may add up in another order: the last digit may differ.
    found = loaded.predict(inputs, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_codes_without_labels_fewer_than_their_elements():
    codes = np.random.RandomState(0).normal(size=(4, 9))
    samples, labels = FlowSampler(**SMALL, epochs=1).fit(codes).sample(5)
    assert samples.shape == (5, 9) and labels is None


def test_the_velocity_is_followed():
    """A velocity equal to the code takes it to e times as much."""
    codes, time = keras.Input((1,)), keras.Input((1,))
    label = keras.Input((1,))
    same = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    velocity = keras.Model([codes, time, label], same(codes))
    one = np.ones((1, 1), "float32")
    error = [
        abs(np.asarray(FollowFlow(velocity, n)([one, one]))[0, 0] - np.e)
        for n in (4, 8)
    ]
    assert error[1] < 0.01 and error[0] / error[1] == pytest.approx(4, rel=0.3)


def test_the_weights_come_from_the_seed():
    nets = [velocity_network(3, 2, units=4, blocks=1, seed=s) for s in (0, 0, 1)]
    first, same, other = (net.get_layer("in").get_weights()[0] for net in nets)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("name", ["units", "blocks", "epochs", "batch_size", "steps"])
def test_sizes_are_positive_ints(name):
    expected = "an int from 1 to 200" if name == "steps" else "a positive int"
    with pytest.raises(ValueError, match=f"`{name}` must be {expected}. Received: 0"):
        FlowSampler(**{name: 0})


@pytest.mark.parametrize("steps", [0, 201, 2.5])
def test_a_way_has_so_many_steps(steps):
    with pytest.raises(ValueError, match="`steps` must be an int from 1 to 200"):
        FollowFlow(velocity_network(2, units=4, blocks=1), steps)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast", None])
def test_the_learning_rate_is_positive(rate):
    with pytest.raises(ValueError, match="`learning_rate` must be a positive number"):
        FlowSampler(learning_rate=rate)


def test_what_is_refused_before_any_training():
    with pytest.raises(ValueError, match="`steps` must be an int from 1 to 200"):
        FlowSampler(steps=201)
    with pytest.raises(ValueError, match="`seed` must be an int of at least 0"):
        FlowSampler(seed=None)
    convolutional = conv_autoencoder("keras")
    with pytest.raises(ValueError, match=r"a dense code. Received: .*\(14, 14, 8\)"):
        train_generator(convolutional, None)
    message = "`fit` must be called before `FlowSampler` can be sampled"
    with pytest.raises(ValueError, match=message):
        FlowSampler().sample(3)


def test_other_codes(sampler):
    with pytest.raises(ValueError, match="`codes` must be at least two"):
        FlowSampler(**SMALL).fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"`label` must be one of \[0, 1\]"):
        sampler.sample(1, label=2)
