"""Gives broken files to a reader of the package, and reports what goes wrong.

    python benchmarks/fuzz.py READER COUNT [SEED]
    python benchmarks/fuzz.py all 100000

Valid files, and files that hold code, are changed at random: bytes, numbers, pieces,
their length; half of the time in what they contain, with sizes and checksums made
right again. The reader must return, or raise a `ValueError` of one line (for pictures,
whatever a folder's reader skips), in 10 seconds of computing and 2 GB. It must run no
program and no pickle, open no connection, and leave other files as they are. What goes
wrong is reported, and kept in the folder `fuzz`; input number N of a seed is always the
same. A reader that takes a minute is ended. `all` gives each reader so many files, a
seed for 10,000, and adds them to results/sweeps/fuzz.json; the same command goes on
where it was stopped. Of a reader that is ended the whole piece counts as not done.
"""

import contextlib
import faulthandler
import io
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from processes import megabytes

from convae_keras import load_images
from convae_keras.compression import container as cae
from convae_keras.compression.bitstream import fit_tables
from convae_keras.compression.models import conv_codec
from convae_keras.corruption import GaussianNoise, from_config
from convae_keras.data.image_files import read_image
from convae_keras.files import archive, batches, search
from convae_keras.files.pictures import picture_bytes, read_picture
from convae_keras.models import conv_autoencoder
from convae_keras.runs import (
    SETTINGS,
    finished_history,
    load_checkpoint,
    open_run,
    save_checkpoint,
)
from convae_keras.saving import load_model, read_json, write_json

# Memory: four times the limit of a file. Pillow takes 4 bytes for a pixel of 3, and
# beside it are the array and what is made of it.
SECONDS, MEGABYTES = 10, 4 * 512
PIECE = 10_000
RESULTS = Path(__file__).parents[1] / "results/sweeps/fuzz.json"
# What a reader must not do, by the names of Python's audit events.
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
FORBIDDEN |= {"pickle.find_class", "socket.connect"}
NUMBERS = [0, 1, -1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31]
NUMBERS += [2**32 - 1, 2**33, 2**62, 2**63 - 1, -(2**63), 2**64 - 1]
TEXTS = [*map(str, NUMBERS), "1.5", "-0", "1e999", "NaN", "null", "true", "[]", "{}"]
TEXTS += ['""', "1" * 99, "[" * 2000, '"\\ud800"', "'", "None", "True", "(1,)"]
METHODS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2


# --- changes -----------------------------------------------------------------


def flip(draw, data):
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        data[draw.randrange(len(data))] = draw.randrange(256)


def truncate(draw, data):
    del data[draw.randrange(len(data)) :]


def splice(draw, data):
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    piece = data[start : min(end, start + 200)] * draw.choice((0, 1, 1, 2, 50))
    at = draw.randrange(len(data) + 1)
    data[at : at + draw.choice((0, len(piece)))] = piece


def number(draw, data):
    size, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
    value = draw.choice(NUMBERS) % 256**size
    at = draw.randrange(len(data))
    data[at : at + size] = value.to_bytes(size, order)


def text(draw, data):
    """Replaces digits, or a value of JSON, where there are any."""
    at = draw.randrange(len(data))
    ends = b" ,:[]{}()\n"
    start = max(data.rfind(end, 0, at) for end in ends) + 1
    stop = min((data.find(end, at) % (len(data) + 1) for end in ends), default=at)
    data[start : max(stop, start)] = draw.choice(TEXTS).encode()


CHANGES = flip, truncate, splice, number, text


def change(draw, data):
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        if data:
            draw.choice(CHANGES)(draw, data)
    return bytes(data)


def change_zip(draw, data):
    """Changes one member, and packs all again: sizes and checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = draw.choice([*members])
    members[name] = change(draw, members[name])
    if draw.random() < 0.05:
        del members[draw.choice([*members])]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in members.items():
            method = draw.choices(METHODS, (10, 10, 3, 1))[0]
            file.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def change_cae(draw, data):
    """Changes a `.cae` file, and makes its checksums right, as far as it has parts."""
    data, at = bytearray(change(draw, data)), len(cae.MAGIC)

    def repair(part, length):
        nonlocal at
        after = at + part.size + cae.CHECKSUM.size
        head, content = data[at : at + part.size], data[after : after + length]
        checksum = cae.CHECKSUM.pack(zlib.crc32(content, zlib.crc32(head)))
        data[at + part.size : after] = checksum
        at = after + length

    with contextlib.suppress(Exception):  # nothing is left to repair
        blocks = cae.HEADER.unpack_from(data, at)[-1]
        repair(cae.HEADER, 0)
        for _ in range(min(blocks, 9)):
            repair(cae.BLOCK, cae.BLOCK.unpack_from(data, at)[-1])
        repair(cae.NAMES, cae.NAMES.unpack_from(data, at)[0])
    return bytes(data)


# --- readers -----------------------------------------------------------------

# Keywords of a small network, and the history of its training.
SMALL = {"image_shape": (8, 8, 1), "filters": (2,), "code_filters": ()}
HISTORY = {"loss": [0.5, 0.25], "val_loss": [0.5, 0.3], "seconds": [1.0, 2.0]}


class Trap:
    """Runs code where it is unpickled: it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class Reader:
    """Valid files, a function that reads such a file, and one that changes it.

    Args:
        folder: `Path`, where files can be written.
    """

    change, allowed, name = staticmethod(change), ValueError, "input"

    def __init__(self, folder):
        self.folder = folder
        random = np.random.default_rng(0)
        self.pixels = random.integers(0, 256, (6, 8, 8), dtype="uint8")
        self.code = folder / "code has run"
        self.trap = np.array([Trap(self.code)], dtype=object)
        self.valid = [*self.files(), *self.hostile()]

    def hostile(self):
        """Files that hold code."""
        return []

    def saved(self, function, name, *values, **named):
        """Returns the bytes that `function` writes into a file."""
        function(self.folder / name, *values, **named)
        return (self.folder / name).read_bytes()


class Cae(Reader):
    change = staticmethod(change_cae)

    def files(self):
        options = {"filters": (2,), "code_filters": (2,), "latent_dim": 2, "seed": 0}
        self.codecs = [conv_codec((8, 8, 1), **options)]
        self.codecs += [conv_codec((None, None, 3), **options)]
        colors = np.repeat(self.pixels[..., None], 3, axis=-1)
        for codec, x in zip(self.codecs, (self.pixels, colors), strict=True):
            fit_tables(codec, x)
            (self.folder / "in").mkdir(exist_ok=True)
            for i, image in enumerate(x):
                Image.fromarray(image).save(self.folder / "in" / f"{i}.png")
            for lossless in (False, True):
                path = self.folder / "x.cae"
                options = {"lossless": lossless, "overwrite": True}
                archive.compress(codec, self.folder / "in", path, **options)
                yield path.read_bytes()

    def read(self, path):
        found = archive.describe(path)
        for codec in self.codecs:
            target = self.folder / "out.npy"
            with contextlib.suppress(ValueError):  # one of them is not its model
                archive.decompress(codec, path, target, overwrite=True)
        return found


class Npz(Reader):
    name, change = "input.npz", staticmethod(change_zip)

    def files(self):
        arrays = {"x_train": self.pixels, "x_test": self.pixels[:2] / 255.0}
        arrays |= {"y_train": np.arange(6), "y_test": np.arange(2)}
        yield self.saved(np.savez, "a.npz", **arrays)
        yield self.saved(np.savez_compressed, "b.npz", **arrays)

    def hostile(self):
        yield self.saved(np.savez, "c.npz", x_train=self.trap, x_test=self.trap)

    def read(self, path):
        load_images(path)


class Npy(Reader):
    name = "input.npy"

    def files(self):
        self.codec = conv_codec((8, 8, 1), filters=(2,), code_filters=(2,))
        for array in (self.pixels, np.asfortranarray(self.pixels[..., None])):
            yield self.saved(np.save, "a.npy", array)

    def hostile(self):
        yield self.saved(np.save, "b.npy", self.trap)

    def read(self, path):
        for batch in batches.batches_of_array(self.codec, path):
            batch.sum()


class Features(Reader):
    name, change = "input.npz", staticmethod(change_zip)

    def files(self):
        self.model = conv_autoencoder("reference", latent_dim=3, **SMALL)
        image = self.folder / "a.png"
        Image.fromarray(self.pixels[0]).save(image)
        path = self.folder / "a.npz"
        for pooling in (None, "max"):
            options = {"layer": pooling and "pool_1", "pooling": pooling}
            search.encode_files(self.model, image, path, **options, overwrite=True)
            yield path.read_bytes()

    def hostile(self):
        parts = dict.fromkeys(("features", "names", "about"), self.trap)
        yield self.saved(np.savez, "b.npz", **parts)

    def read(self, path):
        search.load_features(path, self.model)


class Checkpoint(Reader):
    name, change = "checkpoint.npz", staticmethod(change_zip)

    def files(self):
        self.model = conv_autoencoder("keras", **SMALL)
        self.model.compile("adam", "mse")
        self.model.optimizer.build(self.model.trainable_variables)
        save_checkpoint(self.folder, self.model, HISTORY, self.model.get_weights())
        yield (self.folder / self.name).read_bytes()

    def hostile(self):
        parts = dict.fromkeys(("history", "state_000", "best_000"), self.trap)
        yield self.saved(np.savez, "b.npz", **parts)

    def read(self, path):
        load_checkpoint(path.parent, self.model)


class Json(Reader):
    name = "settings.json"

    def files(self):
        self.settings = {"epochs": 3, "corruption": GaussianNoise(0.1).config()}
        self.settings |= {"paired": False, "pixel_range": [0, 1], "data": "digits"}
        (self.folder / "model.keras").touch()
        yield self.saved(write_json, "a.json", self.settings)
        yield self.saved(write_json, "a.json", HISTORY)

    def read(self, path):
        (path.parent / "history.json").write_bytes(path.read_bytes())
        with contextlib.suppress(ValueError):
            finished_history(path.parent, 2)
        from_config(read_json(path, SETTINGS).get("corruption"))
        open_run(path.parent, self.settings)


class Keras(Reader):
    name, change = "input.keras", staticmethod(change_zip)

    def files(self):
        model = conv_autoencoder("reference", latent_dim=3, **SMALL)
        yield self.saved(model.save, "a.keras")
        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Conv2D(2, 3, padding="same")(inputs)
        x = keras.layers.BatchNormalization()(x)
        model = keras.Model(inputs, keras.layers.Dropout(0.5)(x))
        model.compile("adam", "mse")
        yield self.saved(model.save, "b.keras")

    def hostile(self):
        code = str(self.code)
        inputs = keras.Input((8, 8, 1))
        run = keras.layers.Lambda(lambda x: [open(code, "w"), x][1])  # noqa: TID251
        model = keras.Model(inputs, run(inputs))
        yield self.saved(model.save, "c.keras")
        self.code.unlink()  # it ran while the model was made

    def read(self, path):
        load_model(path)


class Picture(Reader):
    allowed = Exception  # for which a folder's reader skips the file

    def files(self):
        gray, color = (
            Image.fromarray(self.pixels[0]).convert(m) for m in "L RGB".split()
        )
        for image in (gray, color, color.convert("P"), color.convert("RGBA")):
            for format in ("PNG", "TIFF", "WEBP", "GIF", "BMP", "JPEG"):
                packed = io.BytesIO()
                with contextlib.suppress(OSError):  # a mode that it does not have
                    image.save(packed, format)
                    yield packed.getvalue()
        deep = Image.fromarray(self.pixels[0].astype("uint16") * 257)
        for format, options in (("TIFF", {"compression": "tiff_lzw"}), ("PNG", {})):
            packed = io.BytesIO()
            deep.save(packed, format, **options)
            yield packed.getvalue()

    def read(self, path):
        read_image(path, (16, 16), "L")


class Folder(Picture):
    """A broken picture among good ones, which must be read nevertheless."""

    allowed, name = (), "data/train/input.png"

    def files(self):
        for i, split in enumerate(("train", "val", "test")):
            place = self.folder / "data" / split
            place.mkdir(parents=True)
            Image.fromarray(self.pixels[i]).save(place / "good.png")
        yield from super().files()

    def read(self, path):
        load_images(path.parents[1], image_size=8)


class Restored(Picture):
    """As `convae apply` reads and writes it, without the network."""

    def read(self, path):
        pixels, alpha, kept, _ = read_picture(path)
        for suffix in (".png", ".jpg", ".webp", ".tif"):
            picture_bytes(pixels, suffix, alpha, kept)


READERS = {kind.__name__.lower(): kind for kind in Reader.__subclasses__()}
READERS |= {kind.__name__.lower(): kind for kind in Picture.__subclasses__()}


def peak():
    """Returns the most memory that this process has had, in MB; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0
    return megabytes(resource.getrusage(resource.RUSAGE_SELF))


@contextlib.contextmanager
def watched():
    """Yields a list of what is done that must not be, while the block runs."""
    done, active = [], True

    def hook(event, arguments):
        if active and event in FORBIDDEN:
            done.append(f"{event} {arguments}")

    sys.addaudithook(hook)  # for good
    yield done
    active = False


def broken_file(reader, seed, index):
    """Returns the bytes of an input."""
    draw = random.Random(f"{seed} {index}")
    kind = draw.choice((change, reader.change))
    return kind(draw, draw.choice(reader.valid))


def attempt(reader, path):
    """Lets a reader read a file.

    Returns:
        `(refused, problem)`: bool; str, what went wrong, or None.
    """
    refused, problem = False, None
    before, start = peak(), time.process_time()
    try:
        reader.read(path)
    except KeyboardInterrupt:
        raise
    except reader.allowed as error:
        refused = True
        if type(error) is ValueError and "\n" in str(error):
            problem = f"several lines: {error}"
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
    seconds, more = time.process_time() - start, peak() - before
    if seconds > SECONDS or more > MEGABYTES:
        problem = f"{problem or ''} {seconds:.1f} s, {more:.0f} MB"
    return refused, problem


def fuzz(name, count, seed=0, kept=None, show=print):
    """Gives broken files to a reader.

    Args:
        name: str, one of `READERS`.
        count: int, number of files.
        seed: int.
        kept: `Path` of a folder for the files that went wrong; None to keep none.
        show: function that takes a line of what went wrong.

    Returns:
        `(faults, refused)`: ints, numbers of files.
    """
    faults = refusals = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        reader = READERS[name](Path(folder))
        path, other = Path(folder, reader.name), Path(folder, "other.txt")
        other.write_text("kept")
        done = stack.enter_context(watched())
        for index in range(count):
            path.write_bytes(broken_file(reader, seed, index))
            if kept:  # also if the process ends at this one
                kept.mkdir(exist_ok=True)
                (kept / f"{name}-last").write_bytes(path.read_bytes())
                faulthandler.dump_traceback_later(60, exit=True)
            refused, problem = attempt(reader, path)
            refusals += refused
            if done or reader.code.exists():
                problem = f"code has run: {done}"
                done.clear()
                reader.code.unlink(missing_ok=True)
            left = [*path.parent.glob(".convae*")]
            if left or other.read_text() != "kept":
                problem = f"other files: {left or other}"
            if problem:
                faults += 1
                show(f"{name}, seed {seed}, input {index}: {problem[:300]}")
                if kept:
                    (kept / f"{name}-{seed}-{index}").write_bytes(path.read_bytes())
    faulthandler.cancel_dump_traceback_later()
    return faults, refusals


def run_all(count):
    """Gives each reader so many files, in pieces that are skipped if they are done.

    Returns:
        list of the names of readers that were ended, and given nothing more.
    """
    ended = []
    for seed, name in itertools.product(range(-(-int(count) // PIECE)), READERS):
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        total = found.get(name, {})
        if name in ended or seed < total.get("inputs", 0) // PIECE:
            continue
        command = [sys.executable, __file__, name, str(PIECE), str(seed)]
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
        print(printed, end="", flush=True)
        *_, last = ["", *printed.splitlines()]
        if not last.startswith("{"):
            ended.append(name)
            print(f"{name}, seed {seed}: ended by the input in fuzz/{name}-last")
            continue
        summary = json.loads(last)
        for key in ("inputs", "refused", "faults", "seconds"):
            total[key] = total.get(key, 0) + summary[key]
        total["peak MB"] = max(total.get("peak MB", 0), summary["peak MB"])
        RESULTS.write_text(json.dumps(found | {name: total}, indent=2) + "\n")
    return ended


def main(name, count, seed=0):
    if name == "all":
        return bool(run_all(count))
    start = time.perf_counter()
    faulthandler.enable()
    faults, refused = fuzz(name, int(count), int(seed), kept=Path("fuzz"))
    seconds = time.perf_counter() - start
    summary = {"reader": name, "inputs": int(count), "seed": int(seed)}
    summary |= {"refused": refused, "faults": faults, "seconds": round(seconds)}
    print(json.dumps(summary | {"peak MB": round(peak())}))
    return faults > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
