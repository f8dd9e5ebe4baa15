"""Figures: what is drawn. Nothing is saved or shown."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from convae_keras.plotting import curves, image_rows

pytestmark = pytest.mark.static


@pytest.fixture(autouse=True)
def nothing_saved_or_shown(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: pytest.fail("saved"))
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("shown"))
    yield
    assert not list(tmp_path.iterdir())
    assert not plt.get_fignums()  # no figure that pyplot would keep


def batch(n, channels=1, dtype="float32"):
    white = 255 if dtype == "uint8" else 1
    x = np.linspace(0, white, n * 6 * 5 * channels)
    return x.reshape(n, 6, 5, channels).astype(dtype)


def drawn(figure):
    return [axis.images[0].get_array() for axis in figure.axes]


@pytest.mark.parametrize(
    "sizes, count, columns", [([4], 10, 4), ([4, 12], 10, 4), ([12, 12, 12], 10, 10)]
)
def test_rows_of_images(sizes, count, columns):
    rows = {f"row {i}": batch(size) for i, size in enumerate(sizes)}
    figure = image_rows(rows, count)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == columns * len(sizes)
    np.testing.assert_allclose(figure.get_size_inches(), [columns, len(sizes)], atol=2)
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels[::columns] == list(rows)
    assert not any(labels[i] for i in range(len(labels)) if i % columns)
    for axis in figure.axes:
        assert not len(axis.get_xticks()) and not len(axis.get_yticks())


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_drawn_as_they_are(channels, dtype):
    x = batch(3, channels, dtype)
    pictures = drawn(image_rows({"all": x}))
    white = 255 if dtype == "uint8" else 1
    for picture, image in zip(pictures, x, strict=True):
        expected = image[..., 0] if channels == 1 else image
        np.testing.assert_allclose(picture, expected / white, atol=1e-6)


def test_gray_is_not_stretched():
    figure = image_rows({"dim": np.full((1, 4, 4, 1), 0.5)})
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    assert figure.axes[0].images[0].get_cmap().name == "gray"


def test_values_out_of_range_are_clipped():
    (picture,) = drawn(image_rows({"wide": np.array([[[[-0.5], [1.5]]]])}))
    assert picture.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "rows, message",
    [
        ({}, "`rows`"),
        ({"flat": np.zeros((3, 4, 4))}, r"'flat' of `rows`.*\(3, 4, 4\)"),
        ({"good": batch(2), "bad": np.zeros(3)}, r"'bad' of `rows`.*\(3,\)"),
        ({"none": batch(2)[:0]}, r"'none' of `rows`.*\(0, 6, 5, 1\)"),
    ],
)
def test_bad_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        image_rows(rows)


def test_curves():
    lines = {"loss": [3, 2, 1], "val_loss": [3, 2.5]}
    levels = {"floor": 0.5, "copy": 0.7}
    figure = curves(lines, "epoch", "BCE, nats", levels=levels, yscale="log")
    (axis,) = figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "BCE, nats")
    assert axis.get_yscale() == "log"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        *lines,
        *levels,
    ]
    *solid, floor, copy = axis.lines
    for line, (label, values) in zip(solid, lines.items(), strict=True):
        assert line.get_label() == label
        assert list(line.get_xdata()) == list(range(1, len(values) + 1))
        assert list(line.get_ydata()) == values
    assert [set(line.get_ydata()) for line in (floor, copy)] == [{0.5}, {0.7}]
    assert floor.get_color() != copy.get_color()


@pytest.mark.parametrize("x", [[2, 8, 32], {"pca": [2, 8, 32], "dense": [1, 2, 3]}])
def test_positions_of_curves(x):
    figure = curves({"pca": [3, 2, 1], "dense": [4, 2, 1]}, "code", "MSE", x=x)
    expected = list(x.values()) if isinstance(x, dict) else [x, x]
    assert [list(line.get_xdata()) for line in figure.axes[0].lines] == expected


def test_many_levels_are_visible():
    figure = curves({"loss": [1, 2]}, "x", "y", levels={str(i): i for i in range(6)})
    colors = [float(line.get_color()) for line in figure.axes[0].lines[1:]]
    assert len(set(colors)) == 6 and max(colors) < 0.9


def test_every_line_has_a_look_of_its_own():
    figure = curves({str(i): [1, 2] for i in range(12)}, "x", "y")
    looks = {
        (line.get_color(), line.get_marker(), line.get_linestyle())
        for line in figure.axes[0].lines
    }
    assert len(looks) == 12


def test_many_lines_are_named_at_their_ends_apart_from_each_other():
    lines = {f"line {i}": [1, 2 + i / 100] for i in range(6)}
    (axis,) = curves(lines, "x", "y", levels={"PCA": 0.5}).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["PCA"]
    assert [text.get_text() for text in axis.texts] == list(lines)
    heights = [text.xyann[1] for text in axis.texts]
    assert np.diff(heights).min() > 0.06 and heights[-1] <= 1


def test_a_line_without_a_number_has_no_end_to_be_named_at():
    lines = {str(i): [1.0, 2.0] for i in range(5)} | {"none": [np.nan, np.nan]}
    (axis,) = curves(lines, "x", "y").axes
    assert [text.get_text() for text in axis.texts] == [*"01234"]


def test_ticks_are_plain_numbers():
    figure = curves({"loss": [0.02, 0.006]}, "epoch", "y", yscale="log")
    figure.draw_without_rendering()
    (axis,) = figure.axes
    names = [text.get_text() for text in axis.get_yticklabels(which="both")]
    assert "0.01" in names and not any("10^" in name for name in names)
    assert all(tick == round(tick) for tick in axis.get_xticks())


def test_ticks_of_few_sizes_are_the_sizes():
    figure = curves({"pca": [3, 2, 1]}, "code", "MSE", x=[8, 32, 128], xscale="log")
    assert list(figure.axes[0].get_xticks()) == [8, 32, 128]
