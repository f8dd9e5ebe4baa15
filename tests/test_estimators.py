"""The scikit-learn transformer in a pipeline, a grid search and joblib."""

import warnings

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from convae_keras import estimators
from convae_keras.corruption import GaussianNoise
from convae_keras.estimators import ConvAutoencoderFeatures
from convae_keras.features import encode

TINY = {"preset": "keras", "epochs": 1, "batch_size": 8}
# The checks of scikit-learn that apply to a transformer of images. The others fit
# tables of any width and any numbers.
CHECKS = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimators_unfitted",
    "check_transformers_unfitted",
    "check_transformer_n_iter",
    "check_valid_tag_types",
    "check_fit1d",
}


@pytest.fixture(scope="module")
def pixels():
    """Twenty black and twenty white noisy images, and their labels."""
    noise = np.random.default_rng(0).integers(0, 60, (40, 6, 8), "uint8")
    y = np.arange(40) % 2
    return noise + 190 * y[:, None, None].astype("uint8"), y


@pytest.fixture(scope="module")
def fitted(pixels):
    return ConvAutoencoderFeatures(**TINY).fit(pixels[0])


def test_scikit_learns_checks():
    estimator = ConvAutoencoderFeatures(image_shape=(1, 10), **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    passed = {each["check_name"] for each in results if each["status"] == "passed"}
    assert passed >= CHECKS


def test_images(pixels, fitted):
    x, _ = pixels
    codes = fitted.transform(x)
    np.testing.assert_array_equal(codes, encode(fitted.autoencoder_, x))
    assert codes.shape == (40, 3 * 4 * 8) and fitted.n_features_in_ == 48
    images = fitted.inverse_transform(codes)
    expected = fitted.autoencoder_.predict(x[..., None] / 255.0, verbose=0)
    np.testing.assert_allclose(images, expected, atol=1e-5)
    assert len(fitted.history_["loss"]) == 1
    with pytest.raises(ValueError, match=r"`X` must be \(n, 96\). Received: \(4, 48\)"):
        fitted.inverse_transform(codes[:4, :48])


def test_rows_of_pixels(pixels, fitted):
    rows = pixels[0].reshape(40, 48)
    features = ConvAutoencoderFeatures(image_shape=(6, 8), **TINY)
    codes = features.fit_transform(rows)
    np.testing.assert_allclose(codes, fitted.transform(pixels[0]), atol=1e-5)
    assert features.inverse_transform(codes).shape == (40, 48)
    with pytest.raises(ValueError, match="X has 47 features, but .*expecting 48"):
        features.transform(rows[:, :47])
    with pytest.raises(ValueError, match=r"`image_shape` .*47 values.*\(6, 8\)"):
        features.fit(rows[:, :47])


@pytest.mark.slow
def test_tables_with_names(pixels):
    """Names of columns are remembered, and those of the codes are columns."""
    pandas = pytest.importorskip("pandas")
    names = [f"pixel{i}" for i in range(48)]
    rows = pandas.DataFrame(pixels[0].reshape(40, 48), columns=names)
    features = ConvAutoencoderFeatures("reference", 3, (6, 8), epochs=1)
    codes = features.set_output(transform="pandas").fit_transform(rows)
    assert [*features.feature_names_in_] == names
    assert [*codes.columns] == [*features.get_feature_names_out()]
    with pytest.raises(ValueError, match="feature names should match"):
        features.transform(rows[names[::-1]])


def test_rows_that_are_no_images():
    features = ConvAutoencoderFeatures(image_shape=(2, 2), **TINY)
    for rows in (np.full((9, 4), np.nan), np.zeros((0, 4)), np.zeros(4)):
        with pytest.raises(ValueError):
            features.fit(rows)
    with pytest.raises(TypeError, match="[Ss]parse"):
        features.fit(csr_array(np.zeros((9, 4))))


def test_a_part_that_is_not_there_is_named_before_training(pixels, monkeypatch):
    monkeypatch.setattr(estimators, "train", None)
    with pytest.raises(ValueError, match="`layer`"):
        ConvAutoencoderFeatures(layer="nowhere", **TINY).fit(pixels[0])


def test_parameters_count_when_it_is_fitted(pixels):
    features = ConvAutoencoderFeatures(**TINY).fit(pixels[0])
    codes = features.transform(pixels[0])
    features.set_params(layer="conv_1", pooling="max", preset="pytorch")
    np.testing.assert_array_equal(features.transform(pixels[0]), codes)
    assert len(features.get_feature_names_out()) == codes.shape[1]


def test_options_are_passed_on(pixels, monkeypatch):
    """To the builder, to `train` (here one that only takes notes) and to `encode`."""
    passed = {}
    monkeypatch.setattr(
        estimators, "train", lambda model, x, **options: passed.update(options) or {}
    )
    options = {"epochs": 3, "batch_size": 8, "learning_rate": 0.5, "seed": 5}
    options |= {"corrupt": GaussianNoise(0.1), "verbose": 2}
    coded = ConvAutoencoderFeatures("reference", 3, **options).fit(pixels[0])
    assert passed == options
    assert coded.transform(pixels[0]).shape == (40, 3)
    clone(coded).set_params(corrupt=None).fit(pixels[0])
    assert passed == options | {"corrupt": None}
    pooled = ConvAutoencoderFeatures(layer="conv_1", pooling="max", **TINY)
    pooled.fit(pixels[0])
    assert pooled.transform(pixels[0]).shape == (40, 16)
    with pytest.raises(ValueError, match="`layer` and `pooling`"):
        pooled.inverse_transform(pooled.transform(pixels[0]))


@pytest.mark.slow
def test_grid_search_over_a_pipeline(pixels):
    pipeline = make_pipeline(ConvAutoencoderFeatures(**TINY), LogisticRegression())
    name = "convautoencoderfeatures__"
    grid = [
        {f"{name}layer": [None]},
        {f"{name}layer": ["conv_1"], f"{name}pooling": ["max"]},
    ]
    halves = np.arange(40).reshape(2, 20)
    search = GridSearchCV(pipeline, grid, cv=[halves], refit=False).fit(*pixels)
    assert search.cv_results_["mean_test_score"].tolist() == [1, 1]


def test_saved_by_joblib(pixels, fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "features.joblib")
    loaded = joblib.load(tmp_path / "features.joblib")
    np.testing.assert_array_equal(
        loaded.transform(pixels[0]), fitted.transform(pixels[0])
    )
    assert loaded.get_params() == fitted.get_params()
    state = {k: v for k, v in fitted.__getstate__().items() if k != "_part"}
    loaded.__setstate__(state)  # as earlier versions stored it
    assert loaded.transform(pixels[0]).shape == fitted.transform(pixels[0]).shape


def test_before_it_is_fitted(pixels):
    features = ConvAutoencoderFeatures(**TINY)
    for method in (features.transform, features.inverse_transform):
        with pytest.raises(NotFittedError):
            method(pixels[0])
    joblib.hash(features)  # it can be pickled before, too
    with pytest.raises(ValueError, match="looks like labels"):
        features.fit(np.arange(10))


def test_a_pickle_holds_the_bytes_of_a_keras_file(fitted):
    """Not a Keras model, which would be opened without its safe mode."""
    assert fitted.__getstate__()["autoencoder_"].startswith(b"PK")


def test_its_features_have_names(fitted):
    names = [f"convautoencoderfeatures{i}" for i in range(3 * 4 * 8)]
    assert fitted.get_feature_names_out().tolist() == names
