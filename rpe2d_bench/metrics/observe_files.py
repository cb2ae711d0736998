"""Observing images on disk, however many: features go to files, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.image_source import ImageSource
from rpe2d_bench.metrics.nets.features import FeatureNet, Features
from rpe2d_bench.metrics.observations import Observations
from rpe2d_bench.metrics.scoring import observe
from rpe2d_bench.metrics.table import METRICS
from rpe2d_bench.resolution import Size

ANY_SIZE = ("whole", "global", "spatial", "judge")  # views that resize every image to one size


class _Spool:
    """Rows of float32 on disk that come back as a memory map: RAM does not grow with their number."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._file: IO[bytes] = self._path.open("xb")  # a second one on the same file would empty it
        self._width = 0

    def append(self, rows_ND: np.ndarray) -> None:
        self._width = rows_ND.shape[1]
        self._file.write(np.ascontiguousarray(rows_ND, np.float32).tobytes())

    def rows(self) -> np.ndarray:
        self._file.close()
        return np.memmap(self._path, np.float32, "r").reshape(-1, self._width)


def observe_source(
    source: ImageSource,
    folder: Path,
    *,
    metrics: Sequence[str],
    net: FeatureNet,
    judge: FeatureNet | None = None,
    train_resolution: Size | None = None,
    chosen: np.ndarray | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Observations:
    """`observe` for a stream: the features lie in `folder` and memory holds one batch of images."""
    spools: dict[str, _Spool] = {}
    seen: dict[str, Features] = {}
    done = 0
    modes: dict[str, dict[str, None]] = {}
    judged = {METRICS[name].view for name in metrics if METRICS[name].logits}  # views whose logits are kept
    for batch in source.batches(batch_size, chosen):
        part = observe(
            batch, metrics=metrics, net=net, judge=judge, train_resolution=train_resolution,
            batch_size=batch_size, device=device,
        )  # fmt: skip
        if len(source.sizes) > 1:
            _refuse_mixed_sizes(source, metrics)
        for view, features in part.views.items():
            for kind, rows in (("features", features.features_ND), ("logits", features.logits_NK)):
                if rows is not None and (kind == "features" or view in judged):
                    name = f"{view}.{kind}"
                    if name not in spools:
                        spools[name] = _Spool(folder, name)
                    spools[name].append(rows)
            seen[view] = features
            modes.setdefault(view, {})[features.resize] = None
        done += len(batch)
        if progress is not None:
            progress(done)
    found = {
        view: replace(
            features,
            features_ND=spools[f"{view}.features"].rows(),
            logits_NK=spools[f"{view}.logits"].rows() if f"{view}.logits" in spools else None,
            resize="; ".join(modes[view]),
        )
        for view, features in seen.items()
    }
    size = next(iter(source.sizes)) if len(source.sizes) == 1 else None
    return Observations(found, done, size, net.name, None if judge is None else judge.name)


def _refuse_mixed_sizes(source: ImageSource, metrics: Sequence[str]) -> None:
    strict = [name for name in metrics if METRICS[name].view not in ANY_SIZE]
    if strict:
        (one, _), (other, _) = source.sizes.most_common(2)
        raise UserError(
            f"images of {one[0]}x{one[1]} and of {other[0]}x{other[1]} pixels are mixed, but {strict[0]} compares "
            "images of one size; sort them by size or leave it out"
        )
