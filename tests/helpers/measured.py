"""Two sets of images measured in one call, from files and from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.metrics import Measurement, observe, score, validate
from rpe2d_bench.metrics.look import Look
from rpe2d_bench.metrics.score_files import REFERENCE, Progress, score_side, seen_sets


def measure_paths(
    samples: Path,
    reference: Path,
    metrics: Sequence[str],
    net: str,
    *,
    store: Path | None = None,
    progress: Progress = lambda *_: None,
    **look: Any,
) -> Measurement:
    """Images at `samples` against those at `reference`; `look`: further fields of a Look."""
    asked = Look(tuple(metrics), net, **look)
    with seen_sets({"samples": samples, REFERENCE: reference}, asked, store=store, progress=progress) as sides:
        return score_side(sides, "samples", asked)


def measure_arrays(
    generated: np.ndarray,
    labels: np.ndarray | None,
    reference: np.ndarray,
    *,
    metrics: Sequence[str],
    net: str,
    judge: str | None = None,
) -> Measurement:
    """The same of arrays, by the steps that stages take."""
    names = validate(metrics, net, judge)
    seen, real = (observe(images, metrics=names, net=net, judge=judge) for images in (generated, reference))
    return score(seen, real, labels, metrics=names)
