"""Measuring as a content-addressed step."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.stages.reference import ReferenceStage
from rpe2d_bench.stages.sample import SampleStage
from rpe2d_bench.store import content_key, write_json
from rpe2d_bench.surroundings import Surroundings

Resolution = tuple[int, int]


@dataclass(frozen=True)
class MeasureStage:
    """Metrics of generated (or, for the floor, other real) pictures against real ones."""

    generated: SampleStage | ReferenceStage
    reference: ReferenceStage
    training: ReferenceStage | None = None  # training pictures, where a metric asks for them (memorization)

    name = "measure"
    version = 2

    @cached_property
    def key(self) -> str:
        matters = {"generated": self.generated.key, "reference": self.reference.key}
        if self.training is not None:
            matters["training"] = self.training.key
        return content_key(self.name, self.version, matters)

    def make(self, around: Surroundings) -> Path:
        """Folder with result.json; for generated pictures observations.npz; samples.npz where they were resized."""
        return around.store.make(self.name, self.key, lambda partial: self._work(partial, around), around.say)

    def _work(self, partial: Path, around: Surroundings) -> None:
        from rpe2d_bench import metrics

        reference, known = self.reference.make(around), None
        real = metrics.load_observations(reference / "observations.npz")
        if self.training is not None:
            known = metrics.load_observations(self.training.make(around) / "observations.npz")
        made = self.generated.make(around)
        started = time.perf_counter()
        if isinstance(self.generated, ReferenceStage):
            seen = metrics.load_observations(made / "observations.npz")
            labels = np.load(made / "labels.npy")
        else:
            with np.load(made / "samples.npz") as samples:
                pictures, labels = samples["pictures"], samples["labels"]
            if self.generated.resolution != self.reference.resolution:
                pictures = resized(pictures, self.reference.resolution)
                np.savez_compressed(partial / "samples.npz", pictures=pictures, labels=labels)
            seen = self.reference.observe(pictures, around.resources.device)
            seen.save(partial / "observations.npz")
        measured = metrics.score(
            seen,
            real,
            labels,
            metrics=self.reference.metrics,
            reference_labels=np.load(reference / "labels.npy"),
            training=known,
        )
        details = measured.details
        if isinstance(self.generated, ReferenceStage) and self.generated.latents is not None:
            details = {**details, "psnr": read_result(made)["psnr"]}  # of the autoencoder
        write_json(
            partial / "result.json",
            {
                "values": measured.values,
                "versions": measured.versions,
                "details": details,
                "seconds": {
                    "measure": time.perf_counter() - started,
                    "sample": 0.0 if isinstance(self.generated, ReferenceStage) else read_result(made)["seconds"],
                },
            },
        )


def resized(pictures: np.ndarray, resolution: Resolution) -> np.ndarray:
    """uint8 pictures at another resolution, by the metrics' own resizer; the control 'generate small, then upscale'."""
    import torch

    from rpe2d_bench.metrics.resize import resize

    grey = resize(torch.from_numpy(pictures), resolution)
    return grey.round().clamp(0, 255).to(torch.uint8).numpy()


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a finished stage."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result
