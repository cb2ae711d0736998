"""HunyuanDiT: its pipeline makes the rotations and squeezes every image into 32 positions, which is interpolation.

With our rules the trained image's step between tokens is kept. Text is not turned, so only distances between image
tokens count, and where the first of them lies does not.
"""

from __future__ import annotations

from typing import Any

import torch

from rpe2d_bench.encodings.adapters.rules import Clock, Rules, Spectrum, arguments, eager, interleaved_turns, over_grid
from rpe2d_bench.encodings.interface import Grid

BASE = 32  # positions along the longer side of every image: 512 px in diffusers' pipeline, 16 px a token


def spectrum(transformer: Any) -> Spectrum:
    pairs = transformer.inner_dim // transformer.num_heads // 4
    return Spectrum(10_000.0, (pairs, pairs))


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """A hook that exchanges the rotations that the transformer is called with."""
    seen = spectrum(transformer)
    unit = BASE / max(rules.train_grid.height, rules.train_grid.width)

    def exchange(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]] | None:
        given = arguments(module, args, kwargs)
        clock.read(given.get("timestep"))
        patch = module.config.patch_size
        grid = Grid(*(side // patch for side in given["hidden_states"].shape[-2:]))
        ctx = rules.context(grid, clock.t)
        lines, root = rules.lines(ctx, seen), rules.root(ctx)
        turns = given["image_rotary_emb"]
        if grid != rules.train_grid or any(line.changed for line in lines):
            # The width's channels come first, as get_2d_rotary_pos_embed has them.
            rows_NF, columns_NF = over_grid(*(line.angles(unit) for line in lines))
            turns = interleaved_turns(torch.cat((columns_NF, rows_NF), dim=-1))
        elif root == 1:
            return None
        device = given["hidden_states"].device
        return (), {**given, "image_rotary_emb": tuple((part * root).to(device) for part in turns)}

    return [transformer.register_forward_pre_hook(eager(exchange), with_kwargs=True)]
