"""Features of files: written whole or not at all, read back, and searched."""

import json
import os
import shutil
import tempfile
import tracemalloc
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from convae_keras.data import image_files as files
from convae_keras.features import encode
from convae_keras.files import batches
from convae_keras.files import search as module
from convae_keras.files.search import encode_files, load_features, search
from convae_keras.models import conv_autoencoder
from convae_keras.pretrained import load_pretrained
from convae_keras.restorers import restorer
from convae_keras.saving import fingerprint

CODE = {"filters": (2, 4), "code_filters": ()}


def network(channels=1, seed=0, size=(9, 12)):
    options = {"image_shape": (*size, channels), "seed": seed, **CODE}
    return conv_autoencoder("reference", latent_dim=5, **options)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 12), "uint8")


@pytest.fixture
def folder(pixels, tmp_path):
    """`0.png` to `6.png`, the last two in a subfolder."""
    (tmp_path / "in/below").mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(
            tmp_path / "in" / ("below" if i > 4 else "") / f"{i}.png"
        )
    return tmp_path / "in"


# --- encode_files ------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_the_file_holds_what_encode_gives(
    batch_size, model, pixels, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(batches, "BATCH_SIZE", batch_size)
    path = tmp_path / "on the way/features.npz"
    names, skipped = encode_files(model, folder, path)
    order = [*(f"{i}.png" for i in range(5)), "below/5.png", "below/6.png"]
    assert names == order and skipped == {}
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["about", "features", "names"]
        features = file["features"]
        assert file["names"].tolist() == order
        about = json.loads(str(file["about"]))
    assert features.dtype == "float32"
    np.testing.assert_allclose(features, encode(model, pixels), atol=1e-5)
    made_by = {"model": fingerprint(model), "layer": None, "pooling": None}
    assert about == made_by | {"fit": "crop", "white": None, "background": None}
    found = load_features(path, model)
    np.testing.assert_array_equal(found[0], features)
    assert found[1:] == (order, about)
    assert [*tmp_path.glob("on the way/*")] == [path]


def test_one_image_and_another_layer(model, pixels, folder, tmp_path):
    options = {"layer": "pool_1", "pooling": "max"}
    path = tmp_path / "features.npz"
    assert encode_files(model, folder / "below/6.png", path, **options)[0] == ["6.png"]
    features, _, about = load_features(path, model)
    np.testing.assert_allclose(
        features, encode(model, pixels[6:], **options), atol=1e-5
    )
    assert about.items() >= options.items()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_and_kind(channels, pixels, tmp_path):
    """Each is converted to what the model takes, as by `read_folder`."""
    color = np.random.default_rng(1).integers(0, 256, (20, 16, 3), "uint8")
    image = Image.fromarray(color)
    image.save(tmp_path / "a.png")
    fitted = {
        "crop": image.crop((0, 4, 16, 16)).resize((12, 9), Image.Resampling.LANCZOS),
        "pad": None,
    }
    model = network(channels)
    codes = {}
    for fit in fitted:
        encode_files(model, tmp_path / "a.png", tmp_path / f"{fit}.npz", fit=fit)
        codes[fit] = load_features(tmp_path / f"{fit}.npz", model)[0]
    grey_or_color = fitted["crop"].convert("L" if channels == 1 else "RGB")
    expected = encode(model, np.asarray(grey_or_color)[np.newaxis])
    np.testing.assert_allclose(codes["crop"], expected, atol=0.02)
    assert np.abs(codes["pad"] - expected).max() > 0.02


def test_broken_images_are_skipped_and_named(model, pixels, folder, tmp_path):
    (folder / "3.png").write_bytes(b"hello")
    with pytest.warns(UserWarning, match=r"Skipped 1 of 7 files in .*3\.png \(not one"):
        names, skipped = encode_files(model, folder, tmp_path / "features.npz")
    assert skipped.keys() == {"3.png"} and "3.png" not in names
    features = load_features(tmp_path / "features.npz", model)[0]
    expected = encode(model, np.delete(pixels, 3, axis=0))
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_only_broken_images(model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"hello")
    with pytest.raises(ValueError, match="`source` must be .* Skipped 1 of 1"):
        encode_files(model, tmp_path / "in", tmp_path / "features.npz")
    assert not (tmp_path / "features.npz").exists()


@pytest.mark.slow
@pytest.mark.static
def test_memory_does_not_grow_with_the_images(folder, tmp_path, monkeypatch):
    """Fifty times as many: only names and features are kept."""
    monkeypatch.setattr(batches, "BATCH_SIZE", 12)
    model, image = network(size=(54, 72)), np.zeros((54, 72, 1), "uint8")
    monkeypatch.setattr(batches, "read_image", lambda *_, **__: (image, None))
    path = tmp_path / "features.npz"
    peaks = []
    for count in (600, 12, 600):  # the first run allocates what is kept
        names = [f"{i:04}.png" for i in range(count)]
        monkeypatch.setattr(files, "image_paths", lambda _, found=names: (found, {}))
        tracemalloc.start()
        encode_files(model, folder, path, overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(load_features(path, model)[1]) == count
    assert peaks[2] - peaks[1] < 588 * image.nbytes / 4


def test_nothing_is_overwritten_by_default(model, folder, tmp_path):
    path = tmp_path / "features.npz"
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match="`destination` must be files"):
        encode_files(model, folder, path)
    assert path.read_bytes() == b"mine"
    encode_files(model, folder, path, overwrite=True)
    assert len(load_features(path, model)[1]) == 7


def test_an_interrupted_write_leaves_what_was_there(
    model, folder, tmp_path, monkeypatch
):
    path = tmp_path / "features.npz"
    path.write_bytes(b"mine")

    def fails(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fails)
    with pytest.raises(OSError, match="features.npz could not be written: no space"):
        encode_files(model, folder, path, overwrite=True)
    assert path.read_bytes() == b"mine"
    assert [*tmp_path.glob("*.npz")] == [path]


def test_a_destination_that_cannot_be_written(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(batches, "in_threads", lambda *_: pytest.fail("long work"))
    with pytest.raises(ValueError, match="Cannot write to '.*': permission denied"):
        encode_files(model, folder, tmp_path / "on the way/features.npz")


@pytest.mark.parametrize(
    "source, destination, options, said",
    [
        ("", "a.npz", {}, "`source` must be a path"),
        ("in", "", {}, "`destination` must be a path"),
        ("nowhere", "a.npz", {}, "No such file: nowhere"),
        ("empty", "a.npz", {}, "`source` must be a folder with images"),
        ("in", "a.txt", {}, "`destination` must be a name like features.npz"),
        ("in", "folder.npz", {}, "`destination` must be a name like features.npz"),
        ("in", "a.npz", {"fit": "stretch"}, "`fit` must be"),
        ("in", "a.npz", {"layer": "conv"}, "`layer` must be"),
        ("in", "a.npz", {"pooling": "sum"}, "`pooling` must be"),
    ],
)
def test_bad_input(
    source, destination, options, said, model, folder, tmp_path, monkeypatch
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(batches, "in_threads", lambda *_: pytest.fail("long work"))
    with pytest.raises(ValueError, match=said):
        encode_files(model, source, destination, **options)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("shape", [(None, None, 1), (9, 12, 2)])
def test_a_model_that_takes_no_images_of_one_size(shape, folder, tmp_path):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3)(inputs))
    with pytest.raises(ValueError, match="`model` must"):
        encode_files(model, folder, tmp_path / "a.npz", pooling="max")


def test_a_model_of_sequences(folder, tmp_path):
    inputs = keras.Input((12, 1))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="`model` must .* Received: .* 12 x 1"):
        encode_files(model, folder, tmp_path / "a.npz")


def test_a_restorer_is_no_encoder(folder, tmp_path):
    with pytest.raises(ValueError, match="`model` must"):
        encode_files(restorer(filters=(4, 8)), folder, tmp_path / "a.npz")


def test_a_second_writer_is_refused(model, folder, tmp_path, monkeypatch):
    path, work, second = tmp_path / "features.npz", module._encode, []

    def meanwhile(*arguments, **options):
        if not second:
            second.append(True)
            with pytest.raises(ValueError, match="another process .*features.npz"):
                encode_files(model, folder, path)
        return work(*arguments, **options)

    monkeypatch.setattr(module, "_encode", meanwhile)
    assert len(encode_files(model, folder, path)[0]) == 7
    assert [*tmp_path.glob(".*")] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has names of characters only")
def test_names_that_are_not_utf_8(model, folder, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (folder / "0.png").rename(folder / name)
    except OSError:
        pytest.skip("a file system of UTF-8")
    names, _ = encode_files(model, folder, tmp_path / "features.npz")
    assert name in names and load_features(tmp_path / "features.npz", model)[1] == names
    shutil.copy(folder / name, tmp_path / "query.png")
    for where in (folder, tmp_path / "features.npz"):
        assert search(model, where, tmp_path / "query.png", 1)[0][0] == name


# --- load_features -----------------------------------------------------------


def test_features_of_another_model(model, folder, tmp_path):
    encode_files(model, folder, tmp_path / "features.npz")
    other = network(seed=1)
    with pytest.raises(ValueError, match="features of this model") as error:
        load_features(tmp_path / "features.npz", other)
    assert fingerprint(model)[:12] in str(error.value)
    assert fingerprint(other)[:12] in str(error.value)


def test_files_of_another_kind(model, folder, tmp_path):
    path = tmp_path / "features.npz"
    said = "Expected a file that `convae encode` wrote"
    with pytest.raises(ValueError, match=said):
        load_features(path, model)
    np.savez(path, features=np.zeros((2, 5)), names=["a"], about="{}")
    with pytest.raises(ValueError, match=said):
        load_features(path, model)
    path.unlink()
    encode_files(model, folder, path)
    whole = path.read_bytes()
    for damaged in (b"", b"hello", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=said):
            load_features(path, model)


def test_a_file_that_an_earlier_version_wrote(tmp_path):
    fixtures = Path(__file__).parents[1] / "fixtures"
    reference, path = load_pretrained("reference"), fixtures / "features.npz"
    features, names, about = load_features(path, reference)
    assert names == ["5.png", "6.png", "7.png"] and about["fit"] == "crop"
    pixels = [np.asarray(Image.open(fixtures / "features" / name)) for name in names]
    expected = encode(reference, np.stack(pixels))
    np.testing.assert_allclose(features, expected, atol=1e-4)
    copy = shutil.copy(fixtures / "features" / "6.png", tmp_path / "another.png")
    found = search(reference, path, copy, 1)
    assert found == [("6.png", pytest.approx(0, abs=2e-3))]


@pytest.mark.parametrize(
    "features, names",
    [
        (np.full((2, 5), np.nan, "float32"), ["a", "b"]),
        (np.zeros((2, 4), "float32"), ["a", "b"]),
        (np.zeros((2, 5), "float32"), ["a"]),
        (np.zeros((0, 5), "float32"), []),
    ],
    ids=["no numbers", "another width", "a name missing", "none"],
)
def test_features_that_do_not_fit(features, names, model, folder, tmp_path):
    path = tmp_path / "features.npz"
    encode_files(model, folder, path)
    with np.load(path) as file:
        about = file["about"]
    np.savez(path, features=features, names=np.array(names, "U1"), about=about)
    with pytest.raises(ValueError, match=r"features\.npz' must be finite"):
        load_features(path, model)


@pytest.mark.parametrize(
    "change",
    [
        {"fit": "stretch"},
        {"fit": None},
        {"layer": 3},
        {"layer": "nothing"},
        {"pooling": "sum"},
        {"pooling": ["max"]},
        {"white": -1},
        {"white": "high"},
        {"background": "no color"},
        {"background": 3},
        {"model": None},
        {"model": 10**100},
    ],
)
def test_settings_that_do_not_fit(change, model, folder, tmp_path):
    path = tmp_path / "features.npz"
    encode_files(model, folder, path)
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"])) | change
    np.savez(path, **(arrays | {"about": json.dumps(about)}))
    with pytest.raises(ValueError, match=r"features\.npz"):
        load_features(path, model)


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.zeros((7, 0), "U1")},
        {"names": np.zeros(7)},
        {"names": np.array("a")},
        {"features": np.zeros((7, 5), complex)},
        {"features": np.zeros((7, 5), "U1")},
        {"features": np.float32(1)},
        {"about": np.zeros(3)},
    ],
)
def test_arrays_of_another_kind(change, model, folder, tmp_path):
    path = tmp_path / "features.npz"
    encode_files(model, folder, path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=r"features\.npz"):
        load_features(path, model)


# --- search ------------------------------------------------------------------


@pytest.mark.parametrize("from_file", [False, True])
def test_search(from_file, model, pixels, folder, tmp_path):
    where = folder
    if from_file:
        where = tmp_path / "features.npz"
        encode_files(model, folder, where)
    query = folder / "below/5.png"
    codes = encode(model, pixels)
    distances = np.linalg.norm(codes - codes[5], axis=1)
    order = np.argsort(distances)[1:]  # without itself
    found = search(model, where, query, count=4)
    assert [name for name, _ in found] == [
        f"below/{i}.png" if i > 4 else f"{i}.png" for i in order[:4]
    ]
    np.testing.assert_allclose([d for _, d in found], distances[order[:4]], 1e-3)
    assert len(search(model, where, query, count=100)) == 6


@pytest.mark.parametrize("from_file", [False, True])
def test_a_copy_of_the_query_is_found(from_file, model, pixels, folder, tmp_path):
    """As is a file of its name that shows something else."""
    Image.fromarray(pixels[0]).save(folder / "copy.png")
    where = folder
    if from_file:
        where = tmp_path / "features.npz"
        encode_files(model, folder, where)
    found = search(model, where, folder / "0.png", count=1)
    assert found == [("copy.png", pytest.approx(0, abs=2e-3))]
    (tmp_path / "elsewhere").mkdir()
    query = tmp_path / "elsewhere" / "1.png"
    Image.fromarray(pixels[0]).save(query)
    names = [name for name, _ in search(model, where, query, count=100)]
    assert names[:2] == ["0.png", "copy.png"] and "1.png" in names


@pytest.mark.parametrize("way", ["in/below/../0.png", "link.png"])
def test_the_query_by_another_way(way, model, folder, tmp_path):
    (tmp_path / "link.png").symlink_to(folder / "0.png")
    names = [name for name, _ in search(model, folder, tmp_path / way, count=100)]
    assert "0.png" not in names and len(names) == 6


@pytest.mark.parametrize("from_file", [False, True])
def test_search_writes_nothing_and_hashes_at_most_once(
    from_file, model, folder, tmp_path, monkeypatch
):
    where, hashed = folder, []
    if from_file:
        where = tmp_path / "features.npz"
        encode_files(model, folder, where)

    def count(model):
        hashed.append(model)
        return fingerprint(model)

    monkeypatch.setattr(module, "fingerprint", count)
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_, **__: pytest.fail("a file"))
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *_, **__: pytest.fail("a folder"))
    monkeypatch.setattr(np, "savez", lambda *_, **__: pytest.fail("a file"))
    assert len(search(model, where, folder / "0.png", 1)) == 1
    assert len(hashed) == from_file


def test_equally_near_images_have_one_order(model, pixels, folder, tmp_path):
    for i in range(12):
        Image.fromarray(pixels[0]).save(folder / f"same_{i:02}.png")
    names = [name for name, _ in search(model, folder, folder / "0.png", 13)]
    assert names[:12] == [f"same_{i:02}.png" for i in range(12)]
    for count in (1, 3, 7):
        found = search(model, folder, folder / "0.png", count)
        assert [name for name, _ in found] == names[:count]


def test_search_sees_the_query_as_it_saw_the_folder(model, folder, tmp_path):
    wide = np.random.default_rng(2).integers(0, 256, (9, 40), "uint8")
    for name in (folder / "wide.png", tmp_path / "query.png"):
        Image.fromarray(wide).save(name)
    path = tmp_path / "features.npz"
    encode_files(model, folder, path, "pool_1", "average", fit="pad")
    found = search(model, path, tmp_path / "query.png", 1)
    assert found == [("wide.png", pytest.approx(0, abs=1e-3))]


@pytest.mark.parametrize(
    "where, query, count, said",
    [
        ("in", "nowhere.png", 1, "`query` must be an image"),
        ("in", "in", 1, "`query` must be an image"),
        ("nowhere", "in/0.png", 1, "`where` must be a folder"),
        ("in/0.png", "in/0.png", 1, "Expected a file that `convae encode` wrote"),
        ("in", "in/0.png", 0, "`count` must be a positive int"),
        ("in", "broken.png", 1, "`query` must be .*broken.png"),
    ],
)
def test_bad_searches(where, query, count, said, model, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"hello")
    with pytest.raises(ValueError, match=said), warnings.catch_warnings():
        search(model, where, query, count)
