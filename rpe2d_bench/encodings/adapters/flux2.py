"""Flux 2: ids of four axes (time, row, column, place in the text), image and text turned by two calls.

The image follows the rules in its rows and columns; text keeps the model's frequencies.
Reference images are the image's neighbours in time and follow its rules.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rpe2d_bench.encodings.adapters.rules import (
    CPU,
    Clock,
    Rules,
    Spectrum,
    arguments,
    eager,
    interleaved_turns,
    spectrum_of,
)
from rpe2d_bench.encodings.adapters.token_ids import Raster, image_of


def spectrum(transformer: Any) -> Spectrum:
    return spectrum_of(transformer.pos_embed)


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """Hooks that turn the image by the rules."""
    seen = spectrum(transformer)
    image: list[Raster] = []

    def remember(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = arguments(module, args, kwargs)
        clock.read(given.get("timestep"))
        ids = given["img_ids"]
        image[:] = [image_of((ids[0] if ids.ndim == 3 else ids)[:, :3].detach().to(CPU).double(), text=0)]

    def turned(module: Any, args: tuple[Any, ...], out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        ctx = rules.context(image[0].grid, clock.t)
        lines, root = rules.lines(ctx, seen), rules.root(ctx)
        cos_SK, sin_SK = out
        ids_S4 = args[0].detach().to(CPU).double()
        if bool(ids_S4[:, 1:3].any()):  # text lies in row 0 and column 0
            start = module.axes_dim[0]
            for axis, (line, along) in enumerate(zip(lines, (image[0].rows, image[0].columns), strict=True)):
                width = module.axes_dim[axis + 1]
                if line.changed:
                    places_S = line.at(along.places(ids_S4[:, axis + 1]))
                    angles_SF = along.first * line.own_F + along.step * places_S[:, None] * line.frequencies_F
                    cos_SK, sin_SK = cos_SK.clone(), sin_SK.clone()
                    for whole, part in zip((cos_SK, sin_SK), interleaved_turns(angles_SF), strict=True):
                        whole[:, start : start + width] = part.to(whole.device)
                start += width
        return (cos_SK, sin_SK) if root == 1 else (cos_SK * root, sin_SK * root)

    return [
        transformer.register_forward_pre_hook(eager(remember), with_kwargs=True),
        transformer.pos_embed.register_forward_hook(eager(turned)),
    ]
