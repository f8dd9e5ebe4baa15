"""Measures `convae apply` and `convae compress`, and the usual tools as baselines.

    python benchmarks/files.py                      every program
    python benchmarks/files.py --only denoise       those with such a name

A large photograph, put together from those that scikit-image and scikit-learn ship, is
restored or compressed by each program in a process of its own, from file to file, and
then one of four times the pixels. The difference between the two is what a megapixel
costs, in time and in peak memory; what the smaller one takes beyond that is the start.
The programs take turns. One whose library is missing is left out. Bits a pixel of what
is written are given, too: the codec and WebP are not set to the same quality.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from processes import RESULTS, conditions, record_rows, watch

CODEC = RESULTS.parent / "runs" / "codec_photographs.keras"
NOISE = 25  # of 255
# Larger images for what is so fast that the start would hide the difference.
LARGER = {"compress": 2}


def convae(*words):
    from convae_cli.main import entry

    sys.argv = ["convae", *map(str, words)]
    return entry()


def opencv(source, target):
    """Non-local means, with a filter of 0.6 times the noise."""
    import cv2

    image = cv2.imread(str(source))
    strength = NOISE * 0.6
    cv2.imwrite(
        str(target), cv2.fastNlMeansDenoisingColored(image, None, *[strength] * 2)
    )


def pillow_lanczos(source, target):
    image = Image.open(source)
    size = [2 * side for side in image.size]
    image.resize(size, Image.Resampling.LANCZOS).save(target)


def compressed(source, target):
    """By a run folder of the codec for photographs that notebook 7 trains."""
    run = Path(target).parent / "codec"
    run.mkdir(exist_ok=True)
    shutil.copy(CODEC, run / "model.keras")
    return convae("compress", run, source, target)


TOOLS = {
    "denoise: convae apply": ("png", lambda *f: convae("apply", "denoiser", *f)),
    "denoise: OpenCV, non-local means": ("png", opencv),
    "enlarge: convae apply": ("png", lambda *f: convae("apply", "enlarger_x2", *f)),
    "enlarge: Pillow, Lanczos": ("png", pillow_lanczos),
    "compress: convae compress": ("cae", compressed),
    "compress: Pillow, WebP": ("webp", lambda s, t: Image.open(s).save(t, quality=80)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[""], help="texts in their names")
    parser.add_argument("--side", type=int, default=768, help="in pixels, and twice it")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program")
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        return write_photograph(arguments.write, arguments.side)
    if arguments.worker:
        name, source, target = arguments.worker
        return TOOLS[name][1](source, target)
    turns = {n: [] for n in TOOLS if any(text in n for text in arguments.only)}
    if not turns:
        parser.error(f"--only matches none of {[*TOOLS]}")
    kept = TOOLS.keys() - turns.keys()
    sides = {name: both_sides(name, arguments.side) for name in turns}
    with tempfile.TemporaryDirectory() as place:
        for side in {side for pair in sides.values() for side in pair}:
            watch(__file__, "--side", side, "--write", Path(place) / f"{side}.png")
        for _ in range(arguments.rounds):
            for name in [*turns]:
                pair = [run(name, Path(place), side) for side in sides[name]]
                if None in pair:
                    print(f"{name}: left out, its library is not installed")
                    del turns[name]
                    continue
                turns[name].append(pair)
    report = {name: summary(pairs, sides[name]) for name, pairs in turns.items()}
    print(table(report))
    entry = {"rounds": arguments.rounds, **conditions()}
    record_rows(arguments.out, "files", entry, "tools", report, kept)
    return 0


def both_sides(name, side):
    """The sides of the smaller image and of the larger one, in pixels."""
    side *= LARGER.get(name.partition(":")[0], 1)
    return side, 2 * side


def write_photograph(path, side):
    """Writes one image of photographs side by side, noisy where it is denoised."""
    from convae_keras.data import photographs

    tiles = [x[:256, :256] for x in photographs("train").values()]
    count = -(-side // 256)
    rows = [
        [tiles[(3 * i + j) % len(tiles)] for j in range(count)] for i in range(count)
    ]
    image = np.concatenate([np.concatenate(row, axis=1) for row in rows])[:side, :side]
    noise = np.random.default_rng(0).normal(scale=NOISE, size=image.shape)
    for name, x in {path: image, f"{path}.noisy.png": image + noise}.items():
        Image.fromarray(x.round().clip(0, 255).astype("uint8")).save(name)
    return 0


def run(name, place, side):
    """Seconds and peak memory of one program with one file."""
    source, target = place / f"{side}.png", place / f"result.{TOOLS[name][0]}"
    target.unlink(missing_ok=True)
    if name.startswith("denoise"):
        source = Path(f"{source}.noisy.png")
    watched = watch(__file__, "--worker", name, source, target)
    if watched is None:
        return None
    size = target.stat().st_size
    print(
        f"{name:34s} {side:>5} {watched.seconds:6.1f} s, {size:>10,} bytes", flush=True
    )
    seen = {"seconds": watched.seconds, "megabytes": watched.peak_megabytes}
    return seen | {"bytes": size}


def summary(pairs, sides):
    """What a megapixel costs, from medians over the turns."""
    small, large = (
        {key: float(np.median([pair[i][key] for pair in pairs])) for key in pairs[0][i]}
        for i in (0, 1)
    )
    more = (sides[1] ** 2 - sides[0] ** 2) / 1e6
    seconds = (large["seconds"] - small["seconds"]) / more
    return {
        "sides": sides,
        "megapixels_a_second": round(1 / seconds, 3),
        "megabytes_a_megapixel": round(
            (large["megabytes"] - small["megabytes"]) / more, 1
        ),
        "start_seconds": round(small["seconds"] - seconds * sides[0] ** 2 / 1e6, 2),
        "peak_megabytes": round(large["megabytes"], 1),
        "bits_a_pixel": round(8 * large["bytes"] / sides[1] ** 2, 3),
    }


def table(report):
    lines = [f"{'':34s}{'MP/s':>8}{'MB/MP':>8}{'peak MB':>9}{'start':>8}{'bits/px':>9}"]
    for name, row in report.items():
        cells = (
            f"{row['megapixels_a_second']:>8.2f}{row['megabytes_a_megapixel']:>8.1f}"
        )
        cells += f"{row['peak_megabytes']:>9.0f}{row['start_seconds']:>6.1f} s"
        cells += f"{row['bits_a_pixel']:>9.2f}"
        lines.append(f"{name:34s}{cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
