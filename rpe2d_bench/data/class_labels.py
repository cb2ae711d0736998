"""Of which classes generated images are, so that they can be held against a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rpe2d_bench.data.absent import ABSENT
from rpe2d_bench.data.interface import Dataset, Split
from rpe2d_bench.data.subsets import class_counts


@dataclass(frozen=True)
class ClassLabels:
    """How the class of each generated image is chosen."""

    kind: str  # reference, balanced or iid
    counts: tuple[int, ...] | None  # images of each class in the reference, which labels follow; None: all alike
    words: str


def class_labels(dataset: Dataset, split: Split, num_samples: int, kind: str) -> ClassLabels:
    """What `evaluate.labels` means for a data set and a reference of `num_samples` images of a split.

    An endless stream has all classes equally often, so that to follow it is to be balanced.
    """
    size = dataset.size(split)
    if size is None:
        kind = "balanced" if kind == "reference" else kind
        words = "every class equally often" if kind == "balanced" else "drawn for each image, all classes alike"
        return ClassLabels(kind, None, words)
    if kind == "balanced":
        return ClassLabels(kind, None, "every class equally often, in the reference, too")
    if dataset.revision == ABSENT:
        return ClassLabels(kind, None, "by the class frequencies of the reference, which is not there yet")
    counts = class_counts(dataset, split, np.arange(min(size, num_samples)))
    low, high = min(counts), max(counts)
    numbers = f"{low}" if low == high else f"{low} to {high}"
    if kind == "iid":
        words = f"drawn for each image by the class frequencies of the reference, {numbers} of a class"
        return ClassLabels(kind, counts, words)
    return ClassLabels(kind, counts, f"as often as in the reference, {numbers} of a class")
