"""The restorer: sizes, skip connections, its initial output, bad arguments."""

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_keras.baselines import enlarge
from convae_keras.corruption import GaussianNoise
from convae_keras.pipelines import to_float
from convae_keras.restorers import HEADS, restorer

TINY = {"filters": (4, 6), "convs": (1, 2), "seed": 0}
SIZES = fewer([(13, 17), (28, 28), (6, 5), (2, 2), (3, 31)])


def images(*shape):
    return np.random.default_rng(0).random(shape, "float32")


def randomize(model):
    """Random weights and biases, none of them 0."""
    random = np.random.default_rng(2)
    weights = [random.uniform(-0.5, 0.5, w.shape) for w in model.weights]
    model.set_weights(weights)
    return model


# --- sizes -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("residual", fewer([False, True]))
@pytest.mark.parametrize("scale", fewer([1, 2, 3, 4]))
@pytest.mark.parametrize("head", HEADS)
def test_any_size(head, scale, residual):
    options = {**TINY, "head": head, "scale": scale, "residual": residual}
    model = restorer((None, None, 3), **options)
    assert model.output_shape == (None, None, None, 3)
    for height, width in SIZES:
        y = np.asarray(model(images(2, height, width, 3)))
        assert y.shape == (2, scale * height, scale * width, 3)
        assert y.dtype == "float32" and np.isfinite(y).all()
        shape = model.compute_output_shape((2, height, width, 3))
        assert shape[1:] == y.shape[1:]
    if scale == 1 or not residual:  # bicubic interpolation needs two pixels
        assert model(images(1, 1, 1, 3)).shape == (1, scale, scale, 3)


@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("size", fewer([(9, 15), (28, 28)]))
def test_a_fixed_size_and_any_number_of_stages(size, scale, stages):
    switches = {"filters": (3,) * stages, "convs": (1,) * stages, "scale": scale}
    model = restorer((*size, 1), seed=0, **switches)
    assert model.output_shape == (None, scale * size[0], scale * size[1], 1)
    free = restorer((None, None, 1), seed=0, **switches)
    x = images(2, *size, 1)
    np.testing.assert_allclose(model(x), free(x), atol=1e-6)


@pytest.mark.parametrize("residual", [False, True])
def test_the_range_of_the_output(residual):
    model = randomize(restorer(**TINY, residual=residual))
    y = np.asarray(model(30 * images(4, 20, 20, 1)))
    assert (0 <= y.min() and y.max() <= 1) == (not residual)


@pytest.mark.tensorflow
def test_sizes_that_change_from_call_to_call():
    """TensorFlow then compiles again, for unknown sizes."""
    model = restorer(**TINY, scale=2, residual=True)
    for height, width in SIZES:
        y = model.predict_on_batch(images(1, height, width, 1))
        assert y.shape == (1, 2 * height, 2 * width, 1)


# --- the network -------------------------------------------------------------


def test_the_size_of_the_default():
    def conv(channels, filters, size=3):
        return (size**2 * channels + 1) * filters

    first = conv(1, 48, 6) + 4 * conv(48, 48)
    second = conv(48, 96) + conv(96, 96) + conv(96, 48)
    assert first + second + conv(48, 4) == 252_772
    assert restorer().count_params() == 252_772


@pytest.mark.parametrize("head", HEADS)
def test_the_image_is_enlarged_in_the_last_step(head):
    model = restorer((32, 32, 1), **TINY, head=head, scale=2)
    large = [
        layer.name
        for layer in model.layers
        if layer.output.shape[1] > 32 and layer.output.shape[3] > 1
    ]
    assert large == (["enlarge"] if head == "nearest" else [])


def test_skip_connections_bypass_the_bottleneck():
    """The output depends on the bottleneck, but not on it alone."""
    model = randomize(restorer((16, 16, 1), **TINY))
    x = images(1, 16, 16, 1)
    before = np.asarray(model(x))
    up = model.get_layer("up_1")
    up.set_weights([np.zeros(w.shape) for w in up.weights])
    blind = np.asarray(model(x))
    # Without the bottleneck the image still gets through.
    assert np.abs(before - blind).max() > 1e-3 and blind.std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("head", fewer(HEADS))
@pytest.mark.parametrize("scale", fewer([2, 1]))
def test_gradients_reach_every_weight(head, scale):
    model = randomize(restorer((None, None, 1), **TINY, head=head, scale=scale))
    x, y = images(4, 12, 12, 1), images(4, 12 * scale, 12 * scale, 1)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(10.0), "mse", jit_compile=False)
    model.train_on_batch(x, y)
    for old, new in zip(before, model.get_weights(), strict=True):
        # Of each filter of the layer.
        change = np.abs(old - new).reshape(-1, old.shape[-1]).max(axis=0)
        assert (change[:1] if old.ndim == 1 else change).min() > 0


@pytest.mark.parametrize(
    "switches", [{"scale": 2, "residual": True}, {"head": "nearest"}]
)
def test_comes_back_from_a_file(switches, tmp_path):
    model = randomize(restorer((None, None, 1), **TINY, **switches))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for height, width in SIZES:
        x = images(2, height, width, 1)
        np.testing.assert_array_equal(loaded(x), model(x))


def test_the_weights_come_from_the_seed():
    first, again, other = (
        restorer(**{**TINY, "seed": seed}).get_weights()[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    keras.utils.set_random_seed(7)
    drawn = keras.random.uniform((3,))
    keras.utils.set_random_seed(7)
    restorer(**{**TINY, "seed": None})  # draws, and sets nothing back
    assert (np.asarray(keras.random.uniform((3,))) != np.asarray(drawn)).any()


def test_pixels_stay_float32_in_half_precision():
    use_policy("mixed_float16")
    model = restorer(**TINY, residual=True)
    assert model.get_layer("in_1_1").compute_dtype == "float16"
    x = images(1, 8, 8, 1)
    y = np.asarray(model(x))  # the initial residual is 0
    assert y.dtype == "float32"
    np.testing.assert_array_equal(y, x)  # not rounded to float16


# --- the initial residual ----------------------------------------------------


def initial_residual(scale, channels, head="subpixel"):
    """The network as it is built: the last kernel is 0."""
    options = {**TINY, "scale": scale, "head": head, "residual": True}
    model = restorer((None, None, channels), **options)
    last = model.get_layer("pixels").get_weights()
    assert not any(weight.any() for weight in last)
    assert model.get_weights()[0].any()
    return model


@pytest.mark.parametrize("head", HEADS)
def test_the_initial_residual_is_the_identity(head):
    x = images(2, 13, 10, 3)
    np.testing.assert_array_equal(initial_residual(1, 3, head)(x), x)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("scale", fewer([2, 3, 4]))
def test_the_initial_residual_is_bicubic(scale, head):
    x = 0.2 + 0.6 * images(2, 13, 10, 3)  # nothing to clip
    y, expected = np.asarray(initial_residual(scale, 3, head)(x)), enlarge(x, scale)
    # Within two pixels of the border their rules for outside pixels differ.
    inner = (slice(None), *[slice(2 * scale, -2 * scale)] * 2)
    np.testing.assert_allclose(y[inner], expected[inner], atol=1e-5)
    nearest = enlarge(x, scale, "nearest")
    assert np.abs(y - nearest).max() > 0.1


# --- learning ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("residual", fewer([True, False]))
def test_overfits_a_few_noisy_digits(residual, digits):
    clean = to_float(digits.x_train[:8, ::2, ::2])
    noisy = GaussianNoise(0.5)(clean)
    model = restorer(filters=(8, 16), convs=(1, 1), residual=residual, seed=0)
    # With mean squared error a sigmoid can get stuck at black.
    loss = "mse" if residual else "binary_crossentropy"
    model.compile(keras.optimizers.Adam(0.003), loss, jit_compile=False)
    x, y = (np.tile(images, (40, 1, 1, 1)) for images in (noisy, clean))
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    found = ((model.predict(noisy, verbose=0) - clean) ** 2).mean()
    assert found < ((noisy - clean) ** 2).mean() / 2 and found < (clean**2).mean() / 2


# --- invalid arguments -------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"image_shape": (28, 28)},
        {"image_shape": (28, 28, None)},
        {"scale": 0},
        {"scale": 1.5},
        {"filters": (8, 0, 1)},
        {"convs": (1, 2, -1)},
        {"filters": (8, 8), "convs": (1,)},
        {"filters": (), "convs": ()},
        {"head": "bilinear"},
    ],
    ids=str,
)
def test_bad_options(options):
    names = ".*".join(f"`{name}`" for name in options)
    with pytest.raises(ValueError, match=f"{names}.*Received: "):
        restorer(**options)
