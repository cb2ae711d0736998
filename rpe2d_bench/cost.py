"""What a plan will cost before anything runs: FLOPs, time, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.plan import Plan
from rpe2d_bench.stages import ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.store import Store

# Achieved FLOP/s assumed for the estimate of time, per worker: one CPU core on small models (docs/performance.md),
# and 40 % of an H100's bf16 peak. An estimate only: `run` shows the real pace.
PACE = {"cpu": 1.0e11, "mps": 2.0e12, "cuda": 4.0e14}


@dataclass(frozen=True)
class Cost:
    """Of the part that is not in the store yet."""

    train_flops: float
    sample_flops: float
    seconds: float  # wall, with all workers busy
    memory: float  # bytes per worker: weights, gradients, optimizer, average and activations of a training
    disk: float  # bytes that stay in the store


def estimate(plan: Plan, store: Store) -> Cost:
    """Cost of what is missing."""
    resources = plan.experiment.resources
    trainings = [trial.stage for trial in plan.missing_trainings(store)]
    samples = {
        stage.generated.key: stage.generated
        for stage in plan.missing_measures(store)
        if isinstance(stage.generated, SampleStage) and not store.has("sample", stage.generated.key)
    }
    train_flops = sum(stage.recipe.steps * flops_per_step(stage) for stage in trainings)
    sample_flops = sum(flops_of_samples(stage) for stage in samples.values())
    seconds = (train_flops + sample_flops) / PACE[resources.device] / resources.trials_in_parallel
    pictures = sum(stage.count * _bytes(stage) for stage in samples.values())
    weights = sum(4 * parameters(stage) for stage in trainings)
    memory = max((training_memory(stage) for stage in trainings), default=0.0)
    return Cost(train_flops, sample_flops, seconds, memory, pictures + weights)


def flops_per_step(stage: TrainStage) -> float:
    """Matrix products of a training step: the backward pass costs two forward passes."""
    return 3 * stage.recipe.batch_size * _forward(stage, stage.grid.tokens)


def flops_of_samples(stage: SampleStage) -> float:
    """Matrix products of all pictures of a sample stage, guidance included."""
    from rpe2d_bench.diffusion import evaluations

    passes = evaluations(stage.sampler.kind, stage.sampler.steps) * (2 if stage.sampler.guidance != 1.0 else 1)
    return stage.count * passes * _forward(stage.train, stage.grid.tokens)


def parameters(stage: TrainStage) -> int:
    """Weights of a stage's model."""
    import torch

    from rpe2d_bench.stages.train import fresh_denoiser

    with torch.device("meta"):
        return sum(p.numel() for p in fresh_denoiser(stage).parameters())


def training_memory(stage: TrainStage) -> float:
    """Bytes: float32 weights, gradients, two moments, average; about 34 activations per token and width."""
    from rpe2d_bench.models import preset

    options = preset(stage.model.preset)
    width_tokens = options.width * stage.grid.tokens * stage.recipe.batch_size
    activation = 2 if stage.recipe.precision == "bf16" else 4
    return 5 * 4 * parameters(stage) + 34 * activation * width_tokens * options.depth


def _forward(stage: TrainStage, tokens: int) -> float:
    from rpe2d_bench.models import flops_per_forward, preset

    return flops_per_forward(preset(stage.model.preset), tokens, stage.channels)


def _bytes(stage: SampleStage | ReferenceStage) -> float:
    height, width = stage.resolution
    channels = stage.train.channels if isinstance(stage, SampleStage) else 3
    return height * width * channels
