"""What a plan will cost before anything runs: FLOPs, time, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass

from rpe2d_bench.config import Experiment
from rpe2d_bench.plan import Plan
from rpe2d_bench.stages import ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.store import Store

Resolution = tuple[int, int]

# Achieved FLOP/s assumed for the estimate of time, per worker: one CPU core on small models (docs/performance.md),
# and 40 % of an H100's bf16 peak. An estimate only: `run` shows the real pace.
PACE = {"cpu": 1.0e11, "mps": 2.0e12, "cuda": 4.0e14}
AUTOENCODER_PACE = {"cpu": 5.0e10, "mps": 2.0e12, "cuda": 3.0e13}  # convolutions in float32
# Convolutions per pixel, encoder and decoder, counted with torch's FlopCounterMode: TAEF2, and the AutoencoderKL of
# Stable Diffusion (128, 256, 512, 512 channels), which any other of its kind is taken for.
CODING = {"taef2": (4.7e5, 5.4e5), "diffusers": (4.2e6, 9.5e6)}


@dataclass(frozen=True)
class Cost:
    """Of the part that is not in the store yet."""

    train_flops: float
    sample_flops: float
    seconds: float  # wall, with all workers busy
    memory: float  # bytes per worker: weights, gradients, optimizer, average and activations of a training
    disk: float  # bytes that stay in the store, pools of training pictures or latents included
    coding_flops: float  # of the autoencoder: training pools, samples, the floor of reconstructions
    device_hours: float  # of one CPU core or one GPU, all work added up
    device: str
    pace: float  # FLOP/s of a device that the times assume for training and sampling


def estimate(plan: Plan, store: Store) -> Cost:
    """Cost of what is missing."""
    resources = plan.experiment.resources
    trainings = [trial.stage for trial in plan.missing_trainings(store)]
    missing = plan.missing_measures(store)
    samples = {
        stage.generated.key: stage.generated
        for stage in missing
        if isinstance(stage.generated, SampleStage) and not store.has("sample", stage.generated.key)
    }
    floors = [stage.generated for stage in missing if isinstance(stage.generated, ReferenceStage)]
    through = [floor for floor in floors if floor.latents is not None]
    pools = _pools(trainings, _train_size(plan) if trainings else 0)
    train_flops = sum(stage.recipe.steps * flops_per_step(stage) for stage in trainings)
    sample_flops = sum(flops_of_samples(stage) for stage in samples.values())
    encoding, decoding = _coding(plan)
    coding_flops = encoding * sum(count * pixels for count, pixels, _ in pools.values())
    coding_flops += decoding * sum(stage.count * _pixels(stage.resolution) for stage in samples.values())
    coding_flops += (encoding + decoding) * sum(floor.count * _pixels(floor.resolution) for floor in through)
    gpus = max(1.0, resources.gpus_per_trial)
    busy = (train_flops + sample_flops) / PACE[resources.device] + coding_flops / AUTOENCODER_PACE[resources.device]
    pictures = sum(stage.count * _bytes(stage) for stage in samples.values())
    weights = sum(4 * parameters(stage) for stage in trainings)
    kept = sum(count * size for count, _, size in pools.values())
    return Cost(
        train_flops=train_flops,
        sample_flops=sample_flops,
        seconds=busy / resources.trials_in_parallel / gpus,
        memory=max((training_memory(stage, gpus) for stage in trainings), default=0.0),
        disk=pictures + weights + kept,
        coding_flops=coding_flops,
        device_hours=busy / 3600,
        device=resources.device,
        pace=PACE[resources.device],
    )


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
    shares = dict(stage.mixed)
    shares[stage.resolution] = 1 - sum(shares.values())
    forward = sum(share * _forward(stage, stage.grid_of(resolution).tokens) for resolution, share in shares.items())
    return 3 * stage.recipe.batch_size * forward


def flops_of_samples(stage: SampleStage) -> float:
    """Matrix products of all pictures of a sample stage, guidance included."""
    from rpe2d_bench.diffusion import evaluations

    passes = evaluations(stage.sampler.kind, stage.sampler.steps) * (2 if stage.sampler.guidance != 1.0 else 1)
    return stage.count * passes * _forward(stage.train, stage.grid.tokens)


def parameters(stage: TrainStage) -> int:
    """Weights of a stage's model."""
    import torch

    from rpe2d_bench.stages.denoiser import fresh_denoiser

    with torch.device("meta"):
        return sum(p.numel() for p in fresh_denoiser(stage).parameters())


def training_memory(stage: TrainStage, devices: float = 1.0) -> float:
    """Bytes a device: float32 weights, gradients, two moments, average; about 34 activations per token and width."""
    from rpe2d_bench.models import preset

    options = preset(stage.model.preset)
    batch = stage.recipe.batch_size / stage.recipe.accumulate / devices
    tokens = max(stage.grid_of(resolution).tokens for resolution in (stage.resolution, *(r for r, _ in stage.mixed)))
    activation = 2 if stage.recipe.precision == "bf16" else 4
    return 5 * 4 * parameters(stage) + 34 * activation * options.width * tokens * batch * options.depth


def _forward(stage: TrainStage, tokens: int) -> float:
    from rpe2d_bench.models import flops_per_forward, preset

    return flops_per_forward(preset(stage.model.preset), tokens, stage.model_channels)


def _train_size(plan: Plan) -> int:
    from rpe2d_bench import data

    return data.build(plan.experiment.data).size("train") or 0


def _pools(trainings: list[TrainStage], size: int) -> dict[str, tuple[int, int, float]]:
    """Pools of training pictures that share nothing: rows, pixels of a row, bytes of a row."""
    pools: dict[str, tuple[int, int, float]] = {}
    for stage in trainings:
        count = min(stage.recipe.num_pictures or size, size) if size else stage.recipe.num_pictures or 0
        for resolution in (stage.resolution, *(r for r, _ in stage.mixed)):
            pixels, space, zoom = _pixels(resolution), stage.latents, stage.crops.get("max_zoom", 1.0)
            crops = stage.crops["kind"] != "none"
            if space is None:
                pools[f"{resolution} {count}"] = (count, pixels, float(pixels * stage.channels))
                if crops and stage.crops.get("source") == "native":
                    native = round(pixels * zoom**2)
                    pools[f"{resolution} {count} {zoom}"] = (count, native, float(native * stage.channels))
                continue
            stored = space.channels * (2 if space.spec.get("posterior") == "sample" else 1)
            row = 2.0 * stored * pixels / space.downsampling**2
            pools[f"{resolution} {count}"] = (count, pixels, row)
            if crops:
                pools[f"{resolution} {count} {stage.crops}"] = (count * space.windows, pixels, row)
    return pools


def _coding(plan: Plan) -> tuple[float, float]:
    """FLOPs per pixel of the autoencoder's two halves; none without one."""
    spec = plan.experiment.autoencoder
    return (0.0, 0.0) if spec is None else CODING[spec["kind"]]


def _pixels(resolution: Resolution) -> int:
    return resolution[0] * resolution[1]


def _bytes(stage: SampleStage) -> float:
    return float(_pixels(stage.resolution) * stage.train.channels)


def slow_arithmetic(experiment: Experiment) -> str | None:
    """What to write instead where this processor has no bfloat16 products and the experiment asks for them."""
    import torch

    if experiment.resources.device != "cpu":
        return None
    able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # new in torch 2.13
    if able.get("architecture") != "x86_64" or able.get("avx512_bf16") or able.get("amx_bf16"):
        return None
    parts = [f"models.{name}.train" for name, entry in experiment.models.items() if "precision" in entry.train]
    asked = [part for part in ("train", *parts, "evaluate.sampler") if _is_bf16(experiment, part)]
    if not asked:
        return None
    instead = " ".join(f"--set {part}.precision=float32" for part in asked)
    return f"this processor computes bfloat16 slowly; add {instead}"


def _is_bf16(experiment: Experiment, part: str) -> bool:
    if part.startswith("models."):
        return experiment.train_of(part.split(".")[1]).precision == "bf16"
    return (experiment.train if part == "train" else experiment.evaluate.sampler).precision == "bf16"
