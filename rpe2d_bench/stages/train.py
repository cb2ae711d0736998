"""Training as a content-addressed step that a kill at any moment cannot spoil.

Every few seconds all of the training's state is written atomically; the same command continues from there, and on a
CPU ends with the same bits as a training that was never interrupted.

Longer than other files, because a training, its resumption and its key are one guarantee.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpe2d_bench.autoencoders import LatentSpace
from rpe2d_bench.config.experiment import Model, Train
from rpe2d_bench.data import DatasetOptions
from rpe2d_bench.data.absent import ABSENT, absent
from rpe2d_bench.data.crops import CropOptions, canonical
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.encodings.spec import EncodingSpec
from rpe2d_bench.errors import UserError
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages import checkpoint
from rpe2d_bench.stages.checkpoint import CHECKPOINT, CURVE, Checkpoints
from rpe2d_bench.stages.denoiser import MILESTONE, WEIGHTS, WeightsFile, draws_of_its_own, starting_denoiser
from rpe2d_bench.stages.latents import encoder_of, training_pool
from rpe2d_bench.stages.run_context import OutOfTime, RunContext
from rpe2d_bench.stages.validation import validation_loss
from rpe2d_bench.stages.weights_file import metadata_of, recipe_of
from rpe2d_bench.storage.digests import Damaged
from rpe2d_bench.storage.files import write_atomically, write_json
from rpe2d_bench.storage.machine import machine
from rpe2d_bench.storage.store import content_key

if TYPE_CHECKING:
    from rpe2d_bench.training.loop import Batches, Training

CURVE_EVERY = 25  # steps a line of the curve averages over


@dataclass(frozen=True)
class TrainStage:
    """One trained model."""

    data: DatasetOptions
    revision: str  # of the data
    channels: int
    num_classes: int
    model: Model
    recipe: Train
    encoding: EncodingSpec
    crops: CropOptions
    resolution: Resolution
    seed: int
    start: TrainStage | None = None  # whose averaged weights this training starts from
    weights: WeightsFile | None = None  # a file to start from
    mixed: tuple[tuple[Resolution, float], ...] = ()  # further resolutions, each with its share of the steps
    latents: LatentSpace | None = None  # what the model sees instead of pixels

    name = "train"
    version = 1

    @cached_property
    def key(self) -> str:
        assert self.recipe.precision != "auto", "a plan decides what auto is"
        matters: dict[str, Any] = {
            "revision": self.revision,
            "model": self.model.model_dump(mode="json"),
            "recipe": self.recipe.model_dump(mode="json", exclude=_unchanged(self.recipe)),
            "encoding": self.encoding.canonical,
            "crops": canonical(self.crops),
            "resolution": self.resolution,
            "seed": self.seed,
        }
        if draws_of_its_own(self):
            matters["encoding_generator"] = 1  # before, such draws moved what batches, times and noise come from
        if self.start is not None:
            matters["start"] = self.start.key
        if self.weights is not None:
            matters["weights"] = self.weights.digest
        if self.mixed:
            matters["mixed"] = [list(part) for part in self.mixed]
        if self.latents is not None:
            matters["latents"] = self.latents.revision
            if self.crops.kind != "none":
                matters["windows"] = self.latents.windows
        return content_key(self.name, self.version, matters)

    @property
    def patch_size(self) -> int:
        return int(self.model.preset.partition("/")[2])

    @property
    def downsampling(self) -> int:
        """Pixels of a side that the autoencoder makes one cell of; 1 without an autoencoder."""
        return 1 if self.latents is None else self.latents.downsampling

    @property
    def model_channels(self) -> int:
        """What the model sees: channels of pixels or of latents."""
        return self.channels if self.latents is None else self.latents.channels

    def grid_of(self, resolution: Resolution) -> Grid:
        """Tokens of an image of that many pixels."""
        return Grid(*resolution.tokens(self.patch_size, self.downsampling))

    @property
    def grid(self) -> Grid:
        return self.grid_of(self.resolution)

    def check_inputs(self) -> None:
        """Raises UserError for a stage that was planned without its images or its autoencoder."""
        if self.revision == ABSENT:
            raise absent(str(getattr(self.data, "path", "data")))
        if self.latents is not None and not self.latents.present:
            raise UserError(f"{self.latents.place} does not exist; give its files")
        if self.weights is not None and not self.weights.present:
            raise UserError(f"checkpoint {self.weights.path} does not exist; give the file")

    def make(self, context: RunContext) -> Path:
        """Folder with weights.safetensors (the moving average), curve.jsonl and result.json."""
        return context.store.make(self.name, self.key, lambda partial: self.work(partial, context), context.say)

    def work(self, partial: Path, context: RunContext) -> None:
        """Train to the end in the folder, from the last checkpoint there if there is one."""
        context.doing(self, "opening the data")
        dataset = self.data.build()
        # Weights that are taken as they are need no training images
        images = self.images(dataset, context) if self.recipe.steps else None
        context.doing(self, "building the model")
        training, elapsed = self.started(partial, context)
        context.doing(self, "compiling, first step" if self.recipe.compile else "first step")
        started = saved = time.perf_counter()
        losses, norms, step_at_line, line_time = [], [], training.step, started
        with (partial / CURVE).open("a+") as curve, Checkpoints(partial, training.device) as checkpoints:
            curve.seek(0)
            drawn = curve.read()
            for step in training.steps(images) if images is not None else ():
                losses.append(step.loss)
                norms.append(step.grad_norm)
                if step.step in self.recipe.milestones:
                    self._keep(training.averaged_weights(), partial / MILESTONE.format(step=step.step), step.step)
                now = time.perf_counter()
                if step.step % CURVE_EVERY and step.step != self.recipe.steps:
                    if context.progress:
                        context.progress(self.name, self.key, step.step, self.recipe.steps, {})
                    continue
                loss, norm = float(sum(losses) / len(losses)), float(sum(norms) / len(norms))
                if not math.isfinite(loss):
                    raise UserError(f"training diverged: the loss is {loss} at step {step.step}; lower train.lr")
                rate = (step.step - step_at_line) * self.recipe.batch_size / (now - line_time)
                line = {"step": step.step, "loss": loss, "grad_norm": norm, "lr": step.lr, "images_per_second": rate}
                drawn += json.dumps(line) + "\n"
                curve.write(json.dumps(line) + "\n")
                curve.flush()
                losses, norms, step_at_line, line_time = [], [], step.step, now
                if context.progress:
                    context.progress(self.name, self.key, step.step, self.recipe.steps, line)
                stopping = context.out_of_time
                ready = checkpoints.ready()
                due = stopping or (ready and now - saved > context.resources.checkpoint_interval(checkpoints.cost))
                if step.step != self.recipe.steps and context.ranks.agree(due, training.device):
                    checkpoints.begin(training, elapsed + now - started, drawn)
                    saved = time.perf_counter()
                    if stopping:
                        checkpoints.finish()
                        raise OutOfTime
            checkpoints.finish()
        seconds = elapsed + time.perf_counter() - started
        context.doing(self, "validation loss")
        training.gather()
        self._keep(training.ema.state_dict(), partial / WEIGHTS)
        write_json(partial / "result.json", self._result(training, dataset, seconds, context))
        (partial / CHECKPOINT).unlink(missing_ok=True)  # last: until the stage is whole, a failure keeps the training

    def _keep(self, weights: dict[str, Any], place: Path, milestone: int | None = None) -> None:
        """Averaged weights as a file that carries its recipe, and the step they are of, where that is not the last."""
        from safetensors.torch import save_file

        recipe = recipe_of(self)
        if recipe is not None and milestone is not None:
            recipe["milestone"] = milestone
        on_cpu = {name: value.cpu().contiguous() for name, value in weights.items()}
        write_atomically(place, lambda temporary: save_file(on_cpu, temporary, metadata=metadata_of(recipe)))

    def images(self, dataset: Any, context: RunContext) -> Batches:
        """The pool, or pools, that the training draws from."""
        from rpe2d_bench.data.image_batches import MixedImages
        from rpe2d_bench.stages import pool

        pool.bring(self, dataset.size("train") or 0, context)
        images = training_pool(self, dataset, self.resolution, context)
        if not self.mixed:
            return images
        others = [(training_pool(self, dataset, resolution, context), share) for resolution, share in self.mixed]
        return MixedImages(images, others)

    def started(self, partial: Path, context: RunContext) -> tuple[Training, float]:
        """The training at its last checkpoint, or at its beginning, and the seconds spent on it before."""
        from rpe2d_bench.training.loop import Training

        def fresh() -> Training:
            denoiser = starting_denoiser(self, context)
            device, ranks = context.resources.device, context.ranks
            return Training(denoiser, self.recipe, self.grid, seed=self.seed, device=device, ranks=ranks)

        training, elapsed, drawn = fresh(), 0.0, ""
        if (partial / CHECKPOINT).exists():
            try:
                place = "cpu" if context.ranks.divided else training.device  # no GPU may hold all that is divided
                state, elapsed, drawn = checkpoint.load(partial, place)
                training.load_state_dict(state)
            except Exception as error:  # whatever is wrong with the file, the remedy is the same
                why = str(error) if isinstance(error, Damaged) else f"is unreadable ({type(error).__name__})"
                context.say(f"train {self.key[:8]}: {CHECKPOINT} {why}; starting again")
                training, elapsed, drawn = fresh(), 0.0, ""  # never train on a half-loaded state
        if not context.ranks.rank:  # the first process writes
            (partial / CURVE).write_text(drawn)
        return training, elapsed

    def _result(self, training: Training, dataset: Any, seconds: float, context: RunContext) -> dict[str, Any]:
        from rpe2d_bench.models import flops_per_forward

        dit = training.ema.dit
        encode = None if self.latents is None else encoder_of(self.latents, training.device).encode
        shares = dict(self.mixed)
        shares[self.resolution] = 1 - sum(shares.values())
        forward = sum(
            share * flops_per_forward(dit.options, self.grid_of(resolution).tokens, self.model_channels)
            for resolution, share in shares.items()
        )
        flops_per_step = 3 * forward * self.recipe.batch_size  # backward costs two forwards
        before = 0.0 if self.start is None else _flops(context.store.folder("train", self.start.key))
        return {
            "values": {
                "validation_loss": validation_loss(training, dataset, self.resolution, encode),
                "images_per_second": self.recipe.steps * self.recipe.batch_size / seconds,
            },
            "details": {
                "steps": self.recipe.steps,
                "heads": dit.options.heads,
                "head_width": dit.options.head_width,
                "parameters": sum(p.numel() for p in dit.parameters()),
                "flops_per_step": flops_per_step,
                "flops": self.recipe.steps * flops_per_step + before,  # stages before included
                "tokens": self.grid.tokens,
            },
            "seconds": {"train": seconds},
            "machine": machine(context.resources.cpus_per_trial, context.resources.device),  # for the next plan's times
        }


def _flops(folder: Path) -> float:
    """Of a finished training and those before it."""
    details = json.loads((folder / "result.json").read_text())["details"]
    return float(details.get("flops", details["steps"] * details["flops_per_step"]))


def _unchanged(recipe: Train) -> set[str]:
    """Options that came after trainings were made, where they are at their defaults: those keep their keys."""
    return {
        name
        for name in ("accumulate", "prediction", "milestones")
        if getattr(recipe, name) == Train.model_fields[name].default
    }
