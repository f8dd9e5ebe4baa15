"""Features: outputs of layers, nearest neighbors, few labels, fine-tuning."""

import gc
import weakref

import keras
import numpy as np
import pytest
from helpers import use_policy

from convae_keras import features as module
from convae_keras.features import (
    classifier,
    encode,
    feature_model,
    nearest,
    precision_at,
    stratified,
)
from convae_keras.models import conv_autoencoder
from convae_keras.pipelines import to_float
from convae_keras.restorers import restorer

CODE = {"image_shape": (9, 12, 1), "filters": (2, 4), "code_filters": (), "seed": 0}


@pytest.fixture(scope="module")
def autoencoder():
    return conv_autoencoder("reference", latent_dim=5, **CODE)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (23, 9, 12), "uint8")


# --- encode ------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_encode_returns_outputs_of_the_encoder(batch_size, autoencoder, pixels):
    features = encode(autoencoder, pixels, batch_size=batch_size)
    expected = autoencoder.encoder.predict(to_float(pixels), verbose=0)
    assert features.dtype == "float32" and features.shape == (23, 5)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    of_encoder = encode(autoencoder.encoder, pixels / 255)
    np.testing.assert_allclose(of_encoder, expected, atol=1e-5)


def test_images_are_scaled_to_the_models_range(pixels):
    model = conv_autoencoder("keras", output_range=(-1, 1), **CODE)
    expected = model.encoder.predict(to_float(pixels, (-1, 1)), verbose=0)
    np.testing.assert_allclose(
        encode(model, pixels), expected.reshape(23, -1), atol=1e-5
    )


def test_features_of_any_layer(autoencoder, pixels):
    maps = keras.Model(
        autoencoder.encoder.input, autoencoder.encoder.get_layer("pool_1").output
    ).predict(to_float(pixels), verbose=0)
    assert maps.shape == (23, 5, 6, 2)
    found = {
        p: encode(autoencoder, pixels, "pool_1", p) for p in (None, "average", "max")
    }
    np.testing.assert_allclose(found[None], maps.reshape(23, -1), atol=1e-5)
    np.testing.assert_allclose(found["average"], maps.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(found["max"], maps.max(axis=(1, 2)), atol=1e-5)
    # A code has no height and width to pool over.
    np.testing.assert_array_equal(
        encode(autoencoder, pixels, pooling="max"), encode(autoencoder, pixels)
    )


def test_images_of_any_size(pixels):
    model = restorer((None, None, 1), filters=(2,), convs=(1,))
    shape = encode(model, pixels, "stem", "average").shape
    assert shape == encode(model, pixels[:, :5, :7], "stem", "average").shape == (23, 2)
    with pytest.raises(ValueError, match="`pooling` .*any size"):
        encode(model, pixels, "stem")


def test_features_are_float32_under_half_precision(pixels):
    use_policy("mixed_float16")
    model = conv_autoencoder("reference", latent_dim=5, **CODE)
    assert encode(model, pixels).dtype == "float32"
    assert classifier(model, 3).output.dtype == "float32"


def test_encode_reads_one_batch_at_a_time(autoencoder, pixels, monkeypatch):
    rows = []
    part = feature_model(autoencoder)
    monkeypatch.setattr("convae_keras.features.feature_model", lambda *a: part)
    original = part.predict_on_batch
    monkeypatch.setattr(
        part, "predict_on_batch", lambda x: rows.append(len(x)) or original(x)
    )
    encode(autoencoder, pixels, batch_size=10)
    assert rows == [10, 10, 3]


def test_the_model_of_a_layer_is_built_once(autoencoder, pixels, monkeypatch):
    options = {"layer": "conv_1", "pooling": "max"}
    encode(autoencoder, pixels, **options)
    monkeypatch.setattr(module, "feature_model", lambda *_: pytest.fail("built"))
    before = encode(autoencoder, pixels, **options)
    old = autoencoder.get_weights()
    autoencoder.set_weights([2 * w + 1 for w in old])
    after = encode(autoencoder, pixels, **options)
    assert np.abs(after - before).max() > 0.1
    autoencoder.set_weights(old)
    np.testing.assert_array_equal(encode(autoencoder, pixels, **options), before)


def plain():
    inputs = keras.Input((9, 12, 1))
    return keras.Model(inputs, keras.layers.Flatten(name="conv_1")(inputs))


@pytest.mark.parametrize(
    "build", [plain, lambda: conv_autoencoder("reference", latent_dim=5, **CODE)]
)
def test_models_are_not_kept_alive(build, pixels):
    model = build()
    for options in ({}, {"layer": "conv_1"}):
        encode(model, pixels, **options)
    alive = weakref.ref(getattr(model, "encoder", model))
    assert alive() in module._parts
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"layer": "conv_9"}, "`layer` .*'conv_1'.*'conv_9'"),
        ({"pooling": "sum"}, "`pooling` .*'sum'"),
    ],
)
def test_invalid_options(options, message, autoencoder, pixels):
    with pytest.raises(ValueError, match=message):
        encode(autoencoder, pixels, **options)


def test_images_of_another_size(autoencoder, pixels):
    with pytest.raises(ValueError, match=r"`x` .*\(9, 12, 1\).*\(9, 9, 1\)"):
        encode(autoencoder, pixels[:, :, :9])
    with pytest.raises(ValueError, match="looks like labels"):
        encode(autoencoder, np.arange(5))


def test_a_model_of_rows_takes_no_images(pixels):
    inputs = keras.Input(pixels.shape[1:])  # no channels
    rows = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match=r"`x` must be images of \(9, 12\)"):
        encode(rows, pixels)


# --- few labels --------------------------------------------------------------


def test_stratified_draws_equally_many_of_each_class():
    y = np.random.default_rng(0).integers(0, 4, 100)
    drawn = stratified(y, 20, seed=3)
    assert drawn.dtype == "int64" and (np.diff(drawn) > 0).all()
    assert np.bincount(y[drawn]).tolist() == [5, 5, 5, 5]
    np.testing.assert_array_equal(drawn, stratified(y, 20, seed=3))
    assert set(drawn) != set(stratified(y, 20, seed=4))


@pytest.mark.parametrize("count", [0, -4, 10, 400])
def test_invalid_counts(count):
    with pytest.raises(ValueError, match=f"`count` .*Received: {count}"):
        stratified(np.arange(100) % 4, count)


# --- search ------------------------------------------------------------------


def test_nearest():
    features = np.array([[0.0], [1.0], [5.0], [7.0]])
    indices, distances = nearest(features, np.array([[1.2], [6.8]]), 2)
    assert indices.tolist() == [[1, 0], [3, 2]]
    np.testing.assert_allclose(distances, [[0.2, 1.2], [0.2, 1.8]], atol=1e-6)
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"`count` .*Received: {count}"):
            nearest(features, features, count)


def test_precision_at():
    features, y = np.array([[0.0], [1.0], [5.0], [7.0]]), np.array([0, 1, 1, 1])
    queries, y_queries = np.array([[0.4], [6.5]]), np.array([0, 1])
    assert precision_at(features, y, queries, y_queries, 1) == 1
    assert precision_at(features, y, queries, y_queries, 2) == 0.75


# --- fine-tuning -------------------------------------------------------------


@pytest.mark.parametrize(
    "trainable, trained",
    [("whole", {"conv_1", "conv_2", "code"}), ("last", {"code"}), ("none", set())],
)
def test_classifier_trains_the_chosen_layers(trainable, trained, autoencoder, pixels):
    x, before = to_float(pixels), autoencoder.get_weights()
    model = classifier(autoencoder, 3, trainable, seed=1)
    probabilities = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    old = {each.name: each.get_weights() for each in model.layers if each.weights}
    for name in trained | {"code"}:  # it starts from the autoencoder's weights
        kernel = autoencoder.encoder.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(old[name][0], kernel)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
    model.train_on_batch(x, np.arange(23) % 3)
    changed = {
        name
        for name, weights in old.items()
        if (model.get_layer(name).get_weights()[0] != weights[0]).any()
    }
    assert changed == trained | {"classes"}
    for old, new in zip(before, autoencoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"classes": 1}, "`classes` .*Received: 1"),
        ({"classes": 3, "trainable": "head"}, "`trainable` .*'head'"),
    ],
)
def test_invalid_classifier(options, message, autoencoder):
    with pytest.raises(ValueError, match=message):
        classifier(autoencoder, **options)
