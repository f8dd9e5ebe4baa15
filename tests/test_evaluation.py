"""Scores: on the right images, with the right inputs, beside the right baselines."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers import small

from convae_keras import metrics
from convae_keras.baselines import classical_denoiser, enlarge
from convae_keras.corruption import Downsample, GaussianNoise, Hole, Warp
from convae_keras.evaluation import held_out_scores, model_inputs, reconstruct, scores
from convae_keras.pipelines import to_float
from convae_keras.training import checked_images

# --- reconstruct and scores --------------------------------------------------


def test_reconstruct_runs_the_model(few):
    autoencoder, x = small(), to_float(few.x_test)
    for batch_size in (500, 7):
        y = reconstruct(autoencoder, x, batch_size)
        assert y.shape == x.shape and y.dtype == "float32"
        np.testing.assert_allclose(y, autoencoder(x), atol=1e-6)


def test_reconstruct_scales_to_the_models_range(few):
    autoencoder, x = small(output_range=(-1, 1)), to_float(few.x_test)
    y = reconstruct(autoencoder, x)
    np.testing.assert_allclose(y, (autoencoder(2 * x - 1) + 1) / 2, atol=1e-6)
    assert 0 <= y.min() and y.max() <= 1


@pytest.mark.float32
def test_reconstruct_takes_any_model(few):
    inputs = keras.Input((28, 28, 1))
    same = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    x = to_float(few.x_test)
    np.testing.assert_array_equal(reconstruct(same, x), x)


@pytest.mark.float32
def test_reconstruct_takes_unclipped_noise(few):
    """It reaches the model as it is; the outputs are clipped."""
    inputs = keras.Input((28, 28, 1))
    halved = keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))
    x = 3 * to_float(few.x_test) - 1
    np.testing.assert_allclose(reconstruct(halved, x), (0.5 * x).clip(0, 1), atol=1e-6)


def dim(x):
    return x * np.float32(0.5)


@pytest.mark.parametrize("chunk", [1000, 25, 7, 1])
def test_scores_are_means_over_images(chunk, few):
    x = to_float(few.x_test)
    found = scores(dim, few.x_test, chunk=chunk)
    assert list(found) == ["mse", "psnr", "ssim", "bce"]
    for name, value in found.items():
        expected = getattr(metrics, name)(x, dim(x)).mean()
        assert value == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(scores(dim, x, chunk=chunk))


def test_a_perfect_copy_has_no_psnr(few):
    found = scores(lambda x: x, few.x_test)
    assert (found["mse"], found["psnr"], found["ssim"]) == (0, None, 1)


def test_what_is_no_number_is_not_perfect(few):
    with pytest.raises(ValueError, match="must return numbers. Received: NaN"):
        scores(lambda x: x * np.nan, few.x_test)


@pytest.mark.parametrize("height, width, has", [(6, 9, 0), (9, 6, 0), (7, 7, 1)])
def test_small_images_have_no_ssim(height, width, has, few):
    found = scores(dim, few.x_test[:, 10 : 10 + height, 10 : 10 + width])
    assert (found["ssim"] is not None) == has
    assert found["mse"] > 0


# --- scores of restorations --------------------------------------------------


def psnr_by_hand(x, y):
    """float64, the mean over images."""
    errors = ((np.float64(x) - y) ** 2).mean(axis=(1, 2, 3))
    return (-10 * np.log10(errors)).mean()


@pytest.mark.parametrize("source", ["corrupt", "inputs"])
def test_restorations_are_compared_with_clean_images(source, few):
    """`dim` is not symmetric: other pairs of images give other numbers."""
    x, noise = to_float(few.x_test), GaussianNoise(0.3)
    noisy = noise(few.x_test, seed=0)
    inputs = noise if source == "corrupt" else noisy
    found = {f: scores(f, few.x_test, inputs)["psnr"] for f in (dim, np.asarray)}
    assert found[np.asarray] == pytest.approx(psnr_by_hand(x, noisy), rel=1e-6)
    assert found[dim] == pytest.approx(psnr_by_hand(x, dim(noisy)), rel=1e-6)
    assert abs(found[dim] - psnr_by_hand(noisy, dim(x))) > 0.5
    assert abs(found[dim] - psnr_by_hand(x, dim(x))) > 0.5


def test_the_function_is_given_corrupted_images(few):
    given = []

    def record(x):
        given.append(x)
        return x

    noise = GaussianNoise(0.3, clip=False)
    for inputs in (noise, noise, None):
        scores(lambda x: record(x).clip(0, 1), few.x_test, inputs)
    np.testing.assert_array_equal(given[0], given[1])  # the same noise
    np.testing.assert_array_equal(given[0], noise(few.x_test))
    np.testing.assert_array_equal(given[2], to_float(few.x_test))


def test_chunks_have_different_noise(few):
    same, given = np.repeat(few.x_test[:1], 12, axis=0), []

    def record(x):
        given.extend(image.tobytes() for image in x)
        return x

    scores(record, same, GaussianNoise(0.3), chunk=5)
    assert len(set(given)) == len(given) == 12


def test_inputs_of_a_chunk_belong_to_its_images(few):
    inputs = 255 - few.x_test
    for chunk in (1000, 7):
        found = scores(lambda x: 1 - x, few.x_test, inputs, chunk)
        assert found["mse"] < 1e-12
    assert scores(lambda x: 1 - x, few.x_test, inputs[::-1])["mse"] > 0.01


def test_model_inputs(few):
    x = to_float(few.x_test)
    assert model_inputs(x) is x
    np.testing.assert_array_equal(model_inputs(x[5:9], few.x_test, 5), x[5:9])
    expected = Hole(4)(x[5:9], seed=5)
    np.testing.assert_array_equal(model_inputs(x[5:9], Hole(4), 5), expected)


# --- held_out_scores ---------------------------------------------------------


def test_the_test_images_are_scored(few):
    black, white = np.zeros_like(few.x_train), np.full_like(few.x_test, 255)
    images = dataclasses.replace(few, x_train=black, x_val=few.x_val, x_test=white)
    results = held_out_scores(small(code_filters=(4,)), images)
    # The mean of the black training images, against white ones.
    assert results["mean image"]["mse"] == 1
    model = small(code_filters=(4,))
    expected = scores(lambda x: reconstruct(model, x), white)
    assert results["autoencoder"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "switches, baselines",
    [
        ({"latent_dim": 5}, ["mean image", "PCA, 5 numbers"]),
        # 98 numbers, but 60 images
        ({"filters": (3, 3)}, ["mean image", "PCA, 59 numbers"]),
        ({"filters": (3,), "code_filters": (4,)}, ["mean image", "identity"]),
        ({"latent_dim": 784}, ["mean image", "identity"]),
    ],
)
def test_baselines_have_the_code_size(switches, baselines, few):
    results = held_out_scores(small(**switches), few)
    assert list(results) == ["autoencoder", *baselines]
    if "identity" in baselines:
        assert results["identity"]["mse"] == 0
    else:
        mse = [results[name]["mse"] for name in baselines]
        assert mse == sorted(mse, reverse=True)


def test_scores_of_a_model_for_any_size(few):
    autoencoder = small(image_shape=(None, None, 1))
    rows = list(held_out_scores(autoencoder, few))
    assert rows[1:] == ["mean image", "PCA, 59 numbers"]


def halves():
    """A model for images of any size that halves its input."""
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs))


@pytest.mark.parametrize("source", ["corrupt", "inputs"])
def test_a_denoiser_beside_its_baselines(source, few):
    noise = GaussianNoise(0.4, clip=False)
    noisy = {x: noise(getattr(few, f"x_{x}")) for x in ("train", "val", "test")}
    images, corrupt = few, noise
    if source == "inputs":  # as image files hold them
        noisy = {x: noisy[x].clip(0, 1) for x in noisy}
        inputs = {f"inputs_{x}": noisy[x] for x in noisy}
        images, corrupt = dataclasses.replace(few, **inputs), None
    results = held_out_scores(halves(), images, corrupt)
    x, clipped = to_float(few.x_test), noisy["test"].clip(0, 1)
    expected = {
        "autoencoder": (0.5 * noisy["test"]).clip(0, 1),
        "input": clipped,
    }
    for name in ("Gaussian filter", "median filter"):
        tuned = classical_denoiser(name, noisy["val"], to_float(few.x_val))
        expected[name] = tuned(noisy["test"])
    assert list(results) == list(expected)
    for name, y in expected.items():
        assert results[name]["psnr"] == pytest.approx(psnr_by_hand(x, y), rel=1e-5)
    assert results["Gaussian filter"]["psnr"] > results["input"]["psnr"] + 2


@pytest.mark.parametrize("source", ["corrupt", "inputs"])
def test_an_enlarger_beside_its_baselines(source, few):
    small_images = Downsample(2)(few.x_test)
    images, corrupt = few, Downsample(2)
    if source == "inputs":
        inputs = {
            f"inputs_{x}": corrupt(getattr(few, f"x_{x}")) for x in ("val", "test")
        }
        images, corrupt = dataclasses.replace(few, **inputs), None
    inputs = keras.Input((None, None, 1))
    twice = keras.Model(inputs, keras.layers.UpSampling2D(2)(inputs))
    results = held_out_scores(twice, images, corrupt)
    names = ["nearest", "bicubic", "Lanczos"]
    assert list(results) == ["autoencoder", *names]
    assert results["autoencoder"] == pytest.approx(results["nearest"], rel=1e-5)
    for name in names:
        y = enlarge(small_images, 2, name)
        expected = psnr_by_hand(to_float(few.x_test), y)
        assert results[name]["psnr"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "size, channels", [((28, 28), 3), ((14, 28), 1), ((56, 56), 1)]
)
def test_inputs_that_no_baseline_fits(size, channels, few):
    """To color, to stretch, to shrink: the model is scored alone."""
    wanted = {f"x_{x}": few.x_test[:4].repeat(channels, -1) for x in ("val", "test")}
    wanted["x_train"] = wanted["x_val"]
    inputs = {f"inputs_{x}": np.zeros((4, *size, 1)) for x in ("train", "val", "test")}
    images = dataclasses.replace(few, **wanted, **inputs)
    x = keras.Input((*size, 1))
    y = keras.layers.Resizing(28, 28)(keras.layers.Concatenate()([x] * channels))
    model = keras.Model(x, y)
    images = checked_images(model, images)
    results = held_out_scores(model, images)
    assert [*results] == ["autoencoder"] and results["autoencoder"]["mse"] > 0


def test_a_model_that_undoes_warps_beside_its_baselines(few):
    warp = Warp(rotation=30.0)
    results = held_out_scores(halves(), few, warp)
    assert list(results) == ["autoencoder", "input", "mean image"]
    warped = warp(to_float(few.x_test), seed=0)
    expected = psnr_by_hand(to_float(few.x_test), warped)
    assert results["input"]["psnr"] == pytest.approx(expected, rel=1e-5)
