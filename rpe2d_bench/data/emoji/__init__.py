"""Emoji of five icon sets, drawn from their vectors at any size."""
