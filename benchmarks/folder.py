"""Measures whether ten times as many files take ten times as long, in as much memory.

    python benchmarks/folder.py [--count N]

Cuts N and 10 N patches, 64 x 64, from the photographs that scikit-image and
scikit-learn ship, and writes each to a PNG of its own. A process for each folder reads
it with `load_images` and trains for one epoch; its time counts from where the libraries
are loaded. Memory is given twice: all that is resident, in which the pages of a file
count that the system may take back at any time; and, on Linux, what is the process's
own (`RssAnon`). Takes 3 GB of the system's temporary folder.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from processes import RESULTS, conditions, record, watch

SIDE, TIMES = 64, 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="files, and tenfold")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each folder")
    parser.add_argument(
        "--limit", type=int, help="bytes of pixels that stay in memory, for another's"
    )
    parser.add_argument("--out", default=RESULTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        return write_patches(arguments.worker, arguments.write)
    if arguments.worker:
        return work(arguments.worker, arguments.limit)
    counts = arguments.count, TIMES * arguments.count
    turns = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as place:
        for count in counts:
            watch(__file__, "--worker", Path(place) / str(count), "--write", count)
        options = ["--limit", arguments.limit] if arguments.limit else []
        for _ in range(arguments.rounds):
            for count in counts:
                folder = Path(place) / str(count)
                turns[count].append(seen(watch(__file__, "--worker", folder, *options)))
                print(count, turns[count][-1], flush=True)
    rows = {count: medians(found) for count, found in turns.items()}
    few, many = rows.values()
    ratios = {key: round(many[key] / few[key], 3) for key in few if few[key]}
    report = {
        "ratios": ratios,
        "files": {str(count): row for count, row in rows.items()},
    }
    sizes = {"limit": arguments.limit, "rounds": arguments.rounds}
    record(arguments.out, {"folder": {**sizes, **conditions(), **report}})
    print(f"ten times as many files take {ratios['seconds']} times as long;")
    print(f"memory: {ratios}")
    return 0


def write_patches(folder, count):
    """Writes patches of photographs, each from another place."""
    from convae_keras.data import photographs

    Path(folder).mkdir()
    sources, random = [*photographs("train").values()], np.random.default_rng(count)
    for i in range(count):
        image = sources[i % len(sources)]
        top, left = (random.integers(0, side - SIDE + 1) for side in image.shape[:2])
        patch = Image.fromarray(image[top : top + SIDE, left : left + SIDE])
        patch.save(Path(folder) / f"{i:06}.png", compress_level=1)
    return 0


def work(folder, limit):
    """Reads a folder and trains; says when each begins, and its own memory."""
    from convae_keras import conv_autoencoder, load_images, train
    from convae_keras.data import folders

    if limit:
        folders.MEMORY_LIMIT = limit
    highest = [0]
    threading.Thread(target=remember, args=(highest,), daemon=True).start()
    print("begin", flush=True)
    images = load_images(folder)
    print("read", flush=True)
    model = conv_autoencoder("keras", image_shape=(SIDE, SIDE, 3), seed=0)
    train(model, images, epochs=1, batch_size=128, loss="mse", verbose=0)
    print("end", flush=True)
    print(f"own {highest[0] / 1024:.1f}")
    return 0


def remember(highest):
    """Keeps the largest memory, in kilobytes, that this process has had of its own."""
    status = Path("/proc/self/status")
    while status.exists():
        found = [line for line in status.read_text().splitlines() if "RssAnon" in line]
        highest[0] = max(highest[0], int(found[0].split()[1]))
        time.sleep(0.02)


def seen(watched):
    """What was seen of one process."""
    begin, read = watched.when("begin"), watched.when("read")
    return {
        "seconds": watched.when("end") - begin,
        "seconds_reading": read - begin,
        "peak_megabytes": watched.peak_megabytes,
        "peak_own_megabytes": float(watched.lines[-1][1].split()[1]),
    }


def medians(turns):
    return {k: round(float(np.median([t[k] for t in turns])), 1) for k in turns[0]}


if __name__ == "__main__":
    sys.exit(main())
