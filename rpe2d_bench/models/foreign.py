"""Weights in the layout of facebookresearch/DiT, willisma/SiT and whlzy/FiT, to and from those of this project's DiT.

The three repositories name what they share alike. What their code does otherwise is folded into the weights, so that
our DiT needs no word of it, and taken out again on the way back:
- the sin-cos table of SiT and DiT has the width's channels first: the halves of the residual stream change places;
- FiT rotates channels that stand side by side: the rows of q and k change places;
- their time runs otherwise: t = 1 is data in SiT and FiT, steps count 0..999 in DiT. A shifted or reversed time turns
  the pairs (cos, sin) of the time's features, and the first layer of their embedding turns with them;
- the velocity of SiT and FiT points from noise to data: the output changes its sign.
The variance that SiT and DiT can learn beside is dropped.

Shape suffixes: D width, F frequencies of the time's features. A tensor may be on the meta device: shapes alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rpe2d_bench.encodings import Grid
from rpe2d_bench.errors import UserError
from rpe2d_bench.models.dit import DiTOptions
from rpe2d_bench.models.foreign_sizes import TABLE, Weights, check_table, sizes_of, table
from rpe2d_bench.models.sizes import SIZES


@dataclass(frozen=True)
class Layout:
    """What a repository's code does with the tensors."""

    name: Literal["sit", "dit", "fit"]
    repository: str
    path: str  # that its published weights were trained along
    prediction: Literal["velocity", "noise"]
    time_scale: float  # of the time's features, of our t in [0, 1]
    first_time: float  # its time, in the unit of its frequencies, where ours is 0
    direction: Literal[1, -1]  # of its time by ours
    sign: Literal[1, -1]  # of its output by ours
    rotary: bool = False  # FiTv2 with its axial rotation; else a sin-cos table

    @property
    def names(self) -> Mapping[str, str]:
        """Theirs -> ours."""
        return _OF_FIT if self.rotary else _OF_DIT

    @property
    def encoding(self) -> dict[str, str]:
        """As an entry of `models` has it."""
        return {"kind": "axial_rope" if self.rotary else "axial_sincos"}


LAYOUTS = {
    "sit": Layout("sit", "willisma/SiT", "linear", "velocity", 1.0, 1.0, -1, -1),
    "dit": Layout("dit", "facebookresearch/DiT", "linear_betas", "noise", 1000.0, -1.0, 1, 1),
    "fit": Layout("fit", "whlzy/FiT", "linear", "velocity", 1.0, 1.0, -1, -1, rotary=True),
}
# Theirs, ours; [i] stands for the number of a block
_SHARED = {
    "x_embedder.proj": "patches_in",
    "t_embedder.mlp.0": "time_embedding.0",
    "t_embedder.mlp.2": "time_embedding.2",
    "y_embedder.embedding_table": "class_embedding",
    "blocks.[i].attn.qkv": "blocks.[i].qkv",
    "blocks.[i].attn.proj": "blocks.[i].projection",
    "blocks.[i].mlp.fc2": "blocks.[i].mlp_out",
    "final_layer.adaLN_modulation.1": "final_modulation",
    "final_layer.linear": "patches_out",
}
_OF_DIT = _SHARED | {
    "blocks.[i].mlp.fc1": "blocks.[i].mlp_in",
    "blocks.[i].adaLN_modulation.1": "blocks.[i].modulation",
}
_OF_FIT = _SHARED | {
    "blocks.[i].mlp.fc1_g": "blocks.[i].mlp_gate",
    "blocks.[i].mlp.fc1_x": "blocks.[i].mlp_in",
    "blocks.[i].adaLN_modulation.1": "blocks.[i].modulation.0",
    "blocks.[i].adaLN_modulation.2": "blocks.[i].modulation.1",
    "global_adaLN_modulation.1": "shared_modulation",
}
_OUT = ("patches_out.weight", "patches_out.bias")
_WRITES = ("patches_in", "projection", "mlp_out", "modulation", "final_modulation")  # rows are residual channels
_READS = ("qkv", "mlp_in", "patches_out")  # columns are


def from_layout(weights: Weights, layout: Layout, source: str) -> dict[str, Tensor]:
    """State of our DiT, float32, whose outputs are those of the repository's code, in our time and direction.

    Raises UserError naming the first tensor that the layout does not know.
    """
    sizes = sizes_of(weights, source)
    if sizes.fit != layout.rotary:
        raise UserError(
            f"{source} has the layers of {'FiTv2; write format: fit' if sizes.fit else 'SiT or DiT; write format: sit'}"
            f"{'' if sizes.fit else ', or dit'}"
        )
    check_table(weights, sizes, source)
    made: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name == TABLE and not layout.rotary:
            continue
        ours = _renamed(name, layout.names)
        if ours is None:
            raise UserError(f"{source} has {name!r}, which {layout.repository} does not know")
        made[ours] = value.float()
    if layout.rotary:
        made = _halves_of_heads(made, SIZES[sizes.preset(source).split("/")[0]][2], back=False)
    else:
        made["patches_in.weight"] = made["patches_in.weight"].flatten(1)
        for name in _OUT:  # [p, q, c] -> [c, p, q], without the learned variance
            planes = made[name].unflatten(0, (sizes.patch_size, sizes.patch_size, -1))[:, :, : sizes.channels]
            made[name] = planes.movedim(2, 0).flatten(0, 2)
        made = _swapped(made)
    return _turned(_signed(made, layout), layout, back=False)


def to_layout(weights: Weights, layout: Layout, grid: Grid, options: DiTOptions) -> dict[str, Tensor]:
    """The inverse of `from_layout` for a model trained at that grid; no variance is written (learn_sigma=False)."""
    ours = _turned(_signed(weights, layout), layout, back=True)
    if layout.rotary:
        ours = _halves_of_heads(ours, options.heads, back=True)
    else:
        ours, patch = _swapped(ours), options.patch_size
        ours["patches_in.weight"] = ours["patches_in.weight"].unflatten(1, (-1, patch, patch))
        for name in _OUT:
            ours[name] = ours[name].unflatten(0, (-1, patch, patch)).movedim(0, 2).flatten(0, 2)
    back = {ours: theirs for theirs, ours in layout.names.items()}
    made: dict[str, Tensor] = {}
    for name, value in ours.items():
        theirs = _renamed(name, back)
        if theirs is None:
            raise UserError(f"{name!r} has no place in the layout of {layout.repository}")
        made[theirs] = value.contiguous()
    if not layout.rotary:
        made[TABLE] = table(options.width, grid)[None].contiguous()
    return made


def _renamed(name: str, names: Mapping[str, str]) -> str | None:
    module, _, leaf = name.rpartition(".")
    number = re.match(r"blocks\.(\d+)\.", module)
    pattern = re.sub(r"^blocks\.\d+\.", "blocks.[i].", module)
    if pattern not in names or leaf not in ("weight", "bias"):
        return None
    return names[pattern].replace("[i]", number[1] if number else "") + "." + leaf


def _signed(weights: Weights, layout: Layout) -> dict[str, Tensor]:
    return {**weights, **{name: layout.sign * weights[name] for name in _OUT}}


def _halves_of_heads(weights: Weights, heads: int, *, back: bool) -> dict[str, Tensor]:
    """Rows of q and k in our order, channel i of a head turning with i + K / 2, where theirs turns 2 i with 2 i + 1."""
    made = dict(weights)
    for name, value in weights.items():
        if name.split(".")[-2] == "qkv":
            qk, v = value.tensor_split((2 * len(value) // 3,))
            pairs = qk.unflatten(0, (2 * heads, 2, -1) if back else (2 * heads, -1, 2))
            made[name] = torch.cat((pairs.transpose(1, 2).flatten(0, 2), v))
    return made


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
