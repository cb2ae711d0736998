"""Somebody's images: a folder or a zip of CLASS/ID.ext."""
