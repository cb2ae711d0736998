"""The denoising loss of a method on real images of a test resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.stages.denoiser import load_denoiser
from rpe2d_bench.stages.latents import model_space
from rpe2d_bench.stages.run_context import RunContext

if TYPE_CHECKING:
    from rpe2d_bench.stages.reference import ReferenceStage
    from rpe2d_bench.stages.sample import SampleStage


def denoise(stage: SampleStage, reference: ReferenceStage, context: RunContext) -> tuple[float, dict[str, Any]]:
    """The loss over all times, and its details."""
    import torch

    from rpe2d_bench.diffusion import noised, path
    from rpe2d_bench.metrics import denoising_loss as measure
    from rpe2d_bench.sampling.loop import noise

    device, train = context.resources.device, stage.train
    denoiser = load_denoiser(train, train.make(context), stage.encoding).to(device)
    dataset = reference.data.build()
    indices = reference.indices(dataset)[: measure.IMAGES]
    images = dataset.images(reference.split, indices, stage.resolution)  # type: ignore[arg-type]
    x_BCYX = model_space(train, device)(images)
    labels_B = torch.from_numpy(dataset.labels(reference.split, indices)).to(device)  # type: ignore[arg-type]
    crop_B3 = torch.tensor([stage.conditioning], device=device)
    grid = denoiser.dit.grid(x_BCYX)
    by_time = {}
    with torch.inference_mode():
        eps_BCYX = noise(0, np.arange(len(x_BCYX)), tuple(x_BCYX.shape[1:])).to(device)  # type: ignore[arg-type]
        for t in measure.TIMES:
            t_1 = torch.tensor([t], dtype=torch.float32, device=device)
            realised = denoiser.encoding(Context(grid, train.grid, t_1))
            t_B = t_1.expand(len(labels_B))
            x_t, velocity_BCYX = noised(path(train.recipe.path), x_BCYX, eps_BCYX, t_B)
            predicted_BCYX = denoiser(x_t, t_B, labels_B, realised, crop_B3)
            by_time[t] = float((predicted_BCYX - velocity_BCYX).square().mean())
    return sum(by_time.values()) / len(by_time), measure.details(by_time, len(indices))
