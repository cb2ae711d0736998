"""Data sets by name, and their options as written in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rpe2d_bench.config.entry_points import Table, no_options
from rpe2d_bench.config.options import named, parse_options
from rpe2d_bench.data.emoji.dataset import EmojiOptions
from rpe2d_bench.data.glyphs.dataset import GlyphOptions
from rpe2d_bench.data.image_folder.dataset import ImageFolderOptions
from rpe2d_bench.data.interface import SPLITS, Dataset, DatasetOptions, Split

DATASETS: Table[type[DatasetOptions]] = Table(
    "rpe2d_bench.datasets",
    "DATASETS",
    "data set",
    {
        "emoji": EmojiOptions,
        "glyphs": GlyphOptions,
        "image_folder": ImageFolderOptions,
    },
    no_options("check", "build"),
)

__all__ = [
    "DATASETS",
    "SPLITS",
    "Dataset",
    "DatasetOptions",
    "Split",
    "build",
    "conversions",
    "name_of",
    "summary",
    "validate",
]


def validate(spec: Mapping[str, Any]) -> DatasetOptions:
    """The checked options of `data: {name: ..., ...}`; UserError names what is wrong and what is close to it."""
    kind, options = named(DATASETS, spec, "data", "name")
    checked = parse_options(kind, options, "data", f"data set {spec['name']!r}")
    checked.check()
    return checked


def build(spec: Mapping[str, Any]) -> Dataset:
    """The data set that `data: {name: ..., ...}` describes."""
    return validate(spec).build()


def name_of(options: DatasetOptions) -> str:
    """The name of a data set by its options."""
    return next(name for name, kind in DATASETS.items() if kind is type(options))


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
