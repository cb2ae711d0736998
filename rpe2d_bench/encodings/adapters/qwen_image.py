"""Qwen-Image: rows and columns counted from the middle, complex rotations, text behind the image on all axes.

The middle stays where it was trained. Reference images of editing pipelines keep their own rotations.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rpe2d_bench.encodings.adapters.rules import (
    Clock,
    Rules,
    arguments,
    complex_turns,
    eager,
    over_grid,
    spectrum_of,
)
from rpe2d_bench.encodings.interface import Grid
from rpe2d_bench.errors import UserError


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """Hooks that turn the image by the rules; raises UserError for layers of images."""
    if type(transformer.pos_embed).__name__ != "QwenEmbedRope":
        raise UserError(
            "Qwen-Image with layers of images turns them by axes of its own; only single images are supported"
        )
    seen = spectrum_of(transformer)

    def turned(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        shapes = arguments(module, args, kwargs)["video_fhw"]
        while isinstance(shapes[0], list | tuple):
            shapes = shapes[0]  # the first image of the first entry is the one that is made
        frames, height, width = (int(side) for side in shapes)
        ctx = rules.context(Grid(height, width), clock.t)
        rows, columns = rules.lines(ctx, seen)
        root = rules.root(ctx)
        image_SF, text_SF = out
        first, tokens = module.axes_dim[0] // 2, frames * height * width
        middle = (height - height // 2, width - width // 2) if module.scale_rope else (0, 0)
        angles = over_grid(rows.angles(centre=middle[0]), columns.angles(centre=middle[1]))
        for line, angles_NF in zip((rows, columns), angles, strict=True):
            pairs = angles_NF.shape[-1]
            if line.changed:
                image_SF = image_SF.clone()
                turns_NF = complex_turns(angles_NF).to(image_SF.device)
                image_SF[:tokens, first : first + pairs] = turns_NF.repeat(frames, 1)
            first += pairs
        return (image_SF, text_SF) if root == 1 else (image_SF * root, text_SF * root)

    return [
        transformer.register_forward_pre_hook(eager(clock.remember), with_kwargs=True),
        transformer.pos_embed.register_forward_hook(eager(turned), with_kwargs=True),
    ]
