"""Flux 2: ids of four axes (time, row, column, place in the text), image and text turned by two calls.

The image follows the rules in its rows and columns; text keeps the model's frequencies.
Reference images are the image's neighbours in time and follow its rules.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rpe2d_bench.encodings.adapters import flux
from rpe2d_bench.encodings.adapters.rules import CPU, Clock, Rules, arguments, eager, spectrum_of
from rpe2d_bench.encodings.adapters.token_ids import Raster, image_of


def install(transformer: Any, rules: Rules, clock: Clock) -> list[Any]:
    """Hooks that turn the image by the rules."""
    seen = spectrum_of(transformer)
    image: list[Raster] = []

    def remember(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = arguments(module, args, kwargs)
        clock.read(given.get("timestep"))
        ids = given["img_ids"]
        image[:] = [image_of((ids[0] if ids.ndim == 3 else ids)[:, :3].detach().to(CPU).double(), text=0)]

    def turned(module: Any, args: tuple[Any, ...], out: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        ctx = rules.context(image[0].grid, clock.t)
        ids_S4 = args[0].detach().to(CPU).double()
        if bool(ids_S4[:, 1:3].any()):  # text lies in row 0 and column 0
            out = flux.turned(*out, module.axes_dim, ids_S4, image[0], rules.lines(ctx, seen))
        return flux.scaled(*out, rules.root(ctx))

    return [
        transformer.register_forward_pre_hook(eager(remember), with_kwargs=True),
        transformer.pos_embed.register_forward_hook(eager(turned)),
    ]
