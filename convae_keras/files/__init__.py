"""Applies trained models to image files: restore, search, archive."""
