"""The container: what is written is read; what is damaged is refused by name."""

import io
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.compression import container
from convae_keras.compression.container import (
    BLOCK,
    CHECKSUM,
    HEADER,
    MAGIC,
    NAMES,
    Block,
    Container,
    DamagedFile,
    write_container,
)

MODEL = "0123456789abcdef" * 4
SIDES = st.integers(1, 40)
BLOCKS = st.builds(
    Block, SIDES, SIDES, SIDES, st.integers(1, 4), st.binary(max_size=50)
)
HEAD = len(MAGIC) + HEADER.size + CHECKSUM.size


def load(content):
    opened = Container(io.BytesIO(content))
    return [*opened], opened.names()


@settings(deadline=None)
@given(st.lists(BLOCKS, max_size=5), st.booleans(), st.sampled_from(container.MODES))
def test_what_is_written_is_read(tmp_path_factory, blocks, named, mode):
    path = tmp_path_factory.getbasetemp() / "a.cae"
    count = sum(block.images for block in blocks)
    names = [f"ä/{i}.png" for i in range(count)] if named else None
    write_container(path, mode, MODEL, iter(blocks), names)
    with open(path, "rb") as file:
        opened = Container(file)
        assert (opened.mode, opened.model) == (mode, MODEL[:32])
        assert (opened.images, opened.blocks) == (count, len(blocks))
        assert [*opened.shapes()] == [block.shape for block in blocks]
        assert opened.names() == names
        assert [*opened] == [*opened] == blocks
        assert opened.size == path.stat().st_size


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "a.cae"
    blocks = [Block(2, 28, 28, 1, b"abcdefgh"), Block(1, 5, 6, 3, b"xyz")]
    write_container(path, "lossy", MODEL, blocks, ["a", "b", "c"])
    return path.read_bytes()


def repaired(content):
    """With all checksums made right again, as far as its parts can be found."""
    content = bytearray(content)

    def mend(start, size, length):
        head = content[start : start + size]
        after = start + size + CHECKSUM.size
        right = zlib.crc32(content[after : after + length], zlib.crc32(head))
        if after <= len(content):
            content[start + size : after] = CHECKSUM.pack(right)
        return after + length

    at = mend(len(MAGIC), HEADER.size, 0)
    try:
        blocks = HEADER.unpack_from(content, len(MAGIC))[-1]
        for _ in range(min(blocks, 5)):
            at = mend(at, BLOCK.size, BLOCK.unpack_from(content, at)[-1])
        mend(at, NAMES.size, NAMES.unpack_from(content, at)[0])
    except struct.error:
        pass
    return bytes(content)


@pytest.mark.parametrize("mended", [False, True])
def test_damage_is_refused_or_harmless(sound, mended):
    draw, refused = random.Random(0), 0
    assert repaired(sound) == sound
    for _ in range(10_000):
        content = bytearray(sound)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.2:
            del content[draw.randrange(len(content)) :]
        try:
            load(repaired(content) if mended else bytes(content))
        except DamagedFile as error:
            refused += 1
            assert str(error).startswith("Not a sound .cae file: ")
    assert refused > (3000 if mended else 9900)


def header(version=1, mode=0, images=0, blocks=0):
    head = HEADER.pack(version, mode, bytes(16), images, blocks)
    return MAGIC + head + CHECKSUM.pack(zlib.crc32(head))


def part(struct, *values, data=b""):
    head = struct.pack(*values)
    return head + CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head))) + data


BOMB = zlib.compress(b'["' + bytes(10**6) + b'"]', 9)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "it does not begin as a .cae file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "it does not begin"),
        (header(version=2), "its version is 2, and 1 is known"),
        (header(mode=2), "its mode is 2, of 2"),
        (header()[:-1], "it is cut short: 3 bytes for 4"),
        (header(images=10**12, blocks=2**32 - 1), "4,294,967,295 blocks in 42 bytes"),
        (header(blocks=1) + part(BLOCK, 2**32 - 1, 28, 28, 1, 0), "a block of (42949"),
        (header(blocks=1) + part(BLOCK, 1, 0, 28, 1, 0), "a block of (1, 0, 28, 1)"),
        (header(blocks=1) + part(BLOCK, 1, 1, 1, 1, 2**32 - 1), "cut short: 0 bytes"),
        (header(images=1) + part(NAMES, 0, 0), "0 images, where 1 were told"),
        (header() + part(NAMES, 0, 0) + b"x", "something follows its end"),
        (header() + part(NAMES, 1, 9, data=b"x"), "names that cannot be read"),
        (header() + part(NAMES, len(BOMB), 2**27, data=BOMB), "over 67,108,864"),
        (header() + part(NAMES, len(BOMB), 9, data=BOMB), "names that"),
    ],
)
def test_files_made_by_hand(content, said):
    with pytest.raises(DamagedFile) as refused:
        load(content)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", [b'["a"', b'{"a": 1}', b"[1]", b'["a", "b"]', b"\xff"])
def test_names_that_are_none(text):
    packed = zlib.compress(text)
    names = part(NAMES, len(packed), len(text), data=packed)
    content = header(images=1, blocks=1) + part(BLOCK, 1, 1, 1, 1, 0) + names
    with pytest.raises(DamagedFile, match="names that"):
        load(content)


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.cae"
    path.write_bytes(b"mine")

    def stops():
        yield Block(1, 1, 1, 1, b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_container(path, "lossy", MODEL, stops())
    assert path.read_bytes() == b"mine" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    "blocks, names, said",
    [
        ([Block(2**20, 28, 28, 1)], None, "`block` must be 1 to 67,108,864 pixels"),
        ([Block(0, 28, 28, 1)], None, "`block` must be 1 to"),
        ([Block(2, 1, 1, 1)], ["a"], "`names` must be 2, one an image. Received: 1"),
    ],
)
def test_what_cannot_be_written(blocks, names, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        write_container(tmp_path / "a.cae", "lossy", MODEL, blocks, names)
    assert not [*tmp_path.iterdir()]
