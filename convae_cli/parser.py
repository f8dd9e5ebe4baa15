"""The words of the command line, and what they mean."""

import argparse

from convae_keras.corruption import DOWNSAMPLING
from convae_keras.data.image_files import FITS, MODES
from convae_keras.features import POOLS
from convae_keras.pretrained import pretrained_names

TASKS = ("reconstruct", "denoise", "super-resolution", "features", "compress")


LAST_LINE = "one JSON object as the last line"


def parser():
    """What the `convae` command understands.

    Returns:
        `argparse.ArgumentParser`; what it parses has the verb as `verb`.
    """
    top = argparse.ArgumentParser(
        prog="convae", description="Convolutional autoencoders."
    )
    verbs = top.add_subparsers(required=True, metavar="VERB", dest="verb")
    _add_train(verbs.add_parser("train", help="train a model, leave a run folder"))
    _add_evaluate(verbs.add_parser("evaluate", help="score a model on test images"))
    _add_apply(verbs.add_parser("apply", help="run a model over files of any size"))
    _add_encode(verbs.add_parser("encode", help="write the features of images"))
    _add_search(verbs.add_parser("search", help="list the images nearest to one"))
    _add_compress(verbs.add_parser("compress", help="pack images into one file"))
    _add_decompress(verbs.add_parser("decompress", help="unpack such a file"))
    _add_info(verbs.add_parser("info", help="what such a file is"))
    return top


def _add_train(verb):
    add = verb.add_argument
    add("--task", default="reconstruct", choices=TASKS)
    presets = "keras, pytorch or reference; where images are restored, restorer too"
    add("--preset", help=f"{presets} (default: reference, restorer)")
    noise = "denoise: where white is 1; two numbers for a range (default: 0 0.2)"
    add("--noise", type=float, nargs="+", metavar="STDDEV", help=noise)
    add("--scale", type=int, help="super-resolution: how many times larger (2)")
    ways = "super-resolution: how the small images are made (default: box)"
    add("--downsampling", choices=DOWNSAMPLING, help=ways)
    price = "compress: decibels a bit a pixel has to be worth (50; photographs: 8)"
    add("--price", type=float, help=price)
    turn = "show square images turned and mirrored, too (default: for patches)"
    add("--turn", action=argparse.BooleanOptionalAction, help=turn)
    add("--out", metavar="RUN", help="run folder (default: runs/PRESET-DATA)")
    add("--epochs", type=int, help="default: as many as show 150,000 images")
    add("--batch-size", type=int)
    add("--latent-dim", type=int, help="size of a dense code")
    add("--learning-rate", type=float, help="the highest of the schedule")
    add("--loss", help="binary_crossentropy, mse, mae or psnr")
    add("--seed", type=int, default=0)
    add("--tensorboard", action="store_true", help="logs in RUN/logs")
    _add_data(add)


def _add_evaluate(verb):
    verb.add_argument("run", metavar="RUN", help="run folder")
    _add_data(verb.add_argument)


def _add_apply(verb):
    _add_input(verb.add_argument)
    verb.add_argument("output", metavar="OUTPUT", help="where the results go")
    _add_end(verb.add_argument)


def _add_encode(verb):
    add = verb.add_argument
    _add_input(add)
    add("output", metavar="OUTPUT", help="an .npz: features, names")
    add("--layer", help="of the encoder, by name (default: its last, the code)")
    add("--pooling", choices=POOLS, help="over rows and columns (default: none)")
    add("--fit", choices=FITS, default="crop", help="to the model's size")
    _add_end(add)


def _add_search(verb):
    add = verb.add_argument
    _add_run(add)
    add("where", metavar="WHERE", help="a folder of images, or what `encode` wrote")
    add("query", metavar="QUERY", help="an image")
    add("--count", type=int, default=10, help="how many (default: 10)")
    add("--fit", choices=FITS, default="crop", help="a folder's images")
    add("--json", action="store_true", help=LAST_LINE)


def _add_compress(verb):
    add = verb.add_argument
    _add_run(add)
    add("input", metavar="INPUT", help="an image, a folder of them, or an .npy")
    add("output", metavar="OUTPUT", help="a .cae file")
    add("--lossless", action="store_true", help="every pixel comes back as it is")
    _add_end(add)


def _add_decompress(verb):
    add = verb.add_argument
    _add_run(add)
    add("input", metavar="INPUT", help="a .cae file")
    add("output", metavar="OUTPUT", help="a folder for PNG files, a .png, or an .npy")
    _add_end(add)


def _add_info(verb):
    verb.add_argument("input", metavar="INPUT", help="a .cae file")
    verb.add_argument("--json", action="store_true", help=LAST_LINE)


def _add_end(add):
    add("--overwrite", action="store_true", help="replace what is there")
    add("--json", action="store_true", help=LAST_LINE)


def _add_run(add):
    trained = ", ".join(pretrained_names())
    help_of_run = f"run folder, or one of those that come along: {trained}"
    add("run", metavar="RUN", help=help_of_run)


def _add_input(add):
    _add_run(add)
    add("input", metavar="INPUT", help="an image or a folder of images")


def _add_data(add):
    sources = "mnist, fashion_mnist, cifar10, mnist5k, photographs, an .npz, a folder"
    add("--data", metavar="SOURCE", help=f"{sources} (default: CONVAE_DATA, or mnist)")
    size = "of a folder's images: side, or height and width"
    add("--image-size", type=int, nargs="+", metavar="PIXELS", help=size)
    add("--color", choices=MODES, help="of a folder's images")
    add("--fit", choices=FITS, help="of a folder's images")
    patches = "cut a folder's images into patches (72, for the restoring tasks)"
    add("--patch-size", type=int, metavar="PIXELS", help=patches)
    add("--json", action="store_true", help=LAST_LINE)
