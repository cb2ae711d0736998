"""Data sets by name, and their options as written in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rpe2d_bench.config.options import parse_options
from rpe2d_bench.data.emoji.dataset import EmojiOptions
from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.image_folder.dataset import ImageFolderOptions
from rpe2d_bench.data.interface import SPLITS, Dataset, DatasetOptions, Resolution, Split
from rpe2d_bench.errors import UserError, unknown

DATASETS: dict[str, type[DatasetOptions]] = {
    "emoji": EmojiOptions,
    "glyphs": GlyphOptions,
    "image_folder": ImageFolderOptions,
}

__all__ = [
    "DATASETS",
    "SPLITS",
    "Dataset",
    "DatasetOptions",
    "Resolution",
    "Split",
    "build",
    "conversions",
    "summary",
    "validate",
]


def validate(spec: Mapping[str, Any]) -> DatasetOptions:
    """The checked options of `data: {name: ..., ...}`; UserError names what is wrong and what is close to it."""
    if "name" not in spec:
        raise UserError(f"data needs a name, one of: {', '.join(sorted(DATASETS))}")
    if spec["name"] not in DATASETS:
        raise unknown("data set", str(spec["name"]), DATASETS)
    options = {key: value for key, value in spec.items() if key != "name"}
    checked = parse_options(DATASETS[spec["name"]], options, "data", f"data set {spec['name']}")
    checked.check()
    return checked


def build(spec: Mapping[str, Any]) -> Dataset:
    """The data set that `data: {name: ..., ...}` describes."""
    return validate(spec).build()


def summary(dataset: Dataset) -> str:
    """A data set in one line: images, classes, splits, and what was left out."""
    printed: str | None = getattr(dataset, "summary", None)
    if printed is not None:
        return printed
    sizes = ", ".join(f"{s} {'endless' if (n := dataset.size(s)) is None else format(n, ',')}" for s in SPLITS)
    return f"{dataset.num_classes:,} classes: {sizes}"


def conversions(dataset: Dataset) -> str:
    """What reading images of a data set has converted so far, in one line; empty where nothing was."""
    return str(getattr(dataset, "conversions", ""))
