"""Which images a subset shows: orders in which every run of images has the classes of the whole.

The first images of a list sorted by name are the first classes. Where images are ordered as here, any consecutive ones
(a reference, the floor behind it, a limited training pool, validation images) are a seeded draw, stratified by class:
a class with a share p of the whole has n p of n of them, within about 1. So two of them that do not overlap show the
same distribution, and differ by nothing but which images of a class they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from rpe2d_bench.data.interface import Dataset, Split
from rpe2d_bench.errors import UserError


def mixed_order(classes: Sequence[str], names: Sequence[str]) -> list[int]:
    """An order of images, given the class and name of each: random within a class, classes in turn by frequency.

    The j-th of n images of a class stands at (j + u) / n of the way, u a hash of the class's name: systematic sampling
    with a random start. Depends on names alone, not on the order in which they are given.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(classes):
        members.setdefault(group, []).append(index)
    place = np.empty(len(names))
    for group, indices in members.items():
        indices.sort(key=lambda index: _hash("order", names[index]))
        start = int.from_bytes(_hash("start", group), "big") / 2**64
        place[indices] = (np.arange(len(indices)) + start) / len(indices)
    return sorted(range(len(names)), key=lambda index: (place[index], names[index]))


def _hash(purpose: str, name: str) -> bytes:
    return hashlib.blake2b(f"{purpose} {name}".encode(errors="surrogateescape"), digest_size=8).digest()


def labels_by_counts(counts: Sequence[int], indices: np.ndarray) -> np.ndarray:
    """Labels of the images `indices`, int64 [B]: of each sum(counts) in a row, counts[c] are of class c, well mixed.

    Equal counts give 0, 1, 2, ... in turn. The sequence begins anew after sum(counts) images.
    """
    numbers = np.asarray(counts, dtype=np.int64)
    classes = np.repeat(np.arange(len(numbers)), numbers)
    rank = np.arange(len(classes)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    order = np.lexsort((classes, (rank + 0.5) / numbers[classes]))
    return classes[order][np.asarray(indices, dtype=np.int64) % len(classes)]


def class_counts(dataset: Dataset, split: Split, indices: np.ndarray) -> tuple[int, ...]:
    """Images of each class among some of a split."""
    return tuple(np.bincount(dataset.labels(split, indices), minlength=dataset.num_classes).tolist())


def even_subset(dataset: Dataset, split: Split, start: int, count: int) -> np.ndarray:
    """Indices of images start .. start + count of the order in which classes take turns, whatever their frequencies.

    An endless stream takes turns already. Raises UserError where a class has too few images for that.
    """
    size = dataset.size(split)
    if size is None:
        return np.arange(start, start + count)
    labels = dataset.labels(split, np.arange(size))
    order = np.argsort(labels, kind="stable")
    numbers = np.bincount(labels, minlength=dataset.num_classes)
    rank = np.arange(size) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    needed = -(-(start + count) // dataset.num_classes)
    if (fewest := int(numbers.min())) < needed:
        raise UserError(
            f"with evaluate.labels: balanced, {needed} images of each class are needed in the {split} split, but "
            f"{dataset.class_names[int(numbers.argmin())]} has {fewest}; write labels: reference, or a smaller "
            "num_samples"
        )
    return order[np.lexsort((labels[order], rank))][start : start + count]


def split_of(group: str, validation_share: float, test_share: float) -> Split:
    """The split of what must stay together: a hash of its name, so that adding others moves none."""
    u = int.from_bytes(hashlib.sha256(group.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
    if u < test_share:
        return "test"
    return "validation" if u < test_share + validation_share else "train"


def checked(indices: np.ndarray, size: int, where: str) -> np.ndarray:
    """int64 indices into a split of `size` images; UserError, which names it as `where`, for one that is not there."""
    indices = np.asarray(indices, dtype=np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < size:
        raise UserError(f"data: {where} has {size} images; image {indices.max()} was asked for")
    return indices
