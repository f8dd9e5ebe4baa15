"""Learned image compression: codecs, entropy coding and the `.cae` file format."""

from convae_keras.compression.bitstream import (
    codes_of,
    fit_tables,
    images_of,
    pack,
    unpack,
)
from convae_keras.compression.models import Codec, conv_codec

__all__ = ["Codec", "codes_of", "conv_codec", "fit_tables", "images_of"]
__all__ += ["pack", "unpack"]
