"""Folders of images: every kind of file, every arrangement."""

import os
import struct
import warnings
import zlib

import numpy as np
import PIL
import pytest
from helpers import differ
from PIL import Image, ImageOps

from convae_keras.data import folders
from convae_keras.data import image_files as files
from convae_keras.data.folders import read_folder
from convae_keras.data.splits import SPLITS

pytestmark = pytest.mark.static

GREEN = (10, 200, 30)
FLAT = Image.new("RGB", (12, 8), GREEN)

# Earlier ones call what they wrote themselves truncated.
PILLOW_13 = pytest.mark.skipif(PIL.__version__ < "13", reason="needs Pillow 13")


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.asarray(image))
    image.save(path, **options)


def fill(folder, names, size=(4, 4)):
    """Writes grayscale images, each of one value: its index in `names`."""
    for value, name in enumerate(names):
        save(np.full(size, value, "uint8"), folder / name)


def values(x):
    """The values that `fill` wrote."""
    return x[:, 0, 0, 0].tolist()


def together(parts):
    return np.concatenate([parts[f"x_{split}"] for split in SPLITS])


def read_one(image, tmp_path, suffix, save_options=None, **options):
    """One image after reading, beside two others: fewer cannot be split."""
    path = tmp_path / f"0{suffix}"
    save(image, path, **(save_options or {}))
    with Image.open(path) as image:
        size = ImageOps.exif_transpose(image).size[::-1]
    for value in (1, 254):
        save(np.full(size, value, "uint8"), tmp_path / f"{value}.png")
    first = np.flatnonzero(np.random.RandomState(0).permutation(3) == 0)
    return together(read_folder(tmp_path, **options))[first.item()]


# --- kinds of files ----------------------------------------------------------


def palette_with_a_hole():
    image = FLAT.quantize(4)
    image.info["transparency"] = image.getpixel((0, 0))
    return image


def layer(mode, *bands):
    return Image.merge(mode, [Image.new("L", (12, 8), band) for band in bands])


SIXTEEN_BITS = np.full((8, 12), 257 * 77)


@pytest.mark.parametrize(
    "image, suffix, expected",
    [
        (FLAT, ".png", GREEN),
        (FLAT, ".jpg", GREEN),
        (FLAT, ".JPEG", GREEN),
        (FLAT, ".webp", GREEN),
        (FLAT, ".bmp", GREEN),
        (FLAT, ".tif", GREEN),
        (FLAT, ".TIFF", GREEN),
        (FLAT.quantize(4), ".png", GREEN),
        (FLAT.quantize(4), ".bmp", GREEN),
        (palette_with_a_hole(), ".png", (255, 255, 255)),
        (FLAT.convert("CMYK"), ".jpg", GREEN),
        (FLAT.convert("CMYK"), ".tif", GREEN),
        (layer("RGBA", 0, 0, 0, 0), ".png", (255, 255, 255)),
        (layer("RGBA", 255, 0, 0, 128), ".png", (255, 127, 127)),
        (layer("RGBA", 255, 0, 0, 128), ".webp", (255, 127, 127)),
        (layer("RGBA", 255, 0, 0, 128), ".tif", (255, 127, 127)),
        (layer("LA", 0, 51), ".png", (204, 204, 204)),
        (layer("LA", 9, 255), ".tif", (9, 9, 9)),
        (FLAT.quantize(4).convert("PA"), ".tif", GREEN),
        (Image.new("1", (12, 8), 1), ".png", (255, 255, 255)),
        (Image.new("1", (12, 8), 1), ".tif", (255, 255, 255)),
        (Image.new("L", (12, 8), 77), ".bmp", (77, 77, 77)),
        (SIXTEEN_BITS.astype("uint16"), ".png", (77, 77, 77)),
        (SIXTEEN_BITS.astype("uint16"), ".tif", (77, 77, 77)),
        (SIXTEEN_BITS.astype(">u2"), ".tif", (77, 77, 77)),
        (np.full((8, 12), 65535, "uint16"), ".png", (255, 255, 255)),
        pytest.param(FLAT.convert("YCbCr"), ".tif", GREEN, marks=PILLOW_13),
    ],
)
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
def test_kinds(image, suffix, expected, color, tmp_path):
    x = read_one(image, tmp_path, suffix, color=color)
    assert x.dtype == "uint8" and x.shape == (8, 12, 3 if color == "rgb" else 1)
    if color == "grayscale":
        expected = np.dot(expected, (0.299, 0.587, 0.114))
    np.testing.assert_allclose(x[4, 6], expected, atol=4)


def test_grey_is_grayscale(tmp_path):
    grayscale = read_one(FLAT, tmp_path, ".png", color="grayscale")
    grey = read_one(FLAT, tmp_path, ".png", color="grey")
    np.testing.assert_array_equal(grey, grayscale)


def test_pixels_that_fit_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), "uint8")
    np.testing.assert_array_equal(read_one(pixels, tmp_path, ".png"), pixels)


# EXIF orientation: the rotation or flip that undoes it.
ORIENTATIONS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation(orientation, suffix, tmp_path):
    pixels = np.zeros((16, 24, 3), "uint8")
    pixels[:8, :8], pixels[8:, :8] = 255, 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif, "quality": 100}
    x = read_one(pixels, tmp_path, suffix, options)
    expected = ORIENTATIONS[orientation](pixels)
    assert x.shape == expected.shape
    assert np.abs(x.astype(int) - expected).mean() < 4


def test_a_photograph_decoded_at_a_smaller_size_looks_the_same(tmp_path):
    rows, columns = np.mgrid[:1024, :1536]
    pixels = 127 + 120 * np.sin(rows / 90) * np.cos(columns / 70)
    image = Image.fromarray(pixels.astype("uint8"))
    x = read_one(image, tmp_path / "jpg", ".jpg")
    same = read_one(image, tmp_path / "png", ".png")
    assert x.shape == (64, 64, 1)
    assert np.abs(x.astype(int) - same).max() <= 3


@pytest.mark.parametrize(
    "modes, channels",
    [
        (["L", "L", "L"], 1),
        (["1", "LA", "I;16"], 1),
        (["L", "RGB", "L"], 3),
        (["L", "P", "L"], 1),
        (["L", "colors", "L"], 3),
        (["L", "L", "CMYK"], 3),
    ],
)
def test_color_is_found(modes, channels, tmp_path):
    for i, mode in enumerate(modes):
        image = Image.new("L", (5, 5), 50 * i)
        if mode == "colors":
            image = FLAT.resize((5, 5)).quantize(4)
        elif mode == "I;16":
            image = np.full((5, 5), 257 * 255, "uint16")
        else:
            image = image.convert(mode)
        save(image, tmp_path / f"{i}{'.tif' if mode == 'CMYK' else '.png'}")
    assert read_folder(tmp_path)["x_train"].shape == (1, 5, 5, channels)


# --- sizes -------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes, image_size, expected",
    [
        ([(9, 12)] * 3, None, (9, 12)),
        ([(128, 1)] * 3, None, (128, 1)),
        ([(129, 9)] * 3, None, (64, 64)),
        ([(9, 12), (9, 12), (12, 9)], None, (64, 64)),
        ([(9, 12)] * 3, 20, (20, 20)),
        ([(9, 12)] * 3, np.int64(20), (20, 20)),
        ([(9, 12)] * 3, [20], (20, 20)),
        ([(9, 12)] * 3, (20, 5), (20, 5)),
        ([(9, 12), (7, 7), (300, 200)], (20, 5), (20, 5)),
    ],
)
def test_image_size(sizes, image_size, expected, tmp_path):
    for i, size in enumerate(sizes):
        save(np.full(size, i, "uint8"), tmp_path / f"{i}.png")
    parts = read_folder(tmp_path, image_size=image_size)
    assert together(parts).shape == (3, *expected, 1)


@pytest.mark.parametrize("fit, left, top", [("crop", 100, 100), ("pad", 200, 0)])
def test_fit(fit, left, top, tmp_path):
    wide = np.full((10, 30), 100, "uint8")
    wide[:, :10] = wide[:, 20:] = 200
    x = read_one(wide, tmp_path, ".png", image_size=30, fit=fit)
    assert (x[15, 15], x[15, 4], x[2, 15]) == (100, left, top)


# --- splits and labels -------------------------------------------------------


@pytest.mark.parametrize(
    "n, sizes",
    [(3, (1, 1, 1)), (12, (10, 1, 1)), (60, (50, 4, 6)), (240, (198, 18, 24))],
)
def test_a_flat_folder_is_split(n, sizes, tmp_path):
    fill(tmp_path, [f"{i:03}.png" for i in range(n)])
    parts = read_folder(tmp_path)
    assert tuple(len(parts[f"x_{split}"]) for split in SPLITS) == sizes
    assert sorted(values(together(parts))) == list(range(n))
    assert parts["y_train"] is parts["y_val"] is parts["y_test"] is None
    assert parts["class_names"] == ()


def test_the_order_is_drawn_from_the_seed(tmp_path):
    fill(tmp_path, [f"{i:02}.png" for i in range(40)])
    first, again, other = (
        values(together(read_folder(tmp_path, seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again
    assert len({tuple(first), tuple(other), tuple(range(40))}) == 3


SPLIT_NAMES = {split: [f"{split}/{i}.png" for i in range(24)] for split in SPLITS}


@pytest.mark.parametrize(
    "given, sizes",
    [
        (("train", "val", "test"), (24, 24, 24)),
        (("train", "test"), (22, 2, 24)),
        (("train", "val"), (22, 24, 2)),
        (("train",), (21, 1, 2)),
    ],
)
def test_split_folders(given, sizes, tmp_path):
    fill(tmp_path, [name for split in given for name in SPLIT_NAMES[split]])
    parts = read_folder(tmp_path)
    assert tuple(len(parts[f"x_{split}"]) for split in SPLITS) == sizes
    for number, split in enumerate(given):
        origin = {value // 24 for value in values(parts[f"x_{split}"])}
        assert origin == {number}
        assert parts[f"y_{split}"] is None
    assert sorted(values(together(parts))) == list(range(24 * len(given)))


def test_nested_folders_are_labels(tmp_path):
    names = ["cat/0.png", "cat/1.png", "dog/big/2.png", "dog/small/3.png", "4.png"]
    fill(tmp_path, names)
    parts = read_folder(tmp_path)
    assert parts["class_names"] == (".", "cat", "dog/big", "dog/small")
    y = np.concatenate([parts[f"y_{split}"] for split in SPLITS])
    assert y.dtype == "int64"
    assert dict(zip(values(together(parts)), y.tolist(), strict=True)) == {
        **{0: 1, 1: 1, 2: 2, 3: 3, 4: 0}
    }


def test_labels_inside_splits(tmp_path):
    train = ["train/cat/0.png", "train/dog/1.png", "train/dog/2.png"]
    fill(tmp_path, [*train, "val/dog/3.png", "test/4.png"])
    parts = read_folder(tmp_path)
    assert parts["class_names"] == ("cat", "dog")
    labels = dict(zip(values(parts["x_train"]), parts["y_train"].tolist(), strict=True))
    assert labels == {0: 0, 1: 1, 2: 1}
    assert parts["y_val"].tolist() == [1]
    assert parts["y_test"] is None


def test_hidden_and_other_files_are_ignored(tmp_path):
    fill(tmp_path, ["a.png", "b.png", "c.png", ".hidden.png", ".thumbnails/d.png"])
    assert sorted(values(together(read_folder(tmp_path)))) == [0, 1, 2]


def test_other_kinds_of_files_are_named(tmp_path):
    fill(tmp_path, ["a.png", "b.png", "c.gif"])
    (tmp_path / "d.heic").write_bytes(b"anything")
    with pytest.warns(UserWarning, match=r"1 of 4 files .*: d.heic \(not an image"):
        assert sorted(values(together(read_folder(tmp_path)))) == [0, 1, 2]


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "VAL", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "valid"),
    ],
)
def test_splits_by_their_usual_names(names, tmp_path):
    fill(tmp_path, [f"{name}/{i}.png" for name in names for i in range(12)])
    parts = read_folder(tmp_path)
    for number, split in enumerate(SPLITS[: len(names)]):
        assert {value // 12 for value in values(parts[f"x_{split}"])} == {number}
    assert parts["class_names"] == ()
    assert "splits as in the folder" in parts["about"]


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, [f"{name}/{i}.png" for name in ("bus", "train") for i in range(4)])
    parts = read_folder(tmp_path)
    assert parts["class_names"] == ("bus", "train")
    assert len(together(parts)) == 8 and "splits drawn" in parts["about"]


def test_splits_beside_other_images_are_classes_and_said(tmp_path):
    fill(tmp_path, ["train/0.png", "val/1.png", "test/2.png", "x/3.png"])
    message = "test, train, val are read as classes.*: 1 images .* such as x/3.png"
    with pytest.warns(UserWarning, match=message):
        parts = read_folder(tmp_path)
    assert parts["class_names"] == ("test", "train", "val", "x")


def test_copies_across_splits_are_named(tmp_path):
    fill(tmp_path, ["train/0.png", "train/1.png", "val/2.png", "test/3.png"])
    save(np.full((4, 4), 1, "uint8"), tmp_path / "test" / "copy.bmp")
    with pytest.warns(UserWarning, match="1 images .*: test/copy.bmp = train/1.png$"):
        read_folder(tmp_path)


def test_splits_are_views(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(12)])
    parts = read_folder(tmp_path)
    whole = parts["x_train"].base
    assert whole.shape == (12, 4, 4, 1)
    assert all(parts[f"x_{split}"].base is whole for split in SPLITS)


# --- links, pipes ------------------------------------------------------------


@pytest.fixture
def linked(tmp_path):
    """A folder with links to itself, to what it holds, and to what it does not."""
    fill(tmp_path / "far", ["9.png"])
    near = tmp_path / "near"
    fill(near, ["0.png", "b/1.png", ".store/2.png"])
    for name, target in {
        "again.png": "0.png",
        "a": "b",
        "circle": ".",
        "b/up": "..",
        "stored.png": ".store/2.png",
        "out": tmp_path / "far",
        "out.png": tmp_path / "far" / "9.png",
        "nowhere.png": "missing",
    }.items():
        (near / name).symlink_to(target)
    return near


def test_links_are_followed_once_and_inside_only(linked):
    paths, skipped = files.image_paths(linked)
    assert paths == ["0.png", "b/1.png", "stored.png"]
    out = "a link that leads out of the folder"
    again = "a link to what is there under another name"
    expected = {"nowhere.png": "not a regular file", "out": out, "out.png": out}
    assert skipped == expected | dict.fromkeys(
        ["a", "again.png", "b/up", "circle"], again
    )


def test_the_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "far", [f"{i}.png" for i in range(3)])
    (tmp_path / "near").symlink_to(tmp_path / "far")
    assert len(together(read_folder(tmp_path / "near"))) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path):
    fill(tmp_path, ["a.png", "b.png", "c.png"])
    os.mkfifo(tmp_path / "d.png")
    with pytest.warns(UserWarning, match=r"d.png \(not a regular file\)$"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="`source` must be a regular file"):
        files.images_in(tmp_path / "d.png")


# --- bits, signs, transparency -----------------------------------------------


def tiff(path, samples, bits, photometric=1, sample_format=1):
    """Writes a grayscale TIFF of one strip, whatever its tags say of the samples."""
    height, width = samples.shape
    if bits == 12:  # two samples in three bytes
        left, right = samples.reshape(-1, 2).T
        strip = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], 1)
        strip = strip.astype("uint8").tobytes()
    else:
        strip = samples.astype(f"<{'ui'[sample_format - 1]}{bits // 8}").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8}
    tags |= {277: 1, 278: height, 279: len(strip), 339: sample_format}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    end = struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + end)


RAMP = np.linspace(0, 1, 96).reshape(8, 12)
LEVELS = np.rint(RAMP * 255)[..., None]


def read_ramps(tmp_path, samples, bits, photometric=1, sample_format=1, **options):
    for i, each in enumerate((samples, samples[::-1], samples[:, ::-1])):
        tiff(tmp_path / f"{i}.tif", each, bits, photometric, sample_format)
    parts = read_folder(tmp_path, **options)
    order = np.random.RandomState(0).permutation(3)
    return together(parts)[np.flatnonzero(order == 0).item()]


@pytest.mark.parametrize(
    "bits, photometric", [(8, 0), (8, 1), (12, 1), (16, 0), (16, 1)]
)
def test_bits_and_photometric_are_the_files_own(bits, photometric, tmp_path):
    samples = np.rint(RAMP * (2**bits - 1)).astype(int)
    x = read_ramps(tmp_path, samples, bits, photometric)
    expected = 255 - LEVELS if photometric == 0 else LEVELS
    assert differ(x, expected).max() <= 1


@pytest.mark.parametrize("bits, sample_format", [(16, 2), (32, 2), (32, 1)])
def test_samples_without_a_known_white(bits, sample_format, tmp_path):
    samples = np.rint(RAMP * 1000).astype(int)
    with (
        pytest.warns(UserWarning, match="values from 0 to 1000, and the file does not"),
        pytest.raises(ValueError, match="must contain readable images"),
    ):
        read_ramps(tmp_path, samples, bits, 1, sample_format)
    x = read_ramps(tmp_path, samples, bits, 1, sample_format, white=1000)
    assert differ(x, LEVELS).max() <= 1


@pytest.mark.parametrize("low, high", [(-5, 900), (0, 1200)])
def test_samples_beyond_black_or_white_are_not_clipped(low, high, tmp_path):
    samples = np.rint(low + RAMP * (high - low)).astype(int)
    with (
        pytest.warns(UserWarning, match=f"from {low} to {high}, where white is 1000"),
        pytest.raises(ValueError, match="must contain readable images"),
    ):
        read_ramps(tmp_path, samples, 16, 1, 2, white=1000)


def test_twelve_bits_in_sixteen_are_said(tmp_path):
    samples = np.rint(RAMP * 4095).astype(int)
    with pytest.warns(UserWarning, match="3 files .* above 4095 of 65535.*white=4095"):
        read_ramps(tmp_path, samples, 16)
    assert differ(read_ramps(tmp_path, samples, 16, white=4095), LEVELS).max() <= 1


def test_dark_files_beside_a_bright_one_are_as_they_are(tmp_path):
    fill(tmp_path, ["a.png", "b.png"])
    save(np.full((4, 4), 600, "uint16"), tmp_path / "dark.png")
    save(np.full((4, 4), 60000, "uint16"), tmp_path / "bright.png")
    assert sorted(values(together(read_folder(tmp_path)))) == [0, 1, 2, 233]


def colors_of_16_bits(path, value, transparent=None):
    """Writes an RGB PNG of 16 bits and 4 x 4 pixels, which Pillow cannot."""
    rows = (b"\0" + struct.pack(">3H", *value) * 4) * 4
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))]
    chunks += [(b"tRNS", struct.pack(">3H", *transparent))] if transparent else []
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + crc
    path.write_bytes(data)


def test_colors_of_16_bits(tmp_path):
    for i in range(3):
        colors_of_16_bits(tmp_path / f"{i}.png", (257 * 200, 0, 257 * i))
    assert together(read_folder(tmp_path))[:, 0, 0, 0].tolist() == [200] * 3
    for i in range(3):
        colors_of_16_bits(tmp_path / f"{i}.png", (4000, 0, 256 * i))
    with pytest.warns(UserWarning, match="white=4095"):
        read_folder(tmp_path)
    fill(tmp_path, ["1.png", "2.png", "3.png"])
    for options, transparent in (({"white": 4095}, None), ({}, (4000, 0, 0))):
        colors_of_16_bits(tmp_path / "0.png", (4000, 0, 0), transparent)
        with pytest.warns(UserWarning, match="0.png .colors of 16 bits"):
            read_folder(tmp_path, color="rgb", **options)


@pytest.mark.parametrize("background, shown", [("white", 255), ("#500000", 80)])
def test_background(background, shown, tmp_path):
    alpha = np.zeros((8, 12), "uint8")
    alpha[:, 6:] = 255
    image = Image.merge("RGBA", [*FLAT.split(), Image.fromarray(alpha)])
    x = read_one(image, tmp_path, ".png", background=background)
    assert x[0, 0, 0] == shown and tuple(x[0, 11]) == GREEN


def test_one_transparent_value_of_16_bits(tmp_path):
    pixels = np.full((4, 4), 257 * 9, "uint16")
    pixels[0] = 257 * 9 + 1
    fill(tmp_path, ["1.png"])
    save(np.full((4, 4), 65535, "uint16"), tmp_path / "2.png")
    save(pixels, tmp_path / "0.png", transparency=257 * 9)
    x = together(read_folder(tmp_path, background="#646464"))
    assert sorted(x[:, 1, 0, 0].tolist()) == [0, 100, 255]
    assert sorted(x[:, 0, 0, 0].tolist()) == [0, 9, 255]


def test_white_strokes_on_nothing_are_refused(tmp_path):
    for i in range(3):
        strokes = np.random.default_rng(i).random((8, 12)) > 0.7
        alpha = Image.fromarray(strokes.astype("uint8") * 255)
        white = [Image.new("L", (12, 8), 255)] * 3
        save(Image.merge("RGBA", [*white, alpha]), tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match="All pixels are 255 .*`background` 'white'"):
        read_folder(tmp_path)
    assert together(read_folder(tmp_path, background="black")).max() == 255


def test_the_summary_says_what_the_files_are(tmp_path):
    fill(tmp_path, ["0.png", "1.png", "2.jpg"])
    save(np.full((4, 4), 65535, "uint16"), tmp_path / "3.tif")
    expected = "2 PNG of 8 bits, 1 JPEG of 8 bits, 1 TIFF of 16 bits, pixels 0 to 255"
    assert read_folder(tmp_path)["about"] == f"{expected}, splits drawn"


# --- what cannot be read -----------------------------------------------------


def cut_short(path):
    save(np.random.default_rng(0).integers(0, 256, (40, 40), "uint8"), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_bomb(path):
    save(np.zeros((60, 60), "uint8"), path)


def floating_point(path):
    save(np.zeros((4, 4), "float32"), path)


@pytest.mark.parametrize(
    "break_file, name",
    [
        (cut_short, "bad.jpg"),
        (cut_short, "bad.png"),
        (cut_short, "bad.tif"),
        (cut_short, "bad.webp"),
        (cut_short, "bad.bmp"),
        (lambda path: path.write_text("hello"), "bad.png"),
        (lambda path: path.write_bytes(b""), "bad.jpg"),
        (lambda path: save(FLAT, path, format="PPM"), "bad.png"),
        (a_bomb, "bad.png"),
        (floating_point, "bad.tif"),
    ],
)
def test_a_broken_file_is_named_and_skipped(break_file, name, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40)
    fill(tmp_path, [f"{i:02}.png" for i in range(20)])
    break_file(tmp_path / name)
    message = rf"Skipped 1 of 21 files in '.*': {name} \([^)].+\)$"
    with pytest.warns(UserWarning, match=message):
        parts = read_folder(tmp_path, image_size=4)
    assert sorted(values(together(parts))) == list(range(20))


def test_pixels_beyond_pillows_own_limit_are_a_value_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40)
    a_bomb(tmp_path / "a.png")
    message = r"\(3600 pixels\) exceeds .*PIL.Image.MAX_IMAGE_PIXELS"
    with pytest.raises(ValueError, match=message), files.open_image(tmp_path / "a.png"):
        pass


def test_a_file_that_is_cut_short_decides_nothing(tmp_path):
    fill(tmp_path, [f"{i:02}.png" for i in range(20)])
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), "uint8")
    for name in ("bad.jpg", "class/bad.png", "test/bad.tif"):
        save(pixels, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match="Skipped 3 of 23"):
        parts = read_folder(tmp_path)
    assert together(parts).shape == (20, 4, 4, 1)
    assert parts["class_names"] == () and parts["y_train"] is None


def test_many_broken_files_leave_no_gaps(tmp_path):
    fill(tmp_path, [f"{label}/{i:02}.png" for label in "ab" for i in range(30)])
    broken = [f"{label}/{i:02}.png" for label in "ab" for i in range(0, 30, 3)]
    for name in broken:
        (tmp_path / name).write_text("hello")
    with pytest.warns(UserWarning) as caught:
        parts = read_folder(tmp_path)
    (warning,) = [each.message for each in caught]
    assert all(name in str(warning) for name in broken)
    assert "Skipped 20 of 60" in warning.short and warning.short.endswith(", …")
    assert sum(name in warning.short for name in broken) == 10
    x = values(together(parts))
    y = np.concatenate([parts[f"y_{split}"] for split in SPLITS])
    assert sorted(x) == [i for i in range(60) if i % 3]
    assert y.tolist() == [value // 30 for value in x]


def test_none_left(tmp_path):
    (tmp_path / "bad.png").write_text("hello")
    with (
        pytest.warns(UserWarning, match="Skipped 1 of 1"),
        pytest.raises(ValueError, match="`folder` must contain readable"),
    ):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "names, message",
    [
        ([], "`folder` must"),
        (["a.png"], "at least 3 images.*Received: 1 in"),
        (["a.png", "b.png"], "at least 3 images.*Received: 2 in"),
        (["train/a.png", "val/b.png"], "at least 2 images.*Received: 1 in"),
        (["val/a.png", "test/b.png"], r"`folder` must .*`train/`.*\['test', 'val'\]"),
    ],
)
def test_too_few(names, message, tmp_path):
    fill(tmp_path, names)
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path)


def test_one_image_a_split_is_enough(tmp_path):
    fill(tmp_path, ["train/a.png", "val/b.png", "test/c.png"])
    assert values(together(read_folder(tmp_path))) == [0, 1, 2]


@pytest.mark.parametrize("name", ["nowhere", "file.png"])
def test_no_folder(name, tmp_path):
    fill(tmp_path, ["file.png"])
    with pytest.raises(ValueError, match=f"a folder of images. Received: .*{name}"):
        read_folder(tmp_path / name)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"color": "blue"}, "`color` must be .*'blue'"),
        ({"fit": "stretch"}, "`fit` must be .*'stretch'"),
        ({"image_size": 0}, "`image_size` must be .*Received: 0"),
        ({"image_size": 3.5}, "`image_size` must be .*Received: 3.5"),
        ({"image_size": "64"}, "`image_size` must be .*Received: '64'"),
        ({"image_size": (3, -1)}, "`image_size` must be .*Received: "),
        ({"image_size": (3, 4, 5)}, "`image_size` must be .*Received: "),
        ({"image_size": True}, "`image_size` must be .*Received: True"),
        ({"white": 0}, "`white` must be .*Received: 0"),
        ({"white": "255"}, "`white` must be .*Received: '255'"),
        ({"background": "no such color"}, "`background` must be .*'no such color'"),
        ({"background": 3}, "`background` must be .*Received: 3"),
        ({"seed": "a"}, "`seed` must be an int from 0 .*Received: 'a'"),
        ({"seed": 1.5}, "`seed` must be .*Received: 1.5"),
        ({"seed": 2**32}, "`seed` must be .*Received: 4294967296"),
    ],
)
def test_bad_options(options, message, tmp_path):
    fill(tmp_path, ["a.png", "b.png", "c.png"])
    with pytest.raises(ValueError, match=message):
        read_folder(tmp_path, **options)


# --- large folders -----------------------------------------------------------


def test_only_many_files_get_a_progress_bar(tmp_path, monkeypatch, capsys):
    fill(tmp_path, [f"{i}.png" for i in range(4)])
    read_folder(tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(files, "SILENT_UP_TO", 3)
    read_folder(tmp_path)
    assert "reading: 100%" in capsys.readouterr().err


def test_no_room_on_the_disk(tmp_path, monkeypatch):
    fill(tmp_path, ["a.png", "b.png", "c.png"])
    monkeypatch.setattr(folders, "MEMORY_LIMIT", 10)
    usage = folders.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        folders.shutil, "disk_usage", lambda path: usage._replace(free=5)
    )
    with pytest.raises(ValueError, match="`TMPDIR` must have 48 bytes free"):
        read_folder(tmp_path)


def test_on_the_disk_and_in_memory_are_the_same(tmp_path, monkeypatch):
    fill(tmp_path, [f"{label}/{i}.png" for label in "ab" for i in range(9)])
    (tmp_path / "a" / "4.png").write_text("hello")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        in_memory = read_folder(tmp_path)
        monkeypatch.setattr(folders, "MEMORY_LIMIT", 17 * 16 - 1)
        on_disk = read_folder(tmp_path)
    assert isinstance(on_disk["x_val"], np.memmap)
    assert not isinstance(in_memory["x_val"], np.memmap)
    for name, expected in in_memory.items():
        np.testing.assert_array_equal(on_disk[name], expected)


def test_large_transparent_pictures_are_laid_on_a_color_in_strips(monkeypatch):
    """Whole, a TIFF of 410 bytes took 3 GB."""
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (30, 7, 4), dtype="uint8"))
    whole = Image.alpha_composite(Image.new("RGBA", image.size, "red"), image)
    monkeypatch.setattr(files, "STRIP", 20)
    composite, sizes = Image.alpha_composite, []

    def spy(ground, strip):
        sizes.append(strip.size)
        return composite(ground, strip)

    monkeypatch.setattr(Image, "alpha_composite", spy)
    info = files.FileInfo("PNG", (30, 7), False, 8, 255, False)
    for mode in ("RGB", "L"):
        found, _ = files.decode(image, info, mode, background="red")
        assert found.mode == mode
        expected = whole.convert("RGB").convert(mode)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert {*sizes} == {(7, 2)}
