"""Denoising held-out real images as a content-addressed step.

Shape suffixes: B batch, C channels, Y X pixels (or cells of latents), N images, T times.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.latents import model_space
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.storage.digests import Damaged, read_stamped, stamped
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.store import content_key

if TYPE_CHECKING:
    from torch import Tensor

    from rpe2d_bench.models import Denoiser

UNDER_WAY = "under_way.json"


@dataclass(frozen=True)
class DenoiseStage:
    """The denoising error of one trained model with one encoding at one resolution; nothing is sampled."""

    train: TrainStage
    encoding: EncodingSpec  # as trained, or with parts replaced
    realised: str  # digest of the numbers the encoding realises here at the metric's times
    resolution: Resolution
    split: str
    count: int  # images, the first of the split, whose order mixes classes
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: int = 0  # seed of the noise, the same for all methods and seeds

    name = "denoise"
    version = 1
    sources = ()  # stages it needs beside its training
    precision = "float32"  # whatever the training computes in, so that every machine's numbers can be compared

    @cached_property
    def key(self) -> str:
        from rpe2d_bench.metrics.denoising_error import DENOISING_ERROR

        matters = {
            "train": self.train.key,
            "realised": self.realised,
            "resolution": self.resolution,
            "split": self.split,
            "count": self.count,
            "conditioning": self.conditioning,
            "noise": self.noise,
            "metric": DENOISING_ERROR.version,
        }
        return content_key(self.name, self.version, matters)

    @property
    def grid(self) -> Grid:
        return self.train.grid_of(self.resolution)

    def make(self, context: RunContext) -> Path:
        """Folder with result.json and errors.npy, float64 [N, T]: squared errors by image and time."""
        return context.store.make(self.name, self.key, lambda partial: self._work(partial, context), context.say)

    def _work(self, partial: Path, context: RunContext) -> None:
        from rpe2d_bench.data.image_pool import cached_images
        from rpe2d_bench.metrics import denoising_error as metric

        began = saved = time.perf_counter()
        device = context.resources.device
        context.doing(self, "loading the model")
        denoiser = load_denoiser(self.train, self.train.make(context), self.encoding).to(device)
        dataset = self.train.data.build()
        to_model = model_space(self.train, device)
        # methods and seeds share these images, and drawing some takes longer than denoising them
        pool = cached_images(dataset, self.split, self.count, self.resolution, context.store.root / "cache")  # type: ignore[arg-type]
        rows, before = _under_way(partial, len(metric.TIMES))
        batch = max(1, round(context.resources.sample_batch * self.train.grid.tokens / self.grid.tokens))
        while len(rows) < self.count:
            if context.progress:
                context.progress(self.name, self.key, len(rows), self.count, {})
            indices = np.arange(len(rows), min(len(rows) + batch, self.count))
            x_BCYX = to_model(np.array(pool[indices]))
            labels = dataset.labels(self.split, indices)  # type: ignore[arg-type]
            rows += self._errors(denoiser, x_BCYX, labels, indices).tolist()
            now = time.perf_counter()
            if context.out_of_time or now - saved > context.resources.checkpoint_interval():
                write_json(partial / UNDER_WAY, stamped({"errors": rows, "seconds": before + now - began}))
                saved = now
            if len(rows) < self.count:
                context.check_time()
        errors_NT = np.array(rows)
        np.save(partial / "errors.npy", errors_NT)
        value, details = metric.denoising_error(errors_NT)
        (partial / UNDER_WAY).unlink(missing_ok=True)
        write_json(
            partial / "result.json",
            {
                "values": {metric.DENOISING_ERROR.name: value},
                "versions": {metric.DENOISING_ERROR.name: metric.DENOISING_ERROR.version},
                "details": {"denoising_error": details},
                "machine": machine(context.resources.cpus_per_trial, device),  # for the next plan's times
                "seconds": {"denoise": before + time.perf_counter() - began},
            },
        )

    def _errors(self, denoiser: Denoiser, x_BCYX: Tensor, labels: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """[B, T] mean squared error of the implied clean image."""
        import torch

        from rpe2d_bench.diffusion import clean_image, noised, path
        from rpe2d_bench.metrics.denoising_error import TIMES
        from rpe2d_bench.sampling.loop import noise

        device, along = x_BCYX.device, path(self.train.recipe.path)
        labels_B = torch.from_numpy(labels).to(device)
        crop_B3 = torch.tensor([self.conditioning], device=device)
        errors_BT = np.zeros((len(indices), len(TIMES)))
        with torch.inference_mode():
            eps_BCYX = noise(self.noise, indices, tuple(x_BCYX.shape[1:])).to(device)  # type: ignore[arg-type]
            for column, t in enumerate(TIMES):
                t_1 = torch.tensor([t], dtype=torch.float32, device=device)
                realised = denoiser.encoding(Context(self.grid, self.train.grid, t_1))
                t_B = t_1.expand(len(indices))
                x_t, _ = noised(along, x_BCYX, eps_BCYX, t_B)
                velocity_BCYX = denoiser(x_t, t_B, labels_B, realised, crop_B3)
                error_BCYX = clean_image(along, x_t, velocity_BCYX, t_B) - x_BCYX
                errors_BT[:, column] = error_BCYX.square().flatten(1).mean(1).cpu().numpy()
        return errors_BT


def _under_way(partial: Path, times: int) -> tuple[list[list[float]], float]:
    """Rows of images that an interrupted attempt has done, and the seconds it took; none where they are damaged."""
    try:
        found = read_stamped(partial / UNDER_WAY)
        rows = found["errors"]
        return (rows, float(found["seconds"])) if all(len(row) == times for row in rows) else ([], 0.0)
    except (FileNotFoundError, KeyError, Damaged):
        return [], 0.0
