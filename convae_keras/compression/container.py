"""The `.cae` file format: blocks of compressed images, with checksums.

    magic   8 bytes   reveals, like PNG's, a transfer that changed line ends
    header            version, mode, model, images, blocks; checksum
    blocks            images, height, width, channels, bytes; checksum; data
    names             bytes, bytes unpacked; checksum; JSON, packed by zlib

Numbers are little-endian, checksums CRC-32 of the whole part. A block can be read
without the others.
"""

import json
import math
import os
import struct
import zlib
from dataclasses import dataclass

from convae_keras.saving import atomic_write
from convae_keras.untrusted import fits, parse_json
from convae_keras.validation import check_limit, require

MAGIC = b"\x89CAE\r\n\x1a\n"
VERSION = 1
MODES = ("lossy", "lossless")

HEADER = struct.Struct("<BB16sQI")
BLOCK = struct.Struct("<IIIBI")
NAMES = struct.Struct("<II")
CHECKSUM = struct.Struct("<I")

# Pixels of a block, whatever its channels, and bytes of the names, at most.
MAX_PIXELS = MAX_BYTES = 2**26


class InvalidFile(ValueError):
    """A file that is not a `.cae` file, or a corrupted one."""


@dataclass(frozen=True)
class Block:
    """Images of one size, compressed together.

    Args:
        images, height, width, channels: ints.
        data: bytes.
    """

    images: int
    height: int
    width: int
    channels: int
    data: bytes = b""

    @property
    def shape(self):
        """`(images, height, width, channels)`"""
        return self.images, self.height, self.width, self.channels


def write_container(path, mode, model, blocks, names=None, overwrite=True):
    """Writes compressed images to a `.cae` file, block by block.

    Args:
        path: str or `Path`. The file appears there when it is complete.
        mode: `"lossy"` or `"lossless"`.
        model: str of hexadecimal digits, the fingerprint of the codec; the first
            32 are stored.
        blocks: iterable of `Block`.
        names: list of str, one for each image, or None.
        overwrite: bool, whether a file that is there by then is replaced.

    Returns:
        int, number of images in the file.

    Raises:
        ValueError: for a block or names that are too large, or a wrong number of
            names.
        OSError: if the disk is full.
    """
    images = count = 0
    with atomic_write(path, overwrite) as temporary, open(temporary, "wb") as file:
        start = len(MAGIC) + HEADER.size + CHECKSUM.size
        file.seek(start)  # the header is written last: it holds the counts
        expected = f"A block must have 1 to {MAX_PIXELS:,} pixels of 1 to 255 channels"
        for block in blocks:
            require(_fits(block.shape), f"{expected}. Received: {block.shape}")
            _write_part(file, BLOCK.pack(*block.shape, len(block.data)), block.data)
            images, count = images + block.images, count + 1
        text, packed = _pack_names(names, images)
        _write_part(file, NAMES.pack(len(packed), len(text)), packed)
        file.seek(0)
        file.write(MAGIC)
        values = VERSION, MODES.index(mode), bytes.fromhex(model[:32]), images, count
        _write_part(file, HEADER.pack(*values))
    return images


def _pack_names(names, images):
    if names is None:
        return b"", b""
    expected = f"`names` must have one name for each of {images} images"
    require(len(names) == images, f"{expected}. Received: {len(names)}")
    text = json.dumps(names).encode()
    expected = f"`names` must have at most {MAX_BYTES:,} bytes"
    require(len(text) <= MAX_BYTES, f"{expected}. Received: {len(text):,}")
    return text, zlib.compress(text, 9)


def _write_part(file, head, data=b""):
    file.write(head + CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head))) + data)


class Container:
    """A `.cae` file that is open for reading.

    Everything is checked before it is used, and no memory is allocated beyond the
    limit, which `validation.set_limit` sets.

    Args:
        file: a seekable binary file.

    Attributes:
        mode: `"lossy"` or `"lossless"`.
        model: str, 32 hexadecimal digits.
        images, blocks: ints, the number of both.
        size: int, bytes.

    Raises:
        InvalidFile: if it is not a `.cae` file, of an unknown version, or has
            more than the limit.
    """

    def __init__(self, file):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        _check(file.read(len(MAGIC)) == MAGIC, "it does not begin with the magic bytes")
        values, _ = self._read_part(HEADER)
        version, mode, model, self.images, self.blocks = values
        _check(version == VERSION, f"version {version}, only {VERSION} is supported")
        _check(mode < len(MODES), f"unknown mode {mode}")
        self.mode, self.model = MODES[mode], model.hex()
        least = self.blocks * (BLOCK.size + CHECKSUM.size)
        problem = f"the header declares {self.blocks:,} blocks, which do not fit in"
        _check(least <= self.size, f"{problem} {self.size:,} bytes")
        _check_limit(self.images, "images")
        self._start = file.tell()

    def __iter__(self):
        """Yields each `Block`; only one is in memory at a time."""
        images = 0
        for block in self._read_blocks():
            images += block.images
            yield block
        problem = f"the header declares {self.images:,} images, the blocks contain"
        _check(images == self.images, f"{problem} {images:,}")

    def shapes(self):
        """Yields the shape of each block, without reading its data."""
        for block in self._read_blocks(skip=True):
            yield block.shape

    def names(self):
        """Returns the names of the images: a list of str, or None."""
        for _ in self.shapes():
            pass
        (length, size), packed = self._read_part(NAMES, length_index=0)
        _check(self._file.tell() == self.size, "there is data after its end")
        if not length:
            return None
        _check(size <= MAX_BYTES, f"the names have more than {MAX_BYTES:,} bytes")
        _check_limit(size, "characters")
        try:
            text = zlib.decompressobj().decompress(packed, max(size, 1))
            names = parse_json(text)
        except (zlib.error, ValueError, RecursionError) as error:
            raise _invalid(f"the names cannot be read ({error})") from error
        valid = fits(names, [str]) and len(names) == self.images and len(text) == size
        _check(valid, f"the names are not {self.images:,} strings")
        return names

    def _read_blocks(self, skip=False):
        self._file.seek(self._start)
        for _ in range(self.blocks):
            (*shape, _), data = self._read_part(BLOCK, length_index=4, skip=skip)
            _check(_fits(shape), f"a block of shape {tuple(shape)}")
            _check_limit(math.prod(shape), "pixels")
            yield Block(*shape, data)

    def _read_part(self, layout, length_index=None, skip=False):
        """Returns the numbers of a part, and its data, whose length is among them."""
        head = self._read(layout.size)
        (checksum,) = CHECKSUM.unpack(self._read(CHECKSUM.size))
        values = layout.unpack(head)
        length = 0 if length_index is None else values[length_index]
        if skip:
            _check(length <= self.size - self._file.tell(), "it is truncated")
            self._file.seek(length, os.SEEK_CUR)
            return values, b""
        data = self._read(length)
        valid = checksum == zlib.crc32(data, zlib.crc32(head))
        _check(valid, f"wrong checksum before byte {self._file.tell():,}")
        return values, data

    def _read(self, length):
        left = self.size - self._file.tell()
        _check(length <= left, f"it is truncated, {left:,} of {length:,} bytes left")
        _check_limit(length, "bytes")
        return self._file.read(length)


def _fits(shape):
    """Whether a block has as many channels and pixels as it may."""
    return 0 < shape[3] < 256 and 0 < math.prod(shape[:3]) <= MAX_PIXELS


def _check(condition, problem):
    if not condition:
        raise _invalid(problem)


def _check_limit(amount, unit):
    try:
        check_limit(amount, unit)
    except ValueError as error:
        raise _invalid(error) from None


def _invalid(problem):
    return InvalidFile(f"Invalid .cae file: {problem}.")
