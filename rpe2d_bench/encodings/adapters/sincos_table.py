"""SD3, PixArt and DiT: a sin-cos table that is added to the patches, width's channels first.

SD3 cuts the image's place out of the middle of one large table; PixArt and DiT squeeze every image into the range of
the trained one, which is interpolation. With our rules the trained image's step between tokens is kept, whatever the
size, so that `geometric` is extrapolation here, too, and `interpolated` gives PixArt's and DiT's own table. Around the
middle for SD3, as it was trained. Tables are as large as the image, so that SD3 makes images beyond its own.

diffusers' code runs: what is exchanged is the table it adds, for the time of the call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rpe2d_bench.encodings.adapters.rules import Clock, Rules, Spectrum, eager, over_grid
from rpe2d_bench.encodings.interface import Grid

TABLE = ("pos_embed", "pos_embed_max_size", "height", "width")  # what of a PatchEmbed a call sees otherwise


def spectrum(transformer: Any) -> Spectrum:
    pairs = transformer.pos_embed.pos_embed.shape[-1] // 4
    return Spectrum(10_000.0, (pairs, pairs))


def table(embed: Any, rules: Rules, seen: Spectrum, grid: Grid, t: Tensor | None) -> Tensor | None:
    """[1, N, D] float32 that a PatchEmbed adds under the rules; None where its own is that."""
    most = embed.pos_embed_max_size
    ctx = rules.context(grid, t)
    lines = rules.lines(ctx, seen)
    fits = max(grid.height, grid.width) <= most if most else grid == rules.train_grid
    if fits and not any(line.changed for line in lines):
        return None
    angles = []
    for axis, line in enumerate(lines):
        n = grid.axis(axis)
        trained = most or rules.train_grid.axis(axis)  # tokens that the model's base size stands for
        unit = embed.base_size / trained / embed.interpolation_scale
        # SD3's crop starts at (most - n) // 2: the middle of every image lies at one trained position.
        anchor, centre = (((most - n) // 2 + n / 2) * unit, n / 2) if most else (0.0, 0.0)
        angles.append(line.angles(unit, anchor, _middle(line.positions_N, centre)))
    rows_NF, columns_NF = over_grid(*angles)
    return torch.cat((columns_NF.sin(), columns_NF.cos(), rows_NF.sin(), rows_NF.cos()), dim=-1)[None].float()


def _middle(positions_N: Tensor, centre: float) -> float:
    """Where the image's middle is on the rule's positions; n / 2 on the grid's, which start at 0."""
    if not centre:
        return 0.0
    return float(positions_N[0] + (positions_N[-1] - positions_N[0]) * centre / max(1, len(positions_N) - 1))


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """Hooks that exchange the table while the patches are embedded.

    It is exchanged from the convolution on, which is called first: where weights are offloaded module by module, what
    was put in before would be filled over with the table of the file.
    """
    embed, seen = transformer.pos_embed, spectrum(transformer)
    own: dict[str, Any] = {}

    def exchange(_projection: Any, args: tuple[Any, ...]) -> None:
        sides = tuple(args[0].shape[-2:])
        tokens = tuple(side // embed.patch_size for side in sides)
        ours = table(embed, rules, seen, Grid(*tokens), clock.t)
        if ours is None:
            return
        own.update({name: getattr(embed, name) for name in TABLE})
        embed.pos_embed = ours.to(args[0].device, own["pos_embed"].dtype)
        # Its forward has counted pixels where it would have cut, else tokens, and is to find the table's size the same
        embed.height, embed.width = sides if own["pos_embed_max_size"] else tokens
        embed.pos_embed_max_size = None

    def put_back(module: Any, _args: Any, _out: Any) -> None:
        if own:
            own["pos_embed"] = own["pos_embed"].to(module.pos_embed.device)  # meta where it was offloaded meanwhile
        for name, value in own.items():
            setattr(module, name, value)
        own.clear()

    return [
        transformer.register_forward_pre_hook(eager(clock.remember), with_kwargs=True),
        embed.proj.register_forward_pre_hook(eager(exchange)),
        embed.register_forward_hook(eager(put_back), always_call=True),
    ]
