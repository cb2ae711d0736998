"""Height and width in pixels at which each net sees an image; apart from the nets, as reports say it without torch."""

from __future__ import annotations

INPUTS: dict[str, tuple[int, int]] = {
    "glyphnet": (64, 64),
    "glyphjudge": (48, 48),
    "efficientnet-lite0": (224, 224),
    "inception": (299, 299),
    "dinov2": (224, 224),
}
