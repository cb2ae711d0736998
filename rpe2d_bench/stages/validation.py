"""The loss of a trained model on images it was not trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from rpe2d_bench.encodings.interface import Context
from rpe2d_bench.resolution import Resolution

if TYPE_CHECKING:
    from rpe2d_bench.training.loop import Training

VALIDATION_IMAGES = 500


def validation_loss(
    training: Training, dataset: Any, resolution: Resolution, encode: Callable[[np.ndarray], np.ndarray] | None = None
) -> float:
    """Loss of the averaged weights on validation images, fixed times and noise, positions as at inference."""
    import torch

    from rpe2d_bench.diffusion import noised, path
    from rpe2d_bench.sampling.loop import noise

    device, ema, dit = training.device, training.ema, training.ema.dit
    size = dataset.size("validation")
    indices = np.arange(VALIDATION_IMAGES if size is None else min(VALIDATION_IMAGES, size))
    images = dataset.images("validation", indices, resolution)
    if encode is None:
        x = torch.from_numpy(images).to(device) / 127.5 - 1
    else:
        x = torch.from_numpy(encode(images)).to(device).float()[:, : dit.channels]
    labels = torch.from_numpy(dataset.labels("validation", indices)).to(device)
    eps = noise(0, indices, tuple(x.shape[1:])).to(device)  # type: ignore[arg-type]
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(indices), 100):
            part = slice(start, start + 100)
            t = ema.objective.learned((torch.arange(start, start + len(x[part]), device=device) % 50 + 0.5) / 50)
            x_t, velocity = noised(path(training.recipe.path), x[part], eps[part], t)
            realised = ema.encoding(Context(dit.grid(x_t), training.train_grid, t, batch=len(t)))
            total += float((ema(x_t, t, labels[part], realised) - velocity).square().mean() * len(t))
    return total / len(indices)
