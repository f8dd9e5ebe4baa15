import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from convae_keras import Sequences, sequence_autoencoder, train
from convae_keras.sequences import (
    NetworkScores,
    WindowScores,
    fine_detail,
    moving_z_score,
    plant,
    robust_z_score,
    two_sided,
    windows,
)


def _waves(n=4, channels=1, seed=0):
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 6, (n, 1, channels))
    x = 1.4 * np.sin(np.arange(600)[None, :, None] / 6 + phase)
    return (x + random.normal(0, 0.03, x.shape)).astype("float32")


def _separates(score, labels):
    """Whether steps of planted spans score higher, in sequences one by one."""
    pairs = zip(labels, score, strict=True)
    return np.mean([roc_auc_score(*pair) for pair in pairs]) > 0.8


@pytest.mark.static
@pytest.mark.parametrize("channels", [1, 2])
def test_scores_without_a_network(channels):
    x_train, x = _waves(8, channels), _waves(6, channels, seed=1)
    planted, labels = plant(x, "noise", seed=2)
    scores = WindowScores(x_train, 32, centered=True, fitted=500)
    for function in (scores.neighbors, scores.residual, scores.centers, fine_detail):
        found = function(planted)
        assert found.shape == labels.shape and np.isfinite(found).all()
        assert _separates(found, labels), function
    x = np.random.default_rng(0).normal(size=(2, 400, channels))
    x[:, 123, 0] = 9
    assert moving_z_score(x).argmax(axis=1).tolist() == [123, 123]


@pytest.mark.static
def test_too_little_is_unusual_too():
    x = _waves(6)
    planted, labels = plant(x, "flat", seed=2)
    assert _separates(fine_detail(planted), labels)
    error = np.random.default_rng(0).normal(size=(2, 400, 1))
    error[:, 200:240] *= 0.01
    found = two_sided(error)
    assert found[:, 205:235].min() > found[:, 20:180].max()


@pytest.mark.static
def test_deviation_is_of_each_sequence():
    x = np.random.default_rng(0).normal(size=(3, 500))
    scaled = robust_z_score(x * [[1], [10], [100]] + [[0], [5], [-7]])
    np.testing.assert_allclose(scaled, robust_z_score(x), atol=1e-6)
    assert abs(scaled.std() - 1) < 0.1


@pytest.mark.slow
def test_scores_of_a_network():
    x_train = _waves(8)
    pieces = windows(x_train, 32, 4).reshape(-1, 32, 1)
    data = Sequences("waves", pieces, None, pieces[:50], None, pieces[:50], None)
    sizes = {"latent_dim": 4, "filters": (8, 8), "code_filters": ()}
    autoencoder = sequence_autoencoder((32, 1), seed=0, **sizes)
    train(autoencoder, data, 5, batch_size=32, learning_rate=0.01, verbose=0)
    scores = NetworkScores(autoencoder, x_train, fitted=500)
    x = _waves(6, seed=1)
    for kind in ("noise", "louder"):
        planted, labels = plant(x, kind, seed=3)
        assert scores.residual(planted).shape == planted.shape
        assert _separates(scores.error(planted), labels), kind
    planted, labels = plant(x, "faster", seed=3)
    assert _separates(scores.far(planted), labels)
    assert _separates(scores.surprise(planted), labels)


@pytest.mark.static
def test_any_units_and_types():
    noise = np.random.default_rng(0).normal(size=(1, 1000))
    noise[0, 700] = 15
    for offset in (0, 1e4, 1e5):
        assert moving_z_score(noise + offset).argmax() == 700
    counts = np.round(20 * noise + 60).clip(0, 255)
    as_bytes = moving_z_score(counts.astype("uint8"))
    np.testing.assert_allclose(as_bytes, moving_z_score(counts), atol=1e-4)
    scores = [WindowScores(x, 32, fitted=50).residual(x) for x in (counts / 255,)]
    own = WindowScores(counts.astype("uint8"), 32, fitted=50)
    np.testing.assert_allclose(own.residual(counts.astype("uint8")), *scores, atol=1e-4)


@pytest.mark.static
@pytest.mark.parametrize("steps", [600, 601, 603])
def test_every_step_is_in_a_window(steps):
    x_train, x = _waves(8), _waves(4, seed=1)[:, :steps]
    scores = WindowScores(x_train, 32, 24)
    for function in (scores.residual, scores.neighbors):
        found = function(x)
        assert found.shape == x.shape[:2]
        assert found[:, -20:].mean() < 3 * found[:, 100:500].mean()


def test_a_code_of_one_number():
    autoencoder = sequence_autoencoder((32, 1), latent_dim=1, filters=(2,))
    scores = NetworkScores(autoencoder, _waves(1))
    assert np.isfinite(scores.surprise(_waves(1))).all()


def test_bad_scores():
    autoencoder = sequence_autoencoder((32, 1), latent_dim=4, filters=(2,))
    x = _waves(1)
    with pytest.raises(ValueError, match="must have 1 channels. Received: 2"):
        NetworkScores(autoencoder, _waves(1, 2))
    short = "`x_train` must be sequences of at least 32 steps, one window. Received: 20"
    with pytest.raises(ValueError, match=short):
        NetworkScores(autoencoder, x[:, :20])
    with pytest.raises(ValueError, match=short):
        WindowScores(x[:, :20], 32)
    with pytest.raises(ValueError, match="at least 200 windows, one a neighbor"):
        NetworkScores(autoencoder, x, neighbors=200)
    with pytest.raises(ValueError, match="`fitted` must be a positive int"):
        WindowScores(x, 32, fitted=0)
    with pytest.raises(ValueError, match="`x` must have 1 channels. Received: 2"):
        NetworkScores(autoencoder, x).far(_waves(1, 2))
    with pytest.raises(ValueError, match="`x` must have 1 channels. Received: 2"):
        WindowScores(x, 32).residual(_waves(1, 2))
    with pytest.raises(ValueError, match="an `encoder` to a dense code"):
        wide = sequence_autoencoder((32, 1), latent_dim=None, filters=(2,))
        NetworkScores(wide, x)
    with pytest.raises(ValueError, match="`length` must be an int of at least 2"):
        moving_z_score(x, 0)
    with pytest.raises(ValueError, match="`widths` must be positive"):
        two_sided(x, (0,))
    with pytest.raises(ValueError, match="`values` must be .n, steps."):
        robust_z_score(x[0, :, 0])
    with pytest.raises(ValueError, match="must be finite"):
        NetworkScores(autoencoder, x).surprise(np.where(x > 1, np.nan, x))


@pytest.mark.static
def test_a_deviation_of_what_is_no_number():
    with pytest.raises(ValueError, match="`values` must be finite numbers"):
        robust_z_score(np.array([[1.0, np.nan, 3]]))
