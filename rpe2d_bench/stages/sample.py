"""Sampling as a content-addressed step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.config.experiment import Resources, Sampler
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.latents import decoder_of
from rpe2d_bench.stages.run_context import RunContext, Stage
from rpe2d_bench.stages.share import Share, made_of, put_together, shares_of
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.files import read_json, write_json
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.resumable_array import DONE, Parts
from rpe2d_bench.storage.store import Store, content_key

if TYPE_CHECKING:
    from torch import Tensor

SHARE_IMAGES = "images.npy"


@dataclass(frozen=True)
class SampleStage:
    """Images of one trained model with one encoding at one resolution."""

    train: TrainStage
    encoding: EncodingSpec  # as trained, or with parts replaced
    realised: str  # digest of the numbers the encoding realises here; methods that coincide share it
    sampler: Sampler  # shift already resolved to a number
    resolution: Resolution
    count: int
    seed: int
    conditioning: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: str = "balanced"  # or reference, or iid
    class_counts: tuple[int, ...] | None = None  # of the reference, which labels follow; None: all classes alike
    start: SampleStage | None = None  # whose images are enlarged, renoised to t = begin and denoised here
    begin: float = 1.0
    pad: bool = False  # where they are enlarged to another shape: not stretched

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
        if self.start is not None:
            matters |= {"start": self.start.key, "begin": self.begin} | ({"pad": True} if self.pad else {})
        return content_key(self.name, self.version, matters)

    def batch(self, resources: Resources) -> int:
        """Images that are generated together."""
        return max(1, round(resources.sample_batch * self.train.grid.tokens / self.grid.tokens))

    def shares(self, resources: Resources) -> tuple[Share, ...]:
        """What may be sampled by several processes; none where it is little."""
        return shares_of(self, self.count, resources.images_per_share, self.batch(resources), images_file.BATCH)

    def is_there(self, store: Store) -> bool:
        return store.has(self.name, self.key)

    def make(self, context: RunContext) -> Path:
        """Folder with samples.npz (images uint8 [N, C, Y, X], labels [N]) and result.json."""
        work = lambda partial: self._work(partial, context)  # noqa: E731
        return put_together(self, work, self.shares(context.resources), context)

    def _work(self, partial: Path, context: RunContext) -> None:
        begun = (partial / DONE).exists()  # in one piece, maybe by an older version
        shares = () if begun else self.shares(context.resources)
        if shares:
            folders = made_of(shares, context)
            context.doing(self, "putting shares together")
            images = [np.load(folder / SHARE_IMAGES, mmap_mode="r", allow_pickle=False) for folder in folders]
            found = [read_json(folder / "result.json") for folder in folders]
            result = {key: sum(each[key] for each in found) for key in ("seconds", "count", "not_finite")}
            images_file.save(partial / images_file.NAME, images, self.labels_of())
        else:
            made, result = self.sampled(Share(self, 0, self.count), self, partial, context)
            images_file.save(partial / images_file.NAME, made.images, self.labels_of())
            made.remove()
        if self.start is not None:
            result["seconds"] += read_json(self.start.make(context) / "result.json")["seconds"]
        result["machine"] = machine(context.resources.cpus_per_trial, context.resources.device)  # for a plan's times
        write_json(partial / "result.json", result)

    def make_share(self, share: Share, partial: Path, context: RunContext) -> None:
        """Folder with images.npy, uint8 [N, C, Y, X], and result.json."""
        made, result = self.sampled(share, share, partial, context)
        made.keep(SHARE_IMAGES)
        write_json(partial / "result.json", result)

    def labels_of(self) -> np.ndarray:
        """What the images are asked to show, int64 [N]."""
        from rpe2d_bench.sampling.loop import labels_of

        return labels_of(self.labels, self.seed, np.arange(self.count), self.train.num_classes, self.class_counts)

    def sampled(
        self, share: Share, reported: Stage, partial: Path, context: RunContext
    ) -> tuple[Parts, dict[str, Any]]:
        """Images of a share on disk, and what is said of them; `reported`: whose progress it is."""
        import torch

        from rpe2d_bench.sampling.loop import sample, to_uint8

        small = None if self.start is None else self.start.make(context)
        started = time.perf_counter()
        device = context.resources.device
        context.doing(reported, "loading the model")
        denoiser = load_denoiser(self.train, self.train.make(context), self.encoding).to(device)
        shape = (share.count, self.train.channels, *self.resolution)
        made = Parts(partial, shape, context.resources.checkpoint_interval(), self._say(context))
        first = made.done
        if context.progress:
            context.progress(reported.name, reported.key, first, share.count, {})
        # images that are not finite, counted where they are made; to_uint8 and decoders make these pixels mid-grey
        broken = torch.zeros((), dtype=torch.int64, device=device)
        plain = to_uint8 if self.train.latents is None else decoder_of(self.train.latents, device)

        def decode(x_BCYX: Tensor) -> Tensor:
            broken.add_((~x_BCYX.isfinite()).flatten(1).any(1).sum())
            return plain(x_BCYX)

        for part in sample(
            denoiser,
            self.sampler,
            resolution=self.resolution,
            train_grid=self.train.grid,
            indices=np.arange(share.first + first, share.stop),
            seed=self.seed,
            conditioning=self.conditioning,
            batch_size=min(self.batch(context.resources), self.count),
            device=device,
            downsampling=self.train.downsampling,
            labels=self.labels,
            class_counts=self.class_counts,
            decode=decode,
            begin=self.begin,
            begun=None if small is None else self._renoised(images_file.first(small / images_file.NAME, share.stop)),
        ):
            made.add(part, context.out_of_time)
            if context.progress:
                rate = (made.done - first) / (time.perf_counter() - started)
                context.progress(reported.name, reported.key, made.done, share.count, {"images_per_second": rate})
            if made.done < share.count:
                context.check_time()
        seconds = made.seconds + time.perf_counter() - started
        return made, {"seconds": seconds, "count": share.count, "not_finite": int(broken)}

    def _renoised(self, images_NCYX: np.ndarray) -> Callable[[np.ndarray, Tensor], Tensor]:
        """(indices, noise) -> x at t = begin: images, enlarged, and noise as the model's path mixes them."""
        import torch

        from rpe2d_bench.diffusion import path
        from rpe2d_bench.metrics.nets.resize import padded, resize

        at = path(self.train.recipe.path)(torch.tensor(self.begin))

        def begun(indices: np.ndarray, noise_BCYX: Tensor) -> Tensor:
            clean_BCYX = (padded if self.pad else resize)(images_NCYX[indices], self.resolution) / 127.5 - 1
            return at.alpha * clean_BCYX + at.sigma * noise_BCYX

        return begun

    def _say(self, context: RunContext) -> Callable[[str], None]:
        return lambda sentence: context.say(f"sample {self.key[:8]}: {sentence}")

    @property
    def precision(self) -> str:
        return self.sampler.precision

    @property
    def grid(self) -> Grid:
        return self.train.grid_of(self.resolution)
