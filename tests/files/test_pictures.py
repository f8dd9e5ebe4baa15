"""What an image file has besides its pixels: kept where it still fits."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin
from scipy.ndimage import distance_transform_edt

from convae_keras import tiling
from convae_keras.files import pictures
from convae_keras.files.pictures import picture_bytes, read_picture

pytestmark = pytest.mark.static

RANDOM = np.random.default_rng(0).integers(0, 256, (40, 64, 3), "uint8")
IFD = ExifTags.IFD


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


def again(image, path, suffix=None, factor=1, background="white", **options):
    """An image, saved, read, enlarged, and written again."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    pixels, alpha, kept, _ = read_picture(path)
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    data = picture_bytes(pixels, suffix or path.suffix, alpha, kept, background)
    found = Image.open(io.BytesIO(data))
    found.load()
    return found


# --- resolution and profiles -------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
@pytest.mark.parametrize("factor", [1, 2])
def test_the_resolution_stays(factor, suffix, tmp_path):
    found = again(RANDOM, tmp_path / f"a{suffix}", None, factor, dpi=(300, 150))
    assert found.info["dpi"] == pytest.approx((300, 150), abs=0.1)


def test_a_resolution_that_is_none(tmp_path):
    again(RANDOM, tmp_path / "a.tif", dpi=(0, 0))
    found = again(RANDOM, tmp_path / "a.tif", ".jpg", dpi=(1e6, 1e6))
    assert max(found.info.get("dpi", (0, 0))) < 2**16


def profile(space):
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data[:16] + space + data[20:]


@pytest.mark.parametrize(
    "mode, space, suffix, kept",
    [
        ("RGB", b"RGB ", ".png", True),
        ("RGBA", b"RGB ", ".webp", True),
        ("L", b"GRAY", ".tif", True),
        ("LA", b"GRAY", ".png", True),
        ("CMYK", b"CMYK", ".jpg", False),
        ("RGB", b"GRAY", ".png", False),
        ("L", b"RGB ", ".jpg", False),
        ("RGB", b"Lab ", ".jpg", False),
        ("RGB", b"", ".jpg", False),
    ],
)
def test_a_profile_stays_if_it_fits(mode, space, suffix, kept, tmp_path):
    data = profile(space) if space else b"no profile"
    image = Image.new(mode, (9, 9))
    found = again(image, tmp_path / f"a{suffix}", icc_profile=data)
    assert found.info.get("icc_profile") == (data if kept else None)


def test_webp_has_no_gray_profile(tmp_path):
    image, options = Image.new("L", (9, 9)), {"icc_profile": profile(b"GRAY")}
    found = again(image, tmp_path / "a.png", ".webp", **options)
    assert found.mode == "RGB" and "icc_profile" not in found.info


# --- EXIF --------------------------------------------------------------------


def photo_exif():
    exif = Image.Exif()
    exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength] = 64, 40
    exif[ExifTags.Base.Make] = "a camera"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.BitsPerSample] = (16, 16, 16)
    exif[ExifTags.Base.PhotometricInterpretation] = 6
    exif.get_ifd(IFD.Exif)[ExifTags.Base.ExifImageWidth] = 64
    exif.get_ifd(IFD.Exif)[ExifTags.Base.ExifImageHeight] = 40
    exif.get_ifd(IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 200
    exif.get_ifd(IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_has_the_new_size(suffix, tmp_path):
    found = again(RANDOM, tmp_path / f"a{suffix}", None, 2, exif=photo_exif())
    exif = found.getexif()
    inside = exif.get_ifd(IFD.Exif)
    assert (exif[256], exif[257]) == found.size == (128, 80)
    assert (inside[40962], inside[40963]) == (128, 80)
    assert inside[ExifTags.Base.ISOSpeedRatings] == 200
    assert exif[ExifTags.Base.Make] == "a camera" and exif[274] == 6
    assert exif.get_ifd(IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert 258 not in exif and 262 not in exif


def test_a_size_that_was_not_there_is_not_added(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    found = again(RANDOM, tmp_path / "a.jpg", None, 2, exif=exif).getexif()
    assert dict(found) == {ExifTags.Base.Make: "a camera"}


def test_the_thumbnail_is_left_behind(tmp_path):
    """A second directory of tags, with a small JPEG."""
    thumbnail = io.BytesIO()
    Image.new("RGB", (8, 8)).save(thumbnail, "JPEG")
    small = thumbnail.getvalue()
    numbers = [(256, 64), None, (513, 56), (514, len(small)), None]

    def entry(tag, value):
        return b"".join(
            n.to_bytes(s, "little")
            for n, s in zip((tag, 4, 1, value), (2, 2, 4, 4), strict=True)
        )

    data = b"Exif\0\0II*\0" + (8).to_bytes(4, "little")
    data += (1).to_bytes(2, "little") + entry(*numbers[0]) + (26).to_bytes(4, "little")
    data += (2).to_bytes(2, "little") + entry(*numbers[2]) + entry(*numbers[3])
    data += bytes(4) + small
    assert Image.Exif().load(data) is None
    found = again(RANDOM, tmp_path / "a.jpg", None, 2, exif=data)
    assert found.getexif()[256] == 128
    assert found.getexif().get_ifd(IFD.IFD1) == {}
    assert small not in found.info["exif"]


def test_exif_in_a_tiff_says_nothing_wrong_of_its_pixels(tmp_path):
    found = again(RANDOM, tmp_path / "a.png", ".tif", 2, exif=photo_exif())
    expected = RANDOM.repeat(2, axis=0).repeat(2, axis=1)
    # Pillow has turned it, as its orientation says.
    np.testing.assert_array_equal(np.asarray(found), np.rot90(expected, -1))


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".jp2", ".tga"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_format_without_exif_is_upright(orientation, source, suffix, tmp_path):
    """Or else a phone's picture would lie on its side."""
    pixels, exif = np.zeros((24, 40, 3), "uint8"), Image.Exif()
    pixels[:12], pixels[:, :20], pixels[:6, :6] = 220, 100, 255
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"a{source}"
    found = again(Image.fromarray(pixels), path, suffix, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(opened(path)), int)
    assert np.abs(np.asarray(found.convert("RGB")) - expected).mean() < 6


# --- JPEG and WebP -----------------------------------------------------------


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 99])
def test_a_jpeg_is_no_coarser_than_it_was(quality, subsampling, tmp_path):
    options = {"quality": quality, "subsampling": subsampling}
    found = again(RANDOM, tmp_path / "a.jpg", **options)
    assert JpegImagePlugin.get_sampling(found) == subsampling
    before = opened(tmp_path / "a.jpg").quantization
    Image.fromarray(RANDOM).save(tmp_path / "95.jpg", quality=95)
    fine = opened(tmp_path / "95.jpg").quantization
    for i, table in found.quantization.items():
        assert (np.array(table) <= before[i]).all()
        assert (np.array(table) <= fine[i]).all()


def test_a_gray_jpeg(tmp_path):
    found = again(RANDOM[..., 0], tmp_path / "a.jpg", quality=98)
    assert found.mode == "L"
    before = opened(tmp_path / "a.jpg").quantization
    assert found.quantization[0] == before[0]


def test_another_format_becomes_a_jpeg_without_subsampling(tmp_path):
    found = again(RANDOM, tmp_path / "a.png", ".jpg")
    assert JpegImagePlugin.get_sampling(found) == 0


@pytest.mark.parametrize("extra", [{}, {"exif": photo_exif()}])
@pytest.mark.parametrize("channels", [3, 4])
def test_webp_without_loss_stays_so(channels, extra, tmp_path):
    image = np.dstack([RANDOM, np.full(RANDOM.shape[:2], 99, "uint8")])[..., :channels]
    found = again(image, tmp_path / "a.webp", lossless=True, **extra)
    np.testing.assert_array_equal(np.asarray(found), image)
    found = again(image, tmp_path / "a.webp", quality=80, **extra)
    assert (np.asarray(found) != image).any()


def test_the_first_picture_of_an_animation(tmp_path):
    pages = [Image.new("L", (9, 9), value) for value in (40, 200)]
    options = {"save_all": True, "append_images": pages[1:]}
    for suffix in (".png", ".gif"):
        found = again(pages[0], tmp_path / "a.gif", suffix, **options)
        assert np.asarray(found.convert("L")).max() == 40
        assert getattr(found, "n_frames", 1) == 1


# --- transparency ------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 255, 77])
def test_hidden_colors_do_not_matter(hidden, tmp_path):
    """Those of the nearest pixels that are seen take their place."""
    alpha = np.zeros((9, 12), "uint8")
    alpha[:, 4:6], alpha[:, 9] = 255, 1
    colors = np.full((9, 12, 3), hidden, "uint8")
    colors[:, 4:6], colors[:, 9] = (200, 40, 40), (10, 20, 30)
    Image.fromarray(np.dstack([colors, alpha])).save(tmp_path / "a.png")
    pixels, found, _, _ = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(found), alpha)
    assert (pixels[:, :8] == (200, 40, 40)).all()
    assert (pixels[:, 8:] == (10, 20, 30)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_colors_are_replaced_block_by_block(channels, tmp_path, monkeypatch):
    """As in one piece, where what is seen is no farther away than the margin."""
    monkeypatch.setattr(pictures, "BLOCK", 16)
    monkeypatch.setattr(pictures, "MARGIN", 6)
    random = np.random.default_rng(0)
    colors = random.integers(0, 256, (50, 70, channels), "uint8")
    alpha = random.choice(np.array([0, 9], "uint8"), (50, 70), p=[0.98, 0.02])
    alpha[:, 35:] = 0
    Image.fromarray(np.dstack([colors, alpha]).squeeze()).save(tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png")[0]
    distance, nearest = distance_transform_edt(alpha == 0, return_indices=True)
    near = distance <= 6
    assert 0.1 < near.mean() < 0.9
    np.testing.assert_array_equal(pixels[near], colors[tuple(nearest)][near])
    seen = {tuple(color) for color in colors[alpha > 0]}
    assert {tuple(color) for color in pixels.reshape(-1, channels)} <= seen


def test_what_is_seen_is_farther_away_than_the_margin(tmp_path):
    """No hidden color stays, however large the picture is."""
    side = 2 * pictures.BLOCK + 10
    image = Image.new("RGBA", (side, 3), (200, 0, 0, 0))
    image.putpixel((side - 1, 1), (10, 20, 30, 1))
    for turned in (image, image.transpose(Image.Transpose.ROTATE_90)):
        turned.save(tmp_path / "a.png")
        assert (read_picture(tmp_path / "a.png")[0] == (10, 20, 30)).all()


def test_the_margin_is_wider_than_what_a_restored_pixel_depends_on():
    assert pictures.MARGIN > tiling.MARGIN


def test_an_image_of_which_nothing_is_seen(tmp_path):
    Image.new("LA", (9, 9), (50, 0)).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png")[0] == 50).all()
