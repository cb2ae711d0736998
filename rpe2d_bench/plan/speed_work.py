"""What is timed to know how fast this machine is: a block, a training step, an evaluation, a convolution, on noise.

Shape suffixes: B batch, N tokens, D width, C channels, Y X pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from rpe2d_bench.config.experiment import Train
from rpe2d_bench.encodings import AxialRoPE, Context, Encoding, Grid
from rpe2d_bench.models import DiT, DiTOptions
from rpe2d_bench.models.attention import rotation_of
from rpe2d_bench.models.dit import Block
from rpe2d_bench.training.optimizers import MUON, by_muon, update_by_muon

Work = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """What a model computes with."""

    options: DiTOptions
    tokens: int
    channels: int
    batch: int  # images together
    training: bool  # forward, backward and update; else forward alone

    def __str__(self) -> str:
        sizes = f"{self.options.width}x{self.options.depth}x{self.options.heads}/{self.options.patch_size}"
        what = "training" if self.training else "sampling"
        mlp = "swiglu" if self.options.swiglu else self.options.gelu
        return f"{what} {sizes} {mlp} {self.channels}ch {self.tokens} tokens batch {self.batch}"


def block_work(shape: Shape, precision: str, rows: float, device: str) -> Work:
    """One block, forward and (for training) backward, on that many images; less than one is a part of its tokens."""
    options, rng = shape.options, Generator().manual_seed(0)
    tokens, rows = max(1, round(shape.tokens * min(1.0, rows))), max(1, round(rows))
    block = Block(options).to(device)
    if not shape.training:
        block = block.eval().requires_grad_(False)
    x_BND = torch.randn(rows, tokens, options.width, generator=rng).to(device)
    condition_BD = torch.randn(rows, options.width, generator=rng).to(device)
    realised = _realised(options, Grid(1, tokens), device)
    rotation = rotation_of(realised, options.heads, options.head_width, x_BND)
    if precision == "bf16":
        rotation = rotation_of(realised, options.heads, options.head_width, x_BND.bfloat16())
        x_BND = x_BND.bfloat16()
    x_BND.requires_grad_(shape.training)

    def work() -> None:
        with torch.set_grad_enabled(shape.training):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                out_BND = block(x_BND, condition_BD, rotation, None)
            if shape.training:
                out_BND.float().square().mean().backward()
        _wait(device)

    return work


def convolution_work(precision: str, rows: float, device: str) -> Work:
    """A 3x3 convolution of 64 channels on that many images of 64x64 cells."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(device).requires_grad_(False)
    x_BCYX = torch.randn(max(1, round(rows)), 64, 64, 64, device=device)

    def work() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            layer(x_BCYX)
        _wait(device)

    return work


def step_work(shape: Shape, recipe: Train, rows: int, device: str) -> Work:
    """A training step as train.py has it, written out: an optimizer of torch's would first import its compiler."""
    options, grid = shape.options, _grid(shape.tokens)
    dit = DiT(options, channels=shape.channels, num_classes=10, micro_conditioning=True).to(device)
    x_BCYX, labels_B, crop_B3 = _noise(shape, grid, rows, device)
    realised, t_B = _realised(options, grid, device), torch.full((rows,), 0.5, device=device)
    weights: list[Tensor] = list(dit.parameters())
    averages, first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(3))
    shapes: dict[torch.Size, list[int]] = defaultdict(list)
    for number, (name, weight) in enumerate(dit.named_parameters()):
        if recipe.optimizer == "muon" and by_muon(name, weight):
            shapes[weight.shape].append(number)
    group = {**MUON, "lr": 1e-3, "weight_decay": 0.0, "momentum": 0.95}
    low, dtype = recipe.precision == "bf16", torch.bfloat16 if recipe.precision == "bf16" else torch.float32

    def work() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=low):
            loss = F.mse_loss(dit(x_BCYX, t_B, labels_B, realised, crop_B3).float(), x_BCYX)
        loss.backward()
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
        with torch.no_grad():
            for numbers in shapes.values():
                update_by_muon([weights[n] for n in numbers], [first[n] for n in numbers], group, dtype)
            torch._foreach_lerp_(second, gradients, 0.1)  # with the next lines about AdamW's passes over memory
            torch._foreach_add_(weights, second, alpha=-1e-6)
            torch._foreach_lerp_(averages, weights, 0.1)
        for weight in weights:
            weight.grad = None
        _wait(device)

    return work


def pass_work(shape: Shape, precision: str, rows: int, device: str) -> Work:
    options, grid = shape.options, _grid(shape.tokens)
    dit = DiT(options, channels=shape.channels, num_classes=10).to(device).eval().requires_grad_(False)
    x_BCYX, labels_B, _ = _noise(shape, grid, rows, device)
    realised = _realised(options, grid, device)
    t_B = torch.full((rows,), 0.5, device=device)

    def work() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            dit(x_BCYX, t_B, labels_B, realised)
        _wait(device)

    return work


def _noise(shape: Shape, grid: Grid, rows: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and crops on the device."""
    patch = shape.options.patch_size
    size = (rows, shape.channels, grid.height * patch, grid.width * patch)
    x_BCYX = torch.randn(size, generator=Generator().manual_seed(0)).to(device)
    return x_BCYX, torch.arange(rows, device=device) % 10, torch.zeros(rows, 3, device=device)


def _realised(options: DiTOptions, grid: Grid, device: str) -> Encoding:
    """Rotary angles, which most encodings come to."""
    realised = AxialRoPE(options.head_width)(Context(grid, grid))
    assert realised.angles_BHNF is not None
    return Encoding(angles_BHNF=realised.angles_BHNF.to(device))


def _grid(tokens: int) -> Grid:
    """The most square grid of that many tokens."""
    height = next(side for side in range(int(tokens**0.5), 0, -1) if tokens % side == 0)
    return Grid(height, tokens // height)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
