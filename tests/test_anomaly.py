"""The detector of anomalies: distances, maps, p-values, saving, what is refused."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from convae_keras.anomaly import (
    LocalDistance,
    NeighborDistance,
    PValue,
    anomaly_detector,
    detect,
    is_detector,
)
from convae_keras.generation import variational_autoencoder
from convae_keras.models import conv_autoencoder
from convae_keras.restorers import restorer
from convae_keras.saving import load_model

TINY = {"filters": (4,), "code_filters": (), "seed": 0}


def stripes(count, seed=0, image_shape=(12, 10, 1)):
    """Images of vertical stripes of some brightness."""
    random = np.random.RandomState(seed)
    lines = random.rand(count, 1, image_shape[1], image_shape[2])
    return np.repeat(lines, image_shape[0], axis=1).astype("float32")


@pytest.fixture(scope="module")
def detector():
    """Of an untrained network, whose feature maps tell directions all the same."""
    autoencoder = conv_autoencoder(image_shape=(12, 10, 1), latent_dim=3, **TINY)
    return anomaly_detector(autoencoder, stripes(60), stripes(39, seed=1))


@pytest.mark.slow
def test_what_is_unlike_scores_higher(detector):
    usual = detect(detector, stripes(20, seed=2))
    other = detect(
        detector, stripes(20, seed=3, image_shape=(10, 12, 1)).swapaxes(1, 2)
    )
    assert usual["score"].shape == usual["p_value"].shape == (20,)
    assert usual["map"].shape == (20, 12, 10)
    assert all(each.dtype == "float32" for each in usual.values())
    assert np.median(other["score"]) > 2 * np.median(usual["score"])
    assert np.median(other["p_value"]) < 0.1 < np.median(usual["p_value"])


def test_a_map_shows_the_place():
    size = (32, 32, 1)
    autoencoder = conv_autoencoder("keras", image_shape=size, **TINY)
    x = stripes(40, image_shape=size)
    detector = anomaly_detector(autoencoder, x[:20], x[20:])
    x[:5, 8:20, 8:20] = 0.5
    places = detect(detector, x[:5])["map"].mean(axis=0)
    assert places[12:16, 12:16].mean() > 2 * places[24:].mean()


def test_most_normal_maps_stay_below_1(detector):
    largest = detect(detector, stripes(39, seed=1))["map"].max(axis=(1, 2))
    assert (largest < 1).mean() == pytest.approx(0.9, abs=0.05)


def test_a_code_of_blocks_scores_by_its_map():
    autoencoder = conv_autoencoder("keras", image_shape=(None, None, 3), **TINY)
    x = stripes(12, image_shape=(16, 16, 3))
    found = detect(anomaly_detector(autoencoder, x[:8], x[8:]), x)
    np.testing.assert_array_equal(found["score"], found["map"].max(axis=(1, 2)))


def test_saved_and_loaded(detector, tmp_path):
    detector.save(tmp_path / "detector.keras")
    loaded, x = load_model(tmp_path / "detector.keras"), stripes(5, seed=2)
    assert is_detector(loaded) and not is_detector(conv_autoencoder())
    for key, expected in detect(detector, x).items():
        np.testing.assert_allclose(detect(loaded, x)[key], expected, rtol=1e-3)


def test_the_autoencoder_is_not_changed():
    autoencoder = conv_autoencoder(image_shape=(12, 10, 1), latent_dim=3, **TINY)
    before = [each.copy() for each in autoencoder.get_weights()]
    anomaly_detector(autoencoder, stripes(9), stripes(3), neighbors=1)
    for one, other in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_distance_to_neighbors():
    layer = NeighborDistance(4, 2)
    layer.build((None, 2))
    layer.set_weights([np.array([[0, 0], [3, 4], [0, 2], [9, 9]], "float32")])
    found = keras.ops.convert_to_numpy(layer(np.zeros((1, 2), "float32")))
    np.testing.assert_allclose(found, [1.0], atol=1e-3)


def test_p_values_count_the_image_itself():
    layer = PValue(3)
    layer.build((None,))
    layer.set_weights([np.array([1, 2, 3], "float32")])
    found = layer(np.array([0, 2, 4], "float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), [1, 0.75, 0.25])


def test_a_place_is_described_by_mean_and_variance():
    x = np.random.RandomState(0).rand(1, 40, 40, 1).astype("float32")
    layer = LocalDistance(2.0)
    layer.adapt(x, np.zeros_like(x))
    found = keras.ops.convert_to_numpy(layer.describe(x, np.zeros_like(x)))[
        0, 15:25, 15:25
    ]
    options = {"sigma": 2.0, "truncate": 3.0}
    mean = gaussian_filter(x[0, ..., 0], **options)
    variance = gaussian_filter(x[0, ..., 0] ** 2, **options) - mean**2
    np.testing.assert_allclose(found[..., 0], mean[15:25, 15:25], atol=1e-4)
    log = np.log(variance + 1e-3 * x.var())[15:25, 15:25]
    np.testing.assert_allclose(found[..., 2], log, atol=1e-2)


def test_distances_of_normal_places_are_about_their_number():
    """The squared Mahalanobis distance of what was fitted has that mean."""
    x = np.random.RandomState(0).rand(20, 16, 16, 1).astype("float32")
    layer = LocalDistance()
    layer.adapt(x, gaussian_filter(x, (0, 1, 1, 0)))
    found = keras.ops.convert_to_numpy(layer([x, gaussian_filter(x, (0, 1, 1, 0))]))
    assert (found**2).mean() == pytest.approx(4, rel=0.15)


@pytest.mark.static
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": stripes(5)}, "`x_train` must be at least 6 images. Received: 5"),
        ({"x_val": np.zeros((0, 12, 10, 1))}, "`x_val`"),
        ({"x_train": np.zeros(7)}, "`x_train` must be images"),
        ({"x_train": stripes(9, image_shape=(8, 8, 1))}, r"images of \(12, 10, 1\)"),
        ({"neighbors": 0}, "`neighbors` must be a positive int. Received: 0"),
        ({"dimensions": 2.5}, "`dimensions` must be a positive int. Received: 2.5"),
        ({"output_range": (-1, 1)}, r"`autoencoder` must work in \(0, 1\)"),
    ],
)
def test_refused(change, message):
    given = {"x_train": stripes(9), "x_val": stripes(3)}
    given |= {key: change[key] for key in change if key != "output_range"}
    switches = TINY | {key: change[key] for key in change if key == "output_range"}
    autoencoder = conv_autoencoder(image_shape=(12, 10, 1), latent_dim=3, **switches)
    with pytest.raises(ValueError, match=message):
        anomaly_detector(autoencoder, **given)


def test_an_encoder_without_convolutions_of_its_own():
    """A variational one has them in a model inside."""
    twin = variational_autoencoder(image_shape=(12, 10, 1), latent_dim=3, **TINY)
    with pytest.raises(ValueError, match="an encoder of convolutions"):
        anomaly_detector(twin, stripes(9), stripes(3))


@pytest.mark.static
def test_a_network_without_a_code():
    with pytest.raises(ValueError, match="`autoencoder` must have an `encoder`"):
        anomaly_detector(restorer(filters=(4, 8)), stripes(9), stripes(3))


@pytest.mark.static
def test_layers_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="`neighbors` must be an int from 1 to 3. Rec"):
        NeighborDistance(3, 4)
    with pytest.raises(ValueError, match="`count` must be a positive int. Received: 0"):
        NeighborDistance(0, 3)
    with pytest.raises(ValueError, match="`window` must be above 0 and at most 32"):
        LocalDistance(0)
    with pytest.raises(ValueError, match="`count` must be a positive int"):
        PValue(0)


def test_images_of_another_size(detector):
    with pytest.raises(ValueError, match=r"`x` must be images of \(12, 10, 1\)"):
        detect(detector, stripes(3, image_shape=(12, 12, 1)))
