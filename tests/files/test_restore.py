"""Image files through a model: nothing lost, nothing half written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import differ, fixed, negative, twice
from PIL import Image, ImageCms, ImageColor, ImageOps

from convae_keras.files import restore as module
from convae_keras.files.restore import apply
from convae_keras.tiling import restore


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


# --- formats, and what a file has besides pixels -------------


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


def restored(image, tmp_path, name="a.png", model=None, **options):
    """`image` through a file, the negative of it, and back."""
    source, target = tmp_path / "in" / name, tmp_path / "out" / name
    save(image, source, **options)
    written, skipped = apply(model or negative(), source, target)
    assert (written, skipped) == ([target], {})
    return opened(target)


@pytest.mark.parametrize(
    "name, format, tolerance",
    [
        ("a.png", "PNG", 0),
        ("a.bmp", "BMP", 0),
        ("a.tif", "TIFF", 0),
        ("a.TIFF", "TIFF", 0),
        ("a.jpg", "JPEG", 3),
        ("a.JPEG", "JPEG", 3),
        ("a.webp", "WEBP", 3),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_stay(name, format, tolerance, channels, tmp_path):
    rows, columns = np.mgrid[:20, :31]
    pixels = np.stack([6 * rows, 4 * columns, 3 * (rows + columns)], axis=-1)
    pixels = pixels[..., :channels].squeeze().astype("uint8")
    image = restored(pixels, tmp_path, name, quality=100)
    assert image.format == format and image.size == (31, 20)
    # WebP has no grayscale.
    gray = channels == 1 and format != "WEBP"
    assert image.mode == ("L" if gray else "RGB")
    found = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    assert np.median(differ(found, 255 - pixels)) <= tolerance


def test_a_jpeg_is_written_at_high_quality(tmp_path):
    pixels = noise(64, 64)
    found = restored(pixels, tmp_path, "a.jpg", quality=95)
    expected = 255 - np.asarray(opened(tmp_path / "in" / "a.jpg"))
    assert differ(np.asarray(found), expected).mean() < 3
    save(Image.fromarray(expected), tmp_path / "75.jpg", quality=75)
    assert differ(np.asarray(opened(tmp_path / "75.jpg")), expected).mean() > 6


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("turn", [1, 6, 8])
def test_the_orientation_stays_a_tag(turn, name, tmp_path):
    """The pixels are not rotated, and viewers still rotate them."""
    pixels = np.zeros((16, 24), "uint8")
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = turn, "a camera"
    image = restored(pixels, tmp_path, name, exif=exif, quality=100)
    assert image.size == (24, 16)
    assert differ(np.asarray(image.convert("L")), 255 - pixels).mean() < 3
    assert image.getexif()[0x0112] == turn
    assert image.getexif()[0x010F] == "a camera"


@pytest.mark.parametrize("turn", [1, 6, 8])
def test_a_tiff_is_written_upright(turn, tmp_path):
    """Pillow rotates it when it is read."""
    pixels = np.zeros((16, 24, 3), "uint8")
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    image = restored(pixels, tmp_path, "a.tif", exif=exif)
    expected = np.rot90(255 - pixels, {1: 0, 6: -1, 8: 1}[turn])
    upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright, expected)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_the_color_profile_stays(name, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = restored(noise(9, 9, 3), tmp_path, name, icc_profile=profile)
    assert image.info["icc_profile"] == profile


def with_alpha(mode):
    """Half transparent on the left; on the right something visible."""
    alpha = np.full((9, 14), 255, "uint8")
    alpha[:, :7] = 51 if mode != "P" else 0
    if mode == "P":
        image = Image.new("P", (14, 9), 1)
        image.putpalette([200, 100, 50, 110, 120, 130])
        image.paste(0, (0, 0, 7, 9))
        image.info["transparency"] = 0
        return image, alpha
    image = Image.fromarray(noise(9, 14, len(mode) - 1).squeeze())
    image.putalpha(Image.fromarray(alpha))
    return image, alpha


@pytest.mark.parametrize(
    "mode, name", [("LA", "a.png"), ("RGBA", "a.png"), ("RGBA", "a.webp")]
)
def test_alpha_stays(mode, name, tmp_path):
    image, alpha = with_alpha(mode)
    found = restored(image, tmp_path, name, lossless=True)
    assert found.mode == mode
    np.testing.assert_array_equal(found.getchannel("A"), alpha)
    # Transparent pixels are restored too, not composited over white first.
    if name == "a.png":
        colors, expected = np.asarray(found)[..., :-1], np.asarray(image)[..., :-1]
        np.testing.assert_array_equal(colors, 255 - expected)


def test_alpha_of_a_palette_stays(tmp_path):
    image, alpha = with_alpha("P")
    found = restored(image, tmp_path)
    assert found.mode == "RGBA"
    np.testing.assert_array_equal(found.getchannel("A"), alpha)
    colors = np.asarray(found)[..., :3]
    # What is under full transparency is not seen, and must not show at the edge.
    assert colors[0, 0].tolist() == [145, 135, 125]
    assert colors[0, -1].tolist() == [145, 135, 125]


def test_alpha_grows_with_the_image(tmp_path):
    image, alpha = with_alpha("RGBA")
    found = restored(image, tmp_path, model=twice())
    assert found.size == (28, 18)
    sides = np.asarray(found.getchannel("A"))[:, [0, -1]]
    np.testing.assert_array_equal(sides, np.tile([51, 255], (18, 1)))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_come_out_with_eight(name, tmp_path):
    pixels = (257 * noise(9, 14).astype("uint16")).astype("uint16")
    image = restored(pixels, tmp_path, name)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), 255 - pixels // 257)


@pytest.mark.parametrize(
    "image, name, mode",
    [
        (Image.new("1", (9, 9), 1), "a.png", "L"),
        (Image.new("RGB", (9, 9), "red").quantize(4), "a.png", "RGB"),
        (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "a.jpg", "RGB"),
    ],
)
def test_other_kinds_come_out_as_grayscale_or_color(image, name, mode, tmp_path):
    found = restored(image, tmp_path, name)
    assert found.mode == mode
    expected = 0 if mode == "L" else np.array([0, 255, 255])
    assert differ(np.asarray(found)[4, 4], expected).max() <= 4


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("color", ["white", "black", "#ff0000"])
def test_alpha_in_a_format_that_has_none(color, mode, tmp_path):
    """It is laid on a background."""
    channels = len(mode) - 1
    image = Image.fromarray(np.full((16, 32, channels), 255, "uint8").squeeze())
    image.putalpha(Image.new("L", (32, 16), 0))
    image.paste((255,) * len(mode), (16, 0, 32, 16))
    source, target = save(image, tmp_path / "a.png"), tmp_path / "b.jpg"
    apply(negative(channels), source, target, background=color)
    found = np.asarray(opened(target).convert("RGB"))
    assert differ(found[8, 4], ImageColor.getrgb(color)).max() < 4
    assert differ(found[8, 28], (0, 0, 0)).max() < 4


# --- where files go ---------------------------------------------------


@pytest.fixture
def album(tmp_path):
    """A folder of five images in sub-folders."""
    names = ["a.png", "b.jpg", "train/a.png", "test/deep/er/c.webp", "d.bmp"]
    for name in names:
        save(noise(9, 14), tmp_path / "album" / name)
    return tmp_path / "album"


def files(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def test_a_folder_keeps_names_and_folders(album, tmp_path):
    target = tmp_path / "made" / "on the way"
    written, skipped = apply(negative(), album, str(target))
    found = files(target)
    assert skipped == {} and found == sorted(p.relative_to(target) for p in written)
    assert found == files(album)
    expected = 255 - np.asarray(opened(album / "train" / "a.png"))
    np.testing.assert_array_equal(opened(target / "train" / "a.png"), expected)


def test_grayscale_images_may_have_a_model_of_their_own(tmp_path):
    pixels = {"gray.png": noise(9, 14), "color.png": noise(9, 14, 3)}
    for name, image in pixels.items():
        save(image, tmp_path / "in" / name)
    apply(negative(3), tmp_path / "in", tmp_path / "out", grey=twice())
    color = np.asarray(opened(tmp_path / "out" / "color.png"))
    np.testing.assert_array_equal(color, 255 - pixels["color.png"])
    assert opened(tmp_path / "out" / "gray.png").size == (28, 18)


def test_a_file_goes_into_a_folder_that_is_there(album, tmp_path):
    (tmp_path / "out").mkdir()
    written, _ = apply(negative(), album / "a.png", tmp_path / "out")
    assert written == [tmp_path / "out" / "a.png"] and written[0].exists()


def test_a_file_may_change_its_format(album, tmp_path):
    (path,), _ = apply(negative(), str(album / "a.png"), tmp_path / "new" / "b.tif")
    assert opened(path).format == "TIFF" and path.name == "b.tif"


def test_nothing_is_overwritten(album, tmp_path):
    """Checked before anything is written."""
    target = tmp_path / "out"
    (target / "train").mkdir(parents=True)
    (target / "train" / "a.png").write_text("precious")
    for source, where in [(album, target), (album / "a.png", target / "train")]:
        message = r"`destination` must be files that do not exist.*train/a\.png"
        with pytest.raises(ValueError, match=message):
            apply(negative(), source, where)
    with pytest.raises(ValueError, match="`destination` must be outside"):
        apply(negative(), album, album)
    assert files(target) == [(target / "train" / "a.png").relative_to(target)]
    assert (target / "train" / "a.png").read_text() == "precious"
    written, _ = apply(negative(), album, target, overwrite=True)
    assert len(written) == 5
    assert opened(target / "train" / "a.png").size == (14, 9)


def times(folder):
    return {path: (folder / path).stat().st_mtime_ns for path in files(folder)}


@pytest.mark.parametrize("skip_existing", [False, True])
def test_a_folder_that_was_stopped_goes_on(skip_existing, album, tmp_path, monkeypatch):
    target, whole = tmp_path / "out", tmp_path / "whole"
    apply(negative(), album, whole)
    calls = []

    def stop(model, pixels):
        calls.append(pixels)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return restore(model, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(module, "restore", stop)
        with pytest.raises(KeyboardInterrupt):
            apply(negative(), album, target)
    before = times(target)
    assert len(before) == 2
    with pytest.warns(UserWarning, match="2 of 5 files were there already"):
        written, skipped = apply(negative(), album, target, skip_existing=skip_existing)
    assert len(written) == 3 and skipped == {}
    assert before.items() <= times(target).items()
    for path in files(whole):
        assert (target / path).read_bytes() == (whole / path).read_bytes()
    assert files(target) == files(whole)


def test_existing_files_are_left_alone_on_request(album, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("precious")
    with pytest.warns(UserWarning, match="1 of 5 files were there already"):
        written, _ = apply(negative(), album, tmp_path / "out", skip_existing=True)
    assert len(written) == 4
    monkeypatch.setattr(module, "restore", lambda *_: pytest.fail("started"))
    for source in (album, album / "a.png"):
        with pytest.warns(UserWarning, match="were there already"):
            found = apply(negative(), source, tmp_path / "out", skip_existing=True)
        assert found == ([], {})
    assert (tmp_path / "out" / "a.png").read_text() == "precious"
    with pytest.raises(ValueError, match="`overwrite` and `skip_existing`"):
        apply(negative(), album, tmp_path, overwrite=True, skip_existing=True)


def test_a_second_writer_is_refused(album, tmp_path, monkeypatch):
    second = []

    def meanwhile(model, pixels):
        if not second:
            second.append(True)
            with pytest.raises(ValueError, match="another process is writing"):
                apply(model, album, tmp_path / "out")
        return restore(model, pixels)

    monkeypatch.setattr(module, "restore", meanwhile)
    assert len(apply(negative(), album, tmp_path / "out")[0]) == 5


def test_an_image_may_be_replaced_by_its_restoration(album):
    before = np.asarray(opened(album / "a.png"))
    apply(negative(), album / "a.png", album / "a.png", overwrite=True)
    np.testing.assert_array_equal(opened(album / "a.png"), 255 - before)


@pytest.mark.parametrize("content", [b"hello", b"", None])
def test_a_broken_file_in_a_folder_is_skipped_and_named(content, album, tmp_path):
    whole = (album / "a.png").read_bytes()
    content = whole[: len(whole) // 2] if content is None else content
    (album / "train" / "a.png").write_bytes(content)
    with pytest.warns(
        UserWarning,
        match=r"Skipped 1 of 5 files in .*: .*train/a.png \((not one of|image).*\)$",
    ):
        written, skipped = apply(negative(), album, tmp_path / "out")
    assert [*skipped] == [str(album / "train" / "a.png")]
    assert len(written) == len(files(tmp_path / "out")) == 4
    assert all(path.exists() for path in written)
    with pytest.raises(ValueError, match="train/a.png could not be restored: ."):
        apply(negative(), album / "train" / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_images_that_do_not_fit_the_model_are_skipped(album, tmp_path):
    save(noise(12, 16), album / "fits.png")
    with pytest.warns(UserWarning, match="Skipped 5 of 6 files"):
        written, skipped = apply(fixed(), album, tmp_path / "out")
    assert written == [tmp_path / "out" / "fits.png"]
    assert all("must be 12 x 16 x 1" in why for why in skipped.values())


@pytest.mark.parametrize("name", ["", "a.png"])
def test_a_bug_is_no_skipped_file(name, album, tmp_path, monkeypatch):
    def bug(model, pixels):
        raise TypeError("a bug of ours")

    monkeypatch.setattr(module, "restore", bug)
    with pytest.raises(TypeError, match="a bug of ours"):
        apply(negative(), album / name, tmp_path / "out" / name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "source, destination, message",
    [
        ("nowhere", "out", "No such file: .*nowhere"),
        ("nowhere.png", "a.png", "No such file: .*nowhere.png"),
        ("empty", "out", "`source` must be a folder with images"),
        ("album", "file.png", "`destination` must be a folder.*file.png'"),
        ("album/a.png", "b", "`destination` must be a name like .*Received: '.*b'"),
        ("album/a.png", "b.docx", "`destination` must be a name like .*b.docx'"),
        ("album", "album/out", "`destination` must be outside .*album'.*out'"),
        ("album", "album", "`destination` must be outside .*album'.*album'"),
        ("album", "album/../album", "`destination` must be outside .*album'"),
    ],
)
def test_bad_paths(source, destination, message, album, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "restore", lambda *_: pytest.fail("started"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").write_text("in the way")
    before = files(tmp_path)
    with pytest.raises(ValueError, match=message):
        apply(negative(), tmp_path / source, tmp_path / destination, overwrite=True)
    assert files(tmp_path) == before


@pytest.mark.parametrize("paths", [("", "out"), ("album", "")])
def test_no_path_at_all(paths, album, monkeypatch):
    """As from an unset variable; not the working directory."""
    monkeypatch.setattr(module, "restore", lambda *_: pytest.fail("started"))
    with pytest.raises(ValueError, match="must be a path. Received: ''"):
        apply(negative(), *paths)


def test_nowhere_to_write(album, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "restore", lambda *_: pytest.fail("started"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="Cannot write to '.*': permission denied"):
        apply(negative(), album, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_ignored(album, tmp_path):
    save(noise(9, 14), album / ".thumbnail.png")
    (album / ".cache").mkdir()
    save(noise(9, 14), album / ".cache" / "c.png")
    assert len(apply(negative(), album, tmp_path / "out")[0]) == 5


def test_what_is_no_image_is_named(album, tmp_path):
    (album / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match="Skipped 1 of 6 files"):
        written, skipped = apply(negative(), album, tmp_path / "out")
    assert len(written) == 5 and [*skipped] == [str(album / "notes.txt")]


def test_a_save_that_is_interrupted_leaves_no_file(album, tmp_path, monkeypatch):
    work = Path.write_bytes

    def half(self, data):
        work(self, data[: len(data) // 2])
        raise KeyboardInterrupt

    target = tmp_path / "out" / "a.png"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            apply(negative(), album / "a.png", target)
    assert not (tmp_path / "out").exists()
    apply(negative(), album / "a.png", target)
    expected = target.read_bytes()
    with monkeypatch.context() as patch:  # nor does it spoil what stood there
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            apply(twice(), album / "a.png", target, overwrite=True)
    assert target.read_bytes() == expected and len(files(tmp_path / "out")) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EACCES])
def test_a_full_disk_stops_at_the_first_file(number, album, tmp_path, monkeypatch):
    work, tries = Path.write_bytes, []

    def fill(self, data):
        tries.append(self)
        work(self, data[:10])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match=f"a.png could.*{os.strerror(number)}"):
        apply(negative(), album, tmp_path / "out")
    assert len(tries) == 1 and not (tmp_path / "out").exists()


def test_a_name_that_the_disk_refuses_is_skipped(album, tmp_path, monkeypatch):
    """As on a disk whose names are shorter than those where the images lie."""
    work = os.link

    def link(source, target):
        if target.name == "b.jpg":
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        work(source, target)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "rename", link)
    with pytest.warns(UserWarning, match="Skipped 1 of 5 files.*b.jpg .*too long"):
        written, _ = apply(negative(), album, tmp_path / "out")
    assert len(written) == len(files(tmp_path / "out")) == 4


def test_a_file_in_the_way_of_a_folder(album, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train").write_text("precious")
    with pytest.warns(UserWarning, match="Skipped 1 of 5 files.*train"):
        written, _ = apply(negative(), album, tmp_path / "out")
    assert len(written) == 4
    assert (tmp_path / "out" / "train").read_text() == "precious"


def test_a_file_that_appears_meanwhile_stays(album, tmp_path, monkeypatch):
    def meanwhile(model, pixels):
        (tmp_path / "out" / "b.jpg").write_text("precious")
        return restore(model, pixels)

    monkeypatch.setattr(module, "restore", meanwhile)
    with pytest.warns(UserWarning, match="Skipped 1 of 5 files.*b.jpg .*exists"):
        apply(negative(), album, tmp_path / "out")
    assert (tmp_path / "out" / "b.jpg").read_text() == "precious"


@pytest.mark.skipif(os.name == "nt", reason="Windows has names of characters only")
def test_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        save(noise(9, 14), tmp_path / "in" / name)
    except OSError:
        pytest.skip("a file system of UTF-8")
    assert apply(negative(), tmp_path / "in", tmp_path / "out")[1] == {}
    assert files(tmp_path / "out") == [Path(name)]
