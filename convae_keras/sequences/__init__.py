"""Autoencoders of data that are not images: series of measurements, and text."""

from convae_keras.sequences.baselines import CharacterModel, prefix_within
from convae_keras.sequences.data import (
    Sequences,
    check_sequences,
    overlap_mean,
    windows,
)
from convae_keras.sequences.models import sequence_autoencoder
from convae_keras.sequences.planted import KINDS, plant
from convae_keras.sequences.scores import (
    NetworkScores,
    WindowScores,
    fine_detail,
    moving_z_score,
    robust_z_score,
    two_sided,
)
from convae_keras.sequences.text import (
    CHARACTERS,
    one_hot,
    read_documentation,
    split_lines,
    to_index,
    to_lines,
)
from convae_keras.sequences.text_models import Quantize, text_autoencoder

__all__ = [
    "CHARACTERS",
    "KINDS",
    "CharacterModel",
    "NetworkScores",
    "Quantize",
    "Sequences",
    "WindowScores",
    "check_sequences",
    "fine_detail",
    "moving_z_score",
    "one_hot",
    "overlap_mean",
    "plant",
    "prefix_within",
    "read_documentation",
    "robust_z_score",
    "sequence_autoencoder",
    "split_lines",
    "text_autoencoder",
    "to_index",
    "to_lines",
    "two_sided",
    "windows",
]
