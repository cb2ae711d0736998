"""Small trainings, and encodings of every kind for them."""

from __future__ import annotations

from typing import Any

import torch

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.training.distributed import Ranks
from rpe2d_bench.training.loop import Training

RANDOM = {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [8, 8]}}
SPECS = {
    "rope": None,
    "random": RANDOM,
    "sincos": {"kind": "axial_sincos", "positions": {"kind": "random", "max_grid": [8, 8]}},
    "learned": {"kind": "learned", "grid": [4, 4]},
    "mixed": {"kind": "mixed_rope"},
}


def training(
    spec: dict[str, Any] | None = None, *, micro_conditioning: bool = False, ranks: Ranks | None = None, **recipe: Any
) -> Training:
    torch.manual_seed(0)
    options = preset("DiT-Nano/4", depth=2)
    dit = DiT(options, channels=1, num_classes=2, micro_conditioning=micro_conditioning)
    encoding = build(spec or {"kind": "axial_rope"}, width=options.width, heads=options.heads)
    full = {"steps": 10, "batch_size": 4, "warmup": 3, "lr": 2e-3, **recipe}
    return Training(Denoiser(dit, encoding), Train.model_validate(full), Grid(4, 4), seed=7, ranks=ranks or Ranks())
