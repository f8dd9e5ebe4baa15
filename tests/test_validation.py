"""Arguments are validated, and arrays of images are not copied without need."""

import numpy as np
import pytest

from convae_keras import validation
from convae_keras.validation import check_images, chunks, format_shape, require

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
    "shape, text", [((28, 28, 1), "28 x 28 x 1"), ((None, 5), "any x 5")]
)
def test_format_shape(shape, text):
    assert format_shape(shape) == text


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
    x = check_images(np.ones(shape, dtype))
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
        (np.full((3, 5, 6), 255.0), f"{RANGE}.*255 to 255 .*divide by 255"),
        (np.full((3, 5, 6), -1.0), f"{RANGE}.*-1 to -1 "),
        (np.zeros((3, 5, 6), "int64"), f"{RANGE}. Received: int64"),
        (np.zeros((3, 5, 6), "uint16"), f"{RANGE}. Received: uint16"),
        (np.zeros((3, 5, 6), "int8"), f"{RANGE}. Received: int8"),
        (np.zeros((3, 5, 6), bool), f"{RANGE}. Received: bool"),
        (np.zeros((3, 5, 6), complex), f"{RANGE}. Received: complex128"),
        (np.full((3, 5, 6), "a"), f"{RANGE}. Received: <U1"),
    ],
)
def test_bad_arrays(x, message):
    with pytest.raises(ValueError, match=message):
        check_images(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5, -0.5])
def test_one_bad_pixel_is_found(bad, monkeypatch):
    monkeypatch.setattr(validation, "CHUNK", 200)
    x = np.zeros((20, 5, 6), "float32")
    x[-1, -1, -1] = bad
    with pytest.raises(ValueError, match="`mine` must be"):
        check_images(x, "mine")
