"""The `.cae` format: what is written is read, and corrupted files are refused."""

import io
import json
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convae_keras.compression.container import (
    BLOCK,
    CHECKSUM,
    HEADER,
    MAGIC,
    MAX_BYTES,
    MODES,
    NAMES,
    Block,
    Container,
    InvalidFile,
    write_container,
)
from convae_keras.validation import set_limit

pytestmark = pytest.mark.static

MODEL = "0123456789abcdef" * 4
SIZES = st.integers(1, 40)
BLOCKS = st.builds(
    Block, SIZES, SIZES, SIZES, st.integers(1, 4), st.binary(max_size=50)
)
HEAD = len(MAGIC) + HEADER.size + CHECKSUM.size


def load(content):
    container = Container(io.BytesIO(content))
    return [*container], container.names()


@settings(deadline=None)
@given(st.lists(BLOCKS, max_size=5), st.booleans(), st.sampled_from(MODES))
def test_round_trip(tmp_path_factory, blocks, named, mode):
    path = tmp_path_factory.getbasetemp() / "a.cae"
    count = sum(block.images for block in blocks)
    names = [f"ä/{i}.png" for i in range(count)] if named else None
    write_container(path, mode, MODEL, iter(blocks), names)
    with open(path, "rb") as file:
        container = Container(file)
        assert (container.mode, container.model) == (mode, MODEL[:32])
        assert (container.images, container.blocks) == (count, len(blocks))
        assert [*container.shapes()] == [block.shape for block in blocks]
        assert container.names() == names
        assert [*container] == [*container] == blocks
        assert container.size == path.stat().st_size


@pytest.fixture
def valid(tmp_path):
    path = tmp_path / "a.cae"
    blocks = [Block(2, 28, 28, 1, b"abcdefgh"), Block(1, 5, 6, 3, b"xyz")]
    write_container(path, "lossy", MODEL, blocks, ["a", "b", "c"])
    return path.read_bytes()


def repaired(content):
    """The same with correct checksums, as far as its parts can be found."""
    content = bytearray(content)

    def fix(start, size, length):
        head = content[start : start + size]
        after = start + size + CHECKSUM.size
        checksum = zlib.crc32(content[after : after + length], zlib.crc32(head))
        if after <= len(content):
            content[start + size : after] = CHECKSUM.pack(checksum)
        return after + length

    at = fix(len(MAGIC), HEADER.size, 0)
    try:
        blocks = HEADER.unpack_from(content, len(MAGIC))[-1]
        for _ in range(min(blocks, 5)):
            at = fix(at, BLOCK.size, BLOCK.unpack_from(content, at)[-1])
        fix(at, NAMES.size, NAMES.unpack_from(content, at)[0])
    except struct.error:
        pass
    return bytes(content)


@pytest.mark.parametrize("repair", [False, True])
def test_corrupted_files_are_refused_or_harmless(valid, repair):
    draw, refused = random.Random(0), 0
    assert repaired(valid) == valid
    for _ in range(10_000):
        content = bytearray(valid)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.2:
            del content[draw.randrange(len(content)) :]
        try:
            load(repaired(content) if repair else bytes(content))
        except InvalidFile as error:
            refused += 1
            assert str(error).startswith("Invalid .cae file: ")
    assert refused > (3000 if repair else 9900)


def header(version=1, mode=0, images=0, blocks=0):
    head = HEADER.pack(version, mode, bytes(16), images, blocks)
    return MAGIC + head + CHECKSUM.pack(zlib.crc32(head))


def part(struct, *values, data=b""):
    head = struct.pack(*values)
    return head + CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head))) + data


BOMB = zlib.compress(b'["' + bytes(10**6) + b'"]', 9)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "magic"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "magic"),
        (header(version=2), "version 2, only 1"),
        (header(mode=2), "mode 2"),
        (header()[:-1], "truncated, 3 of 4 bytes"),
        (header(images=10**12, blocks=2**32 - 1), "4,294,967,295 blocks"),
        (header(blocks=1) + part(BLOCK, 2**32 - 1, 28, 28, 1, 0), "shape (42949"),
        (header(blocks=1) + part(BLOCK, 1, 0, 28, 1, 0), "shape (1, 0, 28, 1)"),
        (header(blocks=1) + part(BLOCK, 1, 1, 1, 1, 2**32 - 1), "truncated, 0 of"),
        (
            header(images=1) + part(NAMES, 0, 0),
            "Invalid .cae file: the header declares 1 images, the blocks contain 0.",
        ),
        (header() + part(NAMES, 0, 0) + b"x", "after its end"),
        (header() + part(NAMES, 1, 9, data=b"x"), "names"),
        (header() + part(NAMES, len(BOMB), 2**27, data=BOMB), "67,108,864"),
        (header() + part(NAMES, len(BOMB), 9, data=BOMB), "names"),
    ],
)
def test_invalid_files(content, message):
    with pytest.raises(InvalidFile) as error:
        load(content)
    assert message in str(error.value)


def test_what_is_more_than_the_limit():
    """Before anything is made of it; the same files are valid with a higher limit."""
    names = [f"{i:0999}" for i in range(40)]
    text = json.dumps(names).encode()
    packed = zlib.compress(text)
    many = header(images=5000, blocks=1) + part(BLOCK, 5000, 1, 1, 1, 0)
    large = header(images=1, blocks=1) + part(BLOCK, 1, 600, 500, 1, 0)
    long = header(images=40, blocks=1) + part(BLOCK, 40, 1, 1, 1, 0)
    nothing, names = part(NAMES, 0, 0), part(NAMES, len(packed), len(text), data=packed)
    for content, message in (
        (many + nothing, "5,000 images, and the limit is 4,096"),
        (large + nothing, "300,000 pixels, and the limit is 262,144"),
        (long + names, f"{len(text):,} characters, and the limit is 32,768"),
    ):
        set_limit(1)
        try:
            with pytest.raises(InvalidFile, match=message):
                load(content)
        finally:
            set_limit()
        load(content)


def test_images_are_counted_before_they_are_named():
    with pytest.raises(InvalidFile, match="67,108,864 images, and the limit is 2,097"):
        Container(io.BytesIO(header(images=2**26, blocks=1) + bytes(100)))


@pytest.mark.parametrize("text", [b'["a"', b'{"a": 1}', b"[1]", b'["a", "b"]', b"\xff"])
def test_invalid_names(text):
    packed = zlib.compress(text)
    names = part(NAMES, len(packed), len(text), data=packed)
    content = header(images=1, blocks=1) + part(BLOCK, 1, 1, 1, 1, 0) + names
    with pytest.raises(InvalidFile, match="names"):
        load(content)


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.cae"
    path.write_bytes(b"mine")

    def stops():
        yield Block(1, 1, 1, 1, b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_container(path, "lossy", MODEL, stops())
    assert path.read_bytes() == b"mine" and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    "blocks, names, message",
    [
        ([Block(2**20, 28, 28, 1)], None, "block"),
        ([Block(0, 28, 28, 1)], None, "block"),
        ([Block(1, 28, 28, 256)], None, "block .* of 1 to 255 channels"),
        ([Block(2, 1, 1, 1)], ["a"], "`names`"),
        ([Block(1, 1, 1, 1)], ["a" * MAX_BYTES], "`names`"),
    ],
)
def test_invalid_blocks_and_names(blocks, names, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_container(tmp_path / "a.cae", "lossy", MODEL, blocks, names)
    assert not [*tmp_path.iterdir()]


def test_the_limit_of_a_block_is_of_pixels(tmp_path):
    """Not of their channels."""
    large = Block(1, 6144, 6144, 3, b"data")
    write_container(tmp_path / "a.cae", "lossy", MODEL, [large])
    assert load((tmp_path / "a.cae").read_bytes()) == ([large], None)
    for shape in ((1, 8192, 8193, 1), (1, 8, 8, 0), (0, 8, 8, 1)):
        with pytest.raises(ValueError, match="1 to 67,108,864 pixels"):
            write_container(tmp_path / "b.cae", "lossy", MODEL, [Block(*shape)])
