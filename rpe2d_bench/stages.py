"""Train, sample, observe and measure as content-addressed steps: the same question is never computed twice.

A stage is a frozen description; its key is a hash of what matters to its result and nothing else: resources, paths
and names never enter it. `make` returns the folder of the finished stage, working it out only where it is missing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.config import Sampler
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.store import content_key, write_json
from rpe2d_bench.surroundings import Surroundings
from rpe2d_bench.training_stage import TrainStage, load_denoiser

if TYPE_CHECKING:
    from rpe2d_bench.metrics import Observations

Resolution = tuple[int, int]

__all__ = ["MeasureStage", "ReferenceStage", "SampleStage", "TrainStage"]


@dataclass(frozen=True)
class SampleStage:
    """Pictures of one trained model with one encoding at one resolution."""

    train: TrainStage
    replacements: dict[str, Any]  # parts of the encoding that differ from training
    realised: str  # digest of the numbers the encoding realises here; methods that coincide share it
    sampler: Sampler  # shift already resolved to a number
    resolution: Resolution
    count: int
    seed: int
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0)

    name = "sample"
    version = 1

    @cached_property
    def key(self) -> str:
        return content_key(
            self.name,
            self.version,
            {
                "train": self.train.key,
                "realised": self.realised,
                "sampler": self.sampler.model_dump(mode="json"),
                "resolution": self.resolution,
                "count": self.count,
                "seed": self.seed,
                "conditioning": self.conditioning,
            },
        )

    def make(self, around: Surroundings) -> Path:
        """Folder with samples.npz (pictures uint8 [N, C, Y, X], labels [N]) and result.json."""
        return around.store.make(self.name, self.key, lambda partial: self._work(partial, around), around.say)

    def _work(self, partial: Path, around: Surroundings) -> None:
        from rpe2d_bench.sample import balanced_labels, sample

        started = time.perf_counter()
        device = around.resources.device
        denoiser = load_denoiser(self.train, self.train.make(around), self.replacements).to(device)
        grid, train_grid = self.grid, self.train.grid
        batch = max(1, round(around.resources.sample_batch * train_grid.tokens / grid.tokens))
        indices = np.arange(self.count)
        pictures: list[np.ndarray] = []
        for part in sample(
            denoiser.dit,
            denoiser.encoding,
            self.sampler,
            resolution=self.resolution,
            train_grid=train_grid,
            indices=indices,
            seed=self.seed,
            conditioning=self.conditioning,
            batch_size=batch,
            device=device,
        ):
            pictures.append(part)
            done = sum(map(len, pictures))
            if around.progress:
                rate = done / (time.perf_counter() - started)
                around.progress(self.name, self.key, done, self.count, {"images_per_second": rate})
        labels = balanced_labels(indices, denoiser.dit.num_classes)
        np.savez_compressed(partial / "samples.npz", pictures=np.concatenate(pictures), labels=labels)
        write_json(partial / "result.json", {"seconds": time.perf_counter() - started, "count": self.count})

    @property
    def grid(self) -> Grid:
        return self.train.grid_of(self.resolution)


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


@dataclass(frozen=True)
class MeasureStage:
    """Metrics of generated (or, for the floor, other real) pictures against real ones."""

    generated: SampleStage | ReferenceStage
    reference: ReferenceStage
    training: ReferenceStage | None = None  # training pictures, where a metric asks for them (memorization)

    name = "measure"
    version = 1

    @cached_property
    def key(self) -> str:
        matters = {"generated": self.generated.key, "reference": self.reference.key}
        if self.training is not None:
            matters["training"] = self.training.key
        return content_key(self.name, self.version, matters)

    def make(self, around: Surroundings) -> Path:
        """Folder with result.json (values, versions, details, seconds) and, for samples, observations.npz."""
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
        write_json(
            partial / "result.json",
            {
                "values": measured.values,
                "versions": measured.versions,
                "details": measured.details,
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


def _versions(names: tuple[str, ...], net: str, judge: str | None) -> dict[str, str]:
    """Everything whose change changes a measured number, by metric."""
    from rpe2d_bench.metrics import METRICS, load_net

    versions = {}
    for name in names:
        seen_by = judge if METRICS[name].needs == "judge" else net
        versions[name] = f"{METRICS[name].version}+{seen_by}-{load_net(seen_by or net).version}"
    return versions
