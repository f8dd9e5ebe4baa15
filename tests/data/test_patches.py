"""Patches of photographs: from where, how many, and in which split."""

import warnings

import numpy as np
import pytest
from PIL import Image

from convae_keras.data import patches, sources
from convae_keras.data.patches import (
    PHOTOGRAPHS,
    cut,
    is_paired,
    photograph_patches,
    photographs,
    read_patches,
)
from convae_keras.data.sources import load_images
from convae_keras.data.splits import SPLITS

pytestmark = pytest.mark.static


def save(pixels, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def picture(number, height=8, width=12):
    """Red is the number of the image, green and blue the position of the pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), rows, columns], -1).astype("uint8")


def fill(folder, names, height=8, width=12):
    for number, name in enumerate(names):
        save(picture(number, height, width), folder / name)


def origins(x):
    """The numbers of the images that the patches come from."""
    return set(x[..., 0].ravel().tolist())


def places(x):
    """`(image, row, column)` of the first pixel of each patch."""
    return [tuple(patch[0, 0].tolist()) for patch in x]


# --- photographs that libraries ship -----------------------------------------


@pytest.mark.parametrize("split, count", [("train", 9), ("val", 2), ("test", 3)])
@pytest.mark.parametrize("color, channels", [("rgb", 3), ("grayscale", 1)])
def test_photographs(split, count, color, channels):
    found = photographs(split, color)
    assert tuple(found) == PHOTOGRAPHS[split] and len(found) == count
    for image in found.values():
        assert image.dtype == "uint8" and image.ndim == 3
        assert image.shape[2] == channels and min(image.shape[:2]) >= 300
        assert image.std() > 10
    assert len({image.tobytes() for image in found.values()}) == count


def test_no_photograph_is_in_two_splits():
    names = [name for split in SPLITS for name in PHOTOGRAPHS[split]]
    assert len(names) == len(set(names)) == 14


def test_grayscale_is_the_luma():
    color = photographs("test")["chelsea.png"]
    gray = photographs("test", "grayscale")["chelsea.png"]
    expected = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - expected).max() < 1
    # Another spelling of the same.
    np.testing.assert_array_equal(photographs("test", "grey")["chelsea.png"], gray)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("all",), "`split` must be .*'train'.*'all'"),
        (("test", "blue"), "`color` must be .*'rgb'.*'blue'"),
    ],
)
def test_no_such_photographs(arguments, message):
    with pytest.raises(ValueError, match=message):
        photographs(*arguments)


@pytest.fixture(scope="module")
def gray_patches():
    return photograph_patches(100, "grayscale")


def test_photograph_patches(gray_patches):
    assert list(gray_patches) == ["x_train", "x_val", "x_test"]
    for split in ("val", "test"):
        images = photographs(split, "grayscale").values()
        expected = np.concatenate([cut(image, 100) for image in images])
        np.testing.assert_array_equal(gray_patches[f"x_{split}"], expected)


def test_patches_to_train_on(gray_patches):
    """They overlap, also at half the size; half of them change their contrast."""
    x = gray_patches["x_train"]
    images = [image[..., 0] for image in photographs("train", "grayscale").values()]
    halves = [Image.fromarray(image) for image in images]
    halves = [half.resize((half.width // 2, half.height // 2)) for half in halves]
    images += [np.asarray(half) for half in halves]
    expected = np.concatenate([cut(image[..., None], 100, 33) for image in images])
    assert x.shape == expected.shape and x.dtype == "uint8"
    same = 0
    for patch, original in zip(x, expected, strict=True):
        # Except for rounding, a linear function of the original.
        assert np.corrcoef(original.ravel(), patch.ravel())[0, 1] > 0.9
        same += np.array_equal(patch, original)
    assert 0.4 < same / len(x) < 0.6


def test_the_named_set(gray_patches, monkeypatch):
    def patches_of(patch_size, color):
        assert (patch_size, color) == (100, "grayscale")
        return gray_patches

    monkeypatch.setattr(sources, "photograph_patches", patches_of)
    images = load_images("photographs", patch_size=100, color="grayscale")
    assert images.name == "photographs" and images.image_shape == (100, 100, 1)
    assert images.y_train is None and images.inputs_train is None
    np.testing.assert_array_equal(images.x_val, gray_patches["x_val"])


# --- cut ---------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(6, 6), (13, 17), (4, 9)])
@pytest.mark.parametrize("size, stride", [(4, None), (4, 4), (4, 2), (3, 5), (1, 1)])
def test_cut(height, width, size, stride):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8")
    expected = [
        image[top : top + size, left : left + size]
        for top in range(0, height - size + 1, stride or size)
        for left in range(0, width - size + 1, stride or size)
    ]
    np.testing.assert_array_equal(cut(image, size, stride), expected)


# --- single images -----------------------------------------------------------


def test_patches_of_a_folder(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(12)])
    parts = read_patches(tmp_path, 4)
    assert list(parts) == ["x_train", "x_val", "x_test"]
    x = np.concatenate([*parts.values()])
    assert x.shape == (12 * 6, 4, 4, 3) and x.dtype == "uint8"
    grid = [
        (i, row, column) for i in range(12) for row in (0, 4) for column in (0, 4, 8)
    ]
    assert sorted(places(x)) == grid
    # Each patch equals the image at its position.
    for patch, (i, row, column) in zip(x, places(x), strict=True):
        expected = picture(i)[row : row + 4, column : column + 4]
        np.testing.assert_array_equal(patch, expected)


def test_splits_are_by_file(tmp_path):
    fill(tmp_path, [f"{i:02}.png" for i in range(24)])
    parts = read_patches(tmp_path, 4)
    files = [origins(parts[f"x_{split}"]) for split in SPLITS]
    assert [len(inside) for inside in files] == [21, 1, 2]
    assert set().union(*files) == set(range(24))


def test_split_folders(tmp_path):
    fill(tmp_path, ["test/a.png", "train/b.png", "train/deep/c.png", "val/d.png"])
    parts = read_patches(tmp_path, 4)
    files = [origins(parts[f"x_{split}"]) for split in SPLITS]
    assert files == [{1, 2}, {3}, {0}]


def test_the_order_of_the_files_comes_from_the_seed(tmp_path):
    fill(tmp_path, [f"{i:02}.png" for i in range(30)])
    first, again, other = (
        places(read_patches(tmp_path, 8, seed=seed)["x_train"]) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first != sorted(first)


def test_colors(tmp_path):
    for i in range(3):
        save(picture(i)[..., 1], tmp_path / f"{i}.png")
    assert read_patches(tmp_path, 4)["x_train"].shape == (6, 4, 4, 3)
    assert read_patches(tmp_path, 4, "rgb")["x_train"].shape == (6, 4, 4, 3)
    grey = read_patches(tmp_path, 4, "grey")["x_train"]
    assert grey.shape == (6, 4, 4, 1)
    assert sorted(grey[:, 0, 0, 0].tolist()) == [0, 0, 0, 4, 4, 4]


def test_photographs_are_rotated_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        save(picture(i, 4, 12), tmp_path / f"{i}.png", exif=exif)
    x = read_patches(tmp_path, 4)["x_train"]
    assert x.shape == (3, 4, 4, 3)
    expected = cut(np.rot90(picture(0, 4, 12), -1), 4)
    np.testing.assert_array_equal(x[..., 1:], expected[..., 1:])


def test_most_patches(tmp_path, monkeypatch):
    """Large images give a random selection of their patches."""
    fill(tmp_path, [f"{i}.png" for i in range(12)], 40, 40)
    everything = read_patches(tmp_path, 4)
    assert sum(map(len, everything.values())) == 1200
    monkeypatch.setattr(patches, "MOST_PATCHES", 120)
    first, again, other = (
        places(np.concatenate([*read_patches(tmp_path, 4, seed=seed).values()]))
        for seed in (0, 0, 1)
    )
    assert len(first) == len(set(first)) == 120
    assert first == again and set(first) != set(other)
    assert {place[0] for place in first} == set(range(12))
    rows, columns = ({place[i] for place in first} for i in (1, 2))
    assert rows == columns == set(range(0, 40, 4))


@pytest.mark.filterwarnings("ignore:Skipped 48 of 60")
def test_other_files_are_no_images_to_share_the_patches_with(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "MOST_PATCHES", 120)
    fill(tmp_path, [f"{i}.png" for i in range(12)], 40, 40)
    for i in range(48):  # as labels of objects are, beside each picture
        (tmp_path / f"{i}.txt").touch()
    assert sum(map(len, read_patches(tmp_path, 4).values())) == 120


# --- pairs -------------------------------------------------------------------


def fill_pairs(folder, names, scale=1, height=8, width=12):
    """Inputs have 100 more of red than targets, to tell them apart."""
    for number, name in enumerate(names):
        save(picture(number, scale * height, scale * width), folder / "target" / name)
        inputs = picture(number, height, width) + np.uint8([100, 0, 0])
        save(inputs, folder / "input" / name)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_patches_of_a_pair_are_aligned(scale, tmp_path):
    assert not is_paired(tmp_path)
    fill_pairs(tmp_path, [f"{i}.png" for i in range(12)], scale)
    assert is_paired(tmp_path)
    parts = read_patches(tmp_path, 4)
    for split, count in [("train", 10), ("val", 1), ("test", 1)]:
        x, inputs = parts[f"x_{split}"], parts[f"inputs_{split}"]
        assert x.shape == (6 * count, 4 * scale, 4 * scale, 3)
        assert inputs.shape == (6 * count, 4, 4, 3)
        expected = [
            (number + 100, row // scale, column // scale)
            for number, row, column in places(x)
        ]
        assert places(inputs) == expected
    files = [origins(parts[f"x_{split}"]) for split in SPLITS]
    assert sum(map(len, files)) == len(set().union(*files)) == 12


def test_pairs_stay_aligned_when_not_all_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "MOST_PATCHES", 36)
    fill_pairs(tmp_path, [f"{i}.png" for i in range(12)], 2, 16, 16)
    parts = read_patches(tmp_path, 4)
    assert sum(len(parts[f"x_{split}"]) for split in SPLITS) == 36
    for split in SPLITS:
        found = np.array(places(parts[f"inputs_{split}"]))
        expected = np.array(places(parts[f"x_{split}"])) // [1, 2, 2] + [100, 0, 0]
        np.testing.assert_array_equal(found, expected)


def test_pairs_in_splits(tmp_path):
    names = ["test/a.png", "train/b.png", "train/deep/c.png", "val/d.png"]
    fill_pairs(tmp_path, names)
    parts = read_patches(tmp_path, 4)
    assert [origins(parts[f"x_{s}"]) for s in SPLITS] == [{1, 2}, {3}, {0}]
    assert [origins(parts[f"inputs_{s}"]) for s in SPLITS] == [{101, 102}, {103}, {100}]


@pytest.mark.parametrize("alone", ["input/9.png", "target/9.png"])
def test_a_partner_is_missing(alone, tmp_path):
    fill_pairs(tmp_path, ["0.png", "1.png", "2.png"])
    save(picture(9), tmp_path / alone)
    message = r"`folder` must have the same names in .*\['9.png'\]"
    with pytest.raises(ValueError, match=message):
        read_patches(tmp_path, 4)


@pytest.mark.parametrize("names", [["train/input", "train/target"], ["Input"]])
def test_pairs_in_the_wrong_folders(names, tmp_path):
    """Read as photographs, noisy inputs would be used as clean targets."""
    for name in names:
        fill(tmp_path / name, ["0.png", "1.png", "2.png"])
    with pytest.raises(ValueError, match="`folder` must have input/ and target/"):
        read_patches(tmp_path, 4)


@pytest.mark.parametrize(
    "height, width", [(9, 12), (16, 12), (8, 24), (12, 18), (17, 24), (4, 6)]
)
def test_sizes_that_do_not_fit(height, width, tmp_path):
    fill_pairs(tmp_path, ["0.png", "1.png", "2.png"])
    save(picture(1, height, width), tmp_path / "target" / "1.png")
    message = rf"`target/1.png` must be .*\(8, 12\).*Received: \({height}, {width}\)"
    with pytest.raises(ValueError, match=message):
        read_patches(tmp_path, 4)


# --- what is skipped, and what is refused ------------------------------------


def read_with_warning(folder, *arguments, **options):
    """The text of the only warning, and the result."""
    with pytest.warns(UserWarning) as caught:
        parts = read_patches(folder, *arguments, **options)
    (warning,) = caught
    return str(warning.message), parts


def test_small_and_broken_images_are_skipped_and_named(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(30)])
    save(picture(30, 3, 12), tmp_path / "low.png")
    save(picture(31, 8, 3), tmp_path / "narrow.png")
    (tmp_path / "text.png").write_text("hello")
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    message, parts = read_with_warning(tmp_path, 4)
    assert message.startswith(f"Skipped 4 of 34 files in '{tmp_path}': ")
    for name in ("low.png", "narrow.png"):
        assert f"{name} (smaller than 4 pixels)" in message
    for name in ("text.png", "half.png"):
        assert f"{name} (" in message
    assert message.count(".png") == 4
    files = set().union(*[origins(x) for x in parts.values()])
    assert files == set(range(30))


@pytest.mark.parametrize("broken", range(6))
def test_a_split_does_not_fail_for_one_file(broken, tmp_path):
    """Whichever split it is drawn for."""
    fill(tmp_path, [f"{i}.png" for i in range(6)])
    (tmp_path / f"{broken}.png").write_text("hello")
    message, parts = read_with_warning(tmp_path, 4)
    assert "Skipped 1 of 6 files" in message
    found = [origins(parts[f"x_{split}"]) for split in SPLITS]
    assert sorted(i for each in found for i in each) == sorted({*range(6)} - {broken})


def test_pairs_of_two_scales(tmp_path):
    fill_pairs(tmp_path, [f"{split}/0.png" for split in SPLITS], 2)
    fill_pairs(tmp_path, ["train/1.png"], 3)
    message = r"larger by one factor. Received: . times \(train/..png\) and . times"
    with pytest.raises(ValueError, match=message):
        read_patches(tmp_path, 4)


@pytest.mark.parametrize("side", ["input", "target"])
def test_a_broken_half_of_a_pair_is_skipped_with_the_other(side, tmp_path):
    names = [f"{kind}/{i}.png" for kind in ("train", "val", "test") for i in range(2)]
    fill_pairs(tmp_path, names)
    (tmp_path / side / "train" / "0.png").write_text("hello")
    message, parts = read_with_warning(tmp_path, 4)
    assert "train/0.png (not one of PNG" in message
    assert origins(parts["x_train"]) == {1} and origins(parts["inputs_train"]) == {101}


def test_the_patch_size_is_that_of_the_input(tmp_path):
    fill_pairs(tmp_path, ["0.png", "1.png", "2.png"], 2)
    assert read_patches(tmp_path, 8)["x_train"].shape == (1, 16, 16, 3)
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match="images of 9 pixels .*smaller than 9"),
    ):
        warnings.simplefilter("ignore")
        read_patches(tmp_path, 9)


def test_a_split_that_is_left_without_a_patch(tmp_path):
    fill(tmp_path, ["train/a.png", "val/b.png", "test/c.png"])
    save(picture(1, 3, 3), tmp_path / "val" / "b.png")
    message = "`folder` must have val images of 4 pixels.*val/b.png"
    with pytest.raises(ValueError, match=message):
        read_patches(tmp_path, 4)


@pytest.mark.parametrize(
    "names, options, message",
    [
        (["a.png"], {"patch_size": 0}, "`patch_size` must be a positive int.*: 0"),
        (["a.png"], {"patch_size": -4}, "`patch_size` must be .*Received: -4"),
        (["a.png"], {"patch_size": 4.0}, "`patch_size` must be .*Received: 4.0"),
        (["a.png"], {"patch_size": "4"}, "`patch_size` must be .*Received: '4'"),
        (["a.png"], {"color": "blue"}, "`color` must be .*'blue'"),
        (["a.png"], {"seed": -1}, "`seed` must be an int from 0 .*Received: -1"),
        (["a.png"], {"seed": None}, "`seed` must be .*Received: None"),
        ([], {}, "`folder` must be a folder of images"),
        (["a.png", "b.png"], {}, "at least 3 images.*Received: 2 in"),
        (["val/a.png"], {}, "`folder` must .*`train/`"),
    ],
)
def test_bad_options(names, options, message, tmp_path):
    fill(tmp_path, names)
    with pytest.raises(ValueError, match=message):
        read_patches(tmp_path, **{"patch_size": 4, **options})


# --- through load_images -----------------------------------------------


@pytest.mark.filterwarnings("ignore:.*is nearly black")
def test_a_folder_is_cut_when_asked(tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(30)])
    images = load_images(tmp_path, patch_size=4, color="grey", seed=3)
    assert images.name == tmp_path.name and images.inputs_train is None
    assert str(images).endswith(
        "150 training, 12 validation and 18 test images of 4 x 4 x 1, no labels"
    )
    expected = read_patches(tmp_path, 4, "grey", 3)["x_train"]
    np.testing.assert_array_equal(images.x_train, expected)
    assert load_images(tmp_path).image_shape == (8, 12, 3)


def test_pairs_are_noticed(tmp_path):
    fill_pairs(tmp_path, [f"{i}.png" for i in range(3)], 2, 72, 80)
    images = load_images(tmp_path)
    assert images.image_shape == (144, 144, 3)
    for split in SPLITS:
        inputs = getattr(images, f"inputs_{split}")
        assert inputs.shape == (1, 72, 72, 3)
        x = getattr(images, f"x_{split}")
        assert {value + 100 for value in origins(x)} == origins(inputs)


@pytest.mark.parametrize("option", [{"image_size": 8}, {"fit": "pad"}])
def test_patches_are_not_resized(option, tmp_path):
    fill(tmp_path, [f"{i}.png" for i in range(3)])
    with pytest.raises(ValueError, match=rf"\['{[*option][0]}'\].*patches"):
        load_images(tmp_path, patch_size=4, **option)
