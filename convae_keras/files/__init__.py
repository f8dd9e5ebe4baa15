"""Trained models at work on image files: restore, search, archive."""
