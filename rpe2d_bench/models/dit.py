"""Diffusion transformer with adaLN-Zero (Peebles and Xie 2023, arXiv 2212.09748), for any grid at forward time.

FiTv2 (arXiv 2410.13925) is the same transformer with three options: a gated MLP (SwiGLU), q and k normalised per head,
and one modulation shared by all blocks, to which each adds one of low rank.

The model consumes an Encoding and knows no method by name. What the Encoding asks for is applied once per forward
pass: the logit scale is folded into the rotation of q and a bias is laid out or handed to the kernel, so that
attention itself stays a stock fused kernel.

Shape suffixes: B batch, C channels, Y X pixels, N tokens (row-major, height first), D width, M = 6 D, H heads, K head
width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rpe2d_bench.encodings.interface import Encoding, Grid
from rpe2d_bench.models.attention import PackedProjection, Rotation, attend, rotation_of
from rpe2d_bench.models.pair_logits import Pairs, by_layer, lower_right_mask
from rpe2d_bench.models.stem import DilatedConv


@dataclass(frozen=True)
class DiTOptions:
    """Shape of a transformer; the presets of models/sizes.py are instances."""

    width: int
    depth: int
    heads: int
    patch_size: int
    mlp_ratio: float = 4.0
    gelu: Literal["tanh", "none"] = "tanh"  # approximation, as torch names it; none is 5x faster on CPUs, 5e-4 apart
    scan: Literal["none", "alternate"] = "none"  # alternate: every second block attends causally (LEDiT)
    stem: Literal["none", "dilated_conv"] = "none"  # dilated_conv: 3x3 convolution after patchify (LEDiT)
    time_scale: float = 1000.0  # t in [0, 1] at the scale of the 1,000 steps that DiT's frequencies were made for
    swiglu: bool = False  # silu(gate) * value in place of GELU, at two thirds of the hidden width: as many weights
    qk_norm: bool = False  # q and k of each head at mean 0 and variance 1, without weights
    modulation_rank: int | None = None  # of a block's own modulation, added to one that all blocks share; None: its own

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def hidden_width(self) -> int:
        """Of the MLP."""
        hidden = int(self.width * self.mlp_ratio)
        return hidden * 2 // 3 if self.swiglu else hidden


class FourierFeatures(nn.Module):
    """Cosines and sines of numbers at geometrically spaced frequencies, concatenated, not summed, over the numbers."""

    frequencies: Tensor

    def __init__(self, num_features: int, *, scale: float, max_period: float = 10_000.0) -> None:
        super().__init__()
        # On the CPU also where a model is only counted: arange on the meta device imports seconds of torch's compiler.
        exponents = torch.arange(num_features // 2, dtype=torch.float32, device="cpu") / (num_features // 2)
        frequencies = (scale * max_period**-exponents).to(torch.get_default_device())
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., n] -> [..., n * num_features], float32 whatever the autocast."""
        angles = x.float().unsqueeze(-1) * self.frequencies
        return torch.cat((angles.cos(), angles.sin()), dim=-1).flatten(start_dim=-2)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The two-layer embedder of every condition."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


def modulate(x_BND: Tensor, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    """adaLN's affine map: layer norm without parameters, then scale and shift from the condition."""
    return F.layer_norm(x_BND, x_BND.shape[-1:], eps=1e-6) * (1 + scale_BD.unsqueeze(1)) + shift_BD.unsqueeze(1)


def gated(x_BND: Tensor, gate_BD: Tensor, branch_BND: Tensor) -> Tensor:
    """adaLN-Zero's residual x + gate * branch, in one pass over memory."""
    return torch.addcmul(x_BND, gate_BD.unsqueeze(1), branch_BND)


class Block(nn.Module):
    """Attention and MLP, each modulated and gated by the condition (adaLN-Zero)."""

    def __init__(self, options: DiTOptions) -> None:
        super().__init__()
        width, hidden = options.width, options.hidden_width
        self.heads, self.gelu = options.heads, options.gelu
        self.qkv = PackedProjection(width, options.heads, options.qk_norm)
        self.projection = nn.Linear(width, width)
        self.mlp_gate = nn.Linear(width, hidden) if options.swiglu else None
        self.mlp_in = nn.Linear(width, hidden)
        self.mlp_out = nn.Linear(hidden, width)
        rank = options.modulation_rank
        self.modulation: nn.Module = nn.Linear(width, 6 * width)
        if rank is not None:
            self.modulation = nn.Sequential(nn.Linear(width, rank), nn.Linear(rank, 6 * width))

    def forward(
        self,
        x_BND: Tensor,
        condition_BD: Tensor,
        rotation: Rotation,
        pairs: Pairs | None,
        shared_BM: Tensor | None = None,
    ) -> Tensor:
        """shared_BM [B, 6 D]: the modulation of all blocks."""
        modulation_BM = self.modulation(condition_BD)
        if shared_BM is not None:
            modulation_BM = modulation_BM + shared_BM
        # [B, D] each, of the attention and of the MLP
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation_BM.chunk(6, dim=1)
        qkv_BNE = self.qkv(modulate(x_BND, shift_a, scale_a), rotation.side_by_side)
        attended_BND = attend(qkv_BNE, self.heads, rotation, pairs)
        x_BND = gated(x_BND, gate_a, self.projection(attended_BND))
        out_BND: Tensor = gated(x_BND, gate_m, self.mlp_out(self.hidden(modulate(x_BND, shift_m, scale_m))))
        return out_BND

    def hidden(self, x_BND: Tensor) -> Tensor:
        """The MLP's hidden layer."""
        value = self.mlp_in(x_BND)
        return F.gelu(value, approximate=self.gelu) if self.mlp_gate is None else F.silu(self.mlp_gate(x_BND)) * value


class DiT(nn.Module):
    """What a model gives of a noised image, by time, class, encoding and (if trained with crops) the crop."""

    def __init__(
        self, options: DiTOptions, *, channels: int, num_classes: int, micro_conditioning: bool = False
    ) -> None:
        super().__init__()
        if options.width % (4 * options.heads):
            raise ValueError(f"width {options.width} is not a multiple of 4 x {options.heads} heads (two rotated axes)")
        self.options, self.channels, self.num_classes = options, channels, num_classes
        width, patch_values = options.width, channels * options.patch_size**2
        self.patches_in = nn.Linear(patch_values, width)
        self.stem = DilatedConv(width) if options.stem == "dilated_conv" else None
        self.time_features = FourierFeatures(256, scale=options.time_scale)
        self.time_embedding = mlp(256, width, width)
        self.class_embedding = nn.Embedding(num_classes + 1, width)  # the last row is "no class", for guidance
        self.crop_features = FourierFeatures(32, scale=2 * math.pi * 8, max_period=64.0)
        self.crop_embedding = mlp(3 * 32, width, width) if micro_conditioning else None
        self.shared_modulation = None if options.modulation_rank is None else nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.depth))
        self.final_modulation = nn.Linear(width, 2 * width)
        self.patches_out = nn.Linear(width, patch_values)
        self.initialize()

    def initialize(self) -> None:
        """Initial weights of DiT: Xavier for matrices, 0.02 for embeddings, zero for every gate and for the output.

        Of a modulation of low rank the last matrix is zero: with both at zero none would ever learn.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                if ("modulation" in name and not name.endswith("modulation.0")) or name == "patches_out":
                    nn.init.zeros_(module.weight)
                elif "embedding" in name:
                    nn.init.normal_(module.weight, std=0.02)
                else:
                    nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.class_embedding.weight, std=0.02)

    @property
    def no_class(self) -> int:
        """The label that means "no class"."""
        return self.num_classes

    def grid(self, x_BCYX: Tensor) -> Grid:
        """Tokens of an image."""
        return Grid(x_BCYX.shape[-2] // self.options.patch_size, x_BCYX.shape[-1] // self.options.patch_size)

    def condition(self, t_B: Tensor, labels_B: Tensor, crop_B3: Tensor | None) -> Tensor:
        """Condition vector [B, D] from time, class and crop; no crop means the complete image, (0, 0, 0)."""
        condition_BD: Tensor = self.time_embedding(self.time_features(t_B.unsqueeze(-1)))
        condition_BD = condition_BD + self.class_embedding(labels_B)
        if self.crop_embedding is not None:
            crop_B3 = t_B.new_zeros(1, 3) if crop_B3 is None else crop_B3
            condition_BD = condition_BD + self.crop_embedding(self.crop_features(crop_B3))
        return condition_BD

    def forward(
        self,
        x_BCYX: Tensor,
        t_B: Tensor,
        labels_B: Tensor,
        encoding: Encoding,
        crop_B3: Tensor | None = None,
        dilation: int = 1,
    ) -> Tensor:
        """The prediction, shaped as the image; its sides are multiples of the patch. dilation is the stem's."""
        grid = self.grid(x_BCYX)
        x_BND = self.patches_in(patchify(x_BCYX, self.options.patch_size))
        if self.stem is not None:
            x_BND = self.stem(x_BND, grid, dilation)
        if encoding.additive_BND is not None:
            x_BND = x_BND + encoding.additive_BND.to(x_BND.dtype)
        condition_BD = F.silu(self.condition(t_B, labels_B, crop_B3))
        rotation = rotation_of(encoding, self.options.heads, self.options.head_width, x_BND)
        shared_BM = None if self.shared_modulation is None else self.shared_modulation(condition_BD)
        causal_NN = lower_right_mask(grid, x_BCYX.device) if self.options.scan == "alternate" else None
        for block, pairs in zip(self.blocks, by_layer(encoding, len(self.blocks), causal_NN, x_BND), strict=True):
            x_BND = block(x_BND, condition_BD, rotation, pairs, shared_BM)
        shift_BD, scale_BD = self.final_modulation(condition_BD).chunk(2, dim=1)
        return unpatchify(self.patches_out(modulate(x_BND, shift_BD, scale_BD)), grid, self.options.patch_size)


def patchify(x_BCYX: Tensor, patch_size: int) -> Tensor:
    """[B, C, Y, X] -> [B, N, C * patch_size**2], tokens row-major, height first."""
    return F.pixel_unshuffle(x_BCYX, patch_size).flatten(2).transpose(1, 2)


def unpatchify(tokens_BNP: Tensor, grid: Grid, patch_size: int) -> Tensor:
    """The inverse of patchify."""
    planes = tokens_BNP.transpose(1, 2).unflatten(2, (grid.height, grid.width))
    return F.pixel_shuffle(planes, patch_size)
