"""Golden losses: what a training's first twenty losses are, whatever is done to make them faster.

The numbers come from tests/helpers/plain_dit.py, the model as the paper writes it, trained in float32 by the same loop:
`python tests/training/test_golden_losses.py` writes them anew. A change of theirs is a change of the mathematics and
needs a reason. Tolerances: float32 0.05 % (another order of summation, twenty steps long), bf16 2 % (eight-bit
products).
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import Grid, build
from rpe2d_bench.models import Denoiser, DiT, preset
from rpe2d_bench.training.loop import Training

HERE = Path(__file__).parent
GOLDEN = HERE / "golden_losses.json"
sys.path.insert(0, str(HERE.parent))  # as a script it has no pytest to do that
from helpers.plain_dit import plain_forward  # noqa: E402
from helpers.stripes import Stripes  # noqa: E402

ENCODINGS: dict[str, dict[str, Any]] = {
    "rope": {"kind": "axial_rope"},
    "rpe2d": {"kind": "axial_rope", "positions": {"kind": "random", "max_grid": [8, 8]}},
    "sincos": {"kind": "axial_sincos"},
}


def losses(name: str, *, plain: bool = False, **recipe: Any) -> list[float]:
    torch.manual_seed(0)
    options = preset("DiT-Nano/4")
    dit = DiT(options, channels=1, num_classes=2)
    if plain:
        dit.forward = lambda x, t, labels, encoding, *_: plain_forward(dit, x, t, labels, encoding)  # type: ignore
    denoiser = Denoiser(dit, build(ENCODINGS[name], width=options.width, heads=options.heads))
    full = Train(steps=20, batch_size=16, warmup=5, lr=2e-3, **recipe)
    return [step.loss.item() for step in Training(denoiser, full, Grid(4, 4), seed=3).steps(Stripes())]


@functools.cache
def golden() -> dict[str, list[float]]:
    numbers: dict[str, list[float]] = json.loads(GOLDEN.read_text())
    return numbers


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-4), ("bf16", 2e-2)])
def test_losses_are_those_of_the_plain_model(name: str, precision: str, tolerance: float) -> None:
    assert losses(name, precision=precision) == pytest.approx(golden()[name], rel=tolerance)


def test_the_losses_tell_encodings_apart() -> None:
    # ... so that a golden loss cannot be met by a model that ignores its encoding. Models of one seed see the same
    # noise, so that in twenty steps random positions move the loss by 0.2 % only: four times float32's tolerance.
    for name, least in (("sincos", 5e-3), ("rpe2d", 1e-3)):
        pairs = zip(golden()["rope"], golden()[name], strict=True)
        assert max(abs(one / other - 1) for one, other in pairs) > least, name


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps({name: losses(name, plain=True) for name in ENCODINGS}, indent=1) + "\n")
