"""Image files in a `.cae` file: unchanged, or refused by name."""

import errno
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

from convae_cli.main import main
from convae_keras import load_pretrained
from convae_keras.compression import container
from convae_keras.compression.bitstream import fit_tables, pack
from convae_keras.compression.container import Block, InvalidFile, write_container
from convae_keras.compression.models import conv_codec
from convae_keras.files import archive, batches
from convae_keras.files.archive import compress, decompress, describe
from convae_keras.saving import fingerprint

pytestmark = pytest.mark.float32  # a codec is never in half precision

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def pictures(digits, tmp_path):
    """A folder with ten digits, one in a subfolder, one as a JPEG."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for i in range(10):
        path = folder / ("more" if i == 3 else "") / f"{i}.{'jpg' if i == 5 else 'png'}"
        Image.fromarray(digits.x_test[i, ..., 0]).save(path)
    return folder


def read_all(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    return dict(zip(names, (np.asarray(Image.open(p)) for p in paths), strict=True))


def test_a_folder_lossless(codec, pictures, tmp_path):
    count, skipped = compress(codec, pictures, tmp_path / "a.cae", lossless=True)
    assert (count, skipped) == (10, {})
    assert decompress(codec, tmp_path / "a.cae", tmp_path / "out") == (10, {})
    before, after = read_all(pictures), read_all(tmp_path / "out")
    assert before.keys() == after.keys() and "more/3" in after
    for name, image in before.items():
        np.testing.assert_array_equal(after[name], image)
    assert not [*tmp_path.rglob(".*")]


def test_an_array(codec, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 64)
    np.save(tmp_path / "x.npy", digits.x_test[:200, ..., 0])
    compress(codec, tmp_path / "x.npy", tmp_path / "a.cae", lossless=True)
    compress(codec, tmp_path / "x.npy", tmp_path / "b.cae")
    decompress(codec, tmp_path / "a.cae", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), digits.x_test[:200])
    decompress(codec, tmp_path / "b.cae", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir())[:2] == [
        "000.png",
        "001.png",
    ]
    sizes = [(tmp_path / f"{name}.cae").stat().st_size for name in "ab"]
    assert sizes[1] < sizes[0] / 5
    found = describe(tmp_path / "b.cae")
    assert found["shapes"] == {"28 x 28 x 1": 200} and found["blocks"] == 4
    assert found["bytes_per_image"] == sizes[1] / 200
    assert found["names"] is None and found["mode"] == "lossy"
    assert fingerprint(codec).startswith(found["model"])


def test_skipped_images_are_named(codec, pictures, tmp_path):
    Image.new("L", (30, 28)).save(pictures / "wide.png")
    Image.new("RGB", (28, 28)).save(pictures / "red.png")
    Image.new("LA", (28, 28)).save(pictures / "clear.png")
    (pictures / "broken.png").write_bytes(b"no image")
    pages = [Image.new("L", (28, 28), value) for value in (0, 99)]
    pages[0].save(pictures / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="Skipped 5 of 15 files") as caught:
        count, skipped = compress(codec, pictures, tmp_path / "a.cae", lossless=True)
    # JAX has warnings of its own.
    ours = [w for w in caught if "Skipped" in str(w.message)]
    assert count == 10 and len(ours) == 1
    assert skipped["wide.png"] == "30 x 28, not 28 x 28 (width x height)"
    assert "mode RGB" in skipped["red.png"] and "mode LA" in skipped["clear.png"]
    assert "several pages" in skipped["pages.tif"]
    with pytest.warns(UserWarning, match="Skipped 2 of 15"):
        compress(codec, pictures, tmp_path / "b.cae")  # color becomes gray
    decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    assert len(read_all(tmp_path / "out")) == 10


def test_images_of_other_channels_are_skipped(tmp_path):
    """A codec of two channels takes grayscale images with transparency alone."""
    folder, random = tmp_path / "in", np.random.RandomState(0)
    folder.mkdir()
    pixels = random.randint(256, size=(3, 28, 28, 2)).astype("uint8")
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i}.png")
    Image.new("L", (28, 28)).save(folder / "gray.png")
    sizes = {"filters": (4,), "code_filters": (4,), "latent_dim": 4}
    codec = conv_codec(image_shape=(28, 28, 2), **sizes)
    fit_tables(codec, pixels)
    with pytest.warns(UserWarning, match="Skipped 1 of 4"):
        count, skipped = compress(codec, folder, tmp_path / "a.cae")
    assert (count, skipped) == (3, {"gray.png": "mode L, not one of 2 channels"})


def test_a_picture_of_more_pixels_than_a_file_takes(photo_codec, tmp_path, monkeypatch):
    """It is skipped before the work: of the others nothing is lost."""
    for module in (container, batches):
        monkeypatch.setattr(module, "MAX_PIXELS", 400)
    (tmp_path / "in").mkdir()
    for side in (16, 20, 21):
        Image.new("RGB", (side, side)).save(tmp_path / "in" / f"{side}.png")
    with pytest.warns(UserWarning, match="Skipped 1 of 3"):
        count, skipped = compress(photo_codec, tmp_path / "in", tmp_path / "a.cae")
    assert count == 2 and [*skipped] == ["21.png"]
    assert "more than the 400 pixels" in skipped["21.png"]


def test_many_sizes(photo_codec, tmp_path):
    folder, random = tmp_path / "in", np.random.RandomState(0)
    folder.mkdir()
    for i, size in enumerate([(9, 5), (20, 31), (9, 5), (1, 1)]):
        pixels = random.randint(256, size=(*size, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")
    compress(photo_codec, folder, tmp_path / "a.cae", lossless=True)
    assert describe(tmp_path / "a.cae")["blocks"] == 3
    decompress(photo_codec, tmp_path / "a.cae", tmp_path / "out")
    before, after = read_all(folder), read_all(tmp_path / "out")
    for name, image in before.items():
        np.testing.assert_array_equal(after[name], image)
    with pytest.raises(ValueError, match="`destination`.* 3 sizes"):
        decompress(photo_codec, tmp_path / "a.cae", tmp_path / "out.npy")


def test_the_message_names_both_models(codec, pictures, tmp_path):
    compress(codec, pictures, tmp_path / "a.cae")
    other = conv_codec(seed=9)
    with pytest.raises(ValueError) as error:
        decompress(other, tmp_path / "a.cae", tmp_path / "out")
    assert fingerprint(codec)[:12] in str(error.value)
    assert fingerprint(other)[:12] in str(error.value)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_without_overwrite(codec, pictures, tmp_path):
    compress(codec, pictures, tmp_path / "a.cae")
    with pytest.raises(ValueError, match="overwrite"):
        compress(codec, pictures, tmp_path / "a.cae")
    compress(codec, pictures, tmp_path / "a.cae", overwrite=True)
    for name in ("out", "x.npy"):
        decompress(codec, tmp_path / "a.cae", tmp_path / name)
    (tmp_path / "out" / "more" / "3.png").write_text("precious")
    for name in ("out", "x.npy"):
        with pytest.raises(ValueError, match="overwrite"):
            decompress(codec, tmp_path / "a.cae", tmp_path / name)
    assert (tmp_path / "out" / "more" / "3.png").read_text() == "precious"
    for name in ("out", "x.npy"):
        found = decompress(codec, tmp_path / "a.cae", tmp_path / name, overwrite=True)
        assert found == (10, {})
    assert "more/3" in read_all(tmp_path / "out")


@pytest.mark.parametrize("skip_existing", [False, True])
def test_a_folder_that_was_stopped_goes_on(
    skip_existing, codec, pictures, tmp_path, monkeypatch
):
    """Blocks of which all files are there are not unpacked for nothing."""
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 4)
    compress(codec, pictures, tmp_path / "a.cae")
    decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    whole = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.png")}
    for name in ("6.png", "8.png"):
        (tmp_path / "out" / name).unlink()
    unpacked, work = [], archive.unpack

    def count(*arguments):
        unpacked.append(arguments)
        return work(*arguments)

    monkeypatch.setattr(archive, "unpack", count)
    with pytest.warns(UserWarning, match="8 of 10 files were there already"):
        found = decompress(
            codec,
            tmp_path / "a.cae",
            tmp_path / "out",
            skip_existing=skip_existing,
        )
    assert found == (10, {})
    assert {path: path.read_bytes() for path in whole} == whole
    if skip_existing:
        assert len(unpacked) < 3
        with pytest.warns(UserWarning, match="10 of 10 files were there already"):
            decompress(codec, tmp_path / "a.cae", tmp_path / "out", skip_existing=True)
        assert len(unpacked) < 3


def test_an_array_that_exists_is_left_alone_on_request(codec, pictures, tmp_path):
    compress(codec, pictures, tmp_path / "a.cae")
    (tmp_path / "x.npy").write_text("precious")
    with pytest.warns(UserWarning, match="1 of 1 files were there already"):
        decompress(codec, tmp_path / "a.cae", tmp_path / "x.npy", skip_existing=True)
    assert (tmp_path / "x.npy").read_text() == "precious"


def test_names_that_a_disk_does_not_have(codec, digits, tmp_path, capsys):
    """Each other image comes out."""
    names = ["a.png", "NUL.png", "./a.png", "d/" * 300 + "b.png", "\ud800", "a:b.png"]
    names += ["..\\a.png", "z.png"]
    x = digits.x_test[:8]
    block = Block(*x.shape, pack(codec, x, True))
    model = fingerprint(codec)
    write_container(tmp_path / "a.cae", "lossless", model, [block], names)
    with pytest.warns(UserWarning, match="Skipped 6 of 8 files.*NUL"):
        count, skipped = decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    assert count == 2 and [*skipped] == names[1:7]
    found = read_all(tmp_path / "out")
    assert [*found] == ["a", "z"]
    np.testing.assert_array_equal(found["z"], x[7, ..., 0])
    codec.save(tmp_path / "model.keras")
    command = ["decompress", str(tmp_path), str(tmp_path / "a.cae")]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main([*command, str(tmp_path / "again"), "--json"]) == 1
    printed = capsys.readouterr()
    assert "NUL.png" in printed.err
    assert len(json.loads(printed.out.splitlines()[-1])["skipped"]) == 6


def test_a_full_disk_stops_at_the_first_file(codec, pictures, tmp_path, monkeypatch):
    tries = []

    def fill(self, data):
        tries.append(self)
        raise OSError(errno.ENOSPC, "No space left on device")

    compress(codec, pictures, tmp_path / "a.cae")
    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="0.png could not be written: No space"):
        decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    assert len(tries) == 1 and not (tmp_path / "out").exists()


def test_second_writers_are_refused(codec, pictures, tmp_path, monkeypatch):
    """Of one .cae file; another file in the same folder is no matter."""
    packed, work, second = tmp_path / "a.cae", archive.pack, []

    def meanwhile(*arguments):
        if not second:
            second.append(True)
            with pytest.raises(ValueError, match="another process .*a.cae"):
                compress(codec, pictures, packed)
            compress(codec, pictures, tmp_path / "b.cae")
        return work(*arguments)

    monkeypatch.setattr(archive, "pack", meanwhile)
    compress(codec, pictures, packed)
    assert packed.read_bytes() == (tmp_path / "b.cae").read_bytes()


def test_an_interrupted_write_leaves_nothing(codec, pictures, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "pack", stop)
    with pytest.raises(KeyboardInterrupt):
        compress(codec, pictures, tmp_path / "a.cae")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "a/../../b.png", "a\0.png", ""]
)
def test_names_that_lead_out(codec, digits, tmp_path, name):
    block = Block(1, 28, 28, 1, pack(codec, digits.x_test[:1]))
    model = fingerprint(codec)
    write_container(tmp_path / "a.cae", "lossy", model, [block], [name])
    with pytest.raises(InvalidFile, match="leads out"):
        decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "source, destination, message",
    [
        ("nothing", "a.cae", "nothing"),
        ("empty", "a.cae", "`source`"),
        ("pictures", "a.zip", "`destination`"),
        ("pictures", "", "`destination`"),
        ("floats.npy", "a.cae", "`source` must have dtype uint8"),
        ("broken.npy", "a.cae", "`source`"),
        ("wide.npy", "a.cae", "`source` .* Received: 28 x 30 x 1"),
        ("wide", "a.cae", "`source` .*30 x 28, not 28 x 28"),
    ],
)
def test_invalid_paths(codec, pictures, tmp_path, source, destination, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wide").mkdir()
    Image.new("L", (30, 28)).save(tmp_path / "wide" / "a.png")
    np.save(tmp_path / "floats.npy", np.zeros((2, 28, 28), "float32"))
    np.save(tmp_path / "wide.npy", np.zeros((2, 28, 30), "uint8"))
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    target = destination and tmp_path / destination
    with pytest.raises(ValueError, match=message):
        compress(codec, tmp_path / source, target)
    assert not [*tmp_path.glob("*.cae")]


def test_the_command_line(codec, pictures, tmp_path, capsys):
    run, packed = tmp_path / "run", str(tmp_path / "a.cae")
    run.mkdir()
    codec.save(run / "model.keras")
    assert main(["compress", str(run), str(pictures), packed, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary == {"images": 10, "bytes": (tmp_path / "a.cae").stat().st_size} | {
        "skipped": {}
    }
    assert main(["info", packed, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["images"] == 10 and found["names"][0] == "0.png"
    assert main(["decompress", str(run), packed, str(tmp_path / "out")]) == 0
    assert len(read_all(tmp_path / "out")) == 10
    assert main(["decompress", "reference", packed, str(tmp_path / "no")]) == 2
    assert "a model trained with --task compress" in capsys.readouterr().err
    assert main(["info", str(pictures / "0.png")]) == 2
    assert "Invalid .cae file" in capsys.readouterr().err


def test_one_image(codec, pictures, tmp_path):
    compress(codec, pictures / "0.png", tmp_path / "a.cae", lossless=True)
    decompress(codec, tmp_path / "a.cae", tmp_path / "out.png")
    paths = pictures / "0.png", tmp_path / "out.png"
    images = [np.asarray(Image.open(path)) for path in paths]
    np.testing.assert_array_equal(*images)


def test_many_images_need_a_folder(codec, pictures, tmp_path):
    compress(codec, pictures, tmp_path / "a.cae")
    with pytest.raises(ValueError, match="`destination` .* 10 images"):
        decompress(codec, tmp_path / "a.cae", tmp_path / "out.png")


def test_nothing_is_written_of_a_corrupted_file(codec, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_IMAGES", 4)
    np.save(tmp_path / "x.npy", digits.x_test[:10])
    compress(codec, tmp_path / "x.npy", tmp_path / "a.cae")
    data = bytearray((tmp_path / "a.cae").read_bytes())
    data[-40] ^= 1  # in the last block
    (tmp_path / "a.cae").write_bytes(data)
    with pytest.raises(InvalidFile, match="checksum"):
        decompress(codec, tmp_path / "a.cae", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_many_names_are_counted(codec, pictures, tmp_path, capsys):
    Image.new("L", (28, 28)).save(pictures / "one_more.png")
    compress(codec, pictures, tmp_path / "a.cae")
    assert main(["info", str(tmp_path / "a.cae")]) == 0
    assert "more/3.png and 1 more" in capsys.readouterr().out
    assert len(describe(tmp_path / "a.cae")["names"]) == 11


def test_sixteen_bits_are_not_lossless(photo_codec, tmp_path):
    deep = np.arange(16 * 16 * 3, dtype="uint16").reshape(16, 16, 3) * 85
    imsave(tmp_path / "deep.tif", deep, check_contrast=False)
    with pytest.raises(ValueError, match="16 bits"):
        compress(photo_codec, tmp_path / "deep.tif", tmp_path / "a.cae", lossless=True)
    compress(photo_codec, tmp_path / "deep.tif", tmp_path / "a.cae")


def test_a_folder_named_as_a_codec_does_not_hide_it(
    digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    Image.fromarray(digits.x_test[0, ..., 0]).save(tmp_path / "digits" / "0.png")
    assert main(["compress", "digits", "digits", "a.cae"]) == 0
    assert main(["info", "a.cae"]) == 0
    assert "shipped_as      digits" in capsys.readouterr().out
    assert main(["decompress", "digits", "a.cae", "out"]) == 0
    assert main(["compress", "elsewhere", "digits", "b.cae"]) == 2
    assert "RUN" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["digits", "digits_lossless"])
def test_files_of_an_earlier_version(name, tmp_path):
    """The same pixels come back, under every backend and policy."""
    codec = load_pretrained("digits")
    expected = np.load(FIXTURES / f"{name}.npy")
    decompress(codec, FIXTURES / f"{name}.cae", tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    found = describe(FIXTURES / f"{name}.cae")
    assert found["mode"] == ("lossless" if "lossless" in name else "lossy")
    assert found["names"] == [f"{i}.png" for i in range(5)]


@pytest.mark.parametrize("lossless", [False, True])
def test_data_that_no_codec_wrote(lossless, codec, tmp_path):
    """Right checksums around noise: images, or an error that names the file."""
    path, random = tmp_path / "a.cae", np.random.default_rng(0)
    mode, refused = "lossless" if lossless else "lossy", 0
    for size in (0, 4, 7, 400, 400, 4000):
        block = Block(3, 28, 28, 1, random.bytes(size))
        write_container(path, mode, fingerprint(codec), [block], ["a", "b", "c"])
        try:
            decompress(codec, path, tmp_path / "x.npy", overwrite=True)
        except InvalidFile as error:
            assert str(path) in str(error)
            refused += 1
    assert refused


def test_an_array_that_promises_more_than_it_holds(codec, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((2, 28, 28), "uint8"))
    whole = path.read_bytes()
    for shape in (
        "(99999999, 28, 28)",
        "(-2, 28, -28)",
        "(True, 28, 28)",
        "(3, 28, 28)",
    ):
        old, new = "(2, 28, 28), }", f"{shape}, }}"
        width = max(len(old), len(new))
        old, new = (text.ljust(width).encode() for text in (old, new))
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(ValueError, match="`source` must be .*x.npy"):
            compress(codec, path, tmp_path / "a.cae")
