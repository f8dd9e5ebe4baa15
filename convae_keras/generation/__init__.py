"""New images: samplers over a code, a variational twin, and how to measure both."""

from convae_keras.generation.flow import (
    FlowSampler,
    train_generator,
    velocity_network,
)
from convae_keras.generation.frechet import frechet_distance, precision_recall
from convae_keras.generation.generator import generate, image_generator
from convae_keras.generation.samplers import Mixture, interpolate
from convae_keras.generation.vae import variational_autoencoder

__all__ = ["FlowSampler", "Mixture", "frechet_distance", "generate"]
__all__ += ["image_generator", "interpolate", "precision_recall"]
__all__ += ["train_generator", "variational_autoencoder", "velocity_network"]
