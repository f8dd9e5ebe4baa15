"""Convolutional autoencoders in Keras 3: models, training, results."""

from convae_keras.compression.models import conv_codec
from convae_keras.data.sources import Images, load_images
from convae_keras.devices import set_up_device
from convae_keras.generation.vae import variational_autoencoder
from convae_keras.models import block_autoencoder, conv_autoencoder
from convae_keras.pipelines import make_pipeline
from convae_keras.pretrained import load_pretrained
from convae_keras.runs import load_run
from convae_keras.sequences import Sequences, sequence_autoencoder
from convae_keras.training import train

__all__ = ["Images", "Sequences", "block_autoencoder", "conv_autoencoder", "conv_codec"]
__all__ += ["load_images", "load_pretrained", "load_run", "make_pipeline"]
__all__ += ["sequence_autoencoder", "set_up_device", "train", "variational_autoencoder"]
