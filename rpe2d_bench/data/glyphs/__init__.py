"""Digits and letters drawn on the fly, at any size: the embedded data set."""
