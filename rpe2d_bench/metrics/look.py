"""How sets of images on disk are looked at; light to import, since the command line takes its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Look:
    """By which metrics, through which nets, and how many of the images."""

    metrics: tuple[str, ...] = ("fd", "kid", "precision", "recall")
    net: str = "efficientnet-lite0"
    judge: str | None = None  # classifier of the accuracy
    weights: Path | None = None  # of a net that ships without
    classes: tuple[str, ...] | None = None  # names of the labels
    train_resolution: tuple[int, int] | None = None  # pixels; what global and local metrics are relative to
    training: Path | None = None  # training images, for the memorization check
    count: int | None = None  # images drawn of each set; None: all
    seed: int = 0  # of that draw, and of metrics that draw
    device: str = "cpu"  # or cuda, mps
    batch_size: int = 64
