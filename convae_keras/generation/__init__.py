"""New images: samplers over a code, a variational twin, and how to measure both."""

from convae_keras.generation.flow import FlowSampler, velocity_network
from convae_keras.generation.frechet import frechet_distance, precision_recall
from convae_keras.generation.samplers import Mixture, interpolate
from convae_keras.generation.vae import variational_autoencoder

__all__ = ["FlowSampler", "Mixture", "frechet_distance", "interpolate"]
__all__ += ["precision_recall", "variational_autoencoder", "velocity_network"]
