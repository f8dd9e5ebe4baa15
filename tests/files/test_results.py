"""Names that other people chose, on every disk: one file each, or none."""

import errno
import os
from pathlib import Path

import pytest

from convae_keras.compression.container import InvalidFile
from convae_keras.files import results
from convae_keras.files.results import paths_inside, write_files

pytestmark = pytest.mark.static


def found(*names):
    paths, skipped = paths_inside(Path("out"), [*names])
    assert [name for name, path in zip(names, paths, strict=True) if path is None] == [
        *skipped
    ] or len({*names}) < len(names)
    return [path and path.relative_to("out").as_posix() for path in paths]


def test_png_takes_the_place_of_the_suffix():
    assert found("a.jpg", "b/c.tif", "d", "e.f.webp") == [
        *("a.png", "b/c.png", "d.png", "e.f.png")
    ]


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a.png", "a.jpg"], ["a.png.png", "a.jpg.png"]),
        (["a.png", "A.jpg", "b.gif"], ["a.png.png", "A.jpg.png", "b.gif.png"]),
        # As macOS and others write an accent.
        (["\u00e9.png", "e\u0301.jpg"], ["\u00e9.png.png", "e\u0301.jpg.png"]),
        (["a.png", "./a.png"], ["a.png", None]),
        (["a.png", "a.png", "b.jpg"], ["a.png", None, "b.png"]),
        (["x/a.png", "x//a.png", "x/./a.png"], ["x/a.png", None, None]),
        (["a.png", "A.png"], ["a.png", "A.png"]),
    ],
)
def test_two_names_of_one_file(names, expected):
    assert found(*names) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("CON", "nul.png", "a/Aux.jpg", "com1.tar.png", "LPT9.png", "prn .png"),
        *("a./b.png", "a /b.png", "x" * 252 + ".png", "\u00e9" * 130 + ".png"),
        *("y" * 256 + "/b.png", "d/" * 100 + "b.png", "d/" * 1500 + "b.png"),
        *("\ud800.png", "a\\con\\b.png", "a:b.png", "1:30.png", "./c:.png", "C:\\a"),
        *("\\a", "..\\a", "a\\..\\..\\b.png", "x\\..\\y", "\\\\host\\share\\a"),
    ],
)
def test_names_that_a_disk_does_not_have(name):
    assert found("a.png", name, "z.png") == ["a.png", None, "z.png"]


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".png", "console.png", "com.png", "a/.b.png", "d/" * 99 + "b"]
)
def test_names_that_every_disk_has(name):
    assert None not in found(name)


@pytest.mark.parametrize(
    "name", ["..", ".", "", "/", "../a", "/a", "//a", "a/../../b", "a/..", "a\0"]
)
def test_names_that_lead_out(name):
    with pytest.raises(InvalidFile, match="leads out"):
        paths_inside(Path("out"), ["a.png", name])


# --- writing -----------------------------------------------------------------


def every(data):
    return lambda indices: ((i, data[i]) for i in indices)


def test_files_are_written_and_errors_handed_on(tmp_path):
    error, paths = ValueError("broken"), [tmp_path / "a", None, tmp_path / "b" / "c"]
    written, kept, errors = write_files(paths, every([error, b"", b"c"]), False, False)
    assert (written, kept, errors) == ([tmp_path / "b" / "c"], 0, {0: error})
    assert (tmp_path / "b" / "c").read_bytes() == b"c"


def test_what_exists_is_compared_first(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    paths[1].write_bytes(b"b")
    paths[2].write_bytes(b"another")
    with pytest.raises(ValueError, match="'.*c', which is another"):
        write_files(paths, every([b"a", b"b", b"c"]), False, False)
    assert not paths[0].exists()
    paths[2].write_bytes(b"c")
    found = write_files(paths, every([b"a", b"b", b"c"]), False, False)
    assert found == ([paths[0]], 2, {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_in_place_of_a_result(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(ValueError, match="which is another"):
        write_files([tmp_path / "a"], every([b"a"]), False, False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_where_two_names_are_one(overwrite, tmp_path):
    """The first of them is written, whichever is there from before."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")  # as capital letters on such a disk
    paths = [tmp_path / "real" / "a", tmp_path / "link" / "a"]
    written, _, errors = write_files(paths, every([b"1", b"2"]), overwrite, False)
    assert written == paths[:1] and errors[1].errno == errno.EEXIST
    assert paths[1].read_bytes() == b"1"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_nothing_stops_the_rest(number, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(results.os, "link", fail)
    monkeypatch.setattr(results.os, "rename", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_files([tmp_path / "a"], every([b"a"]), False, False)
    assert [*tmp_path.iterdir()] == []
