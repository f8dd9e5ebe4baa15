"""Scores of a codec on the test images, beside JPEG and WebP of the same quality."""

import bisect
from functools import partial

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import image_codec
from convae_keras.compression.bitstream import pack, unpack
from convae_keras.compression.container import BLOCK
from convae_keras.evaluation import scores
from convae_keras.pipelines import to_float, to_uint8

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
    target = _psnr(sample, _round_trip(codec, sample)[0])
    rows = {"autoencoder": _row(partial(_round_trip, codec), images.x_test)}
    for name in ("JPEG", "WebP"):
        quality = _quality(name, sample, target)
        round_trip = partial(image_codec, name=name, quality=quality)
        rows[f"{name}, quality {quality}"] = _row(round_trip, images.x_test)
    return rows


def _row(round_trip, x):
    """Returns the `scores` of what images come back as, and the `bytes` of each.

    Args:
        round_trip: function from uint8 images to the decoded ones, and the bytes
            that each takes, one number or `(n,)`.
        x: the images.
    """
    sizes = []

    def decode(x):
        decoded, size = round_trip(to_uint8(x))
        sizes.append(np.mean(size) * len(x))
        return to_float(decoded)

    return {**scores(decode, x), "bytes": sum(sizes) / len(x)}


def _round_trip(codec, x):
    """Returns the decompressed images, and the bytes that each takes."""
    data = pack(codec, x)
    return unpack(codec, data, x.shape), (BLOCK.size + len(data)) / len(x)


def _quality(name, x, target):
    """Returns the lowest quality setting that reaches a PSNR, or the highest."""

    def reached(quality):
        return _psnr(x, image_codec(x, name, quality)[0])

    return min(bisect.bisect_left(range(101), target, key=reached), 100)


def _psnr(x, decoded):
    """Returns the mean PSNR of uint8 images."""
    return metrics.psnr(x / 255, decoded / 255).mean()
