"""Sampling as a content-addressed step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.config import Sampler
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.stages.train import TrainStage, load_denoiser
from rpe2d_bench.store import content_key, write_json
from rpe2d_bench.surroundings import Surroundings

Resolution = tuple[int, int]


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
