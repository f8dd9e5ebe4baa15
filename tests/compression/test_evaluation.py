"""Scores of a codec, with its bytes, beside image files of at least its quality."""

import dataclasses

import pytest

from convae_keras.compression.bitstream import pack, unpack
from convae_keras.compression.container import BLOCK
from convae_keras.compression.evaluation import codec_scores
from convae_keras.metrics import psnr


@pytest.mark.float32  # codecs are never in half precision
def test_codec_scores(codec, digits):
    few = dataclasses.replace(
        digits, x_test=digits.x_test[:100], y_test=digits.y_test[:100]
    )
    results, x = codec_scores(codec, few), few.x_test
    assert [name.split(",")[0] for name in results] == ["autoencoder", "JPEG", "WebP"]
    ours, jpeg, webp = results.values()
    data = pack(codec, x)
    size = (len(data) + BLOCK.size) / len(x)
    assert ours["bytes"] == pytest.approx(size) and 5 * size < webp["bytes"]
    expected = psnr(x / 255, unpack(codec, data, x.shape) / 255).mean()
    assert ours["psnr"] == pytest.approx(expected, rel=1e-5)
    assert webp["psnr"] > ours["psnr"] - 0.5 and jpeg["psnr"] > ours["psnr"] - 0.5
