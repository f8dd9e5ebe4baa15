"""Files are complete or absent; models and networks are told apart by hashes."""

import errno
import hashlib
import os
import zipfile

import keras
import numpy as np
import pytest
from helpers import use_policy

from convae_keras import saving
from convae_keras.compression.models import conv_codec
from convae_keras.models import Autoencoder, conv_autoencoder
from convae_keras.restorers import restorer
from convae_keras.saving import (
    architecture_hash,
    atomic_write,
    fingerprint,
    load_model,
    locked,
    read_json,
    save_small,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def small(**switches):
    options = {"image_shape": (8, 8, 1), "filters": (4,), "latent_dim": 64, "seed": 0}
    return conv_autoencoder("keras", **{**options, **switches})


# --- files -------------------------------------------------------------------


def test_atomic_write(tmp_path):
    path = tmp_path / "notes.txt"
    for text in ("first", "second"):
        with atomic_write(str(path)) as temporary:
            temporary.write_text(text)
            assert temporary.suffix == ".txt" and temporary.parent == tmp_path
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text and names(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_exception_leaves_the_old_file(error, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error("stopped")
    assert path.read_text() == "old" and names(tmp_path) == ["notes.txt"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere.*notes.txt could not be written"):
        with atomic_write(tmp_path / "nowhere" / "notes.txt") as temporary:
            temporary.write_text("lost")


@pytest.mark.static
def test_no_file_of_the_users_is_touched(tmp_path):
    """Nor is any written through a link: names are drawn, and must be new."""
    seen = []
    for _ in range(2):
        with atomic_write(tmp_path / "a.png") as temporary:
            seen.append(temporary)
            assert not os.path.islink(temporary) and temporary.name.startswith(".")
    assert len({*seen}) == 2
    planted = [tmp_path / ".a.part.png", tmp_path / ".000.part.png"]
    (tmp_path / "victim").write_text("precious")
    planted[0].symlink_to(tmp_path / "victim")
    planted[1].write_text("precious")
    with atomic_write(tmp_path / "a.png") as temporary:
        temporary.write_text("new")
    assert all(path.read_text() == "precious" for path in planted)


@pytest.mark.static
def test_a_name_that_is_taken_is_not_written_through(tmp_path, monkeypatch):
    monkeypatch.setattr(saving.secrets, "token_hex", lambda count: "0" * 16)
    (tmp_path / "victim").write_text("precious")
    planted = tmp_path / f".convae-{'0' * 16}.part.txt"
    planted.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="a.txt could not be written: File exists"):
        with atomic_write(tmp_path / "a.txt"):
            pytest.fail("written")
    assert planted.is_symlink() and planted.read_text() == "precious"


@pytest.mark.static
@pytest.mark.parametrize("name", ["n" * 251 + ".png", "é" * 125 + ".json", "n" * 255])
def test_the_longest_names(name, tmp_path):
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("complete")
    assert names(tmp_path) == [name]


@pytest.mark.static
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_stays(links, tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EOPNOTSUPP, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="a.txt could not be written: File exists") as e:
        with atomic_write(path, overwrite=False) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")
    assert e.value.errno == errno.EEXIST
    assert path.read_text() == "theirs" and names(tmp_path) == ["a.txt"]
    with atomic_write(tmp_path / "b.txt", overwrite=False) as temporary:
        temporary.write_text("ours")
    assert names(tmp_path) == ["a.txt", "b.txt"]


@pytest.mark.static
def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "a.txt"):
        pass
    modes = [(tmp_path / name).stat().st_mode for name in ("usual", "a.txt")]
    assert modes[0] == modes[1]


# --- locks -------------------------------------------------------------------


@pytest.mark.static
@pytest.mark.parametrize("name", ["", "a.png"])
def test_a_second_writer_is_refused(name, tmp_path):
    folder = tmp_path / "on the way" / "out"
    with locked(folder, name):
        with pytest.raises(ValueError, match=f"another process .*out.*{name}"):
            with locked(folder, name):
                pytest.fail("two writers")
        with locked(folder, "b.png"), locked(tmp_path / "other"):
            (folder / "b.png").touch()
    with locked(folder, name):
        pass
    assert names(folder) == ["b.png"]


@pytest.mark.static
def test_a_folder_that_stays_empty_is_deleted_if_it_is_new(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        with pytest.raises(KeyError), locked(tmp_path / name):
            raise KeyError
    assert names(tmp_path) == ["old"]


@pytest.mark.static
def test_a_dead_process_keeps_nobody_out(tmp_path):
    dead = saving._open_lock(tmp_path / ".convae.lock")
    with pytest.raises(ValueError, match="another process"), locked(tmp_path):
        pass
    os.close(dead)  # as the system does for it; the file stays
    assert names(tmp_path) == [".convae.lock"]
    with locked(tmp_path):
        pass
    assert names(tmp_path) == []


@pytest.mark.static
def test_a_lock_harms_no_file_of_the_users(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".convae.lock").write_text("precious")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".convae.lock").symlink_to(tmp_path / "a" / ".convae.lock")
    with locked(tmp_path / "a"):
        pass
    with pytest.raises(ValueError, match="must be where"), locked(tmp_path / "b"):
        pass
    assert (tmp_path / "b" / ".convae.lock").read_text() == "precious"


@pytest.mark.static
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(saving.fcntl, "flock", no_locks)
    with locked(tmp_path):
        (tmp_path / "a").touch()
    assert names(tmp_path) == ["a"]


@pytest.mark.static
@pytest.mark.parametrize("folder", ["file/run", "x" * 300])
def test_a_folder_that_cannot_be_made(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be where"), locked(tmp_path / folder):
        pass


# --- JSON --------------------------------------------------------------------


def test_json(tmp_path):
    value = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert read_json(tmp_path / "x.json") == value and names(tmp_path) == ["x.json"]


@pytest.mark.parametrize("content", [None, "", "{", '{"a": ', "[]", "3", "[" * 100_000])
def test_broken_json_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match="x.json"):
        read_json(tmp_path / "x.json")


# --- models ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.static
@pytest.mark.parametrize(
    "trained, opened", [("float32", "mixed_float16"), ("mixed_float16", "float32")]
)
def test_a_model_is_loaded_as_it_was_trained(trained, opened, tmp_path):
    """Whatever the policy is by then: in half precision an optimizer has more state."""
    use_policy(trained)
    model, x = small(), np.zeros((4, 8, 8, 1), "float32")
    model.compile("adam", "mse")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "model.keras")
    use_policy(opened)
    loaded = load_model(tmp_path / "model.keras")
    assert keras.config.dtype_policy().name == opened
    assert loaded.dtype_policy.name == trained
    assert type(loaded.optimizer) is type(model.optimizer)
    loaded.compile("adam", "mse")  # as `train` does; half precision scales the loss
    assert type(loaded.optimizer) is type(model.optimizer)


def test_save_small(tmp_path):
    model = small()
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    x = np.random.default_rng(0).random((2, 8, 8, 1), "float32")
    before = model.get_weights()
    path = tmp_path / "small.keras"
    sha256 = save_small(model, path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert names(tmp_path) == ["small.keras"]
    # The model itself stays as it is.
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    loaded = load_model(path, sha256)
    assert isinstance(loaded, Autoencoder) and not loaded.compiled
    for weight, expected in zip(loaded.get_weights(), before, strict=True):
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight, expected.astype("float16"))
    np.testing.assert_allclose(loaded(x), model(x), atol=2e-3)
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
    assert {member.compress_type for member in members} == {zipfile.ZIP_LZMA}
    model.save(tmp_path / "large.keras")
    assert path.stat().st_size < (tmp_path / "large.keras").stat().st_size / 2.5


def test_save_small_keeps_integers(tmp_path):
    """The tables of a codec count up to more than float16 can."""
    codec = conv_codec((8, 8, 1), filters=(2,), code_filters=(2,), latent_dim=2)
    counts = np.arange(100_000, 100_000 + codec.tables.code_table.shape[-1])
    codec.tables.code_table.assign(counts + 0 * np.asarray(codec.tables.code_table))
    save_small(codec, tmp_path / "codec.keras")
    found = np.asarray(load_model(tmp_path / "codec.keras").tables.code_table)
    assert found.dtype == "int32" and (found == counts).all()


def test_load_model_checks_the_file(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(ValueError, match="No such file: .*model.keras"):
        load_model(path)
    sha256 = save_small(small(), path)
    with pytest.raises(ValueError, match=f"model.keras.*{'0' * 64}.*{sha256}"):
        load_model(path, "0" * 64)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="model.keras"):
        load_model(path)
    with pytest.raises(ValueError, match=sha256):
        load_model(path, sha256)


def test_fingerprint():
    model, same, other = small(), small(), small(seed=1)
    assert len(fingerprint(model)) == 64
    assert fingerprint(model) == fingerprint(same) != fingerprint(other)
    same.set_weights([w + (w == w.max()) for w in same.get_weights()])
    assert fingerprint(model) != fingerprint(same)


# --- networks ----------------------------------------------------------------


@pytest.mark.float32  # the dtype of the layers is part of the network
@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda: conv_autoencoder("keras"), "96f4769fda38706f"),
        (lambda: conv_autoencoder("reference"), "e72c93e8a880f336"),
        (lambda: restorer(scale=2, residual=True), "6118589031a691af"),
        (conv_codec, "7f7ffc165131a5bf"),
    ],
    ids=["keras", "reference", "restorer", "codec"],
)
def test_networks_of_older_run_folders_keep_their_hash(build, expected):
    """Computed before classes moved and were renamed; runs store them."""
    assert architecture_hash(build()) == expected


def test_every_argument_changes_the_hash():
    switches = [
        {},
        {"pooling": "average"},
        {"filters": (5,)},
        {"upsampling": "bilinear"},
        {"image_shape": (7, 8, 1)},
    ]
    hashes = [architecture_hash(small(**each)) for each in switches]
    assert len(set(hashes)) == len(switches)


def test_weights_names_and_compilation_do_not_change_the_hash():
    def unnamed():
        inputs = keras.Input((8, 8, 1))
        return keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))

    first, second = unnamed(), unnamed()
    assert first.layers[1].name != second.layers[1].name
    second.compile("adam", "mse")
    assert architecture_hash(first) == architecture_hash(second)


def test_a_class_may_move_without_changing_the_hash(monkeypatch):
    expected = architecture_hash(small())
    for kind in (Autoencoder, type(small().decoder.get_layer("pixels"))):
        monkeypatch.setattr(kind, "__module__", "convae_keras.elsewhere")
    assert architecture_hash(small()) == expected
