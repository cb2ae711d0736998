"""Measuring as a content-addressed step."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.stages.reference import OBSERVATIONS, ReferenceStage, resized
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.sample import SHARE_IMAGES, SampleStage
from rpe2d_bench.stages.share import Share, made_of, put_together
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.rows_file import RowsFile
from rpe2d_bench.storage.store import Store, content_key


@dataclass(frozen=True)
class MeasureStage:
    """Metrics of generated (or, for the floor, other real) images against real ones."""

    generated: SampleStage | ReferenceStage
    reference: ReferenceStage
    training: ReferenceStage | None = None  # training images, where a metric asks for them (memorization)
    inside: tuple[str, ...] = ()  # metrics that look into the model
    labels: str = "balanced"  # of generated images, as SampleStage has it; where drawn, KID has to know
    pad: bool = False  # where generated images are enlarged to another shape: not stretched

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
        if self.pad:
            matters["pad"] = True
        if self.reference.statistics is not None:
            matters["statistics"] = self.reference.statistics.digest
        return content_key(self.name, self.version, matters)

    @property
    def sources(self) -> tuple[SampleStage | ReferenceStage, ...]:
        """Stages it needs, in the order in which it makes them."""
        generated = self.generated
        refined = generated.start if isinstance(generated, SampleStage) else None
        found = (self.reference, self.training, refined, generated)
        return tuple(stage for stage in found if stage is not None)

    def shares(self, resources: Resources) -> tuple[Share, ...]:
        """What the nets see of shares of the samples, while these are made; else `whole`."""
        if isinstance(self.generated, ReferenceStage):
            return ()
        parts = tuple(Share(self, part.first, part.stop) for part in self.generated.shares(resources))
        return parts or self.whole(resources)

    def whole(self, resources: Resources) -> tuple[Share, ...]:
        """All that the nets see as one share, where there is an accelerator that scores shall not hold; else none."""
        if isinstance(self.generated, ReferenceStage) or resources.device == "cpu":
            return ()
        return (Share(self, 0, self.generated.count),)

    def needs(self, share: Share) -> Share | SampleStage:
        """The samples that a share of this looks at: a share of them, or all."""
        assert isinstance(self.generated, SampleStage)
        if share.count == self.generated.count:
            return self.generated
        return Share(self.generated, share.first, share.stop)

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Folder with observations.npz and result.json; the first share also looks into the model, if a metric does."""
        images = self._images(share, context)
        started = time.perf_counter()
        context.doing(share, "features")
        length = images_file.piece_length(images.shape[1:], self._growth(images.shape[2:]))
        pieces = (self._as_compared(np.array(images[at : at + length])) for at in range(0, len(images), length))
        self.reference.see(pieces, context.resources.device).save(partial / OBSERVATIONS)
        result: dict[str, Any] = {}
        if self.inside and share.first == 0:
            context.doing(share, "looking into the model")
            result["inside"] = self._looked_inside(context)
        result["machine"] = machine(context.resources.cpus_per_trial, context.resources.device)
        write_json(partial / "result.json", {**result, "seconds": time.perf_counter() - started})

    def _images(self, share: Share, context: RunContext) -> np.ndarray:
        """Samples of a share, from their own or, where these are put together, from all."""
        needed = self.needs(share)
        if (folder := needed.make(context)) is not None and isinstance(needed, Share):
            with suppress(FileNotFoundError):  # put together just now
                images: np.ndarray = np.load(folder / SHARE_IMAGES, mmap_mode="r", allow_pickle=False)
                return images
        return images_file.first(self.generated.make(context) / images_file.NAME, share.count, share.first)

    def is_there(self, store: Store) -> bool:
        return store.has(self.name, self.key)

    def make(self, context: RunContext) -> Path:
        """Folder with result.json; for generated images observations.npz; samples.npz where they were resized."""
        work = lambda partial: self._work(partial, context)  # noqa: E731
        shares, whole = self.shares(context.resources), self.whole(context.resources)
        return put_together(self, work, (*shares, *whole), context)  # of which those that were made are removed

    def _as_compared(self, images: np.ndarray) -> np.ndarray:
        """Samples at the resolution that they are compared at."""
        resolution = self.reference.resolution
        return images if images.shape[2:] == resolution else resized(images, resolution, pad=self.pad)

    def _growth(self, size: Sequence[int]) -> int:
        """Times as many bytes as float32 pixels of the resolution that samples are compared at need."""
        (height, width), resolution = size, self.reference.resolution
        return 1 if (height, width) == resolution else 4 * max(1, resolution[0] * resolution[1] // (height * width))

    def _work(self, partial: Path, context: RunContext) -> None:
        from rpe2d_bench import metrics
        from rpe2d_bench.metrics.statistics_file import against

        reference, known = self.reference.make(context), None
        real = metrics.load_observations(reference / OBSERVATIONS)
        if self.training is not None:
            known = metrics.load_observations(self.training.make(context) / OBSERVATIONS)
        shares = self.shares(context.resources)
        if context.store.has(self.generated.name, self.generated.key) and not all(
            context.store.has(share.name, share.key) for share in shares
        ):
            shares = self.whole(context.resources)  # of samples that were made before; on a CPU they are looked at here
        seen_in_shares = made_of(shares, context)  # before the samples are put together
        results = [read_result(folder) for folder in seen_in_shares]
        elsewhere = sum(each["seconds"] for each in results)
        made = self.generated.make(context)
        started = time.perf_counter()
        if isinstance(self.generated, ReferenceStage):
            seen = metrics.load_observations(made / OBSERVATIONS)
            labels = np.load(made / "labels.npy")
        else:
            samples = made / images_file.NAME
            labels = images_file.labels(samples)
            if self.generated.resolution != self.reference.resolution:
                samples = self._resized(samples, partial / images_file.NAME)
            if seen_in_shares:
                seen = metrics.concatenate([metrics.load_observations(each / OBSERVATIONS) for each in seen_in_shares])
            else:
                context.doing(self, "features")
                seen = self.reference.observe(images_file.pieces(samples), context.resources.device)
            seen.save(partial / OBSERVATIONS)
        real_labels = np.load(reference / "labels.npy")
        context.doing(self, "scoring")
        measured = metrics.score(
            seen,
            real,
            labels,
            metrics=self.reference.metrics,
            reference_labels=real_labels,
            training=known,
            drawn=self.labels == "iid",
        )
        if self.reference.statistics is not None:
            measured = against(measured, seen, self.reference.statistics)
        classes = 1 + int(max(labels.max(), real_labels.max()))
        details = measured.details | {
            "labels": self.labels,
            "class_counts": {"generated": _extremes(labels, classes), "reference": _extremes(real_labels, classes)},
        }
        if broken := 0 if isinstance(self.generated, ReferenceStage) else read_result(made).get("not_finite", 0):
            text = f"at least {broken} of {len(labels)} images held numbers that are not finite; they count as mid-grey"
            details["warnings"] = [*details["warnings"], text]
        values, versions = dict(measured.values), dict(measured.versions)
        if self.inside:
            inside = results[0].get("inside") if results else None  # shares of an older version did not look
            if inside is None:
                context.doing(self, "looking into the model")
                inside = self._looked_inside(context)
            values |= inside["values"]
            details |= inside["details"]
            versions |= {name: metrics.METRICS[name].version for name in self.inside}
        if isinstance(self.generated, ReferenceStage) and self.generated.latents is not None:
            details = {**details, "psnr": read_result(made)["psnr"]}  # of the autoencoder
        write_json(
            partial / "result.json",
            {
                "values": values,
                "versions": versions,
                "details": details,
                "machine": next(  # for a plan's times: of what took them
                    (each["machine"] for each in results if "machine" in each),
                    machine(context.resources.cpus_per_trial, context.resources.device),
                ),
                "seconds": {
                    "measure": elsewhere + time.perf_counter() - started,
                    "sample": 0.0 if isinstance(self.generated, ReferenceStage) else read_result(made)["seconds"],
                },
            },
        )

    def _resized(self, source: Path, target: Path) -> Path:
        """Samples at another resolution, by the metrics' own resizer; the control 'generate small, then upscale'."""
        count, channels, height, width = images_file.shape(source)
        under_way, done = target.with_name("under_way.npy"), 0
        with RowsFile(under_way, (count, channels, *self.reference.resolution), np.uint8) as rows:
            for piece in images_file.pieces(source, self._growth((height, width))):
                rows.write(done, self._as_compared(piece))
                done += len(piece)
            images_file.save(target, rows.read(), images_file.labels(source))
        under_way.unlink()
        return target

    def _looked_inside(self, context: RunContext) -> dict[str, dict[str, Any]]:
        """Values of the metrics that need the model, in the order in which they were asked for, and their details."""
        from rpe2d_bench.metrics.denoising_loss import DENOISING_LOSS

        assert isinstance(self.generated, SampleStage)
        found: dict[str, float] = {}
        details: dict[str, Any] = {}
        if set(self.inside) - {DENOISING_LOSS.name}:
            from rpe2d_bench.stages.probes.attention_entropy import look_inside

            found, details["attention"] = look_inside(self.generated, self.reference, context)
        if DENOISING_LOSS.name in self.inside:
            from rpe2d_bench.stages.probes.denoising_loss import denoise

            found[DENOISING_LOSS.name], details["denoising"] = denoise(self.generated, self.reference, context)
        return {"values": {name: found[name] for name in self.inside}, "details": details}


def _extremes(labels: np.ndarray, classes: int) -> tuple[int, int]:
    """Images of the rarest class and of the most frequent one."""
    counts = np.bincount(labels, minlength=classes)
    return int(counts.min()), int(counts.max())


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a finished stage."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result
