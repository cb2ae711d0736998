"""Axial encodings: half of the channels follow the height, half the width, each position x frequency.

Shape suffixes: B batch, H heads, N tokens (row-major, height first), D model width, Y rows, X columns,
F channel pairs of one axis.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rpe2d_bench.encodings.bias import LogitBias, NoBias, placed
from rpe2d_bench.encodings.frequencies import Geometric
from rpe2d_bench.encodings.interface import (
    Context,
    Encoding,
    Frequencies,
    Grid,
    LogitScale,
    PositionalEncoding,
    Positions,
)
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.encodings.ranges import Theta, Tokens
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError


def with_theta(frequencies: Frequencies, theta: float | None) -> Frequencies:
    """The rule with the encoding's rotary base; None leaves the rule's own.

    Raises UserError where the rule has no option theta: ignoring the base would compare two different models.
    """
    if theta is None:
        return frequencies
    if dataclasses.is_dataclass(frequencies) and "theta" in {f.name for f in dataclasses.fields(frequencies)}:
        return dataclasses.replace(frequencies, theta=theta)
    raise UserError(f"frequencies {type(frequencies).__name__} has no option theta; leave out the encoding's {theta}")


class Axial(PositionalEncoding):
    """What the two axial encodings share: three rules and the angle of every token.

    theta: the rotary base, handed to the frequency rule, so that exchanging the rule keeps the trained base.
    scale_reference: the grid that frequency and logit rules measure s against; None is the train grid. Models trained
    with positions from a wider range can name that range here (`random` with max_grid 16x16: [16, 16]), which makes
    every rule clamped at s >= 1 leave grids inside the range alone.
    """

    channels_per_axis: int  # F
    spectrum_width: int  # F that the frequency rule is asked for
    turning: int  # how many of these frequencies turn a channel pair, fastest first
    averages = False  # whether attention can be averaged over several layouts of positions

    def __init__(
        self,
        positions: Positions,
        frequencies: Frequencies,
        logit_scale: LogitScale,
        theta: Theta | None,
        scale_reference: tuple[Tokens, Tokens] | None,
    ) -> None:
        super().__init__()
        if hasattr(positions, "bundles") and not self.averages:
            raise UserError(
                f"{type(positions).__name__} averages attention over rotations: use axial_rope without a bias"
            )
        self.positions, self.logit_scale = positions, logit_scale
        self.frequencies = with_theta(frequencies, theta)
        self.scale_reference = None if scale_reference is None else Grid(*scale_reference)

    def reference(self, ctx: Context) -> Context:
        """The context whose scale factors the frequency and logit rules see."""
        return ctx if self.scale_reference is None else dataclasses.replace(ctx, train_grid=self.scale_reference)

    def angles(self, ctx: Context, F: int, places: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """([B|1, N, F], [B|1, N, F]) radians of the height's and the width's channels at those positions, float32."""
        y_BY, x_BX = places
        reference = self.reference(ctx)
        h_BYF = y_BY[:, :, None] * self.frequencies(reference, 0, F)[:, None]
        w_BXF = x_BX[:, :, None] * self.frequencies(reference, 1, F)[:, None]
        shape = (ctx.grid.height, ctx.grid.width, F)
        h_BNF = h_BYF[:, :, None].expand(-1, *shape).flatten(1, 2)
        w_BNF = w_BXF[:, None].expand(-1, *shape).flatten(1, 2)
        rows = max(len(h_BNF), len(w_BNF))
        return h_BNF.expand(rows, -1, -1), w_BNF.expand(rows, -1, -1)


def bundles(positions: Positions, ctx: Context) -> list[tuple[Tensor, Tensor]]:
    """The layouts over which attention is averaged: one, unless the rule has a method `bundles` that gives several."""
    several = getattr(positions, "bundles", None)
    return [positions(ctx)] if several is None else several(ctx)


class AxialRoPE(Axial):
    """Rotary encoding of q and k: angles [B|1, 1, N, head_width / 2], height's channels first.

    head_width: channels of one head, a multiple of 4. Raises UserError otherwise. bias: what distance costs besides.
    """

    source: ClassVar[Source] = Source(
        paper="RoFormer, arXiv 2104.09864, on two axes as FiT, arXiv 2402.12376",
        aliases=("RoPE-2D", "axial RoPE"),
        code="whlzy/FiT@b22b7b0 fit/model/rope.py VisionRotaryEmbedding",
        differs="rotated pairs are channels (i, i + K/2), where FiT interleaves them: a permutation of channels",
        clamp="that of the rules",
    )

    def __init__(
        self,
        head_width: int,
        positions: Positions = GridPositions(),  # noqa: B008  (frozen values)
        frequencies: Frequencies = Geometric(),  # noqa: B008
        logit_scale: LogitScale = Constant(),  # noqa: B008
        theta: Theta | None = None,
        scale_reference: tuple[Tokens, Tokens] | None = None,
        heads: int = 1,
        bias: LogitBias = NoBias(),  # noqa: B008
    ) -> None:
        self.averages = isinstance(bias, NoBias)
        super().__init__(positions, frequencies, logit_scale, theta, scale_reference)
        if head_width < 4 or head_width % 4:
            raise UserError(f"axial_rope needs a head width that is a multiple of 4, got {head_width}")
        self.channels_per_axis = self.spectrum_width = self.turning = head_width // 4
        self.heads = heads
        self.bias = bias.build(heads)

    def forward(self, ctx: Context) -> Encoding:
        first, *others = bundles(self.positions, ctx)
        return Encoding(
            angles_BHNF=self.rotation(ctx, first),
            logit_scale=self.logit_scale(self.reference(ctx)),
            bias=placed(self.bias, *first, self.heads),
            averaged_angles=tuple(self.rotation(ctx, places) for places in others),
        )

    def rotation(self, ctx: Context, places: tuple[Tensor, Tensor]) -> Tensor:
        """[B|1, 1, N, K / 2] angles of tokens at those positions."""
        return torch.cat(self.angles(ctx, self.channels_per_axis, places), dim=-1)[:, None]


class AxialSinCos(Axial):
    """Fixed sin-cos added to the patch tokens: [sin h, cos h, sin w, cos w], D / 4 frequencies per axis (DiT, MAE).

    width: model width D, a multiple of 4. Raises UserError otherwise.
    """

    source: ClassVar[Source] = Source(
        paper="DiT, arXiv 2212.09748; MAE, arXiv 2111.06377",
        aliases=("sin-cos", "APE"),
        code="diffusers 0.42.1 embeddings.get_2d_sincos_pos_embed",
        differs="height's channels first; DiT, MAE and diffusers put the width's first under the name emb_h",
        clamp="that of the rules",
    )

    def __init__(
        self,
        width: int,
        positions: Positions = GridPositions(),  # noqa: B008
        frequencies: Frequencies = Geometric(),  # noqa: B008
        logit_scale: LogitScale = Constant(),  # noqa: B008
        theta: Theta | None = None,
        scale_reference: tuple[Tokens, Tokens] | None = None,
    ) -> None:
        super().__init__(positions, frequencies, logit_scale, theta, scale_reference)
        if width < 4 or width % 4:
            raise UserError(f"axial_sincos needs a model width that is a multiple of 4, got {width}")
        self.channels_per_axis = self.spectrum_width = self.turning = width // 4

    def forward(self, ctx: Context) -> Encoding:
        h_BNF, w_BNF = self.angles(ctx, self.channels_per_axis, self.positions(ctx))
        additive_BND = torch.cat((h_BNF.sin(), h_BNF.cos(), w_BNF.sin(), w_BNF.cos()), dim=-1)
        return Encoding(additive_BND=additive_BND, logit_scale=self.logit_scale(self.reference(ctx)))
