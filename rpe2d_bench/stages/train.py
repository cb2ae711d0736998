"""Training as a content-addressed step that a kill at any moment cannot spoil.

Every few seconds all of the training's state is written atomically; the same command continues from there, and on a
CPU ends with the same bits as a training that was never interrupted.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.config import Model, Train
from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.store import content_key, write_atomically, write_json
from rpe2d_bench.surroundings import Surroundings

if TYPE_CHECKING:
    from rpe2d_bench.train import Denoiser, Training

Resolution = tuple[int, int]
CHECKPOINT, CURVE, WEIGHTS = "checkpoint.pt", "curve.jsonl", "weights.safetensors"
CURVE_EVERY = 25  # steps a line of the curve averages over
VALIDATION_PICTURES = 500


@dataclass(frozen=True)
class TrainStage:
    """One trained model."""

    data: dict[str, Any]
    revision: str  # of the data
    channels: int
    num_classes: int
    model: Model
    recipe: Train
    encoding: dict[str, Any]
    crops: dict[str, Any]
    resolution: Resolution
    seed: int

    name = "train"
    version = 1

    @cached_property
    def key(self) -> str:
        from rpe2d_bench.encodings.canonical import canonical

        return content_key(
            self.name,
            self.version,
            {
                "revision": self.revision,
                "model": self.model.model_dump(mode="json"),
                "recipe": self.recipe.model_dump(mode="json"),
                "encoding": canonical(self.encoding),
                "crops": self.crops,
                "resolution": self.resolution,
                "seed": self.seed,
            },
        )

    @property
    def patch_size(self) -> int:
        return int(self.model.preset.partition("/")[2])

    def grid_of(self, resolution: Resolution) -> Grid:
        """Tokens of a picture of that many pixels."""
        return Grid(resolution[0] // self.patch_size, resolution[1] // self.patch_size)

    @property
    def grid(self) -> Grid:
        return self.grid_of(self.resolution)

    def make(self, around: Surroundings) -> Path:
        """Folder with weights.safetensors (the moving average), curve.jsonl and result.json."""
        return around.store.make(self.name, self.key, lambda partial: self._work(partial, around), around.say)

    def _work(self, partial: Path, around: Surroundings) -> None:
        from safetensors.torch import save_file

        from rpe2d_bench import data
        from rpe2d_bench.data.crops import build_crops
        from rpe2d_bench.data.training import TrainingPictures

        dataset = data.build(self.data)
        pictures = TrainingPictures(
            dataset,
            self.resolution,
            build_crops(self.crops),
            num_pictures=self.recipe.num_pictures,
            cache_dir=around.store.root / "cache",
        )
        training, elapsed = self._started(partial, around)
        started = saved = time.perf_counter()
        losses, norms, step_at_line, line_time = [], [], training.step, started
        with (partial / CURVE).open("a") as curve:
            for step in training.steps(pictures):
                losses.append(step.loss)
                norms.append(step.grad_norm)
                now = time.perf_counter()
                if step.step % CURVE_EVERY and step.step != self.recipe.steps:
                    continue
                loss, norm = float(sum(losses) / len(losses)), float(sum(norms) / len(norms))
                if not math.isfinite(loss):
                    raise UserError(f"training diverged: the loss is {loss} at step {step.step}; lower train.lr")
                rate = (step.step - step_at_line) * self.recipe.batch_size / (now - line_time)
                line = {"step": step.step, "loss": loss, "grad_norm": norm, "lr": step.lr, "images_per_second": rate}
                curve.write(json.dumps(line) + "\n")
                curve.flush()
                losses, norms, step_at_line, line_time = [], [], step.step, now
                if around.progress:
                    around.progress(self.name, self.key, step.step, self.recipe.steps, line)
                if now - saved > around.resources.checkpoint_every and step.step != self.recipe.steps:
                    _save(training, partial, elapsed + now - started)
                    saved = time.perf_counter()
        seconds = elapsed + time.perf_counter() - started
        trained = training.ema.to("cpu")
        save_file({name: value.contiguous() for name, value in trained.state_dict().items()}, partial / WEIGHTS)
        write_json(partial / "result.json", self._result(training, dataset, seconds))
        (partial / CHECKPOINT).unlink(missing_ok=True)  # last: until the stage is whole, a failure keeps the training

    def _started(self, partial: Path, around: Surroundings) -> tuple[Training, float]:
        """The training at its last checkpoint, or at its beginning, and the seconds spent on it before."""
        import torch

        from rpe2d_bench.train import Training

        def fresh() -> Training:
            return Training(
                fresh_denoiser(self), self.recipe, self.grid, seed=self.seed, device=around.resources.device
            )

        training, elapsed = fresh(), 0.0
        checkpoint, curve = partial / CHECKPOINT, partial / CURVE
        if checkpoint.exists():
            try:
                state = torch.load(checkpoint, map_location=training.device, weights_only=True)
                training.load_state_dict(state["training"])
                elapsed = state["elapsed"]
            except Exception as error:  # whatever is wrong with the file, the remedy is the same
                around.say(f"train {self.key[:8]}: unreadable checkpoint ({type(error).__name__}); starting again")
                training, elapsed = fresh(), 0.0  # never train on a half-loaded state
        lines = curve.read_text().splitlines() if curve.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= training.step]
        curve.write_text("".join(line + "\n" for line in kept))
        return training, elapsed

    def _result(self, training: Training, dataset: Any, seconds: float) -> dict[str, Any]:
        from rpe2d_bench.models import flops_per_forward

        dit = training.ema.dit
        forward = flops_per_forward(dit.options, self.grid.tokens, self.channels)
        return {
            "values": {
                "validation_loss": validation_loss(training, dataset, self.resolution),
                "images_per_second": self.recipe.steps * self.recipe.batch_size / seconds,
            },
            "details": {
                "steps": self.recipe.steps,
                "heads": dit.options.heads,
                "head_width": dit.options.head_width,
                "parameters": sum(p.numel() for p in dit.parameters()),
                "flops_per_step": 3 * forward * self.recipe.batch_size,  # backward costs two forwards
                "tokens": self.grid.tokens,
            },
            "seconds": {"train": seconds},
        }


def fresh_denoiser(stage: TrainStage) -> Denoiser:
    """The untrained model of a stage; its initial weights depend on the seed alone."""
    import torch

    from rpe2d_bench.encodings import build
    from rpe2d_bench.models import DiT, preset
    from rpe2d_bench.train import Denoiser

    options = preset(stage.model.preset, scan=stage.model.scan, stem=stage.model.stem)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stage.seed)
        dit = DiT(
            options,
            channels=stage.channels,
            num_classes=stage.num_classes,
            micro_conditioning=stage.crops["kind"] != "none",
        )
        return Denoiser(dit, build(stage.encoding, width=options.width, heads=options.heads))


def load_denoiser(stage: TrainStage, folder: Path, replacements: dict[str, Any]) -> Denoiser:
    """The trained model with parts of its encoding replaced, ready to sample."""
    from safetensors.torch import load_file

    from rpe2d_bench.encodings import build, replaced

    denoiser = fresh_denoiser(stage)
    denoiser.load_state_dict(load_file(folder / WEIGHTS))
    if replacements:
        options = denoiser.dit.options
        learned = denoiser.encoding.state_dict()
        denoiser.encoding = build(replaced(stage.encoding, replacements), width=options.width, heads=options.heads)
        denoiser.encoding.load_state_dict(learned)
    return denoiser.eval().requires_grad_(False)


def validation_loss(training: Training, dataset: Any, resolution: Resolution) -> float:
    """Loss of the averaged weights on validation pictures, fixed times and noise, positions as at inference."""
    import torch

    from rpe2d_bench.diffusion import noised, path
    from rpe2d_bench.sample import noise

    device, dit, encoding = training.device, training.ema.dit, training.ema.encoding
    size = dataset.size("validation")
    indices = np.arange(VALIDATION_PICTURES if size is None else min(VALIDATION_PICTURES, size))
    x = torch.from_numpy(dataset.pictures("validation", indices, resolution)).to(device) / 127.5 - 1
    labels = torch.from_numpy(dataset.labels("validation", indices)).to(device)
    eps = noise(0, indices, tuple(x.shape[1:])).to(device)  # type: ignore[arg-type]
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(indices), 100):
            part = slice(start, start + 100)
            t = (torch.arange(start, start + len(x[part]), device=device) % 50 + 0.5) / 50
            x_t, velocity = noised(path(training.recipe.path), x[part], eps[part], t)
            realised = encoding(Context(dit.grid(x_t), training.train_grid, t, batch=len(t)))
            total += float((dit(x_t, t, labels[part], realised) - velocity).square().mean() * len(t))
    return total / len(indices)


def _save(training: Training, partial: Path, elapsed: float) -> None:
    import torch

    state = {"training": training.state_dict(), "elapsed": elapsed}
    write_atomically(partial / CHECKPOINT, lambda path: torch.save(state, path))
