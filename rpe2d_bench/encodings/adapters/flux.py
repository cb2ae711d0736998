"""Flux and its kin: one rotary embedding for the joint sequence of text and image, called with ids.

What a rule leaves alone stays the model's own, bit for bit: its rotary embedding runs as it is, and only the channels
of an axis that the rules change are computed anew.

Shape suffixes: S tokens of the joint sequence (text, then image), N tokens and F pairs of one axis, K channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.adapters.rules import (
    CPU,
    Clock,
    Line,
    Replaced,
    Rules,
    Spectrum,
    arguments,
    eager,
    interleaved_turns,
)
from rpe2d_bench.encodings.adapters.token_ids import Raster, image_of
from rpe2d_bench.encodings.frequencies import geometric
from rpe2d_bench.encodings.interface import Grid


class PlainRotary(nn.Module):
    """Cosines and sines of ids as Flux makes them, for a rotary embedding without a model."""

    def __init__(self, theta: float, axes_dim: tuple[int, int, int]) -> None:
        super().__init__()
        self.theta, self.axes_dim = theta, axes_dim

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        places_S3 = ids.detach().float().to(CPU)
        angles = [
            places_S3[:, axis, None].double() * geometric(width // 2, self.theta, CPU)
            for axis, width in enumerate(self.axes_dim)
        ]
        cos_SK, sin_SK = interleaved_turns(torch.cat(angles, dim=-1))
        return cos_SK.to(ids.device), sin_SK.to(ids.device)


class FluxRotary(nn.Module):
    """In place of diffusers' FluxPosEmbed: token ids [S, 3] (index, row, column) -> cos and sin, [S, head_width].

    The grid is how many tokens the image has, wherever its ids start and however far they are apart: row k of an image
    whose ids start at a and are d apart turns by a f + d p_k f', with f the model's frequencies, f' and p_k the rules'.
    Text keeps the model's frequencies; reference images follow the image's rules and do not set the scale. The root of
    the logit scale multiplies cos and sin of the whole head, hence of q and of k. Channel pairs are interleaved, as
    Flux's weights expect. t is that of the transformer's latest call, one for the whole batch.

    stock: the embedding that is replaced, which runs for whatever the rules leave alone. image: the image's grid where
    ids do not tell (a reference image that continues its rows).
    """

    def __init__(
        self,
        theta: float,
        axes_dim: tuple[int, int, int],
        rules: Rules,
        stock: nn.Module | None = None,
        image: Grid | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.theta, self.axes_dim, self.rules, self.image = theta, axes_dim, rules, image
        self.stock = PlainRotary(theta, axes_dim) if stock is None else stock
        self.clock = clock or Clock(1.0)
        self.text: int | None = None  # tokens before the image in the transformer's latest call

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        cos_SK, sin_SK = self.stock(ids)
        places_S3 = ids.detach().to(CPU).double()
        image = image_of(places_S3, self.text, self.image)
        ctx = self.rules.context(image.grid, self.clock.t)
        lines = self.rules.lines(ctx, Spectrum(self.theta, (self.axes_dim[1] // 2, self.axes_dim[2] // 2)))
        cos_SK, sin_SK = turned(cos_SK, sin_SK, self.axes_dim, places_S3, image, lines)
        return scaled(cos_SK, sin_SK, self.rules.root(ctx))

    def remember(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pre-hook of the transformer: its timestep, and how many tokens are text."""
        given = arguments(module, args, kwargs)
        text = given.get("txt_ids")
        self.text = None if text is None else int(text.shape[-2])
        self.clock.read(given.get("timestep"))


def turned(
    cos_SK: Tensor, sin_SK: Tensor, axes_dim: Sequence[int], ids_SA: Tensor, image: Raster, lines: tuple[Line, Line]
) -> tuple[Tensor, Tensor]:
    """Cosines and sines with those of the image's tokens, and of what follows it, by the rules where they change any.

    axes_dim: channels of each axis of ids, rows second and columns third. Text comes before the image.
    """
    start = axes_dim[0]
    for axis, (line, along) in enumerate(zip(lines, (image.rows, image.columns), strict=True), start=1):
        channels = slice(start, start + axes_dim[axis])
        if line.changed:
            moved_S = line.at(along.places(ids_SA[image.start :, axis]))
            places_N, which_S = moved_S.unique(return_inverse=True)  # few places, many tokens
            angles_NF = along.first * line.own_F + along.step * places_N[:, None] * line.frequencies_F
            cos_SK, sin_SK, which_S = cos_SK.clone(), sin_SK.clone(), which_S.to(cos_SK.device)
            for whole, part in zip((cos_SK, sin_SK), interleaved_turns(angles_NF), strict=True):
                whole[image.start :, channels] = part.to(whole.device)[which_S]
        start = channels.stop
    return cos_SK, sin_SK


def scaled(cos_SK: Tensor, sin_SK: Tensor, root: float) -> tuple[Tensor, Tensor]:
    """Both times the root of the logit scale, the same bits where that is 1."""
    return (cos_SK, sin_SK) if root == 1 else (cos_SK * root, sin_SK * root)


def install(transformer: Any, rules: Rules, clock: Clock, image: Grid | None = None) -> list[Any]:
    """The embedding's place taken, and a hook that tells it the time."""
    stock = transformer.pos_embed
    rotary = FluxRotary(float(stock.theta), tuple(stock.axes_dim), rules, stock, image, clock)
    rotary.forward = eager(rotary.forward)  # type: ignore[method-assign]
    place = Replaced(transformer, "pos_embed", rotary)
    return [transformer.register_forward_pre_hook(eager(rotary.remember), with_kwargs=True), place]
