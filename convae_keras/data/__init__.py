"""Loads images: named data sets, `.npz` files, folders, and patches of photographs."""

from convae_keras.data.patches import photographs
from convae_keras.data.sources import Images, load_images

__all__ = ["Images", "load_images", "photographs"]
