"""Every file of a mixed folder is read right, or named: never both, never neither.

OpenCV reads what is lossy. `CONVAE_MIXED=10000` makes the folder larger.
"""

import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from convae_keras.data import folders
from convae_keras.data.image_files import SkippedFiles

pytestmark = pytest.mark.static

COUNT = int(os.environ.get("CONVAE_MIXED", 400))
HEIGHT, WIDTH = 12, 16


def gray(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH), "uint8")


def smooth(rng):
    """Colors that survive JPEG well enough to be compared."""
    corners = rng.integers(0, 256, (2, 2, 3), "uint8")
    return np.asarray(Image.fromarray(corners).resize((WIDTH, HEIGHT), 2))


def colors(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), "uint8")


def rgb(pixels):
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else pixels


def over(pixels, alpha, ground=255):
    alpha = alpha[..., None] / 255
    return rgb(pixels) * alpha + ground * (1 - alpha)


# --- kinds: each writes a file, and returns its pixels, or None for a fault -----


def eight_bits(suffix, make, **options):
    def write(rng, path):
        pixels = make(rng)
        Image.fromarray(pixels).save(path, **options)
        return rgb(pixels)

    return write, suffix


def lossy(suffix, **options):
    def write(rng, path):
        Image.fromarray(smooth(rng)).save(path, **options)
        data = np.frombuffer(path.read_bytes(), "uint8")
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]

    return write, suffix


def turned(rng, path):
    exif = Image.Exif()
    exif[0x0112] = 3
    pixels = colors(rng)
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels[::-1, ::-1]


def transparent(suffix, **options):
    def write(rng, path):
        pixels, alpha = colors(rng), gray(rng)
        Image.fromarray(np.dstack([pixels, alpha])).save(path, **options)
        return over(pixels, alpha)

    return write, suffix


def gray_and_alpha(rng, path):
    pixels, alpha = gray(rng), gray(rng)
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    image.save(path)
    return over(pixels, alpha)


def palette(rng, path):
    table, indices = rng.integers(0, 256, (8, 3), "uint8"), gray(rng) % 8
    image = Image.fromarray(indices).convert("P")
    image.putpalette(table.tobytes())
    image.save(path)
    return table[indices]


def palette_with_a_hole(rng, path):
    table, indices = rng.integers(0, 256, (8, 3), "uint8"), gray(rng) % 8
    image = Image.fromarray(indices).convert("P")
    image.putpalette(table.tobytes())
    image.save(path, transparency=5)
    table = np.where(np.arange(8)[:, None] == 5, 255, table)
    return table[indices]


def one_bit(rng, path):
    pixels = gray(rng) > 127
    Image.fromarray(pixels).save(path)
    return rgb(pixels.astype("uint8") * 255)


def sixteen_bits(rng, path):
    pixels = rng.integers(0, 65536, (HEIGHT, WIDTH), "uint16")
    cv2.imencode(path.suffix, pixels)[1].tofile(path)
    return rgb(pixels / 257)


def colors_of_sixteen_bits(rng, path):
    pixels = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), "uint16")
    cv2.imencode(path.suffix, pixels)[1].tofile(path)
    return pixels[..., ::-1] / 257


def cmyk(rng, path):
    inks = rng.integers(0, 256, (HEIGHT, WIDTH, 4), "uint8")
    Image.fromarray(inks, "CMYK").save(path)
    light = 1 - inks / 255
    return 255 * light[..., :3] * light[..., 3:]


def tiff(bits, photometric=1, sample_format=1, order="<"):
    def write(rng, path):
        samples = rng.integers(0, 2 ** min(bits, 15), (HEIGHT, WIDTH))
        kind = {1: "u", 2: "i", 3: "f"}[sample_format]
        if bits == 12:
            left, right = samples.reshape(-1, 2).T
            strip = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right], 1)
            strip = (strip & 255).astype("uint8").tobytes()
        else:
            strip = samples.astype(f"{order}{kind}{bits // 8}").tobytes()
        tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: photometric, 273: 8}
        tags |= {277: 1, 278: HEIGHT, 279: len(strip), 339: sample_format}
        data = {"<": b"II*\0", ">": b"MM\0*"}[order]
        data += struct.pack(f"{order}I", 8 + len(strip)) + strip
        data += struct.pack(f"{order}H", len(tags))
        for tag, value in tags.items():
            data += struct.pack(f"{order}HHII", tag, 4, 1, value)
        path.write_bytes(data + bytes(4))
        unopened = photometric == 0 and (bits == 12 or order == ">")  # by Pillow
        if sample_format > 1 or bits > 16 or unopened:
            return None
        levels = samples / (2**bits - 1) * 255
        return rgb(255 - levels if photometric == 0 else levels)

    return write, ".tif"


def cut_short(suffix):
    def write(rng, path):
        Image.fromarray(colors(rng)).save(path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])

    return write, suffix


def nothing(rng, path):
    path.write_bytes(b"")


def text(rng, path):
    path.write_text("not an image, whatever it is called")


def pipe(rng, path):
    os.mkfifo(path)


def link_out(rng, path):
    path.symlink_to(path.parents[2] / "outside.png")


def link_nowhere(rng, path):
    path.symlink_to("nowhere")


KINDS = [
    eight_bits(".png", gray),
    eight_bits(".png", colors),
    eight_bits(".PNG", colors),
    eight_bits(".bmp", gray),
    eight_bits(".bmp", colors),
    eight_bits(".tif", gray),
    eight_bits(".TIFF", colors, compression="tiff_lzw"),
    eight_bits(".tif", colors, compression="tiff_adobe_deflate"),
    eight_bits(".tif", gray, compression="packbits"),
    eight_bits(".webp", colors, lossless=True),
    eight_bits(".gif", gray),
    eight_bits(".jpg", colors, format="PNG"),
    lossy(".jpg", quality=90),
    lossy(".jpeg", quality=75, progressive=True),
    lossy(".jfif", quality=95, subsampling=0, format="JPEG"),
    lossy(".webp", quality=80),
    transparent(".png"),
    transparent(".webp", lossless=True, exact=True),
    transparent(".tif"),
    (turned, ".png"),
    (turned, ".tif"),
    (gray_and_alpha, ".png"),
    (palette, ".png"),
    (palette, ".bmp"),
    (palette, ".gif"),
    (palette, ".tif"),
    (palette_with_a_hole, ".png"),
    (palette_with_a_hole, ".gif"),
    (one_bit, ".png"),
    (one_bit, ".bmp"),
    (one_bit, ".tif"),
    (sixteen_bits, ".png"),
    (sixteen_bits, ".tif"),
    (colors_of_sixteen_bits, ".png"),
    (colors_of_sixteen_bits, ".tif"),
    (cmyk, ".tif"),
    *[tiff(bits, photometric) for bits in (8, 12, 16) for photometric in (0, 1)],
    tiff(16, 0, order=">"),
    tiff(16, 1, sample_format=2),
    tiff(32, 1, sample_format=1),
    tiff(32, 1, sample_format=2),
    tiff(32, 1, sample_format=3),
    *[cut_short(suffix) for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp")],
    (nothing, ".png"),
    (text, ".jpg"),
    (text, ".txt"),
    (text, ".heic"),
    (link_out, ".png"),
    (link_nowhere, ".png"),
    *[(pipe, ".png")] * hasattr(os, "mkfifo"),
]
NAMES = [
    "{}",
    "a name {}",
    "ä{}",
    "名{}",
    "-{}",
    "{}" + "n" * 200,
    "line\n{}",
    "\udce4{}",
]


@pytest.mark.skipif(os.name == "nt", reason="names and links of POSIX")
def test_every_file_is_right_or_named(tmp_path, monkeypatch):
    rng, folder, expected = np.random.default_rng(0), tmp_path / "mixed", {}
    Image.fromarray(gray(rng)).save(tmp_path / "outside.png")
    for i in range(COUNT):
        write, suffix = KINDS[i % len(KINDS)]
        inside = (
            f"{i // 7 % 5}/" + NAMES[i // len(KINDS) % len(NAMES)].format(i) + suffix
        )
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        # Not every library writes every name.
        plain = folder / inside.partition("/")[0] / f"plain{suffix}"
        expected[inside] = write(rng, plain)
        plain.rename(folder / inside)
    kept = {}
    monkeypatch.setattr(folders, "warn_of_copies", lambda parts, _: kept.update(parts))
    with pytest.warns(SkippedFiles) as caught:
        folders.read_folder(folder, color="rgb")
    (warning,) = [w.message for w in caught if isinstance(w.message, SkippedFiles)]
    read = {}
    for split in ("train", "val", "test"):
        read |= zip(kept[f"names_{split}"], kept[f"x_{split}"], strict=True)
    assert {*read} | {*warning.skipped} == {*expected}
    assert {*read} & {*warning.skipped} == set()
    assert {*read} == {name for name, pixels in expected.items() if pixels is not None}
    for name, pixels in read.items():
        assert np.abs(pixels - expected[name].astype(float)).max() <= 1.01, name
