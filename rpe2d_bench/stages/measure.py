"""Measuring as a content-addressed step."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench import samples_file
from rpe2d_bench.machine import machine
from rpe2d_bench.rows_file import RowsFile
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
    inside: tuple[str, ...] = ()  # metrics that look into the model
    labels: str = "balanced"  # of generated images, as SampleStage has it; where drawn, KID has to know

    name = "measure"
    version = 2

    @cached_property
    def key(self) -> str:
        matters: dict[str, Any] = {"generated": self.generated.key, "reference": self.reference.key}
        if self.training is not None:
            matters["training"] = self.training.key
        if self.inside:
            from rpe2d_bench.metrics import METRICS

            matters["inside"] = {name: METRICS[name].version for name in self.inside}
        if self.labels == "iid":
            matters["labels"] = self.labels
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
            samples = made / samples_file.NAME
            labels = samples_file.labels(samples)
            if self.generated.resolution != self.reference.resolution:
                samples = _resized(samples, partial / samples_file.NAME, self.reference.resolution)
            around.doing(self, "features")
            seen = self.reference.observe(samples_file.pieces(samples), around.resources.device)
            seen.save(partial / "observations.npz")
        real_labels = np.load(reference / "labels.npy")
        around.doing(self, "scoring")
        measured = metrics.score(
            seen,
            real,
            labels,
            metrics=self.reference.metrics,
            reference_labels=real_labels,
            training=known,
            drawn=self.labels == "iid",
        )
        details = measured.details | {
            "labels": f"{self.labels}; pictures per class: {_counts(labels)} generated, {_counts(real_labels)} real"
        }
        if broken := 0 if isinstance(self.generated, ReferenceStage) else read_result(made).get("not_finite", 0):
            said = (
                f"at least {broken} of {len(labels)} pictures held numbers that are not finite; they count as mid-grey"
            )
            details["warnings"] = [*details["warnings"], said]
        values, versions = dict(measured.values), dict(measured.versions)
        if self.inside and isinstance(self.generated, SampleStage):
            around.doing(self, "looking into the model")
            values |= self._looked_inside(self.generated, details, around)
            versions |= {name: metrics.METRICS[name].version for name in self.inside}
        if isinstance(self.generated, ReferenceStage) and self.generated.latents is not None:
            details = {**details, "psnr": read_result(made)["psnr"]}  # of the autoencoder
        write_json(
            partial / "result.json",
            {
                "values": values,
                "versions": versions,
                "details": details,
                "machine": machine(around.resources.cpus_per_trial, around.resources.device),  # for a plan's times
                "seconds": {
                    "measure": time.perf_counter() - started,
                    "sample": 0.0 if isinstance(self.generated, ReferenceStage) else read_result(made)["seconds"],
                },
            },
        )

    def _looked_inside(self, sample: SampleStage, details: dict[str, Any], around: Surroundings) -> dict[str, float]:
        """Values of the metrics that need the model, in the order in which they were asked for."""
        from rpe2d_bench.metrics import denoising_loss

        found: dict[str, float] = {}
        if set(self.inside) - {denoising_loss.NAME}:
            from rpe2d_bench.stages.attention import look_inside

            found, details["attention"] = look_inside(sample, self.reference, around)
        if denoising_loss.NAME in self.inside:
            from rpe2d_bench.stages.denoising import denoise

            found[denoising_loss.NAME], details["denoising"] = denoise(sample, self.reference, around)
        return {name: found[name] for name in self.inside}


def _counts(labels: np.ndarray) -> str:
    """'25', or '18 to 31' where classes differ."""
    counts = np.bincount(labels)
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _resized(source: Path, target: Path, resolution: Resolution) -> Path:
    """Samples at another resolution, by the metrics' own resizer; the control 'generate small, then upscale'."""
    import torch

    from rpe2d_bench.metrics.resize import resize

    count, channels, height, width = samples_file.shape(source)
    growth = 4 * max(1, resolution[0] * resolution[1] // (height * width))  # float32, and larger than before
    under_way, done = target.with_name("under_way.npy"), 0
    with RowsFile(under_way, (count, channels, *resolution), np.uint8) as rows:
        for piece in samples_file.pieces(source, growth):
            grey = resize(torch.from_numpy(piece), resolution)
            rows.write(done, grey.round().clamp(0, 255).to(torch.uint8).numpy())
            done += len(piece)
        samples_file.save(target, rows.read(), samples_file.labels(source))
    under_way.unlink()
    return target


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a finished stage."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result
