"""The transformers people use today, as peers of equal size: DiT from timm's blocks, and diffusers' DiT.

Both are called as (x, t in [0, 1], labels) -> velocity. Sizes, conditioning and output are those of rpe2d_bench's DiT;
their positions are the fixed sin-cos table.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rpe2d_bench.encodings import Grid
from rpe2d_bench.metrics.nets.torchvision_import import import_torchvision
from rpe2d_bench.models import DiTOptions
from rpe2d_bench.models.dit import FourierFeatures, mlp, patchify, unpatchify

import_torchvision()  # which both packages import
from diffusers import DiTTransformer2DModel  # noqa: E402
from timm.layers import Mlp  # noqa: E402
from timm.models.vision_transformer import Attention  # noqa: E402


class TimmBlock(nn.Module):
    """adaLN-Zero around timm's attention and MLP, in the way of facebookresearch/DiT and SiT."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(width, num_heads=heads, qkv_bias=True)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        gelu = partial(nn.GELU, approximate="tanh")
        self.mlp = Mlp(width, int(width * mlp_ratio), act_layer=gelu, drop=0)  # type: ignore[arg-type]
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(condition).unsqueeze(1).chunk(6, dim=2)
        x = x + gate_a * self.attention(self.norm1(x) * (1 + scale_a) + shift_a)
        return x + gate_m * self.mlp(self.norm2(x) * (1 + scale_m) + shift_m)


class TimmDiT(nn.Module):
    """A stack of TimmBlocks between the same ends as ours."""

    def __init__(self, options: DiTOptions, grid: Grid, channels: int, num_classes: int) -> None:
        super().__init__()
        self.patch_size, width = options.patch_size, options.width
        values = channels * options.patch_size**2
        self.patches_in = nn.Linear(values, width)
        self.positions = nn.Parameter(torch.randn(1, grid.tokens, width) * 0.02, requires_grad=False)
        self.time_features = FourierFeatures(256, scale=1000.0)
        self.time_embedding = mlp(256, width, width)
        self.class_embedding = nn.Embedding(num_classes + 1, width)
        self.blocks = nn.ModuleList(TimmBlock(width, options.heads, options.mlp_ratio) for _ in range(options.depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.patches_out = nn.Linear(width, values)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        grid = Grid(x.shape[2] // self.patch_size, x.shape[3] // self.patch_size)
        tokens = self.patches_in(patchify(x, self.patch_size)) + self.positions
        condition = self.time_embedding(self.time_features(t.unsqueeze(-1))) + self.class_embedding(labels)
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, dim=2)
        return unpatchify(self.patches_out(self.norm(tokens) * (1 + scale) + shift), grid, self.patch_size)


class DiffusersDiT(nn.Module):
    """diffusers' DiTTransformer2DModel, which knows square images only."""

    def __init__(self, options: DiTOptions, grid: Grid, channels: int, num_classes: int) -> None:
        super().__init__()
        self.model = DiTTransformer2DModel(
            num_attention_heads=options.heads,
            attention_head_dim=options.head_width,
            in_channels=channels,
            num_layers=options.depth,
            sample_size=grid.height * options.patch_size,
            patch_size=options.patch_size,
            num_embeds_ada_norm=num_classes,
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self.model(  # type: ignore[operator]
            x, (1000 * t).long(), labels, return_dict=False
        )[0]
        return out


class PlainTraining:
    """The usual loop around a peer: AdamW, moving average weight by weight, velocity loss; for equal work."""

    def __init__(self, model: nn.Module, precision: str, device: str) -> None:
        self.model, self.precision, self.device = model.to(device), precision, device
        self.average = [p.detach().clone() for p in model.parameters()]
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(self, x: Tensor, labels: Tensor) -> None:
        t = torch.sigmoid(torch.randn(len(x), device=self.device))
        eps = torch.randn_like(x)
        at = t.view(-1, 1, 1, 1)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            predicted = self.model((1 - at) * x + at * eps, t, labels)
        F.mse_loss(predicted.float(), eps - x).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for average, weight in zip(self.average, self.model.parameters(), strict=True):
                average.mul_(0.999).add_(weight, alpha=0.001)
