"""What weights in the layout of SiT, DiT or FiTv2 say of themselves by the names and shapes of their tensors.

Shape suffixes: N tokens, D width. A tensor may be on the meta device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rpe2d_bench.encodings import AxialSinCos, Context, Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.sizes import SIZES, preset_of

Weights = Mapping[str, Tensor]
TABLE = "pos_embed"


@dataclass(frozen=True)
class Sizes:
    """What the tensors alone say."""

    width: int
    depth: int
    patch_size: int
    channels: int
    num_classes: int  # without the row of "no class"
    grid: Grid | None  # trained at; None where the file holds no table
    fit: bool = False  # the layers of FiTv2

    def preset(self, source: str) -> str:
        """NAME/PATCH. Raises UserError for a size without a name here: tensors do not say the number of heads."""
        name = preset_of(self.width, self.depth, fit=self.fit)
        if name is None:
            known = ", ".join(f"{name} {width}x{depth}" for name, (width, depth, _) in SIZES.items())
            raise UserError(
                f"{source} has the width {self.width} and {self.depth} blocks, a size without a preset, and "
                f"weights do not say the number of heads; presets: {known}"
            )
        return f"{name}/{self.patch_size}"


def sizes_of(weights: Weights, source: str) -> Sizes:
    """The architecture of weights in one of the layouts. Raises UserError where they are of another."""
    needed = ("x_embedder.proj.weight", "y_embedder.embedding_table.weight", "final_layer.linear.weight")
    if missing := next((name for name in needed if name not in weights), None):
        raise UserError(f"{source} lacks {missing!r}: {_what(weights)}")
    first = weights["x_embedder.proj.weight"]
    depth = 1 + max((int(name.split(".")[1]) for name in weights if re.match(r"blocks\.\d+\.", name)), default=-1)
    classes = weights["y_embedder.embedding_table.weight"].shape[0] - 1
    if first.ndim == 2 and "global_adaLN_modulation.1.weight" in weights:
        if first.shape[1] % 4:
            raise UserError(f"{source} has patches of {first.shape[1]} numbers; FiT's are 2x2, a multiple of 4")
        return Sizes(first.shape[0], depth, 2, first.shape[1] // 4, classes, None, fit=True)
    if first.ndim != 4 or any("attn.q_norm" in name or "mlp.fc3" in name or "fc1_g" in name for name in weights):
        raise UserError(
            f"{source} has the layers of FiTv1 or another successor of DiT; supported are SiT, DiT and FiTv2 (FiTv1 is "
            "not, because its released code feeds the network a time of 1 at every step)"
        )
    grid = None
    if TABLE in weights:
        side = math.isqrt(weights[TABLE].shape[-2])
        if side**2 != weights[TABLE].shape[-2]:
            raise UserError(f"{source}: {TABLE} has {weights[TABLE].shape[-2]} positions, which is no square grid")
        grid = Grid(side, side)
    return Sizes(first.shape[0], depth, first.shape[2], first.shape[1], classes, grid)


def _what(weights: Weights) -> str:
    """What weights seem to be that are in no such layout."""
    if any(name.removeprefix("dit.").startswith("patches_in.") for name in weights):
        return "these are weights of this project; write format: ours"
    if any(name.startswith("transformer_blocks.") for name in weights):
        return "these look like a transformer of diffusers, which is not supported here; sit, dit and fit are"
    return "these are no weights of SiT, DiT or FiT"


def check_table(weights: Weights, sizes: Sizes, source: str) -> None:
    """Raises UserError where the file's positions are not the fixed table that is recomputed at every grid."""
    if sizes.grid is None or weights[TABLE].is_meta:
        return
    table_ND = weights[TABLE][0].float()
    apart = float((table_ND - table(sizes.width, sizes.grid)).abs().max())
    if not apart < 1e-3:  # float16 files round to 5e-4
        raise UserError(
            f"{source}: {TABLE} is up to {apart:.2g} away from the sin-cos table of {sizes.grid} tokens, width first; "
            "a learned or other table cannot be continued at other grids"
        )


def table(width: int, grid: Grid) -> Tensor:
    """[N, D] of SiT's and DiT's code: the width's channels first."""
    additive = AxialSinCos(width)(Context(grid, grid)).additive_BND
    assert additive is not None
    return torch.cat(additive[0].chunk(2, dim=-1)[::-1], dim=-1)
