"""Generated images as files: names, grids, seeds, what is refused."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras.files.generated import write_generated
from convae_keras.generation import FlowSampler, flow, generate, image_generator
from convae_keras.generation.generator import ClassLabels, is_generator
from convae_keras.models import conv_autoencoder
from convae_keras.saving import load_model

TINY = {"filters": (2,), "code_filters": (), "latent_dim": 3, "seed": 0}


@pytest.fixture(scope="module")
def generator():
    """Of random images; nothing has been learned but the flow's scale."""
    autoencoder = conv_autoencoder(image_shape=(8, 10, 1), **TINY)
    codes = np.random.RandomState(0).normal(size=(40, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "STEPS_PER_EPOCH", 1)
        sampler = FlowSampler(4, 1, epochs=1, batch_size=4, steps=2)
        sampler.fit(codes, np.tile(["a", "b"], 20))
    return image_generator(autoencoder, sampler)


def made(labels, channels=1):
    """A generator without a flow: the decoder is given noise."""
    decoder = conv_autoencoder(image_shape=(8, 10, channels), **TINY).decoder
    noise, index = keras.Input((3,)), keras.Input((), dtype="int32")
    shares = [1 / len(labels)] * len(labels)
    one_hot = ClassLabels(labels, shares, name="classes")(index)
    shift = keras.layers.Dense(3)(one_hot)
    return keras.Model([noise, index], decoder(noise + shift))


@pytest.mark.slow
def test_images_and_labels(generator):
    images, labels = generate(generator, 7, seed=2)
    assert images.shape == (7, 8, 10, 1) and images.dtype == "float32"
    assert 0 <= images.min() < images.max() <= 1 and set(labels) == {"a", "b"}
    again, _ = generate(generator, 7, seed=2)
    np.testing.assert_array_equal(images, again)
    assert (images != generate(generator, 7, seed=3)[0]).any()


def test_a_saved_generator(generator, tmp_path):
    generator.save(tmp_path / "generator.keras")
    loaded = load_model(tmp_path / "generator.keras")
    assert is_generator(loaded)
    for one, other in zip(generate(generator, 5), generate(loaded, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_has_a_png_an_image(generator, tmp_path):
    paths, labels = write_generated(generator, tmp_path / "out", 12, seed=1)
    assert [path.name for path in paths] == [
        f"{i:04}_{label}.png" for i, label in enumerate(labels)
    ]
    images, expected = generate(generator, 12, seed=1)
    assert labels == expected.tolist()
    for path, image in zip(paths, images, strict=True):
        found = np.asarray(Image.open(path))
        np.testing.assert_array_equal(found, np.round(255 * image[..., 0]))


def test_one_label(generator, tmp_path):
    paths, labels = write_generated(generator, tmp_path / "out", 3, label="b")
    assert labels == ["b"] * 3 and paths[0].name == "0000_b.png"


@pytest.mark.static
def test_a_label_that_is_a_number(tmp_path):
    numbers = made([3, 7])
    assert write_generated(numbers, tmp_path / "a.png", 2, label="7")[1] == [7, 7]
    with pytest.raises(ValueError, match=r"`label` must be one of \[3, 7\].*'5'"):
        write_generated(numbers, tmp_path / "b.png", 2, label="5")


@pytest.mark.static
def test_a_class_called_none_is_one_of_several(tmp_path):
    _, labels = write_generated(made(("None", "Some")), tmp_path / "a.png", 20)
    assert {*labels} == {"None", "Some"}
    _, labels = write_generated(made(("None", "Some")), tmp_path / "b.png", 2, "None")
    assert labels == ["None"] * 2


@pytest.mark.static
def test_labels_that_are_no_names_of_files(tmp_path):
    """As in an untrusted model."""
    paths, _ = write_generated(made(["../a", "b"]), tmp_path / "out", 9)
    assert {path.parent for path in paths} == {tmp_path / "out"}
    assert [path.name for path in paths[:2]] == ["0000.png", "0001.png"]


@pytest.mark.static
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_a_grid(channels, tmp_path):
    colored = made([0], channels)
    for name in ("grid.png", "grid.JPG", "grid.webp"):
        assert write_generated(colored, tmp_path / name, 5)[0] == [tmp_path / name]
        grid = Image.open(tmp_path / name)
        assert grid.size == (3 * 10, 2 * 8)  # the last place stays black
        assert np.asarray(grid)[8:, 22:].max() <= 30
        assert np.asarray(grid)[:8].max() > 40


@pytest.mark.parametrize("name", ["grid.gif", "grid.PDF", "a.txt", "b.csv", "c.mp4"])
def test_pictures_of_other_kinds(name, generator, tmp_path):
    with pytest.raises(ValueError, match="must be a folder, or end in one of"):
        write_generated(generator, tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(generator, tmp_path):
    path = tmp_path / "grid.png"
    write_generated(generator, path, 4)
    before = path.read_bytes()
    with pytest.warns(UserWarning, match="1 of 1 files were there already"):
        write_generated(generator, path, 4)
    with pytest.raises(ValueError, match="which is another"):
        write_generated(generator, path, 4, seed=1)
    assert path.read_bytes() == before
    write_generated(generator, path, 4, seed=1, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("count", [0, -3, 2.5, True])
def test_count_is_a_positive_int(count, generator, tmp_path):
    with pytest.raises(ValueError, match="`count` must be a positive int"):
        write_generated(generator, tmp_path / "out", count)
    assert not (tmp_path / "out").exists()


@pytest.mark.static
def test_a_decoder_of_other_codes():
    sampler = SimpleNamespace(model=SimpleNamespace(output=keras.Input((5,))))
    autoencoder = conv_autoencoder("keras", filters=(2,), code_filters=())
    with pytest.raises(ValueError, match=r"`sampler` must draw codes of .*\(5,\)"):
        image_generator(autoencoder, sampler)
    other = {"filters": (2,), "code_filters": (), "output_range": (-1, 1)}
    autoencoder = conv_autoencoder(latent_dim=5, **other)
    with pytest.raises(ValueError, match=r"must work in \(0, 1\). Received: \(-1, 1\)"):
        image_generator(autoencoder, sampler)


def test_folders_with_a_dot(generator, tmp_path):
    """And one that looks like a file, if it is there."""
    (tmp_path / "old.run").mkdir()
    for name in ("digits_0.5", "digits.v2", "old.run"):
        paths, _ = write_generated(generator, tmp_path / name, 2)
        assert [path.parent.name for path in paths] == [name] * 2
