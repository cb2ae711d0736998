"""What the metrics see of real pictures, as a content-addressed step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.store import content_key, write_json
from rpe2d_bench.surroundings import Surroundings

if TYPE_CHECKING:
    from rpe2d_bench.metrics import Observations

Resolution = tuple[int, int]


@dataclass(frozen=True)
class ReferenceStage:
    """What the metrics see of real pictures at one resolution; cached, since every method is measured against it."""

    data: dict[str, Any]
    revision: str
    split: str
    resolution: Resolution
    start: int  # index of the first picture
    count: int
    metrics: tuple[str, ...]
    net: str
    judge: str | None
    train_resolution: Resolution  # what global and local distances are relative to
    classes: tuple[str, ...]

    name = "reference"
    version = 1

    @cached_property
    def key(self) -> str:
        from rpe2d_bench.metrics import METRICS

        matters: dict[str, Any] = {
            "revision": self.revision,
            "split": self.split,
            "resolution": self.resolution,
            "start": self.start,
            "count": self.count,
            "metrics": _versions(self.metrics, self.net, self.judge),
        }
        if any(METRICS[name].needs in ("global", "local") for name in self.metrics):
            matters["train_resolution"] = self.train_resolution
        return content_key(self.name, self.version, matters)

    def make(self, around: Surroundings) -> Path:
        """Folder with observations.npz, labels.npy and preview.npy (the first pictures, for strips)."""
        return around.store.make(self.name, self.key, self._work, around.say)

    def _work(self, partial: Path) -> None:
        from rpe2d_bench import data

        started = time.perf_counter()
        dataset = data.build(self.data)
        indices = np.arange(self.start, self.start + self.count)
        pictures = dataset.pictures(self.split, indices, self.resolution)  # type: ignore[arg-type]
        self.observe(pictures).save(partial / "observations.npz")
        labels = dataset.labels(self.split, indices)  # type: ignore[arg-type]
        np.save(partial / "labels.npy", labels)
        np.savez_compressed(partial / "samples.npz", pictures=pictures[:64], labels=labels[:64])
        write_json(partial / "result.json", {"seconds": time.perf_counter() - started, "count": self.count})

    def observe(self, pictures: np.ndarray, device: str = "cpu") -> Observations:
        """Pictures of this resolution as this reference's metrics see them, real or generated."""
        from rpe2d_bench import metrics

        return metrics.observe(
            pictures,
            metrics=self.metrics,
            net=self.net,
            judge=self.judge,
            train_resolution=self.train_resolution,
            classes=self.classes,
            expected=self.count,
            device=device,
        )


def _versions(names: tuple[str, ...], net: str, judge: str | None) -> dict[str, str]:
    """Everything whose change changes a measured number, by metric."""
    from rpe2d_bench.metrics import METRICS, load_net

    versions = {}
    for name in names:
        seen_by = judge if METRICS[name].needs == "judge" else net
        versions[name] = f"{METRICS[name].version}+{seen_by}-{load_net(seen_by or net).version}"
    return versions
