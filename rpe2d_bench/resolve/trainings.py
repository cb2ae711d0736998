"""The training of a model entry as the stage that computes it."""

from __future__ import annotations

from collections.abc import Callable

from rpe2d_bench.resolution import Resolution
from rpe2d_bench.resolve.pipelines import pipeline_training
from rpe2d_bench.resolve.resolve import Resolved
from rpe2d_bench.stages import TrainStage
from rpe2d_bench.stages.weights_file import WeightsFile
from rpe2d_bench.training.loop import reaches_rate

Decide = Callable[[TrainStage], TrainStage]


def training(
    resolved: Resolved, model: str, resolution: Resolution, seed: int, decide: Decide = lambda stage: stage
) -> TrainStage:
    """The training of an entry at a pair's train resolution, with those that it starts from.

    decide: what is left open in a stage, the arithmetic of `precision: auto`.
    """
    chosen = resolved.models[model]
    if chosen.pipeline is not None:
        return pipeline_training(resolved, model, resolution, seed)
    entry, dataset = chosen.entry, resolved.dataset
    resolution = entry.resolution or resolution
    start = None
    if entry.init is not None:
        start = training(resolved, entry.init.model, entry.init.resolution or resolution, seed, decide)
    return decide(
        TrainStage(
            data=resolved.data,
            revision=dataset.revision,
            channels=dataset.channels,
            num_classes=dataset.num_classes,
            model=chosen.size,
            recipe=chosen.recipe,
            encoding=chosen.encoding,
            crops=chosen.crops,
            resolution=resolution,
            seed=seed,
            start=start,
            weights=None if entry.checkpoint is None else WeightsFile.of(entry.checkpoint),
            mixed=tuple((part.resolution, part.share) for part in entry.mixed),
            latents=resolved.latents,
        )
    )


def unreached_rates(resolved: Resolved) -> list[str]:
    """A sentence for every recipe that ends, or lets the rate fall, before its warm-up is over."""
    models: dict[str, list[str]] = {}
    for name, model in resolved.models.items():
        recipe = model.recipe
        if model.pipeline is None and recipe.steps and not reaches_rate(recipe):
            cause = f"warmup {recipe.warmup:,}, decay {recipe.decay:g}"
            models.setdefault(f"{recipe.steps:,} steps never reach lr {recipe.lr:g} ({cause})", []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in models.items()]
