"""The classifier: what it learns, and what it refuses."""

import dataclasses
import random

import numpy as np
import pytest

from convae_keras.data import Images
from convae_keras.features import encode
from convae_keras.generation.classifier import image_classifier, train_classifier
from convae_keras.generation.frechet import (
    compare_images,
    frechet_distance,
    precision_recall,
)


@pytest.fixture(scope="module")
def bars():
    """Images with a bright upper or lower half, which the label tells."""
    random = np.random.RandomState(0)
    x = random.randint(0, 100, (120, 8, 8, 1)).astype("uint8")
    y = np.arange(120) % 2
    x[y == 0, :4] += 100
    x[y == 1, 4:] += 100
    parts = (slice(0, 80), slice(80, 100), slice(100, 120))
    return Images("bars", *(v for part in parts for v in (x[part], y[part])))


@pytest.fixture(scope="module")
def trained(bars):
    return train_classifier(bars, 4, batch_size=8, learning_rate=0.01)


@pytest.mark.slow
def test_it_learns(bars, trained):
    model, history = trained
    found = model.predict(bars.x_test / 255, verbose=0)
    assert found.shape == (20, 2) and found.dtype == "float32"
    assert (found.argmax(axis=1) == bars.y_test).mean() > 0.9
    assert len(history["val_loss"]) == 4
    # Its weights are those of the best epoch.
    loss = model.evaluate(bars.x_val / 255, bars.y_val, verbose=0)[0]
    assert loss == pytest.approx(min(history["val_loss"]), rel=0.01)
    assert encode(model, bars.x_test, "features").shape == (20, 64)


def test_images_are_compared_in_its_features(bars, trained):
    model, _ = trained
    same = compare_images(model, bars.x_val, bars.x_val)
    assert same["frechet"] == 0 and same["precision"] == same["recall"] == 1
    grey = np.full((20, 8, 8, 1), 0.5, "float32")
    found = compare_images(model, bars.x_test, grey)
    sets = [encode(model, x, "features") for x in (bars.x_test, grey)]
    expected = {"frechet": frechet_distance(*sets), **precision_recall(*sets)}
    assert {**expected, "sure": found["sure"]} == found
    sure = model.predict(bars.x_test / 255, verbose=0).max(axis=1) >= 0.9
    assert compare_images(model, grey, bars.x_test)["sure"] == sure.mean() > 0


def test_the_weights_come_from_the_seed():
    models = [image_classifier((8, 8, 1), 3, seed=seed) for seed in (0, 0, 1)]
    first, same, other = (model.get_weights()[0] for model in models)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.slow
def test_global_generators_are_left_alone(bars):
    states = random.getstate(), np.random.get_state()[1].tolist()
    models = [train_classifier(bars, 1, batch_size=40, seed=3)[0] for _ in range(2)]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    for weight, same in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_images_it_cannot_take(bars):
    with pytest.raises(ValueError, match=r"at least 8 pixels. Received: \(7, 9, 1\)"):
        image_classifier((7, 9, 1))
    with pytest.raises(ValueError, match="`batch_size` must be a positive int"):
        train_classifier(bars, batch_size=0)
    unlabeled = dataclasses.replace(bars, y_train=None)
    with pytest.raises(ValueError, match="`images` must have labels. Received: bars"):
        train_classifier(unlabeled)
