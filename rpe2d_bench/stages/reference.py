"""What the metrics see of real images, as a content-addressed step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rpe2d_bench.autoencoders import LatentSpace
from rpe2d_bench.config.experiment import Resources
from rpe2d_bench.data import DatasetOptions, conversions
from rpe2d_bench.data.image_pool import drawn
from rpe2d_bench.data.subsets import even_subset
from rpe2d_bench.errors import UserError
from rpe2d_bench.metrics.statistics_file import StatisticsFile
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.latents import reconstruction
from rpe2d_bench.stages.run_context import RunContext, Stage
from rpe2d_bench.stages.share import Share, made_of, put_together, shares_of
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.files import read_json, write_json
from rpe2d_bench.storage.store import Store, content_key

if TYPE_CHECKING:
    from rpe2d_bench.data import Dataset
    from rpe2d_bench.metrics import Observations

OBSERVATIONS = "observations.npz"
PREVIEW = 64  # images that are kept to be looked at
NOISE = 8.0  # grey levels, standard deviation
# What is done to real images so that a reader can read distances: nothing, drawn at the train size and resized as a
# model's samples are (a perfect model, enlarged), or noise that an eye hardly sees.
Ruler = Literal["", "enlarged", "noise"]


@dataclass(frozen=True)
class ReferenceStage:
    """What the metrics see of real images at one resolution; cached, since every method is measured against it."""

    data: DatasetOptions
    revision: str
    split: str
    resolution: Resolution
    start: int  # index of the first image, in the order of the data set, which mixes classes
    count: int
    metrics: tuple[str, ...]
    net: str
    judge: str | None
    train_resolution: Resolution  # what global and local distances are relative to
    classes: tuple[str, ...]
    weights: str | None = None  # file of the net's weights, where the package ships none; its content matters
    even: bool = False  # every class equally often, instead of as often as in the split
    latents: LatentSpace | None = None  # images pass through this autoencoder and back: the floor of models behind it
    ruler: Ruler = ""
    statistics: StatisticsFile | None = None  # what a measurement's FID is taken from; these images are seen alike

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
            "metrics": _versions(self.metrics, self.net, self.judge, self.weights),
        }
        if any(METRICS[name].view in ("global", "local") for name in self.metrics):
            matters["train_resolution"] = self.train_resolution
        if self.latents is not None:
            matters["latents"] = self.latents.revision
        if self.even:
            matters["even"] = True
        if self.ruler:
            matters["ruler"] = self.ruler
        if self.ruler == "enlarged":
            matters["train_resolution"] = self.train_resolution
        return content_key(self.name, self.version, matters)

    def indices(self, dataset: Dataset) -> np.ndarray:
        """Which images of the split these are, int64 [count]."""
        if self.even:
            return even_subset(dataset, self.split, self.start, self.count)  # type: ignore[arg-type]
        return np.arange(self.start, self.start + self.count)

    def shares(self, resources: Resources) -> tuple[Share, ...]:
        """What may be seen by several processes; none where it is little."""
        # the mean PSNR is taken of images that are in memory together
        piece = 1 if self.latents is None else images_file.piece_length((3, *self.resolution))
        return shares_of(self, self.count, resources.images_per_share, piece, images_file.BATCH)

    def is_there(self, store: Store) -> bool:
        return store.has(self.name, self.key)

    def make(self, context: RunContext) -> Path:
        """Folder with observations.npz, labels.npy and samples.npz (the first images, for strips)."""
        work = lambda partial: self._work(partial, context)  # noqa: E731
        return put_together(self, work, self.shares(context.resources), context)

    def _work(self, partial: Path, context: RunContext) -> None:
        from rpe2d_bench import metrics

        if folders := made_of(self.shares(context.resources), context):
            seen = metrics.concatenate([metrics.load_observations(folder / OBSERVATIONS) for folder in folders])
            seen.save(partial / OBSERVATIONS)
            shutil.copyfile(folders[0] / images_file.NAME, partial / images_file.NAME)
            found = [read_json(folder / "result.json") for folder in folders]
        else:
            found = [self._seen(Share(self, 0, self.count), self, partial, context)]
        dataset = self.data.build()
        np.save(partial / "labels.npy", dataset.labels(self.split, self.indices(dataset)))  # type: ignore[arg-type]
        closeness = [psnr for each in found for psnr in each["psnr"]]
        result: dict[str, Any] = {"psnr": float(np.mean(closeness))} if closeness else {}
        result |= {"seconds": sum(each["seconds"] for each in found), "count": self.count}
        if converted := "; ".join(dict.fromkeys(each["converted"] for each in found if each["converted"])):
            result["converted"] = converted
        write_json(partial / "result.json", result)

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Folder with observations.npz, samples.npz (its first images) and result.json."""
        write_json(partial / "result.json", self._seen(share, share, partial, context))

    def _seen(self, share: Share, reported: Stage, partial: Path, context: RunContext) -> dict[str, Any]:
        """Leave what the nets see of a share, and its first images; `reported`: whose progress it is."""
        started = time.perf_counter()
        dataset = self.data.build()
        indices = self.indices(dataset)[share.first : share.stop]
        device, length = context.resources.device, images_file.piece_length((dataset.channels, *self.resolution))
        front: list[np.ndarray] = []
        closeness: list[float] = []  # of each image's reconstruction

        def pieces() -> Iterator[np.ndarray]:
            for start in range(0, share.count, length):
                if context.progress:
                    context.progress(reported.name, reported.key, start, share.count, {})
                piece = indices[start : start + length]
                images = self._images(dataset, piece)
                if self.latents is not None:
                    images, psnr = reconstruction(self.latents, images, device)
                    closeness.extend([psnr] * len(piece))
                if not front:
                    front.append(images[:PREVIEW].copy())
                yield images

        seen = self.see(pieces(), device)
        seen.save(partial / OBSERVATIONS)
        labels = dataset.labels(self.split, indices[:PREVIEW])  # type: ignore[arg-type]
        images_file.save(partial / images_file.NAME, front[0], labels)
        if converted := conversions(dataset):
            context.say(f"{getattr(self.data, 'path', 'data')}: {converted}")
        return {"psnr": closeness, "seconds": time.perf_counter() - started, "converted": converted}

    def _images(self, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
        if self.ruler == "enlarged":
            small = drawn(dataset, self.split, indices, self.train_resolution)  # type: ignore[arg-type]
            return resized(small, self.resolution)
        images = drawn(dataset, self.split, indices, self.resolution)  # type: ignore[arg-type]
        return with_noise(images, indices) if self.ruler == "noise" else images

    def observe(self, pieces: Iterable[np.ndarray], device: str = "cpu") -> Observations:
        """As `see`. Raises UserError for fewer images than these."""
        seen = self.see(pieces, device)
        if seen.count < self.count:
            raise UserError(f"only {seen.count} images, but {self.count} are needed; generate more or ask for fewer")
        return seen

    def see(self, pieces: Iterable[np.ndarray], device: str = "cpu") -> Observations:
        """Images of this resolution as this reference's metrics see them, real or generated, a piece at a time."""
        from rpe2d_bench import metrics

        net = metrics.load_net(self.net, None if self.weights is None else Path(self.weights), self.classes)
        return metrics.concatenate(
            [
                metrics.observe(
                    piece,
                    metrics=self.metrics,
                    net=net,
                    judge=self.judge,
                    train_resolution=self.train_resolution,
                    classes=self.classes,
                    device=device,
                )
                for piece in pieces
            ]
        )


def resized(images: np.ndarray, resolution: Resolution, *, pad: bool = False) -> np.ndarray:
    """uint8 images at another resolution, by the metrics' own resizer; pad: continued at the edges, not stretched."""
    import torch

    from rpe2d_bench.metrics.nets.resize import padded, resize

    grey = (padded if pad else resize)(torch.from_numpy(images), resolution)
    return grey.round().clamp(0, 255).to(torch.uint8).numpy()


def with_noise(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """uint8 images plus normal noise of NOISE grey levels, of an image's index alone."""
    rows = [np.random.default_rng([int(index), 8]).normal(0.0, NOISE, images.shape[1:]) for index in indices]
    noisy: np.ndarray = np.rint(images + np.stack(rows))
    return noisy.clip(0, 255).astype(np.uint8)


def _versions(names: tuple[str, ...], net: str, judge: str | None, weights: str | None) -> dict[str, str]:
    """Everything whose change changes a measured number, by metric."""
    from rpe2d_bench.metrics import METRICS, net_version

    versions = {}
    for name in names:
        seen_by = (judge if METRICS[name].view == "judge" else None) or net
        file = Path(weights) if weights is not None and seen_by == net else None
        versions[name] = f"{METRICS[name].version}+{seen_by}-{net_version(seen_by, file)}"
    return versions
