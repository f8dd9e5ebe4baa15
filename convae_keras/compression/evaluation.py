"""Scores of a codec on the test images, beside JPEG and WebP of the same quality."""

import bisect

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import image_codec
from convae_keras.compression.bitstream import pack, unpack
from convae_keras.compression.container import BLOCK
from convae_keras.evaluation import scores
from convae_keras.pipelines import to_uint8

# Validation images on which the quality of the image files is chosen.
VALIDATION_IMAGES = 200


def codec_scores(codec, images):
    """Scores a codec on the test images, beside JPEG and WebP.

    The quality setting of the image files is the lowest whose PSNR on validation
    images is not below the codec's.

    Args:
        codec: `Codec` with fitted tables.
        images: `Images`.

    Returns:
        dict from a row's name to `scores`, the codec's first, each with `bytes`:
        the mean over the images of everything stored.
    """
    sample = to_uint8(images.x_val[:VALIDATION_IMAGES])
    target = metrics.psnr(sample / 255, _round_trip(codec, sample)[0] / 255).mean()
    codecs = {"autoencoder": lambda x: _round_trip(codec, x)}
    for name in ("JPEG", "WebP"):
        quality = _quality(name, sample, target)
        codecs[f"{name}, quality {quality}"] = lambda x, name=name, quality=quality: (
            image_codec(x, name, quality)
        )
    rows = {}
    for name, round_trip in codecs.items():
        sizes = []

        def run(x, round_trip=round_trip, sizes=sizes):
            decoded, size = round_trip(to_uint8(x))
            sizes.append(np.mean(size) * len(x))
            return decoded.astype("float32") / 255

        rows[name] = scores(run, images.x_test)
        rows[name]["bytes"] = sum(sizes) / len(images.x_test)
    return rows


def _round_trip(codec, x):
    """Returns the decompressed images, and the bytes that each takes."""
    data = pack(codec, x)
    return unpack(codec, data, x.shape), (BLOCK.size + len(data)) / len(x)


def _quality(name, x, target):
    """Returns the lowest quality setting that reaches a PSNR, or the highest."""

    def reached(quality):
        return metrics.psnr(x / 255, image_codec(x, name, quality)[0] / 255).mean()

    return min(bisect.bisect_left(range(101), target, key=reached), 100)
