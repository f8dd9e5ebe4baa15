"""The builders: each preset and keyword, saving, half precision, bad arguments."""

import itertools

import keras
import numpy as np
import pytest
from helpers import fewer, use_policy

from convae_keras.models import Autoencoder, conv_autoencoder, pixel_range

POOLINGS = ["max", "average", "strided"]
# There are two forms of nearest upsampling.
UPSAMPLINGS = [
    {"upsampling": "nearest", "fused": True},
    {"upsampling": "nearest", "fused": False},
    {"upsampling": "bilinear"},
    {"upsampling": "transposed"},
]
# Heights and widths divisible by 4, by 2 and by neither; gray and color.
SHAPES = [(28, 28, 1), (30, 45, 1), (29, 31, 3)]
RANGES = [(0, 1), (-1, 1)]


def images(shape, n=2):
    return np.random.default_rng(1).random((n, *shape), "float32")


def small(**switches):
    options = {"image_shape": (6, 6, 1), "filters": (3, 4), "code_filters": (5,)}
    options["kernel_initializer"] = "glorot_uniform"  # the fastest under JAX
    return conv_autoencoder("keras", seed=0, **{**options, **switches})


def sizes(model):
    """Parameter counts of the layers that have any."""
    counts = [layer.count_params() for layer in model.layers]
    return [count for count in counts if count]


# --- presets -----------------------------------------------------------------


@pytest.mark.parametrize(
    "preset, encoder, decoder, code",
    [
        ("keras", [160, 1160], [584, 73], (14, 14, 8)),
        ("pytorch", [160, 4640], [4624, 145], (7, 7, 32)),
    ],
)
def test_printed_networks(preset, encoder, decoder, code):
    autoencoder = conv_autoencoder(preset)
    assert sizes(autoencoder.encoder) == encoder
    assert sizes(autoencoder.decoder) == decoder
    total = {"keras": 1977, "pytorch": 9569}[preset]
    assert autoencoder.count_params() == total
    assert autoencoder.encoder.output_shape == (None, *code)
    assert autoencoder.output_shape == (None, 28, 28, 1)


def test_reference_network():
    autoencoder = conv_autoencoder()
    assert autoencoder.encoder.output_shape == (None, 32)
    assert autoencoder.encoder.layers[-1].activation is keras.activations.linear
    assert autoencoder.count_params() <= 500_000
    wider = conv_autoencoder("reference", latent_dim=40)
    assert wider.encoder.output_shape == (None, 40)


def test_keywords_override_the_preset():
    switches = {"filters": [4, 6], "latent_dim": 5, "activation": "silu"}
    # Ones are bad weights, but easy to recognize.
    autoencoder = small(**switches, kernel_initializer="ones")
    assert autoencoder.encoder.output_shape == (None, 5)
    assert autoencoder.encoder.get_layer("conv_2").filters == 6
    assert autoencoder.encoder.get_layer("code_1").activation is keras.activations.silu
    assert {0, 1} == {value for w in autoencoder.get_weights() for value in w.flat}


# --- every pooling, up-sampling, range and size ------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS, ids=str)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_switch_at_every_size(pooling, upsampling, shape):
    for value_range, latent_dim in zip(RANGES, [None, 4], strict=True):
        switches = {"output_range": value_range, "latent_dim": latent_dim}
        autoencoder = small(
            image_shape=shape, pooling=pooling, **upsampling, **switches
        )
        assert autoencoder.output_shape == (None, *shape)
        assert autoencoder.decoder.output_shape == (None, *shape)
        down = tuple(-(-side // 4) for side in shape[:2])
        code = (*down, 5) if latent_dim is None else (latent_dim,)
        assert autoencoder.encoder.output_shape == (None, *code)
        assert pixel_range(autoencoder) == value_range


@pytest.mark.parametrize(
    "pooling, upsampling, shape",
    [
        *itertools.product(["max"], UPSAMPLINGS, [(6, 6, 1), (5, 7, 3)]),
        *itertools.product(["average", "strided"], UPSAMPLINGS[:1], [(5, 7, 3)]),
    ],
    ids=str,
)
def test_images_in_images_out(pooling, upsampling, shape):
    for value_range in RANGES:
        autoencoder = small(
            image_shape=shape, pooling=pooling, **upsampling, output_range=value_range
        )
        bias = autoencoder.decoder.get_layer("pixels").bias
        bias.assign([-10.0] * bias.shape[0])
        x = images(shape)
        y = np.asarray(autoencoder(x))
        assert y.shape == x.shape and y.dtype == "float32"
        np.testing.assert_allclose(y, value_range[0], atol=0.1)
        assert y.min() >= value_range[0]
        np.testing.assert_array_equal(
            autoencoder.decoder(autoencoder.encoder(x)), autoencoder(x)
        )


@pytest.mark.parametrize(
    "choices",
    [
        [{"pooling": pooling} for pooling in POOLINGS],
        [{"upsampling": name} for name in ("nearest", "bilinear", "transposed")],
    ],
    ids=str,
)
def test_each_choice_gives_another_image(choices):
    models = [small(**choice) for choice in choices]
    for model in models:  # the kernels have one shape, up to the order of axes
        model.set_weights([np.full(w.shape, 0.05) for w in model.weights])
    x = images((6, 6, 1))
    for one, other in itertools.combinations(models, 2):
        assert np.abs(np.asarray(one(x)) - np.asarray(other(x))).max() > 1e-3


@pytest.mark.float32  # to five digits
@pytest.mark.parametrize("preset", fewer(["reference", "keras"]))
def test_fused_and_plain_are_the_same_network(preset):
    options = {"image_shape": (13, 10, 1), "seed": 4}
    fused = conv_autoencoder(preset, **options)
    plain = conv_autoencoder(preset, **options, fused=False)
    assert [w.shape for w in plain.weights] == [w.shape for w in fused.weights]
    kinds = {type(layer).__name__ for layer in plain.decoder.layers}
    assert "UpSampling2D" in kinds and "UpsampleConv2D" not in kinds
    plain.set_weights(fused.get_weights())
    x = images((13, 10, 1))
    np.testing.assert_allclose(plain(x), fused(x), atol=1e-5)


def test_an_image_is_cropped_where_it_was_padded():
    """At the bottom and the right."""
    even, odd = small(image_shape=(8, 8, 1)), small(image_shape=(7, 6, 1))
    odd.set_weights(even.get_weights())
    x = np.zeros((1, 8, 8, 1), "float32")
    x[:, :2, :2] = 1
    np.testing.assert_allclose(odd(x[:, :7, :6])[:, :1, :1], even(x)[:, :1, :1])


@pytest.mark.parametrize("upsampling", UPSAMPLINGS, ids=str)
def test_images_of_any_size(upsampling):
    autoencoder = small(image_shape=(None, None, 3), **upsampling)
    assert autoencoder.output_shape == (None, None, None, 3)
    for shape in [(8, 4, 3), (5, 7, 3)]:
        fixed = small(image_shape=shape, **upsampling)
        fixed.set_weights(autoencoder.get_weights())
        x = images(shape)
        np.testing.assert_allclose(autoencoder(x), fixed(x), atol=1e-6)


def test_every_part_has_a_gradient():
    autoencoder = conv_autoencoder("reference", image_shape=(9, 9, 1), seed=0)
    autoencoder.compile("sgd", "mse")
    before = autoencoder.get_weights()
    x = images((9, 9, 1))
    autoencoder.train_on_batch(x, x)
    after = autoencoder.get_weights()
    assert all((a != b).any() for a, b in zip(after, before, strict=True))


# --- encoder and decoder, files, seeds, half precision -----------------------


@pytest.mark.parametrize(
    "switches",
    [{}, {"latent_dim": 3}, {"image_shape": (None, None, 1)}, {"fused": False}],
    ids=str,
)
def test_comes_back_from_a_file(switches, tmp_path):
    autoencoder = small(**{"image_shape": (7, 5, 1), **switches})
    autoencoder.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Autoencoder) and loaded.name == "autoencoder"
    for name in ("encoder", "decoder"):
        half = getattr(loaded, name)
        assert isinstance(half, keras.Model)
        assert half is loaded.get_layer(name)
        assert half.input_shape == getattr(autoencoder, name).input_shape
    x = images((7, 5, 1))
    np.testing.assert_array_equal(loaded(x), autoencoder(x))
    codes = autoencoder.encoder(x)
    np.testing.assert_array_equal(loaded.encoder(x), codes)
    np.testing.assert_array_equal(loaded.decoder(codes), autoencoder.decoder(codes))


def test_the_weights_come_from_the_seed():
    first, again, other, free = (
        conv_autoencoder("keras", seed=seed).get_weights()[0]
        for seed in (7, 7, 8, None)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first != free).any() and (other != free).any()


@pytest.mark.parametrize("value_range", RANGES)
def test_pixel_range(value_range, tmp_path):
    autoencoder = small(output_range=list(value_range))
    assert pixel_range(autoencoder) == value_range
    autoencoder.save(tmp_path / "model.keras")
    assert pixel_range(keras.models.load_model(tmp_path / "model.keras")) == value_range


def test_another_model_is_assumed_to_work_in_zero_to_one():
    inputs = keras.Input((6, 6, 1))
    outputs = keras.layers.Activation("tanh", name="pixels")(inputs)
    assert pixel_range(keras.Model(inputs, outputs)) == (0, 1)


@pytest.mark.float32  # it sets the policy
@pytest.mark.parametrize("size", fewer([(7, 6), (8, 8), (None, None)]), ids=str)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS[::3], ids=str)
def test_half_precision_returns_float32(upsampling, size):
    switches = {**upsampling, "image_shape": (*size, 1)}
    use_policy("mixed_float16")
    autoencoder = small(**switches)
    x = images((*(side or 7 for side in size), 1))
    assert keras.backend.standardize_dtype(autoencoder.encoder(x).dtype) == "float16"
    assert keras.backend.standardize_dtype(autoencoder(x).dtype) == "float32"
    assert {w.dtype for w in autoencoder.weights} == {"float32"}
    use_policy("float32")
    single = small(**switches)
    single.set_weights(autoencoder.get_weights())
    np.testing.assert_allclose(autoencoder(x), single(x), atol=0.01)


# --- invalid arguments -------------------------------------------------------


def test_unknown_names():
    with pytest.raises(
        ValueError, match="^Unknown preset 'tensor'. Available: .*keras"
    ):
        conv_autoencoder("tensor")
    with pytest.raises(ValueError, match=r"^Unexpected keyword arguments: \['depth'\]"):
        conv_autoencoder("keras", depth=3)


@pytest.mark.parametrize(
    "name, value",
    [
        ("pooling", "min"),
        ("upsampling", "cubic"),
        ("output_range", (0, 255)),
        ("image_shape", (28, 28)),
        ("image_shape", (0, 28, 1)),
        ("image_shape", (28.0, 28, 1)),
        ("filters", ()),
        ("filters", (16, 0)),
        ("code_filters", (2.5,)),
        ("latent_dim", 0),
        ("latent_dim", -1),
    ],
)
def test_bad_options(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*Received: "):
        conv_autoencoder("keras", **{name: value})


def test_a_dense_code_needs_a_fixed_size():
    with pytest.raises(ValueError, match="`latent_dim`.*`image_shape`.*None"):
        conv_autoencoder("reference", image_shape=(None, None, 1))


@pytest.mark.float32  # a step so small is none in half precision
def test_gradients_of_one_step_do_not_count_in_the_next():
    """Encoder and decoder have layers of the same names."""
    autoencoder, x = small(), images((6, 6, 1))
    autoencoder.compile(keras.optimizers.SGD(0.001), "mse")
    layer, kernels = autoencoder.encoder.get_layer("code_1"), []
    for _ in range(4):
        kernels.append(layer.get_weights()[0])
        autoencoder.train_on_batch(x, x)
    first, _, third = (np.abs(b - a).sum() for a, b in itertools.pairwise(kernels))
    assert first > 0 and third == pytest.approx(first, rel=0.1)
