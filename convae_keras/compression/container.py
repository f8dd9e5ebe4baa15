"""`.cae` files: blocks of coded images, checked before they are believed.

    magic   8 bytes   shows, like PNG's, a transfer that changed line ends
    header            version, mode, model, images, blocks; checksum
    blocks            images, height, width, channels, bytes; checksum; data
    names             bytes, bytes unpacked; checksum; JSON, packed by zlib

Numbers are little-endian, checksums CRC-32 of all that the part holds. A block
can be read without the others.
"""

import json
import math
import os
import struct
import zlib
from dataclasses import dataclass

from convae_keras.saving import atomic_write
from convae_keras.validation import expect

MAGIC = b"\x89CAE\r\n\x1a\n"


VERSION = 1


MODES = ("lossy", "lossless")


HEADER = struct.Struct("<BB16sQI")


BLOCK = struct.Struct("<IIIBI")


NAMES = struct.Struct("<II")


CHECKSUM = struct.Struct("<I")


# Pixels that a block may hold, and bytes of names: what a reader allocates.
MOST_PIXELS = MOST_BYTES = 2**26


class DamagedFile(ValueError):
    """A file that is not what it says, or not one of ours."""


@dataclass(frozen=True)
class Block:
    """Images of one size, coded together.

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


def write_container(path, mode, model, blocks, names=None):
    """Writes coded images into a `.cae` file, block by block.

    Args:
        path: path of the file. It is whole under its name, or not there.
        mode: `"lossy"` or `"lossless"`.
        model: str, hexadecimal digits, the fingerprint of what decodes them; the
            first 32 are kept.
        blocks: iterable of `Block`.
        names: list of str, one an image, or None.

    Raises:
        ValueError: for a block that is too large, or names that are too many.
    """
    images = count = 0
    with atomic_write(path) as aside, open(aside, "wb") as file:
        start = len(MAGIC) + HEADER.size + CHECKSUM.size
        file.seek(start)  # how many there are is known in the end
        for block in blocks:
            fits = 0 < _pixels(block) <= MOST_PIXELS
            expect(fits, "block", f"1 to {MOST_PIXELS:,} pixels", block.shape)
            _write(file, BLOCK.pack(*block.shape, len(block.data)), block.data)
            images, count = images + block.images, count + 1
        fits = names is None or len(names) == images
        expect(fits, "names", f"{images}, one an image", names and len(names))
        text = b"" if names is None else json.dumps(names).encode()
        expect(len(text) <= MOST_BYTES, "names", f"{MOST_BYTES:,} bytes", len(text))
        packed = zlib.compress(text, 9) if text else b""
        _write(file, NAMES.pack(len(packed), len(text)), packed)
        file.seek(0)
        file.write(MAGIC)
        kind = MODES.index(mode)
        values = VERSION, kind, bytes.fromhex(model[:32]), images, count
        _write(file, HEADER.pack(*values))


def _write(file, head, data=b""):
    file.write(head + CHECKSUM.pack(zlib.crc32(data, zlib.crc32(head))) + data)


class Container:
    """A `.cae` file that is open for reading.

    Nothing of it is believed before it was checked, and nothing is allocated
    that the file is too short to fill.

    Args:
        file: a binary file that can be sought in.

    Attributes:
        mode: `"lossy"` or `"lossless"`.
        model: str, 32 hexadecimal digits.
        images, blocks: ints, how many there are.
        size: int, bytes.

    Raises:
        DamagedFile: if it is none, or of a version that is not known.
    """

    def __init__(self, file):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        _demand(file.read(len(MAGIC)) == MAGIC, "it does not begin as a .cae file")
        values, _ = self._part(HEADER)
        version, mode, model, self.images, self.blocks = values
        known = version == VERSION
        _demand(known, f"its version is {version}, and {VERSION} is known")
        _demand(mode < len(MODES), f"its mode is {mode}, of {len(MODES)}")
        self.mode, self.model = MODES[mode], model.hex()
        least = self.blocks * (BLOCK.size + CHECKSUM.size)
        _demand(least <= self.size, f"{self.blocks:,} blocks in {self.size:,} bytes")
        self._start = file.tell()

    def __iter__(self):
        """Yields each `Block`; only one is in memory at a time."""
        images = 0
        for block in self._blocks():
            images += block.images
            yield block
        told = f"{images:,} images, where {self.images:,} were told"
        _demand(images == self.images, told)

    def shapes(self):
        """Yields the shape of each block; what it holds is not read."""
        for block in self._blocks(skip=True):
            yield block.shape

    def names(self):
        """The names of the images: a list of str, or None."""
        for _ in self.shapes():
            pass
        (length, size), packed = self._part(NAMES, where=0)
        _demand(self._file.tell() == self.size, "something follows its end")
        if not length:
            return None
        _demand(size <= MOST_BYTES, f"names of {size:,} bytes, over {MOST_BYTES:,}")
        try:
            unpacker = zlib.decompressobj()
            text = unpacker.decompress(packed, max(size, 1))
            names = json.loads(text)
        except (zlib.error, ValueError, RecursionError) as error:
            raise _damaged(f"names that cannot be read ({error})") from error
        strings = isinstance(names, list) and all(isinstance(n, str) for n in names)
        good = strings and len(names) == self.images and len(text) == size
        _demand(good, f"names that are not {self.images:,} strings")
        return names

    def _blocks(self, skip=False):
        self._file.seek(self._start)
        for _ in range(self.blocks):
            (*shape, _), data = self._part(BLOCK, where=4, skip=skip)
            block = Block(*shape, data)
            _demand(0 < _pixels(block) <= MOST_PIXELS, f"a block of {block.shape}")
            yield block

    def _part(self, struct, where=None, skip=False):
        """The numbers of a part, and its bytes, whose count is one of them."""
        head = self._read(struct.size)
        (told,) = CHECKSUM.unpack(self._read(CHECKSUM.size))
        values = struct.unpack(head)
        length = 0 if where is None else values[where]
        if skip:
            _demand(length <= self.size - self._file.tell(), "it is cut short")
            self._file.seek(length, os.SEEK_CUR)
            return values, b""
        data = self._read(length)
        good = told == zlib.crc32(data, zlib.crc32(head))
        _demand(good, f"a checksum is wrong before byte {self._file.tell():,}")
        return values, data

    def _read(self, length):
        left = self.size - self._file.tell()
        _demand(length <= left, f"it is cut short: {left:,} bytes for {length:,}")
        return self._file.read(length)


def _pixels(block):
    return math.prod(block.shape)


def _demand(good, what):
    if not good:
        raise _damaged(what)


def _damaged(what):
    return DamagedFile(f"Not a sound .cae file: {what}.")
