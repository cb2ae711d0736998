"""What a classifier saw in the images that a store keeps: image by image, and class by class.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from rpe2d_bench.analysis.results import Results
from rpe2d_bench.analysis.statistics import Estimate, estimate
from rpe2d_bench.resolution import Size
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.records import Record

LOGITS = "judge.logits"  # as metrics.observations writes them; its own reader imports torch, which takes seconds


@dataclass(frozen=True)
class Classified:
    """The class that was asked for and the one that the classifier sees, of each image of a cell."""

    labels_N: np.ndarray
    seen_N: np.ndarray

    @property
    def by_class(self) -> dict[int, float]:
        """Class -> share of its images that are seen as it."""
        right_N = self.labels_N == self.seen_N
        return {int(label): float(right_N[self.labels_N == label].mean()) for label in np.unique(self.labels_N)}


def classified(record: Record, store: Path) -> Classified | None:
    """Of the samples of a method, or of the real images of a floor; None where no classifier's view of them is kept."""
    kept = record.artifacts
    if kept.observations is not None and kept.samples is not None:
        seen, labels = store / kept.observations, store / kept.samples
    elif record.stage == "floor" and kept.samples is not None:
        seen, labels = (store / Path(kept.samples).with_name(name) for name in ("observations.npz", "labels.npy"))
    else:
        return None
    try:
        with np.load(seen, allow_pickle=False) as stored:
            seen_N = stored[LOGITS].argmax(axis=1)
        labels_N = np.load(labels, allow_pickle=False) if labels.suffix == ".npy" else images_file.labels(labels)
    except images_file.UNREADABLE:
        return None
    return Classified(labels_N, seen_N) if len(labels_N) == len(seen_N) else None


def accuracy_by_class(results: Results, store: Path, train: Size, test: Size) -> dict[str | None, dict[int, Estimate]]:
    """Method -> class -> accuracy in percent over seeds; None stands for real images. What is not kept is left out."""
    cells = {method: results.cell(method, train, test) for method in results.methods}
    found: dict[str | None, dict[int, Estimate]] = {}
    for method, records in [*cells.items(), (None, results.real.found(train, test))]:
        seeds = [each.by_class for record in records if record.status == "ok" and (each := classified(record, store))]
        labels = sorted({label for each in seeds for label in each})
        estimates = {k: estimate([100 * each[k] for each in seeds if k in each]) for k in labels}
        if estimates:
            found[method] = {label: value for label, value in estimates.items() if value is not None}
    return found


def hardest(found: dict[str | None, dict[int, Estimate]], count: int) -> list[int]:
    """The `count` classes of the lowest accuracy over methods, in the order of classes; all where there are no more."""
    means: dict[int, list[float]] = {}
    for method, by_class in found.items():
        for label, value in by_class.items() if method is not None else ():
            means.setdefault(label, []).append(value.mean)
    return sorted(sorted(means, key=lambda label: (fmean(means[label]), label))[:count])
