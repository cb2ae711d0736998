"""A pipeline from outside in a run: a training that is done, and sampling that the pipeline does itself.

Everything that asks for a trained model or for samples gets these in their place; what is measured, cached and reported
afterwards is the same.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rpe2d_bench.encodings.adapters import Rules
from rpe2d_bench.encodings.adapters.families import VERSION
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.errors import UserError
from rpe2d_bench.sampling.pipeline_folder import PipelineFolder
from rpe2d_bench.stages.run_context import RunContext, Stage
from rpe2d_bench.stages.sample import SampleStage
from rpe2d_bench.stages.share import Share
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.resumable_array import Parts
from rpe2d_bench.storage.store import content_key


@dataclass(frozen=True)
class Prompts:
    """Lines of a text file, taken in turn."""

    lines: tuple[str, ...]

    @classmethod
    def read(cls, path: str) -> Prompts:
        """Raises UserError for a file that is not there or empty; empty lines do not count."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"prompts.file: {path} cannot be read as UTF-8 text ({error})") from None
        lines = tuple(line.strip() for line in text.splitlines() if line.strip())
        if not lines:
            raise UserError(f"prompts.file: {path} has no prompt; write one a line")
        return cls(lines)

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


@dataclass(frozen=True)
class PipelineStage(TrainStage):
    """Where a training stands: weights that are there. Its key is their content."""

    folder: PipelineFolder | None = None  # always given; dataclasses want a default after defaults
    dtype: str = "float32"

    @cached_property
    def key(self) -> str:
        matters = {"pipeline": self.pipeline.digest, "adapters": VERSION, "dtype": self.dtype, "train": self.resolution}
        return content_key("pipeline", 1, matters)

    @property
    def pipeline(self) -> PipelineFolder:
        assert self.folder is not None
        return self.folder

    def check_inputs(self) -> None:
        """The folder was read when the plan was made."""

    def work(self, partial: Path, context: RunContext) -> None:
        """Nothing is trained: what a record says of the model."""
        folder = self.pipeline
        details = {
            "steps": 0,
            "parameters": folder.parameters,
            "heads": folder.heads,
            "head_width": 2 * sum(folder.spectrum.pairs),
            "flops_per_step": 0.0,
            "flops": 0.0,
        }
        write_json(partial / "result.json", {"values": {}, "details": details, "seconds": {"train": 0.0}})


@dataclass(frozen=True)
class PipelineSampleStage(SampleStage):
    """Images of a pipeline with our rules in its transformer, or as it is."""

    prompts: Prompts | None = None
    classes: tuple[int, ...] = ()  # the pipeline's label of each class of the data

    @cached_property
    def key(self) -> str:
        matters = {
            "train": self.train.key,
            "realised": self.realised,
            "sampler": self.sampler.model_dump(mode="json"),
            "resolution": self.resolution,
            "count": self.count,
            "seed": self.seed,
            "asked": list(self.classes) if self.prompts is None else self.prompts.digest,
            "labels": [self.labels, self.class_counts],
        }
        return content_key("pipeline_sample", 1, matters)

    def labels_of(self) -> np.ndarray:
        """What the images are asked to show, int64 [N]."""
        from rpe2d_bench.sampling.loop import labels_of

        return labels_of(self.labels, self.seed, np.arange(self.count), max(1, len(self.classes)), self.class_counts)

    def sampled(
        self, share: Share, reported: Stage, partial: Path, context: RunContext
    ) -> tuple[Parts, dict[str, Any]]:
        """Images of a share on disk, and what is said of them; `reported`: whose progress it is."""
        from rpe2d_bench.sampling.pipeline import Asked, load, sample, to_images

        assert isinstance(self.train, PipelineStage)
        started, device = time.perf_counter(), context.resources.device
        context.doing(reported, "loading the pipeline")
        self.train.make(context)
        pipeline = load(self.train.pipeline, self.train.dtype, device)
        shape = (share.count, 3, *self.resolution)
        made = Parts(partial, shape, context.resources.checkpoint_interval(), self._say(context))
        first = made.done
        indices = np.arange(share.first + first, share.stop)
        if self.prompts is not None:
            lines = self.prompts.lines
            asked = Asked("prompt", [lines[index % len(lines)] for index in indices])
        else:
            asked = Asked("class_labels", [self.classes[label] for label in self.labels_of()[indices]])
        broken = 0  # images that are not finite
        for part_BYXC in sample(
            pipeline,
            rules_of(self.encoding, self.train) if self.realised != "own" else None,
            self.sampler,
            asked=asked,
            resolution=self.resolution,
            indices=indices,
            seed=self.seed,
            batch_size=self.batch(context.resources),
        ):
            broken += int((~np.isfinite(part_BYXC)).any(axis=(1, 2, 3)).sum())
            made.add(to_images(part_BYXC), context.out_of_time)
            if context.progress:
                rate = (made.done - first) / (time.perf_counter() - started)
                context.progress(reported.name, reported.key, made.done, share.count, {"images_per_second": rate})
            if made.done < share.count:
                context.check_time()
        seconds = made.seconds + time.perf_counter() - started
        return made, {"seconds": seconds, "count": share.count, "not_finite": broken}


def rules_of(encoding: EncodingSpec, stage: TrainStage) -> Rules:
    """The rules of a method, as an adapter takes them."""
    names = ("positions", "frequencies", "logit_scale")
    return Rules(stage.grid, **{name: encoding.options[name] for name in names if name in encoding.options})


def realised_by(stage: PipelineStage, encoding: EncodingSpec, grid: Grid) -> str:
    """'own' where the transformer is left as it is, else a digest of the rules' numbers over all times."""
    if encoding == stage.encoding:
        return "own"
    ts = tuple(number / 20 for number in range(21))
    return stage.pipeline.realised(rules_of(encoding, stage), grid, ts)
