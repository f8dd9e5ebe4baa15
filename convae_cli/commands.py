"""What the verbs of the `convae` command do that take a trained model and files.

Each takes what `parser` made of the command line, prints what was done, and
returns it as plain values.
"""

from pathlib import Path

from convae_keras.compression.models import Codec
from convae_keras.files.archive import compress, decompress, describe
from convae_keras.files.restore import apply
from convae_keras.files.search import encode_files, search
from convae_keras.pretrained import find_pretrained, load_pretrained, pretrained_names
from convae_keras.runs import load_run
from convae_keras.validation import expect


def run_apply(arguments):
    """Restores images, of any size."""
    model, grey = _model(arguments), None
    if _is_shipped(arguments.run) and f"{arguments.run}_grey" in pretrained_names():
        grey = load_pretrained(f"{arguments.run}_grey")
    paths = arguments.input, arguments.output
    written, skipped = apply(model, *paths, arguments.overwrite, grey)
    print(f"Written: {len(written)}, skipped: {len(skipped)}")
    return {"written": [str(path) for path in written], "skipped": skipped}


def run_encode(arguments):
    """Writes the features of images."""
    names = ("layer", "pooling", "fit", "overwrite")
    options = {name: getattr(arguments, name) for name in names}
    paths = arguments.input, arguments.output
    names, skipped = encode_files(_model(arguments), *paths, **options)
    print(f"The features of {len(names)} images are in {arguments.output}")
    return {"images": len(names), "skipped": skipped}


def run_search(arguments):
    """Lists the images nearest to one."""
    where = arguments.where, arguments.query, arguments.count, arguments.fit
    found = search(_model(arguments), *where)
    for name, distance in found:
        print(f"{distance:8.3f}  {name}")
    return {"found": [{"name": name, "distance": d} for name, d in found]}


def run_compress(arguments):
    """Packs images into one file."""
    paths = arguments.input, arguments.output
    options = arguments.lossless, arguments.overwrite
    count, skipped = compress(_codec(arguments), *paths, *options)
    size = Path(arguments.output).stat().st_size
    print(f"{count} images in {size:,} bytes, {size / count:.1f} each")
    return {"images": count, "bytes": size, "skipped": skipped}


def run_decompress(arguments):
    """Unpacks such a file."""
    paths = arguments.input, arguments.output
    count = decompress(_codec(arguments), *paths, arguments.overwrite)
    print(f"{count} images are in {arguments.output}")
    return {"images": count}


def run_info(arguments):
    """Tells what such a file is."""
    found = describe(arguments.input)
    found["find_pretrained"] = find_pretrained(found["model"])
    names = found["names"] or []
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    for key, value in (found | {"names": ", ".join(names[:10]) + more}).items():
        print(f"{key:16}{value}")
    return found


def _codec(arguments):
    model = _model(arguments)
    wanted = "a model trained with --task compress"
    expect(isinstance(model, Codec), "RUN", wanted, f"'{arguments.run}'")
    return model


def _model(arguments):
    if _is_shipped(arguments.run):
        return load_pretrained(arguments.run)
    wanted = f"a run folder, or one of {pretrained_names()}"
    expect(Path(arguments.run).is_dir(), "RUN", wanted, f"'{arguments.run}'")
    return load_run(arguments.run)


def _is_shipped(run):
    # A folder of digits may well be named digits.
    is_run = (Path(run) / "model.keras").is_file()
    return run in pretrained_names() and not is_run


VERBS = {
    "apply": run_apply,
    "encode": run_encode,
    "search": run_search,
    "compress": run_compress,
    "decompress": run_decompress,
    "info": run_info,
}
