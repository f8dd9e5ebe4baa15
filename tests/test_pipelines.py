"""Pixels are scaled once, and reach `fit` in a fixed order, from memory or disk."""

import os
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras import pipelines
from convae_keras.corruption import Downsample, GaussianNoise, Hole
from convae_keras.data import folders, load_images
from convae_keras.pipelines import (
    from_model_range,
    make_pipeline,
    to_float,
    to_model_range,
)

pytestmark = pytest.mark.float32  # no layer is in it


@pytest.fixture
def pixels():
    """uint8 `(30, 5, 6, 1)`, no two images alike."""
    return np.random.default_rng(0).integers(0, 256, (30, 5, 6, 1), "uint8")


def test_images_are_validated():
    with pytest.raises(ValueError, match="`x` must be images"):
        make_pipeline(np.arange(10))


@pytest.mark.parametrize("x", [np.uint8([[[0, 51, 255]]]), np.array([[[0, 0.2, 1]]])])
@pytest.mark.parametrize(
    "pixel_range, expected", [((0, 1), [0, 0.2, 1]), ([-1, 1], [-1, -0.6, 1])]
)
def test_to_float(x, pixel_range, expected):
    x = to_float(x, pixel_range)
    assert x.dtype == "float32" and x.shape == (1, 1, 3, 1)
    np.testing.assert_allclose(x.ravel(), expected, atol=1e-7)


@pytest.mark.parametrize(
    "pixel_range, outputs",
    [((0, 1), [-0.5, 0, 0.25, 1, 2]), ((-1, 1), [-2, -1, -0.5, 1, 3])],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_from_model_range(pixel_range, outputs, dtype):
    outputs = np.array(outputs, dtype).reshape(1, 5, 1)
    for given in (outputs, keras.ops.convert_to_tensor(outputs)):
        x = from_model_range(given, pixel_range)
        assert isinstance(x, np.ndarray) and x.dtype == "float32"
        assert x.ravel().tolist() == [0, 0, 0.25, 1, 1] and x.shape == (1, 5, 1)


@pytest.mark.parametrize("pixel_range", [(0, 1), (-1, 1)])
def test_to_the_range_of_a_model_and_back(pixel_range, pixels):
    x = to_float(pixels)
    scaled = to_model_range(x, pixel_range)
    np.testing.assert_array_equal(scaled, to_float(pixels, pixel_range))
    np.testing.assert_allclose(from_model_range(scaled, pixel_range), x, atol=1e-7)
    # Unclipped noise is not clipped.
    assert to_model_range(x + 1, pixel_range).max() > 1.5


# --- pipelines ---------------------------------------------------------------


def mapped(x, tmp_path):
    file = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
    file[:] = x
    return file


def batches(pipeline, count=None):
    return [x for x, _ in pipeline.take(count or -1).as_numpy_iterator()]


STORAGE = {
    "memory": lambda x, tmp_path: x,
    "disk": mapped,
    "slice of disk": lambda x, tmp_path: mapped(x, tmp_path)[:],
    "view of disk": lambda x, tmp_path: np.asarray(mapped(x, tmp_path))[..., 0],
}


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("pixel_range", [(0, 1), (-1, 1)])
def test_one_pass_in_order(storage, dtype, pixel_range, pixels, tmp_path):
    x = pixels if dtype == "uint8" else to_float(pixels)
    x = STORAGE[storage](x, tmp_path)
    assert pipelines._is_on_disk(x) == ("disk" in storage)
    pipeline = make_pipeline(x, 8, pixel_range=pixel_range)
    assert int(pipeline.cardinality()) == 4
    pairs = list(pipeline.as_numpy_iterator())
    assert [len(batch) for batch, _ in pairs] == [8, 8, 8, 6]
    for given, target in pairs:
        assert given.dtype == target.dtype == "float32"
        np.testing.assert_array_equal(given, target)
    # Bit for bit what `to_float` makes of the same images.
    everything = np.concatenate([batch for batch, _ in pairs])
    np.testing.assert_array_equal(everything, to_float(pixels, pixel_range))


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_shapes_are_known_beforehand(storage, pixels, tmp_path):
    x = STORAGE[storage](pixels, tmp_path)
    (in_order, _), (shuffled, _) = (
        make_pipeline(x, 8, seed=seed).element_spec for seed in (None, 0)
    )
    assert in_order.shape.as_list() == [None, 5, 6, 1]
    assert shuffled.shape.as_list() == [8, 5, 6, 1]


def test_an_epoch_shows_every_image_once(pixels):
    epochs = batches(make_pipeline(pixels, 10, seed=3), count=6)
    first, second = np.concatenate(epochs[:3]), np.concatenate(epochs[3:])
    expected = sorted(image.tobytes() for image in to_float(pixels))
    assert sorted(image.tobytes() for image in first) == expected
    assert sorted(image.tobytes() for image in second) == expected
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, to_float(pixels))


def test_the_order_comes_from_the_seed(pixels, tmp_path):
    first, again, on_disk, other = (
        np.stack(batches(make_pipeline(x, 7, seed=seed), count=12))
        for x, seed in [(pixels, 3), (pixels, 3), (mapped(pixels, tmp_path), 3)]
        + [(pixels, 4)]
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, on_disk)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("steps", [None, 3])
def test_a_stopped_training_goes_on_with_the_same_batches(steps, pixels):
    options = {"batch_size": 7, "seed": 3, "steps_per_epoch": steps}
    per_epoch = steps or 4
    everything = batches(make_pipeline(pixels, **options), count=5 * per_epoch)
    rest = batches(make_pipeline(pixels, **options, first_epoch=2), 3 * per_epoch)
    np.testing.assert_array_equal(everything[2 * per_epoch :], rest)


def test_fewer_steps_are_the_first_of_the_epoch(pixels):
    everything = batches(make_pipeline(pixels, 7, seed=3), count=8)
    short = batches(make_pipeline(pixels, 7, seed=3, steps_per_epoch=3), count=6)
    np.testing.assert_array_equal(everything[:3] + everything[4:7], short)


@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_is_at_most_the_set(seed, pixels):
    (batch,) = batches(make_pipeline(pixels, 1000, seed=seed), count=1)
    assert batch.shape == (30, 5, 6, 1)


@pytest.mark.parametrize(
    "options, name",
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -3}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"pixel_range": (0, 255)}, "pixel_range"),
        ({"pixel_range": 1}, "pixel_range"),
        ({"seed": 1.5}, "seed` must be an int between"),
        ({"seed": 2**70}, "seed` must be an int between"),
        ({"seed": 0, "steps_per_epoch": 0}, "steps_per_epoch` must be .* from 1 to 1"),
        ({"seed": 0, "steps_per_epoch": 2}, "steps_per_epoch` must be .* from 1 to 1"),
        ({"seed": 0, "steps_per_epoch": 1.0}, "steps_per_epoch` must be an int"),
        ({"seed": 0, "steps_per_epoch": "1"}, "steps_per_epoch` must be an int"),
    ],
)
def test_bad_options(options, name, pixels):
    with pytest.raises(ValueError, match=f"`{name}"):
        make_pipeline(pixels, **options)


@pytest.mark.parametrize("name", ["x", "inputs"])
def test_arrays_of_images_are_read_once(name, pixels, monkeypatch):
    """`train` has valid arrays, and does not scan their floats again."""
    arrays = {"x": to_float(pixels), "inputs": to_float(pixels)}
    arrays[name][-1] = np.nan
    with pytest.raises(ValueError, match=f"`{name}`"):
        make_pipeline(**arrays)
    make_pipeline(**arrays, validate=False)


# --- pipelines whose input is not their target -------------------------------


def pairs(pipeline, count=None):
    """`(inputs, targets)` of so many batches, or of all."""
    found = list(pipeline.take(count or -1).as_numpy_iterator())
    return tuple(np.concatenate(images) for images in zip(*found, strict=True))


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_the_target_is_the_image_and_the_input_its_corruption(
    storage, pixels, tmp_path
):
    x = STORAGE[storage](pixels, tmp_path)
    model_inputs, targets = pairs(
        make_pipeline(x, 8, corrupt=GaussianNoise(0.3, clip=False))
    )
    np.testing.assert_array_equal(targets, to_float(pixels))
    noise = model_inputs - targets
    assert noise.std() == pytest.approx(0.3, rel=0.1)
    assert abs(noise.mean()) < 5 * 0.3 / noise.size**0.5
    # Its own for every image, in every batch.
    assert len({image.tobytes() for image in noise.round(5)}) == 30


def test_shuffled_inputs_are_corrupted_targets(pixels):
    model_inputs, targets = pairs(
        make_pipeline(pixels, 7, seed=3, corrupt=Hole(2, 0.5)), 4
    )
    everything = {image.tobytes() for image in to_float(pixels)}
    assert {image.tobytes() for image in targets} < everything
    hole = model_inputs != targets
    assert (model_inputs[hole] == 0.5).all()
    assert (hole.sum(axis=(1, 2, 3)) == 4).all()  # no byte becomes 0.5


def test_inputs_may_be_smaller(pixels):
    corrupt = Downsample(2)
    model_inputs, targets = pairs(make_pipeline(pixels, 8, corrupt=corrupt))
    assert targets.shape == (30, 5, 6, 1) and model_inputs.shape == (30, 2, 3, 1)
    np.testing.assert_allclose(model_inputs, corrupt(pixels), atol=1e-6)
    spec, _ = make_pipeline(pixels, 8, corrupt=corrupt).element_spec
    assert spec.shape.as_list() == [None, 2, 3, 1]


def symmetries_of(x):
    """The eight symmetries of a square."""
    rotated = [np.rot90(x, i) for i in range(4)]
    return rotated + [each[:, ::-1] for each in rotated]


def test_augmented_batches_have_each_of_eight_symmetries():
    x = np.arange(2 * 16, dtype="uint8").reshape(2, 4, 4, 1)
    numbers = {
        y.tobytes(): i for y in to_float(x) for i, y in enumerate(symmetries_of(y))
    }
    options = {"batch_size": 1, "seed": 3, "augment": True}
    pipeline = make_pipeline(x, corrupt=Downsample(2), **options)
    model_inputs, targets = pairs(pipeline, 160)
    found = [numbers[image.tobytes()] for image in targets]
    assert np.bincount(found, minlength=8).min() > 8  # of 20
    # Inputs are transformed as their targets are.
    np.testing.assert_allclose(model_inputs, Downsample(2)(targets), atol=1e-6)
    inputs = make_pipeline(x, inputs=255 - x, **options)
    model_inputs, again = pairs(inputs, 160)
    np.testing.assert_allclose(model_inputs, 1 - again, atol=1e-6)
    np.testing.assert_array_equal(again, targets)  # drawn from the seed alone
    later = make_pipeline(x, inputs=255 - x, first_epoch=40, **options)
    np.testing.assert_array_equal(pairs(later, 80)[1], again[80:])


def test_only_squares_are_augmented(pixels):
    with pytest.raises(ValueError, match="`augment` .*5 x 6 x 1"):
        make_pipeline(pixels, 7, seed=3, augment=True)
    with pytest.raises(ValueError, match="`augment` .*5 x 6 x 1"):
        make_pipeline(pixels[:, :, :5], 7, inputs=pixels, seed=3, augment=True)


def noise_of(pixels, count=None, **options):
    options = {"batch_size": 7, "corrupt": GaussianNoise(0.3, clip=False), **options}
    model_inputs, targets = pairs(make_pipeline(pixels, **options), count)
    return np.round(model_inputs - targets, 5)


def test_noise_is_drawn_anew():
    """All images are one image, so that the order plays no part."""
    same = np.full((28, 5, 6, 1), 99, "uint8")
    noise = noise_of(same, 12, seed=3)
    assert len({image.tobytes() for image in noise}) == 3 * 28
    np.testing.assert_array_equal(noise, noise_of(same, 12, seed=3))
    other = noise_of(same, 12, seed=4)
    assert not {image.tobytes() for image in noise} & {i.tobytes() for i in other}


@pytest.mark.parametrize("steps", [None, 3])
def test_a_stopped_training_goes_on_with_the_same_noise(steps, pixels):
    per_epoch, images = steps or 4, 7 * (steps or 4)
    options = {"seed": 3, "steps_per_epoch": steps}
    everything = noise_of(pixels, 4 * per_epoch, **options)
    for epoch in (1, 3):
        rest = noise_of(pixels, per_epoch, **options, first_epoch=epoch)
        np.testing.assert_array_equal(everything[epoch * images :][:images], rest)


def test_without_a_seed_two_passes_are_alike(pixels):
    pipeline = make_pipeline(pixels, 7, corrupt=GaussianNoise(0.3))
    first, second = pairs(pipeline), pairs(pipeline)
    np.testing.assert_array_equal(first, second)
    again = pairs(make_pipeline(pixels, 7, corrupt=GaussianNoise(0.3)))
    np.testing.assert_array_equal(first, again)


def test_a_corruption_does_not_change_the_order(pixels):
    _, corrupted = pairs(make_pipeline(pixels, 7, seed=3, corrupt=GaussianNoise()), 8)
    _, everything = pairs(make_pipeline(pixels, 7, seed=3), 8)
    np.testing.assert_array_equal(corrupted, everything)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_inputs_stay_with_their_targets(storage, seed, pixels, tmp_path):
    # A byte that tells which target it belongs to; of another size and kind.
    inputs = 255 - pixels[:, :2, :3]
    given = STORAGE[storage](inputs, tmp_path)
    pipeline = make_pipeline(pixels, 7, seed=seed, inputs=given)
    model_inputs, targets = pairs(pipeline, 8 if seed else None)
    assert model_inputs.shape[1:] == (2, 3, 1) and model_inputs.dtype == "float32"
    np.testing.assert_allclose(model_inputs, 1 - targets[:, :2, :3], atol=1e-6)
    expected = to_float(pixels)
    if seed is None:
        np.testing.assert_array_equal(targets, expected)
    else:
        assert not np.array_equal(targets[:28], expected[:28])


@pytest.mark.parametrize("kind", ["corrupt", "inputs"])
def test_the_range_is_that_of_inputs_and_targets(kind, pixels):
    options = {"corrupt": GaussianNoise(0.2)}
    if kind == "inputs":
        options = {"inputs": to_float(255 - pixels)}
    model_inputs, targets = pairs(make_pipeline(pixels, 8, **options))
    wide = pairs(make_pipeline(pixels, 8, pixel_range=(-1, 1), **options))
    np.testing.assert_array_equal(wide[0], 2 * model_inputs - 1)
    np.testing.assert_array_equal(wide[1], 2 * targets - 1)
    assert wide[0].min() == -1 and wide[1].max() > 0.9


@pytest.mark.parametrize(
    "options, message",
    [
        ({"inputs": 29}, "`inputs` must be 30 images.*Received: 29"),
        ({"inputs": 31}, "`inputs` must be 30 images.*Received: 31"),
        ({"inputs": 30, "corrupt": GaussianNoise(0.5)}, "`corrupt`.*`inputs`"),
    ],
)
def test_bad_inputs(options, message, pixels):
    options["inputs"] = np.zeros((options["inputs"], 5, 6, 1), "uint8")
    with pytest.raises(ValueError, match=message):
        make_pipeline(pixels, **options)


def test_inputs_are_validated(pixels):
    with pytest.raises(ValueError, match="`inputs`"):
        make_pipeline(pixels, inputs=np.full((30, 5, 6, 1), np.nan))


def test_fit_takes_a_pipeline(digits):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    history = model.fit(
        make_pipeline(digits.x_train[:64], 16, seed=0),
        validation_data=make_pipeline(digits.x_val[:20], 16),
        **{"steps_per_epoch": 4, "epochs": 2, "shuffle": False, "verbose": 0},
    ).history
    assert history["val_loss"][1] < history["val_loss"][0]


# --- images that do not fit in memory ------------------------------------------


def anonymous_memory():
    """Bytes of memory of this process that are not backed by a file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.static
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.filterwarnings("ignore:.*the same as one in another split")
def test_a_folder_larger_than_memory(tmp_path, monkeypatch):
    photo = tmp_path / "photos" / "0.bmp"
    photo.parent.mkdir()
    Image.fromarray(np.arange(64, dtype="uint8").reshape(8, 8)).save(photo)
    for i in range(1, 1000):
        os.link(photo, photo.with_name(f"{i}.bmp"))
    monkeypatch.setattr(folders, "MEMORY_LIMIT", 2**20)

    model = keras.Sequential([keras.Input((128, 128, 3)), keras.layers.Dense(3)])
    model.compile("sgd", "mse", jit_compile=False)
    options, silent = {"batch_size": 4, "seed": 0}, {"shuffle": False, "verbose": 0}
    some = np.zeros((16, 128, 128, 3), "uint8")
    model.fit(make_pipeline(some, **options), steps_per_epoch=4, **silent)

    held = [anonymous_memory()]
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: held.append(anonymous_memory())
    )
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        images = load_images(photo.parent, image_size=128, color="rgb")
    assert isinstance(images.x_train, np.memmap)
    assert list(tmp_path.iterdir()) == [photo.parent]
    pipeline = make_pipeline(images.x_train, **options)
    steps = len(images.x_train) // 4
    model.fit(pipeline, steps_per_epoch=steps, callbacks=[watch], **silent)
    # 49 MB of pixels, 197 MB once they are floats: they must not pile up.
    assert len(held) == steps + 1 and max(held) - held[0] < 40e6
