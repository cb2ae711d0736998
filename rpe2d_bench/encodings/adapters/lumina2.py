"""Lumina 2: one sequence of text and image per entry of the batch, complex rotations; its timestep is 1 at data."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rpe2d_bench.encodings.adapters.rules import (
    Clock,
    Rules,
    complex_turns,
    eager,
    over_grid,
    spectrum_of,
)
from rpe2d_bench.encodings.interface import Grid


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """Hooks that turn the image by the rules."""
    seen = spectrum_of(transformer)

    def turned(module: Any, args: tuple[Any, ...], out: tuple[Any, ...]) -> tuple[Any, ...]:
        height, width = (side // module.patch_size for side in args[0].shape[-2:])
        ctx = rules.context(Grid(height, width), clock.t)
        lines, root = rules.lines(ctx, seen), rules.root(ctx)
        patches, text_BSF, image_BNF, joint_BSF, text_lengths, lengths = out
        first = module.axes_dim[0] // 2
        for line, angles_NF in zip(lines, over_grid(*(line.angles() for line in lines)), strict=True):
            pairs = angles_NF.shape[-1]
            if line.changed:
                image_BNF, joint_BSF = image_BNF.clone(), joint_BSF.clone()
                turns_NF: Tensor = complex_turns(angles_NF).to(image_BNF.device)
                image_BNF[..., first : first + pairs] = turns_NF
                for entry, (start, end) in enumerate(zip(text_lengths, lengths, strict=True)):
                    joint_BSF[entry, start:end, first : first + pairs] = turns_NF
            first += pairs
        if root != 1:
            text_BSF, image_BNF, joint_BSF = (part * root for part in (text_BSF, image_BNF, joint_BSF))
        return patches, text_BSF, image_BNF, joint_BSF, text_lengths, lengths

    return [
        transformer.register_forward_pre_hook(eager(clock.remember), with_kwargs=True),
        transformer.rope_embedder.register_forward_hook(eager(turned)),
    ]
