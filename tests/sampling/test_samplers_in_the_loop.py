"""Samplers that add noise or choose their times, in the sampling loop: no image depends on the images beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.foreign_weights import CLASSES, theirs

from rpe2d_bench.config.experiment import Sampler
from rpe2d_bench.diffusion import SAMPLERS, Objective
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.models.foreign import LAYOUTS, from_layout
from rpe2d_bench.sampling.loop import draws, noise, sample


def denoiser(name: str, frequencies: str) -> Denoiser:
    layout, options = LAYOUTS[name], preset("DiT-Nano/2", gelu="tanh", time_scale=LAYOUTS[name].time_scale)
    dit = DiT(options, channels=4, num_classes=CLASSES)
    dit.load_state_dict(from_layout(theirs(), layout, "the file"))
    encoding = build({"kind": "axial_sincos", "frequencies": {"kind": frequencies}}, width=64, heads=2)
    return Denoiser(dit, encoding, Objective(layout.path, layout.prediction)).eval()


def made(model: Denoiser, batch: int, first: int = 0, seed: int = 0, **sampler: Any) -> np.ndarray:
    options = Sampler.model_validate({"steps": 4, "guidance": 1.5, "precision": "float32", **sampler})
    return np.concatenate(list(
        sample(model, options, resolution=(12, 8), train_grid=Grid(4, 4), indices=np.arange(first, 3), seed=seed,
               batch_size=batch, decode=lambda x: x)
    ))  # fmt: skip


@pytest.mark.parametrize("frequencies", ["geometric", "dype_ntk"])  # the second depends on time
@pytest.mark.parametrize(
    ("name", "kind"), [("sit", kind) for kind in SAMPLERS] + [("dit", "ddpm"), ("dit", "ddpm_upper")]
)
def test_an_image_is_the_same_in_every_batch(name: str, kind: str, frequencies: str) -> None:
    model = denoiser(name, frequencies)
    together = made(model, 3, kind=kind)
    scale = np.abs(together).max()
    assert np.isfinite(together).all()
    assert np.abs(made(model, 1, kind=kind) - together).max() < 1e-4 * scale
    assert np.abs(made(model, 2, 1, kind=kind) - together[1:]).max() < 1e-4 * scale
    assert np.abs(made(model, 3, seed=1, kind=kind) - together).max() > 1e-2


def test_the_noise_of_a_step_is_new_and_an_images_own() -> None:
    drawn, shape = draws(3, np.arange(4), (1, 8, 12)), (1, 8, 12)
    first, second = drawn(), drawn()
    assert torch.equal(first, noise(3, np.arange(4), shape))
    assert abs(float(torch.corrcoef(torch.stack((first.flatten(), second.flatten())))[0, 1])) < 0.15
    alone = draws(3, np.array([2]), shape)
    assert torch.equal(alone(), first[2:3])
    assert torch.equal(alone(), second[2:3])
