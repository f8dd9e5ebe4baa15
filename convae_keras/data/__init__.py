"""Images to learn from: named sets, folders, and photographs in patches."""

from convae_keras.data.patches import photographs
from convae_keras.data.sources import Images, load_images

__all__ = ["Images", "load_images", "photographs"]
