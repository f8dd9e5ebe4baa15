"""New images: samplers over a code, networks trained for it, and their measures."""

from convae_keras.generation.adversarial import (
    Adversaries,
    discriminator,
    refine_decoder,
    train_adversaries,
)
from convae_keras.generation.classifier import image_classifier, train_classifier
from convae_keras.generation.flow import FlowSampler, train_generator, velocity_network
from convae_keras.generation.frechet import (
    compare_images,
    frechet_distance,
    precision_recall,
)
from convae_keras.generation.generator import generate, image_generator, raise_contrast
from convae_keras.generation.samplers import Mixture, interpolate
from convae_keras.generation.vae import variational_autoencoder

__all__ = ["Adversaries", "FlowSampler", "Mixture", "compare_images"]
__all__ += ["discriminator", "frechet_distance", "generate", "image_classifier"]
__all__ += ["image_generator", "interpolate", "precision_recall", "raise_contrast"]
__all__ += ["refine_decoder", "train_adversaries", "train_classifier"]
__all__ += ["train_generator", "variational_autoencoder", "velocity_network"]
