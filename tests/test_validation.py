"""Arguments are validated, and arrays of images are not copied without need."""

from pathlib import Path

import numpy as np
import pytest

from convae_keras import validation
from convae_keras.validation import (
    as_path,
    as_sizes,
    check_images,
    check_ints,
    check_limit,
    chunks,
    format_shape,
    is_int,
    is_number,
    plain,
    reason,
    require,
    set_limit,
    warn_if_nearly_black,
)

pytestmark = pytest.mark.static


def objects():
    array = np.empty(3, dtype=object)
    array[:] = [np.zeros((2, 2)), np.zeros((3, 3)), None]
    return array


def test_require():
    require(True, "never raised")
    with pytest.raises(ValueError, match="^`epochs` must be positive. Received: 0$"):
        require(0, "`epochs` must be positive. Received: 0")


@pytest.mark.parametrize(
    "value, whole, number",
    [
        (3, True, True),
        (np.int64(3), True, True),
        (np.uint8(3), True, True),
        (3.0, False, True),
        (np.float32(3), False, True),
        (True, False, False),
        (np.True_, False, False),
        ("3", False, False),
        (None, False, False),
    ],
)
def test_numbers(value, whole, number):
    assert is_int(value) is is_int(value, 3) is whole
    assert is_number(value) is number
    assert not is_int(value, 4)


def test_plain_values_are_pythons():
    found = plain((np.int32(1), [np.float64(0.5), "a"], None))
    assert found == (1, [0.5, "a"], None)
    assert [type(value) for value in (found[0], *found[1])] == [int, float, str]


def test_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert as_path("~/a") == tmp_path / "a" and as_path("b/~") == Path("b/~")
    assert as_path(tmp_path) == tmp_path
    for bad in ("", None, 3, b"a"):
        with pytest.raises(ValueError, match="`run` must be a path. Received: "):
            as_path(bad, "run")


def test_the_limit_is_raised_and_restored():
    expected = "134,217,729 pixels, and the limit is 134,217,728 .*--limit raises it"
    check_limit(2**27, "pixels")
    with pytest.raises(ValueError, match=expected):
        check_limit(2**27 + 1, "pixels")
    try:
        set_limit(1024)
        check_limit(2**27 + 1, "pixels")
    finally:
        set_limit()
    with pytest.raises(ValueError, match=expected):
        check_limit(2**27 + 1, "pixels")
    with pytest.raises(ValueError, match="`megabytes` must be a positive int"):
        set_limit(0)


@pytest.mark.parametrize(
    "shape, text",
    [((28, 28, 1), "28 x 28 x 1"), ((None, 5), "any x 5"), ((0, 5), "0 x 5")],
)
def test_format_shape(shape, text):
    assert format_shape(shape) == text


def test_reasons_have_two_hundred_characters():
    assert reason("a" * 200) == "a" * 200
    assert reason("a" * 201) == "a" * 200 + "…"


@pytest.mark.parametrize("rows, sizes", [(1, [1] * 7), (3, [3, 3, 1]), (9, [7])])
def test_chunks(rows, sizes, monkeypatch):
    x = np.arange(14, dtype="uint8").reshape(7, 2)
    monkeypatch.setattr(validation, "CHUNK", 2 * rows)
    found = list(chunks(x))
    assert [len(chunk) for chunk in found] == sizes
    np.testing.assert_array_equal(np.concatenate(found), x)
    assert all(np.shares_memory(chunk, x) for chunk in found)


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 5, 6, 1), (3, 5, 6, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
def test_good_arrays(shape, dtype):
    x = check_images(np.ones(shape, dtype) * (200 if dtype == "uint8" else 1))
    assert x.shape == (*shape, 1)[:4]
    assert x.dtype == ("uint8" if dtype == "uint8" else "float32")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_good_arrays_are_not_copied(dtype, tmp_path):
    x = np.zeros((3, 5, 6), dtype)
    assert np.shares_memory(check_images(x), x)
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=(3, 5, 6))
    assert isinstance(check_images(mapped), np.memmap)


def test_a_list_of_images_is_an_array_of_them():
    assert check_images([np.zeros((4, 5), "uint8")] * 2).shape == (2, 4, 5, 1)


IMAGES = r"`x` must be images, \(n, height, width\) or \(n, height, width, channels\)"
RANGE = r"`x` must be uint8 in \[0, 255\] or float in \[0, 1\]"


@pytest.mark.parametrize(
    "x, message",
    [
        (np.arange(10), rf"{IMAGES}. Received: int64 \(10,\), which looks like labels"),
        (np.zeros((10, 1), "uint8"), "looks like labels"),
        (np.zeros((28, 28), "uint8"), "looks like one image, or rows of pixels"),
        (np.zeros((48, 64, 4), "uint8"), rf"{IMAGES}.*looks like one image"),
        (np.zeros((10, 784), "float32"), rf"{IMAGES}.*\(10, 784\)"),
        (np.float32(0.5), IMAGES),
        (np.zeros((2, 2, 3, 4, 1), "uint8"), rf"{IMAGES}.*\(2, 2, 3, 4, 1\)"),
        ([np.zeros((3, 4)), np.zeros((3, 5))], f"{IMAGES}, all of one size"),
        (objects(), f"{IMAGES}, all of one size. Received: object"),
        (None, f"{IMAGES}.*object"),
        (np.zeros((0, 5, 6), "uint8"), "`x` must"),
        (np.zeros((5, 0, 6), "uint8"), "`x` must"),
        (np.zeros((5, 6, 6, 0), "uint8"), "`x` must"),
        (np.zeros((5, 3, 32, 32), "uint8"), rf"{IMAGES}.*with channels first"),
        (np.zeros((5, 1, 28, 28), "uint8"), rf"{IMAGES}.*with channels first"),
        (np.zeros((28, 28, 1), "uint8"), rf"{IMAGES}.*looks like one image"),
        (np.full((3, 5, 6), np.nan), "`x` must be finite. Received: NaN or infinite"),
        (np.full((3, 5, 6), np.inf, "float32"), "`x` must be finite"),
        (np.full((3, 5, 6), -np.inf, "float32"), "`x` must be finite"),
        (np.full((3, 5, 6), 255.0), f"{RANGE}.*255 to 255 .*pass x / 255"),
        (np.full((3, 5, 6), 16.0), f"{RANGE}.*16 to 16 .*pass x / 16"),
        (np.full((3, 5, 6), 99.5, "float32"), f"{RANGE}.*99.5 .*pass x / 100"),
        (np.full((3, 5, 6), 4000), f"{RANGE}.*int64 4000 .*pass x / 4095"),
        (np.full((3, 5, 6), 65535, "uint16"), f"{RANGE}.*uint16.*pass x / 65535"),
        (np.full((3, 5, 6), 1e6), f"{RANGE}.*pass x / 1000000"),
        (np.full((3, 5, 6), -1.0), f"{RANGE}.*-1 to -1 .*the pipeline scales"),
        (np.full((3, 5, 6), -1, "int8"), f"{RANGE}.*int8 -1 to -1"),
        (np.zeros((3, 5, 6), complex), f"{RANGE}. Received: complex128"),
        (np.full((3, 5, 6), "a"), f"{RANGE}. Received: <U1"),
    ],
)
def test_bad_arrays(x, message):
    with pytest.raises(ValueError, match=message):
        check_images(x)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", ">i4"])
def test_whole_numbers_of_8_bits_are_taken_and_said(dtype):
    pixels = np.arange(120).reshape(4, 5, 6)
    with pytest.warns(UserWarning, match=f"`x` is .*{np.dtype(dtype)}.*0 to 119 "):
        x = check_images(pixels.astype(dtype))
    assert x.dtype == "uint8"
    np.testing.assert_array_equal(x[..., 0], pixels)


def test_bools_become_black_and_white():
    pixels = np.arange(120).reshape(4, 5, 6) > 60
    with pytest.warns(UserWarning, match="`x` is bool: False becomes 0, True 255"):
        x = check_images(pixels)
    np.testing.assert_array_equal(x[..., 0], np.where(pixels, 255, 0))


@pytest.mark.parametrize("high", [1, 16])
def test_bytes_that_are_nearly_black_are_said(high):
    x = np.zeros((4, 5, 6), "uint8")
    warn_if_nearly_black({"a": x, "b": np.zeros((1, 2), "float32")})
    dark = x.copy()
    dark[2, 2, 2] = high
    match = f"`b` is nearly black.*0 to {high} .if white is {high} there"
    with pytest.warns(UserWarning, match=match):
        warn_if_nearly_black({"a": x, "b": dark})
    warn_if_nearly_black({"a": x + np.uint8(17), "b": dark})


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_that_miss_the_range_by_rounding_are_clipped(dtype):
    x = np.full((3, 5, 6), 0.5, dtype)
    ends = np.array((1, 0), dtype), np.array((2, -1), dtype)
    x[0, 0, 0], x[1, 1, 1] = np.nextafter(*ends)
    with pytest.warns(UserWarning, match="`x` was clipped to"):
        clipped = check_images(x)
    assert (clipped.min(), clipped.max()) == (0, 1) and x.max() > 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5, -0.5])
def test_one_bad_pixel_is_found(bad, monkeypatch):
    monkeypatch.setattr(validation, "CHUNK", 200)
    x = np.zeros((20, 5, 6), "float32")
    x[-1, -1, -1] = bad
    with pytest.raises(ValueError, match="`mine` must be"):
        check_images(x, "mine")


def test_masked_images_are_refused():
    x = np.ma.masked_array(np.zeros((2, 4, 4), "uint8"), np.eye(4) * np.ones((2, 1, 1)))
    with pytest.raises(ValueError, match="as a plain array. Received: a MaskedArray"):
        check_images(x)
    x = check_images(np.ma.masked_array(np.zeros((2, 4, 4), "uint8"), False))
    assert type(x) is np.ndarray


def test_check_ints():
    check_ints(a=1, b=np.int64(2))
    check_ints(0, 3, a=0, b=3)
    for low, high, value, expected in (
        (1, None, 0, "a positive int"),
        (2, None, 1, "an int of at least 2"),
        (0, 3, 4, "an int from 0 to 3"),
        (0, 3, True, "an int from 0 to 3"),
        (0, 3, np.ones((2, 2)), "an int from 0 to 3"),
    ):
        with pytest.raises(ValueError, match=f"^`b` must be {expected}. Rec.*ed: .*$"):
            check_ints(low, high, a=2, b=value)


def test_as_sizes():
    axes = ("steps", "channels")
    assert as_sizes((), "filters") == () and as_sizes(np.array([2]), "f") == (2,)
    assert as_sizes([None, 2], "shape", axes, fixed=False) == (None, 2)
    for value, fixed in (
        ([None, 2], True),
        ([2, None], False),
        ([2], False),
        (2, True),
    ):
        expected = r"`shape` must be \(steps, channels\), positive ints.*Received: "
        with pytest.raises(ValueError, match=expected):
            as_sizes(value, "shape", axes, fixed)
