"""How long stages take: seconds from a `Pace`; of many on a few slots, see `wall.py`. Pure, given a Pace.

    pace = pace_of(stages, resources, store)        # rpe2d_bench.plan.calibration: measures what is missing
    left = sum(seconds_of(stage, pace) for stage in stages)

A stage counts its own work only: of a measurement, neither its samples nor its reference. Rendering a training's images
is `pool_seconds`, since trainings share pools.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rpe2d_bench.metrics.denoising_error import TIMES
from rpe2d_bench.models import flops_per_forward, preset
from rpe2d_bench.resolution import Resolution
from rpe2d_bench.stages import DenoiseStage, MeasureStage, ReferenceStage, SampleStage, TrainStage
from rpe2d_bench.stages.pipeline import PipelineSampleStage, PipelineStage
from rpe2d_bench.stages.pool import PoolStage
from rpe2d_bench.stages.share import Share
from rpe2d_bench.stages.validation import VALIDATION_IMAGES

Stage = TrainStage | SampleStage | MeasureStage | ReferenceStage | DenoiseStage | PoolStage | Share
# Achieved FLOP/s where nothing was measured, because the device is not here: 40 % of an H100's peak in bfloat16
ASSUMED = {"cpu": 5.0e10, "mps": 2.0e12, "cuda": 4.0e14}
AUTOENCODER = {"cpu": 5.0e10, "mps": 2.0e12, "cuda": 3.0e13}  # convolutions in float32
PER_IMAGE = {"render": 1e-3, "observe": 2e-3}  # seconds where nothing was measured
WRITTEN = 2e8  # bytes of images a second that are put together of shares: read, written, checked; assumed
DATA_PARALLEL = 0.9  # of the speed that as many GPUs as a training has would have alone; assumed
LOADING = 0.3  # seconds a stage takes to open what it needs and to write what it made


@dataclass(frozen=True)
class Pace:
    """Seconds of one worker while the others are busy, by what they are for.

    seconds: of a training step (`step_name`), of one image's evaluation by the model (`pass_name`), of rendering an
    image (`render_name`) and of seeing it with the metrics' nets (`observe_name`).
    """

    device: str = "cpu"
    seconds: Mapping[str, float] = field(default_factory=dict)
    devices: float = 1.0  # GPUs that a training has
    python: float = 1.0  # how many times as long Python's own work takes as on the machine of docs/performance.md

    def of(self, name: str, otherwise: float) -> float:
        """Measured seconds, or what is assumed."""
        return self.seconds.get(name, otherwise)


def step_name(stage: TrainStage, resolution: Resolution) -> str:
    """Of what decides how long a training step takes."""
    recipe = stage.recipe
    how = f"{recipe.optimizer} {recipe.precision}{' compiled' if recipe.compile else ''}"
    model = f"{stage.model.preset} {stage.model.scan} {stage.model.stem} {stage.model_channels}ch"
    return f"step {model} {stage.grid_of(resolution).tokens} tokens batch {recipe.batch_size}/{recipe.accumulate} {how}"


def pass_name(stage: TrainStage, tokens: int, how: str) -> str:
    """Of what decides how long a model takes for one image, without a gradient. how: see `how_passes`."""
    return f"pass {stage.model.preset} {stage.model.scan} {stage.model_channels}ch {tokens} tokens {how}"


def how_passes(stage: SampleStage | DenoiseStage) -> str:
    """The precision that a model is evaluated in, and whether it is compiled."""
    compiled = isinstance(stage, SampleStage) and stage.sampler.compile
    return f"{stage.precision}{' compiled' if compiled else ''}"


def render_name(stage: TrainStage | ReferenceStage, resolution: Resolution) -> str:
    """Of an image of a data set at a resolution."""
    return f"render {stage.revision} {resolution.height}x{resolution.width}"


def observe_name(stage: ReferenceStage) -> str:
    """Of an image as the metrics of a reference see it."""
    (height, width), (train_height, train_width) = stage.resolution, stage.train_resolution
    seen = f"{','.join(stage.metrics)} {stage.net} {stage.judge} {train_height}x{train_width}"
    return f"observe {height}x{width} {seen}"


def seconds_of(stage: Stage, pace: Pace) -> float:
    """Seconds of a stage's own work on a worker, from its beginning."""
    if isinstance(stage, PipelineStage):
        return 0.0
    if isinstance(stage, PoolStage):
        return pool_seconds(stage, pace)
    if isinstance(stage, Share):
        return _share_seconds(stage, pace)
    if isinstance(stage, TrainStage):
        step = sum(share * step_seconds(stage, resolution, pace) for resolution, share in shares(stage).items())
        checked = VALIDATION_IMAGES * pass_seconds(stage, stage.grid.tokens, "float32", pace)
        return LOADING + stage.recipe.steps * step + checked
    if isinstance(stage, SampleStage):
        each = pass_seconds(stage.train, stage.grid.tokens, how_passes(stage), pace)
        decoding = coding_flops(stage.train, stage.resolution, decode=True) / AUTOENCODER[pace.device]
        return LOADING + stage.count * (passes(stage) * each + decoding)
    if isinstance(stage, DenoiseStage):
        each = passes(stage) * pass_seconds(stage.train, stage.grid.tokens, how_passes(stage), pace)
        rendering = pace.of(render_name(stage.train, stage.resolution), PER_IMAGE["render"])
        coding = coding_flops(stage.train, stage.resolution, decode=False) / AUTOENCODER[pace.device]
        return LOADING + stage.count * (each + rendering + coding)
    reference = stage.reference if isinstance(stage, MeasureStage) else stage
    seeing = pace.of(observe_name(reference), PER_IMAGE["observe"])
    if isinstance(stage, ReferenceStage):
        coding = 0.0
        if stage.latents is not None:
            coding = sum(stage.latents.flops) * stage.resolution.pixels / AUTOENCODER[pace.device]
        rendering = pace.of(render_name(stage, stage.resolution), PER_IMAGE["render"])
        return LOADING + stage.count * (rendering + seeing + coding)
    own = stage.generated.count * seeing if isinstance(stage.generated, SampleStage) else 0.0
    return LOADING / 3 + own


def _share_seconds(share: Share, pace: Pace) -> float:
    whole = share.stage
    if isinstance(whole, MeasureStage):  # features alone; the rest is done when all are there
        return LOADING / 3 + share.count * pace.of(observe_name(whole.reference), PER_IMAGE["observe"])
    if isinstance(whole, PoolStage):
        return pool_seconds(whole, pace) * share.count / whole.array.shape[0]
    assert isinstance(whole, SampleStage | ReferenceStage)
    return LOADING + (seconds_of(whole, pace) - LOADING) * share.count / whole.count


def together_seconds(stage: SampleStage) -> float:
    """Seconds until images that were made in shares are one file."""
    return stage.count * stage.resolution.pixels * stage.train.channels / WRITTEN


def faster(devices: float) -> float:
    """Times as fast as on one is a training on several."""
    return devices * DATA_PARALLEL if devices > 1 else 1.0


def pool_seconds(pool: PoolStage, pace: Pace) -> float:
    """Seconds until training images of one size are rendered and, with an autoencoder, encoded."""
    stage, resolution = pool.train, pool.resolution
    if pool.ready:
        return 0.0
    size = resolution
    if stage.latents is None and pool.crops:
        size = Resolution(*pool.array.shape[2:])
    rendering = pool.count * pace.of(render_name(stage, size), PER_IMAGE["render"])
    encoding = coding_flops(stage, resolution, decode=False) / AUTOENCODER[pace.device]
    return rendering + pool.array.shape[0] * encoding


def pool_together_seconds(pool: PoolStage) -> float:
    """Seconds until a pool that was made in shares is one array."""
    return math.prod(pool.array.shape) * np.dtype(pool.array.dtype).itemsize / WRITTEN


def step_seconds(stage: TrainStage, resolution: Resolution, pace: Pace) -> float:
    """Of a training step at one of its resolutions."""
    tokens = stage.grid_of(resolution).tokens
    flops = 3 * stage.recipe.batch_size * forward_flops(stage, tokens)
    return pace.of(step_name(stage, resolution), flops / ASSUMED[pace.device]) / faster(pace.devices)


def pass_seconds(stage: TrainStage, tokens: int, how: str, pace: Pace) -> float:
    """Of one image, evaluated by the model without a gradient."""
    return pace.of(pass_name(stage, tokens, how), forward_flops(stage, tokens) / ASSUMED[pace.device])


def passes(stage: SampleStage | DenoiseStage) -> int:
    """Evaluations of the model for one sample, guidance included, or for one image that is denoised; at most so many
    where the sampler is `adaptive`."""
    from rpe2d_bench.diffusion import SAMPLERS, steps_from

    if isinstance(stage, DenoiseStage):
        return len(TIMES)
    if isinstance(stage, PipelineSampleStage):
        return stage.sampler.steps * (2 if stage.sampler.guidance != 1.0 else 1)
    steps = steps_from(stage.begin, stage.sampler.steps)
    return SAMPLERS[stage.sampler.kind].evaluations(steps) * (2 if stage.sampler.guidance != 1.0 else 1)


def adaptive(stage: Stage) -> bool:
    """Whether `passes` is a bound: the sampler stops earlier where its error allows."""
    from rpe2d_bench.diffusion import SAMPLERS

    if not isinstance(stage, SampleStage) or isinstance(stage, PipelineSampleStage):
        return False
    return SAMPLERS[stage.sampler.kind].adaptive


def shares(stage: TrainStage) -> dict[Resolution, float]:
    """Resolutions that a training draws from, and of how many of its steps."""
    found = dict(stage.mixed)
    found[stage.resolution] = 1 - sum(found.values())
    return found


def forward_flops(stage: TrainStage, tokens: int) -> float:
    """Matrix products of one image's forward pass; a pipeline's are two for each of its weights and tokens."""
    if isinstance(stage, PipelineStage):
        return 2.0 * stage.pipeline.parameters * tokens
    return flops_per_forward(preset(stage.model.preset), tokens, stage.model_channels)


def coding_flops(stage: TrainStage, resolution: Resolution, *, decode: bool) -> float:
    """Of the autoencoder, for one image; none without one."""
    if stage.latents is None:
        return 0.0
    return stage.latents.flops[decode] * resolution.pixels


def total(stages: Iterable[Stage], pace: Pace) -> float:
    """Seconds of one worker for all of them."""
    return sum(seconds_of(stage, pace) for stage in stages)
