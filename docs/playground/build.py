"""Builds the playground, a static page, in `build/playground`.

    python docs/playground/build.py

The networks are exported from those that are in the clone; onnxruntime-web, which
runs them, is fetched once, by `npm`, and its hash is verified. Any web server can
serve the folder.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from convae_keras import load_pretrained
from convae_keras.export import export_model
from convae_keras.ledger import finished_run
from convae_keras.saving import atomic_write

SOURCES = Path(__file__).resolve().parent
ROOT = SOURCES.parents[1]
BUILD = ROOT / "build" / "playground"
PAGE = ("index.html", "style.css", "texts.js", "playground.js")

# What runs the networks in a browser; from its package only these files.
RUNTIME = "onnxruntime-web@1.30.0"
SHA512 = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02V"
    "b7QmRMDs1SigqR4CXAfKYQ=="
)
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def main():
    BUILD.mkdir(parents=True, exist_ok=True)
    if not all((BUILD / name).exists() for name in FILES):
        _fetch_runtime()
    _export_networks()
    for path in (*(SOURCES / name for name in PAGE), ROOT / "convae_keras" / "pad.js"):
        shutil.copyfile(path, BUILD / path.name)
    size = sum(path.stat().st_size for path in BUILD.iterdir())
    print(f"{BUILD.relative_to(ROOT)}: {size / 1e6:.1f} MB")


def _fetch_runtime():
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", RUNTIME, "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"{RUNTIME} could not be fetched; is npm installed? {error}")
        (package,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != SHA512:
            sys.exit(f"{RUNTIME} is not the one that is expected: sha512-{found}")
        with tarfile.open(package) as archive:
            for name in FILES:
                with atomic_write(BUILD / name) as temporary:
                    data = archive.extractfile(f"package/dist/{name}").read()
                    temporary.write_bytes(data)


def _export_networks():
    autoencoder, generator = load_pretrained("reference"), load_pretrained("generator")
    denoiser = finished_run("denoiser_range")[0]
    networks = {
        "encoder": (autoencoder, "encoder"),
        "decoder": (autoencoder, "decoder"),
    }
    networks |= {"denoiser": (denoiser, "whole"), "generator": (generator, "whole")}
    for name, (network, part) in networks.items():
        export_model(network, BUILD / f"{name}.onnx", part=part, overwrite=True)


if __name__ == "__main__":
    main()
