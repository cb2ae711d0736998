"""A small experiment for tests of the view."""

from __future__ import annotations

from helpers.synthetic_records import METHODS

SMALL = [(32, 32), (48, 48), (32, 64)]
TWO = {name: METHODS[name] for name in ("yarn", "rpe2d")}
