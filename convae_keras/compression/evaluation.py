"""Held-out scores of a codec, beside image files of the same quality."""

import numpy as np

from convae_keras import metrics
from convae_keras.baselines import image_codec
from convae_keras.compression.bitstream import pack, to_uint8, unpack
from convae_keras.compression.container import BLOCK
from convae_keras.evaluation import scores


def codec_scores(codec, images):
    """Scores a codec on the test images, beside JPEG and WebP.

    The quality of the image files is the lowest whose PSNR on validation images
    is no lower than the codec's.

    Args:
        codec: `Codec` whose tables are fitted.
        images: `Images`.

    Returns:
        dict from a row's name to `scores`, the model's first, with `bytes`: of
        all that is stored, the mean over the images.
    """
    some = to_uint8(images.x_val[:200])
    wanted = metrics.psnr(some / 255, _packed(codec, some)[0] / 255).mean()
    ways = {"autoencoder": lambda x: _packed(codec, x)}
    for name in ("JPEG", "WebP"):
        quality = _quality(name, some, wanted)
        ways[f"{name}, quality {quality}"] = lambda x, name=name, quality=quality: (
            image_codec(x, name, quality)
        )
    rows = {}
    for name, way in ways.items():
        sizes = []

        def run(x, way=way, sizes=sizes):
            found, size = way(to_uint8(x))
            sizes.append(np.mean(size) * len(x))
            return found.astype("float32") / 255

        rows[name] = scores(run, images.x_test)
        rows[name]["bytes"] = sum(sizes) / len(images.x_test)
    return rows


def _packed(codec, x):
    data = pack(codec, x)
    return unpack(codec, data, x.shape), (BLOCK.size + len(data)) / len(x)


def _quality(name, x, wanted):
    """The lowest at which image files are as good, or the highest."""
    for quality in range(0, 100, 5):
        found = image_codec(x, name, quality)[0]
        if metrics.psnr(x / 255, found / 255).mean() >= wanted:
            return quality
    return 100
