"""Weights in the layout of facebookresearch/DiT and willisma/SiT, to and from those of this project's DiT.

Both repositories name the same transformer alike. What their code does otherwise is folded into the weights, so that
our DiT needs no word of it, and taken out again on the way back:
- their sin-cos table has the width's channels first: the halves of the residual stream change places;
- their time runs otherwise: t = 1 is data in SiT, steps count 0..999 in DiT. A shifted or reversed time turns the pairs
  (cos, sin) of the time's features, and the first layer of their embedding turns with them;
- SiT's velocity points from noise to data: the output changes its sign.
The variance that both can learn beside is dropped.

Shape suffixes: D width, F frequencies of the time's features. A tensor may be on the meta device: shapes alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings import AxialSinCos, Context, Grid
from rpe2d_bench.errors import UserError

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """What a repository's code does with the tensors."""

    name: Literal["sit", "dit"]
    repository: str
    path: str  # that its published weights were trained along
    prediction: Literal["velocity", "noise"]
    time_scale: float  # of the time's features, of our t in [0, 1]
    first_time: float  # its time, in the unit of its frequencies, where ours is 0
    direction: Literal[1, -1]  # of its time by ours
    sign: Literal[1, -1]  # of its output by ours


LAYOUTS = {
    "sit": Layout("sit", "willisma/SiT", "linear", "velocity", 1.0, 1.0, -1, -1),
    "dit": Layout("dit", "facebookresearch/DiT", "linear_betas", "noise", 1000.0, -1.0, 1, 1),
}
TABLE = "pos_embed"
# Theirs, ours; [i] stands for the number of a block
_NAMES = {
    "x_embedder.proj": "patches_in",
    "t_embedder.mlp.0": "time_embedding.0",
    "t_embedder.mlp.2": "time_embedding.2",
    "y_embedder.embedding_table": "class_embedding",
    "blocks.[i].attn.qkv": "blocks.[i].qkv",
    "blocks.[i].attn.proj": "blocks.[i].projection",
    "blocks.[i].mlp.fc1": "blocks.[i].mlp_in",
    "blocks.[i].mlp.fc2": "blocks.[i].mlp_out",
    "blocks.[i].adaLN_modulation.1": "blocks.[i].modulation",
    "final_layer.adaLN_modulation.1": "final_modulation",
    "final_layer.linear": "patches_out",
}
_BACK = {ours: theirs for theirs, ours in _NAMES.items()}
_WRITES = ("patches_in", "projection", "mlp_out", "modulation", "final_modulation")  # rows are residual channels
_READS = ("qkv", "mlp_in", "patches_out")  # columns are


@dataclass(frozen=True)
class Sizes:
    """What the tensors alone say."""

    width: int
    depth: int
    patch_size: int
    channels: int
    num_classes: int  # without the row of "no class"
    grid: Grid | None  # trained at; None where the file holds no table


def sizes_of(weights: Weights, source: str) -> Sizes:
    """The architecture of weights in that layout. Raises UserError where they are of another."""
    needed = ("x_embedder.proj.weight", "y_embedder.embedding_table.weight", "final_layer.linear.weight")
    if missing := next((name for name in needed if name not in weights), None):
        raise UserError(f"{source} lacks {missing!r}: {_what(weights)}")
    first = weights["x_embedder.proj.weight"]
    if first.ndim != 4 or any("attn.q_norm" in name or "mlp.fc3" in name or "fc1_g" in name for name in weights):
        raise UserError(f"{source} has the layers of FiT or another successor; supported are sit and dit")
    depth = 1 + max((int(name.split(".")[1]) for name in weights if re.match(r"blocks\.\d+\.", name)), default=-1)
    grid = None
    if TABLE in weights:
        side = math.isqrt(weights[TABLE].shape[-2])
        if side**2 != weights[TABLE].shape[-2]:
            raise UserError(f"{source}: {TABLE} has {weights[TABLE].shape[-2]} positions, which is no square grid")
        grid = Grid(side, side)
    width, channels, patch = first.shape[0], first.shape[1], first.shape[2]
    return Sizes(width, depth, patch, channels, weights["y_embedder.embedding_table.weight"].shape[0] - 1, grid)


def _what(weights: Weights) -> str:
    """What weights seem to be that are in neither layout."""
    if any(name.removeprefix("dit.").startswith("patches_in.") for name in weights):
        return "these are weights of this project; write format: ours"
    if any(name.startswith("transformer_blocks.") for name in weights):
        return "these look like a transformer of diffusers, which is not supported here; sit and dit are"
    return "these are no weights of SiT or DiT"


def check_table(weights: Weights, sizes: Sizes, source: str) -> None:
    """Raises UserError where the file's positions are not the fixed table that is recomputed at every grid."""
    if sizes.grid is None or weights[TABLE].is_meta:
        return
    table_ND = weights[TABLE][0].float()
    apart = float((table_ND - _table(sizes.width, sizes.grid)).abs().max())
    if not apart < 1e-3:  # float16 files round to 5e-4
        raise UserError(
            f"{source}: {TABLE} is up to {apart:.2g} away from the sin-cos table of {sizes.grid} tokens, width first; "
            "a learned or other table cannot be continued at other grids"
        )


def from_layout(weights: Weights, layout: Layout, source: str) -> dict[str, Tensor]:
    """State of our DiT, float32, whose outputs are those of the repository's code, in our time and direction.

    Raises UserError naming the first tensor that the layout does not know.
    """
    sizes = sizes_of(weights, source)
    check_table(weights, sizes, source)
    made: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name == TABLE:
            continue
        ours = _renamed(name, _NAMES)
        if ours is None:
            raise UserError(f"{source} has {name!r}, which {layout.repository} does not know")
        value = value.float()
        if name == "x_embedder.proj.weight":
            value = value.flatten(1)
        if name.startswith("final_layer.linear."):  # [p, q, c] -> [c, p, q], without the learned variance
            planes = value.unflatten(0, (sizes.patch_size, sizes.patch_size, -1))[:, :, : sizes.channels]
            value = layout.sign * planes.movedim(2, 0).flatten(0, 2)
        made[ours] = value
    return _turned(_swapped(made), layout, back=False)


def to_layout(weights: Weights, layout: Layout, grid: Grid, patch_size: int) -> dict[str, Tensor]:
    """The inverse of `from_layout` for a model trained at that grid; no variance is written (learn_sigma=False)."""
    made: dict[str, Tensor] = {}
    for name, value in _turned(_swapped(weights), layout, back=True).items():
        theirs = _renamed(name, _BACK)
        if theirs is None:
            raise UserError(f"{name!r} has no place in the layout of {layout.repository}")
        if theirs == "x_embedder.proj.weight":
            value = value.unflatten(1, (-1, patch_size, patch_size))
        if theirs.startswith("final_layer.linear."):
            value = layout.sign * value.unflatten(0, (-1, patch_size, patch_size)).movedim(0, 2).flatten(0, 2)
        made[theirs] = value.contiguous()
    made[TABLE] = _table(made["x_embedder.proj.bias"].shape[0], grid)[None].contiguous()
    return made


def _renamed(name: str, names: Mapping[str, str]) -> str | None:
    module, _, leaf = name.rpartition(".")
    number = re.match(r"blocks\.(\d+)\.", module)
    pattern = re.sub(r"^blocks\.\d+\.", "blocks.[i].", module)
    if pattern not in names or leaf not in ("weight", "bias"):
        return None
    return names[pattern].replace("[i]", number[1] if number else "") + "." + leaf


def _swapped(weights: Weights) -> dict[str, Tensor]:
    """The same model with the halves of its residual stream exchanged; its own inverse."""

    def halves(value: Tensor, dim: int, chunks: int = 1) -> Tensor:
        swapped: Tensor = value.unflatten(dim, (chunks, 2, -1)).flip(dim + 1).flatten(dim, dim + 2)
        return swapped

    made = dict(weights)
    for name, value in weights.items():
        module, leaf = name.split(".")[-2:]
        if module in _WRITES:
            made[name] = halves(value, 0, {"modulation": 6, "final_modulation": 2}.get(module, 1))
        elif module in _READS and leaf == "weight":
            made[name] = halves(value, 1)
    return made


def _turned(weights: Weights, layout: Layout, *, back: bool) -> dict[str, Tensor]:
    """The first layer of the time's embedding for the other's clock.

    Theirs sees a + b u where ours sees u, in units of the frequency f:
    cos(af + b uf) = cos af cos uf - b sin af sin uf, sin(af + b uf) = sin af cos uf + b cos af sin uf.
    The turn is orthogonal, so that its transpose is the way back.
    """
    name = "time_embedding.0.weight"
    cos_DF, sin_DF = weights[name].double().chunk(2, dim=1)
    F = cos_DF.shape[1]
    turn_F = layout.first_time * 10_000.0 ** (-torch.arange(F, dtype=torch.float64, device=cos_DF.device) / F)
    c, s, b = turn_F.cos(), turn_F.sin(), layout.direction
    if back:
        first, second = cos_DF * c - b * sin_DF * s, cos_DF * s + b * sin_DF * c
    else:
        first, second = cos_DF * c + sin_DF * s, b * (sin_DF * c - cos_DF * s)
    return {**weights, name: torch.cat((first, second), dim=1).float()}


def _table(width: int, grid: Grid) -> Tensor:
    """[N, D] of their code: the width's channels first."""
    additive = AxialSinCos(width)(Context(grid, grid)).additive_BND
    assert additive is not None
    return torch.cat(additive[0].chunk(2, dim=-1)[::-1], dim=-1)
