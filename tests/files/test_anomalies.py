"""Anomalies among image files: the table, the maps, and what is refused."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from convae_keras.anomaly import anomaly_detector, detect
from convae_keras.files import anomalies
from convae_keras.files.anomalies import find_anomalies
from convae_keras.models import conv_autoencoder
from convae_keras.plotting import draw_map

TINY = {"filters": (16,), "code_filters": (), "latent_dim": 3, "seed": 0}


def drawn(count, upright=True, seed=0):
    """uint8 images of the same lines, each a little different."""
    lines = np.random.RandomState(9).randint(20, 236, (1, 1, 12, 1))
    lines = lines + np.random.RandomState(seed).randint(-20, 21, (count, 1, 12, 1))
    x = np.repeat(lines, 12, axis=1).astype("uint8")
    return x if upright else x.swapaxes(1, 2)


@pytest.fixture(scope="module")
def detector():
    autoencoder = conv_autoencoder(image_shape=(12, 12, 1), **TINY)
    return anomaly_detector(autoencoder, drawn(60), drawn(49, seed=1))


@pytest.fixture
def folder(tmp_path):
    """Four usual images, and one of lines that lie."""
    x = np.concatenate([drawn(4, seed=2), drawn(1, upright=False, seed=3)])
    (tmp_path / "in" / "line").mkdir(parents=True)
    for name, each in zip("abcde", x, strict=True):
        path = f"line/{name}.png" if name == "e" else f"{name}.png"
        Image.fromarray(each[..., 0]).save(tmp_path / "in" / path)
    return tmp_path / "in", x


def test_a_table_and_a_map_an_image(detector, folder, tmp_path):
    source, x = folder
    rows, _, skipped = find_anomalies(detector, source, tmp_path / "out", 0.03)
    assert not skipped and [row["name"] for row in rows if row["anomaly"]] == [
        "line/e.png"
    ]
    with open(tmp_path / "out" / "scores.csv", encoding="utf-8", newline="") as file:
        table = [*csv.DictReader(file)]
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    assert table[0]["name"] == "line/e.png" and table[0]["anomaly"] == "1"
    scores = [float(row["score"]) for row in table]
    assert scores == sorted(scores, reverse=True)
    expected = detect(detector, x)
    assert scores[0] == pytest.approx(expected["score"][4], rel=1e-4)
    found = np.asarray(Image.open(tmp_path / "out" / "maps" / "line" / "e.png"))
    np.testing.assert_array_equal(found, draw_map(x[4:], expected["map"][4:])[0])


def test_the_same_again_is_left_and_another_refused(detector, folder, tmp_path):
    source, _ = folder
    options = detector, source, tmp_path / "out"
    find_anomalies(*options, 0.03)
    with pytest.warns(UserWarning, match="6 of 6 files were there already"):
        find_anomalies(*options, 0.03)
    before = (tmp_path / "out" / "scores.csv").read_bytes()
    with pytest.raises(
        ValueError, match="`destination` must be files that do not exist"
    ):
        find_anomalies(*options, 0.9)
    assert (tmp_path / "out" / "scores.csv").read_bytes() == before
    find_anomalies(*options, 0.9, overwrite=True)
    assert (tmp_path / "out" / "scores.csv").read_bytes() != before


def test_files_that_are_no_images_are_named(detector, folder, tmp_path):
    (folder[0] / "b.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="b.png"):
        rows, _, skipped = find_anomalies(detector, folder[0], tmp_path / "out", 0.03)
    assert len(rows) == 4 and [*skipped] == ["b.png"]
    assert len([*(tmp_path / "out" / "maps").rglob("*.png")]) == 4


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["a:b.png", "x\\..\\y.png", "nul.png"])
def test_a_name_that_not_every_disk_has(name, detector, folder, tmp_path, monkeypatch):
    """It is named before the work; the image has a score, and no map."""
    (folder[0] / "b.png").rename(folder[0] / name)
    with pytest.warns(UserWarning, match="Skipped 1 of 5 files") as warned:
        rows, _, skipped = find_anomalies(detector, folder[0], tmp_path / "out", 0.03)
    assert name in str(warned[0].message) and len(warned) == 1
    assert len(rows) == 5 and [*skipped] == [name]
    assert len([*(tmp_path / "out" / "maps").rglob("*.png")]) == 4
    monkeypatch.setattr(anomalies, "_detect", None)
    with pytest.warns(UserWarning, match="Skipped"), pytest.raises(TypeError):
        find_anomalies(detector, folder[0], tmp_path / "again", 0.03)


def test_one_image(detector, folder, tmp_path):
    rows, rate, _ = find_anomalies(
        detector, folder[0] / "line" / "e.png", tmp_path / "out"
    )
    assert [row["name"] for row in rows] == ["e.png"]
    assert rate == 0.02  # of 49 validation images no smaller one can be reached


@pytest.mark.static
@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (0.0, "`rate` must be a number between 0 and 1. Received: 0.0"),
        (float("nan"), "`rate` must be a number between 0 and 1"),
        ("high", "`rate` must be a number between 0 and 1. Received: 'high'"),
        (
            0.01,
            "`rate` must be at least 0.02 with 49 validation images. Received: 0.01",
        ),
    ],
)
def test_rates_that_cannot_be(detector, folder, tmp_path, rate, message):
    with pytest.raises(ValueError, match=message):
        find_anomalies(detector, folder[0], tmp_path / "out", rate)
    assert not (tmp_path / "out").exists()


@pytest.mark.static
def test_places_and_models_that_cannot_be(detector, folder, tmp_path):
    source, _ = folder
    with pytest.raises(ValueError, match="`destination` must be outside `source`"):
        find_anomalies(detector, source, source / "out", 0.03)
    with pytest.raises(ValueError, match="`destination` must be a folder"):
        find_anomalies(detector, source, source / "a.png", 0.03)
    with pytest.raises(ValueError, match="`detector` must be a model that"):
        find_anomalies(conv_autoencoder(), source, tmp_path / "out", 0.03)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        find_anomalies(detector, tmp_path / "empty", tmp_path / "out", 0.03)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_names_are_no_formulas_in_a_spreadsheet(detector, folder, tmp_path, name):
    source, x = folder
    Image.fromarray(x[0, ..., 0]).save(source / f"{name}.png")
    find_anomalies(detector, source, tmp_path / "out", 0.03)
    with open(tmp_path / "out" / "scores.csv", encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert f"./{name}.png" in names and "line/e.png" in names
    assert all((source / each).is_file() for each in names)  # the same paths still


def test_the_name_of_a_file_is_no_folder(detector, folder, tmp_path):
    with pytest.raises(ValueError, match="`destination` must be a folder.*out.csv"):
        find_anomalies(detector, folder[0], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
