"""Sampling as a content-addressed step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench import samples_file
from rpe2d_bench.config import Sampler
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.machine import machine
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.latents import decoder_of
from rpe2d_bench.stages.parts import Parts
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.store import content_key, write_json
from rpe2d_bench.surroundings import Surroundings

if TYPE_CHECKING:
    from torch import Tensor

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
    labels: str = "balanced"  # or reference, or iid
    class_counts: tuple[int, ...] | None = None  # of the reference, which labels follow; None: all classes alike

    name = "sample"
    version = 1

    @cached_property
    def key(self) -> str:
        assert self.sampler.precision != "auto", "a plan decides what auto is"
        matters = {
            "train": self.train.key,
            "realised": self.realised,
            "sampler": self.sampler.model_dump(mode="json"),
            "resolution": self.resolution,
            "count": self.count,
            "seed": self.seed,
            "conditioning": self.conditioning,
        }
        if self.labels != "balanced":
            matters["labels"] = self.labels
        if self.class_counts is not None:
            matters["class_counts"] = self.class_counts
        return content_key(self.name, self.version, matters)

    def make(self, around: Surroundings) -> Path:
        """Folder with samples.npz (pictures uint8 [N, C, Y, X], labels [N]) and result.json."""
        return around.store.make(self.name, self.key, lambda partial: self._work(partial, around), around.say)

    def _work(self, partial: Path, around: Surroundings) -> None:
        from rpe2d_bench.sample import labels_of, sample, to_uint8

        started = time.perf_counter()
        device = around.resources.device
        around.doing(self, "loading the model")
        denoiser = load_denoiser(self.train, self.train.make(around), self.replacements).to(device)
        grid, train_grid = self.grid, self.train.grid
        batch = max(1, round(around.resources.sample_batch * train_grid.tokens / grid.tokens))
        shape = (self.count, self.train.channels, *self.resolution)
        made = Parts(partial, shape, around.resources.checkpoint_every, self._say(around))
        first = made.done
        if around.progress:
            around.progress(self.name, self.key, first, self.count, {})
        broken = [0]  # pictures that are not finite; to_uint8 and decoders make these pixels mid-grey
        plain = to_uint8 if self.train.latents is None else decoder_of(self.train.latents, device)

        def decode(x_BCYX: Tensor) -> np.ndarray:
            broken[0] += int((~x_BCYX.isfinite()).flatten(1).any(1).sum())
            return plain(x_BCYX)

        for part in sample(
            denoiser.dit,
            denoiser.encoding,
            self.sampler,
            resolution=self.resolution,
            train_grid=train_grid,
            indices=np.arange(first, self.count),
            seed=self.seed,
            conditioning=self.conditioning,
            batch_size=batch,
            device=device,
            downsampling=self.train.downsampling,
            labels=self.labels,
            class_counts=self.class_counts,
            decode=decode,
        ):
            made.add(part, around.out_of_time)
            if around.progress:
                rate = (made.done - first) / (time.perf_counter() - started)
                around.progress(self.name, self.key, made.done, self.count, {"images_per_second": rate})
            if made.done < self.count:
                around.check_time()
        indices, num_classes = np.arange(self.count), denoiser.dit.num_classes
        labels = labels_of(self.labels, self.seed, indices, num_classes, self.class_counts)
        samples_file.save(partial / samples_file.NAME, made.pictures, labels)
        seconds = made.seconds + time.perf_counter() - started
        made.remove()
        told: dict[str, Any] = {"seconds": seconds, "count": self.count, "not_finite": broken[0]}
        told["machine"] = machine(around.resources.cpus_per_trial, device)  # for the next plan's times
        write_json(partial / "result.json", told)

    def _say(self, around: Surroundings) -> Callable[[str], None]:
        return lambda sentence: around.say(f"sample {self.key[:8]}: {sentence}")

    @property
    def grid(self) -> Grid:
        return self.train.grid_of(self.resolution)
