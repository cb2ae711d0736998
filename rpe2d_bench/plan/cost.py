"""What a plan will cost before anything runs: FLOPs, time, memory and disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rpe2d_bench.data.crops import ResizeAndCrop
from rpe2d_bench.plan.calibration import pace_of
from rpe2d_bench.plan.expand import Plan
from rpe2d_bench.plan.order import Job
from rpe2d_bench.plan.pace import (
    ASSUMED,
    Pace,
    Stage,
    adaptive,
    faster,
    forward_flops,
    passes,
    seconds_of,
    shares,
)
from rpe2d_bench.plan.wall import wall
from rpe2d_bench.plan.work import work_of
from rpe2d_bench.stages import DenoiseStage, Evaluation, MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.pipeline import PipelineStage
from rpe2d_bench.storage.store import Store

# Seconds of a run beside its stages, on the machine of docs/performance.md: imports (4), start of Ray (6), imports of
# its workers (6); then the comparisons of methods and the report, and what they take longer for each cell.
START, END, END_OF_CELL = 16.0, 4.0, 0.1
WORKER = 6.6e8  # bytes of a worker before its first stage: interpreter, torch, Ray, nets of the metrics


@dataclass(frozen=True)
class Cost:
    """Of the part that is not in the store yet."""

    train_flops: float
    sample_flops: float
    denoise_flops: float  # of real images, for the denoising error
    seconds: float  # wall, of the whole run: start, stages on all slots in the order of the runner, report
    slots: int  # GPUs, or workers, that jobs share
    devices: int  # that a training holds
    busy: float  # share of the slots' time that one each would need for the work
    memory: float  # bytes per worker: weights, gradients, optimizer, average and activations of a training
    disk: float  # bytes that stay in the store, pools of training images or latents included
    coding_flops: float  # of the autoencoder: training pools, samples, the floor of reconstructions
    device_hours: float  # of one CPU core or one GPU, all work added up
    device: str
    pace: float  # FLOP/s of a device that the times come to for training and sampling
    at_most: bool = False  # whether FLOPs of sampling and times are bounds, since an adaptive sampler stops earlier


def estimate(plan: Plan, store: Store, pace: Pace | None = None, say: Callable[[str], None] = lambda _: None) -> Cost:
    """Cost of what is missing. pace: of this machine by default, which may take some seconds to measure."""
    resources = plan.experiment.resources
    found = [trial.stage for trial in plan.missing_trainings(store)]
    trainings = [stage for stage in found if not isinstance(stage, PipelineStage)]
    missing = plan.missing_measures(store)
    stages = missing_stages(plan, store)
    if pace is None:
        pace = pace_for(plan, store, say)
    samples = [stage for stage in stages if isinstance(stage, SampleStage)]
    denoised = [stage for stage in stages if isinstance(stage, DenoiseStage)]
    measured = [stage.generated for stage in missing if isinstance(stage, MeasureStage)]
    floors = [stage for stage in measured if isinstance(stage, ReferenceStage)]
    through = [floor for floor in floors if floor.latents is not None]
    size = (plan.resolved.dataset.size("train") or 0) if trainings else 0
    pools = _pools(trainings, size)
    train_flops = sum(stage.recipe.steps * flops_per_step(stage) for stage in trainings)
    sample_flops, denoise_flops = (sum(flops_of_passes(stage) for stage in part) for part in (samples, denoised))
    space = plan.resolved.latents
    encoding, decoding = (0.0, 0.0) if space is None else space.flops
    coded = encoding * sum(count * pixels for count, pixels, _ in pools.values())
    coded += encoding * sum(stage.count * stage.resolution.pixels for stage in denoised)
    coded += decoding * sum(stage.count * stage.resolution.pixels for stage in samples)
    coded += (encoding + decoding) * sum(floor.count * floor.resolution.pixels for floor in through)
    work = work_of(plan, store, lambda stage: seconds_of(stage, pace))
    time = wall(work.jobs, work.slots)
    gpus = max(1.0, resources.gpus)
    passing = [stage for stage in stages if isinstance(stage, TrainStage | SampleStage | DenoiseStage)]
    computing = sum(seconds_of(each, pace) * (faster(gpus) if isinstance(each, TrainStage) else 1) for each in passing)
    flops = train_flops + sample_flops + denoise_flops
    images = sum(stage.count * _bytes(stage) for stage in samples)
    weights = sum(4 * parameters(stage) for stage in trainings)
    kept = sum(count * size for count, _, size in pools.values())
    context = pace.python * (START + END + END_OF_CELL * sum(len(trial.cells) for trial in plan.trials))
    return Cost(
        train_flops=train_flops,
        sample_flops=sample_flops,
        denoise_flops=denoise_flops,
        seconds=context + time.seconds if stages else 0.0,
        slots=time.slots,
        devices=int(gpus),
        busy=time.busy,
        memory=WORKER + max((training_memory(stage, gpus) for stage in trainings), default=0.0) if stages else 0.0,
        disk=images + weights + kept,
        coding_flops=coded,
        device_hours=time.work / 3600,
        device=resources.device,
        pace=flops / computing if computing else ASSUMED[resources.device],
        at_most=any(map(adaptive, samples)),
    )


def pace_for(plan: Plan, store: Store, say: Callable[[str], None] = lambda _: None) -> Pace:
    """How fast this machine is at what a plan lacks; nothing is measured where nothing is missing."""
    stages, resources = missing_stages(plan, store), plan.experiment.resources
    return pace_of([*stages, *_finished(plan, store)], resources, store, say) if stages else Pace(resources.device)


def missing_stages(plan: Plan, store: Store) -> list[Stage]:
    """Every stage of a plan that is not in the store, once; of a measurement that is there nothing is missing."""
    found: dict[str, Stage] = {trial.stage.key: trial.stage for trial in plan.missing_trainings(store)}
    for measure in plan.missing_measures(store):
        for stage in _parts(measure):
            if not store.has(stage.name, stage.key):
                found[stage.key] = stage
    return list(found.values())


def jobs_of(plan: Plan, store: Store, pace: Pace) -> list[Job]:
    """The runner's jobs for the missing part of a plan."""
    return work_of(plan, store, lambda stage: seconds_of(stage, pace)).jobs


def _parts(measure: Evaluation) -> list[Stage]:
    return [measure, *measure.sources]


def _finished(plan: Plan, store: Store) -> list[Stage]:
    """Stages that may tell how fast this machine is."""
    stages: list[Stage] = [trial.stage for trial in plan.trials]
    stages += [part for measure in plan.measures() for part in _parts(measure)]
    return [stage for stage in stages if store.has(stage.name, stage.key)]


def in_bytes(number: float) -> str:
    """34.1 MiB, 1.2 TiB."""
    units = ("KiB", "MiB", "GiB", "TiB")
    power = next((p for p in range(len(units)) if number < 1000 * 1024 ** (p + 1)), len(units) - 1)
    return f"{number / 1024 ** (power + 1):.3g} {units[power]}"


def in_flops(number: float) -> str:
    """12.5 TFLOP, 3.1 EFLOP."""
    units = ("GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP")
    power = next((p for p in range(len(units)) if number < 1000 ** (p + 4)), len(units) - 1)
    return f"{number / 1000 ** (power + 3):.3g} {units[power]}"


def flops_per_step(stage: TrainStage) -> float:
    """Matrix products of a training step: the backward pass costs two forward passes."""
    forward = sum(share * forward_flops(stage, stage.grid_of(size).tokens) for size, share in shares(stage).items())
    return 3 * stage.recipe.batch_size * forward


def flops_of_passes(stage: SampleStage | DenoiseStage) -> float:
    """Matrix products of all images that a stage samples or denoises, guidance included."""
    return stage.count * passes(stage) * forward_flops(stage.train, stage.grid.tokens)


def parameters(stage: TrainStage) -> int:
    """Weights of a stage's model."""
    from rpe2d_bench.stages.denoiser import fresh_denoiser, without_values

    with without_values():
        return sum(p.numel() for p in fresh_denoiser(stage).parameters())


def training_memory(stage: TrainStage, devices: float = 1.0) -> float:
    """Bytes a device: float32 weights, gradients, two moments, average; about 34 activations per token and width."""
    from rpe2d_bench.models import preset

    options = preset(stage.model.preset)
    batch = stage.recipe.batch_size / stage.recipe.accumulate / devices
    tokens = max(stage.grid_of(resolution).tokens for resolution in (stage.resolution, *(r for r, _ in stage.mixed)))
    activation = 2 if stage.recipe.precision == "bf16" else 4
    return 5 * 4 * parameters(stage) + 34 * activation * options.width * tokens * batch * options.depth


def _pools(trainings: list[TrainStage], size: int) -> dict[str, tuple[int, int, float]]:
    """Pools of training images that share nothing: rows, pixels of a row that are made or encoded, bytes of a row."""
    pools: dict[str, tuple[int, int, float]] = {}
    for stage in (training for training in trainings if training.recipe.steps):
        count = min(stage.recipe.num_pictures or size, size) if size else stage.recipe.num_pictures or 0
        for resolution in (stage.resolution, *(r for r, _ in stage.mixed)):
            pixels, space, crops = resolution.pixels, stage.latents, stage.crops
            if space is None:
                pools[f"{resolution} {count}"] = (count, pixels, float(pixels * stage.channels))
                if isinstance(crops, ResizeAndCrop) and crops.source == "native":
                    native = round(pixels * crops.max_zoom**2)
                    pools[f"{resolution} {count} {crops.max_zoom}"] = (count, native, float(native * stage.channels))
                continue
            row = 2.0 * space.stored * pixels / space.downsampling**2
            pools[f"{resolution} {count}"] = (count, 0 if space.ready else pixels, row)
            if crops.kind != "none":
                pools[f"{resolution} {count} {crops}"] = (count * space.windows, pixels, row)
    return pools


def _bytes(stage: SampleStage) -> float:
    return float(stage.resolution.pixels * stage.train.channels)
