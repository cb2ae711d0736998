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
from rpe2d_bench.stages.run_context import RunContext
from rpe2d_bench.stages.sample import SampleStage
from rpe2d_bench.stages.train import TrainStage
from rpe2d_bench.storage import images_file
from rpe2d_bench.storage.files import write_json
from rpe2d_bench.storage.machine import machine
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

    def _work(self, partial: Path, context: RunContext) -> None:
        from rpe2d_bench.sampling.loop import labels_of
        from rpe2d_bench.sampling.pipeline import Asked, load, sample, to_images

        assert isinstance(self.train, PipelineStage)
        started, device = time.perf_counter(), context.resources.device
        context.doing(self, "loading the pipeline")
        self.train.make(context)
        pipeline = load(self.train.pipeline, self.train.dtype, device)
        batch = max(1, round(context.resources.sample_batch * self.train.grid.tokens / self.grid.tokens))
        shape = (self.count, 3, *self.resolution)
        made = Parts(partial, shape, context.resources.checkpoint_interval(), self._say(context))
        first, indices = made.done, np.arange(self.count)
        classes = max(1, len(self.classes))
        labels = labels_of(self.labels, self.seed, indices, classes, self.class_counts)
        if self.prompts is not None:
            lines = self.prompts.lines
            asked = Asked("prompt", [lines[index % len(lines)] for index in indices[first:]])
        else:
            asked = Asked("class_labels", [self.classes[label] for label in labels[first:]])
        broken = 0  # images that are not finite
        for part_BYXC in sample(
            pipeline,
            rules_of(self.encoding, self.train) if self.realised != "own" else None,
            self.sampler,
            asked=asked,
            resolution=self.resolution,
            indices=indices[first:],
            seed=self.seed,
            batch_size=batch,
        ):
            broken += int((~np.isfinite(part_BYXC)).any(axis=(1, 2, 3)).sum())
            made.add(to_images(part_BYXC), context.out_of_time)
            if context.progress:
                rate = (made.done - first) / (time.perf_counter() - started)
                context.progress(self.name, self.key, made.done, self.count, {"images_per_second": rate})
            if made.done < self.count:
                context.check_time()
        images_file.save(partial / images_file.NAME, made.images, labels)
        seconds = made.seconds + time.perf_counter() - started
        made.remove()
        result: dict[str, Any] = {"seconds": seconds, "count": self.count, "not_finite": broken}
        write_json(partial / "result.json", result | {"machine": machine(context.resources.cpus_per_trial, device)})


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
