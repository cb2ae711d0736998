"""Our rules inside somebody else's transformer: a Flux-like model of diffusers, whose weights stay as they are.

What a rule leaves alone stays the model's own, bit for bit: its rotary embedding runs as it is, and only the channels
of an axis that the rules change are computed anew.

Shape suffixes: B batch, S tokens of the joint sequence (text, then image), N tokens of one axis, F pairs of one axis.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.adapters.token_ids import Raster, image_of
from rpe2d_bench.encodings.axial import with_theta
from rpe2d_bench.encodings.frequencies import Geometric, geometric
from rpe2d_bench.encodings.interface import Context, Frequencies, Grid, LogitScale, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.errors import UserError

# Classes of diffusers whose rotary embedding is called with ids (index, row, column) of text and image, and what its
# pipeline multiplies the transformer's timestep with: 1 where noise is t = 1, 1,000 where it is t = 1,000.
FAMILIES = {
    "FluxTransformer2DModel": 1.0,
    "ChromaTransformer2DModel": 1.0,
    "LongCatImageTransformer2DModel": 1.0,
    "OvisImageTransformer2DModel": 1.0,
    "BriaTransformer2DModel": 1000.0,
    "BriaFiboTransformer2DModel": 1000.0,
}
EMBEDDINGS = ("FluxPosEmbed", "LongCatImagePosEmbed", "OvisImagePosEmbed", "BriaEmbedND", "BriaFiboEmbedND")
CPU = torch.device("cpu")


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
        angles_SK = torch.cat(angles, dim=-1).repeat_interleave(2, dim=-1)
        return angles_SK.cos().float().to(ids.device), angles_SK.sin().float().to(ids.device)


class FluxRotary(nn.Module):
    """In place of diffusers' FluxPosEmbed: token ids [S, 3] (index, row, column) -> cos and sin, [S, head_width].

    The grid is how many tokens the image has, wherever its ids start and however far they are apart: row k of an image
    whose ids start at a and are d apart turns by a f + d p_k f', with f the model's frequencies, f' and p_k the rules'.
    Text keeps the model's frequencies; reference images follow the image's rules and do not set the scale. The root of
    the logit scale multiplies cos and sin of the whole head, hence of q and of k. Channel pairs are interleaved, as
    Flux's weights expect. t is that of the transformer's latest call, one for the whole batch.

    stock: the embedding that is replaced, which runs for whatever the rules leave alone. image: the image's grid where
    ids do not tell (a reference image that continues its rows). time_scale: the transformer's timestep of pure noise.
    """

    def __init__(
        self,
        theta: float,
        axes_dim: tuple[int, int, int],
        train_grid: Grid,
        positions: Positions,
        frequencies: Frequencies,
        logit_scale: LogitScale,
        stock: nn.Module | None = None,
        image: Grid | None = None,
        time_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.theta, self.axes_dim, self.train_grid = theta, axes_dim, train_grid
        self.positions, self.logit_scale = positions, logit_scale
        self.frequencies = with_theta(frequencies, theta)
        self.stock = PlainRotary(theta, axes_dim) if stock is None else stock
        self.image, self.time_scale = image, time_scale
        self.t: Tensor | None = None
        self.undo: Callable[[], None] | None = None
        self.text: int | None = None  # tokens before the image in the transformer's latest call

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        cos_SK, sin_SK = self.stock(ids)
        places_S3 = ids.detach().to(CPU).double()
        image = image_of(places_S3, self.text, self.image)
        ctx = Context(image.grid, self.train_grid, t=torch.zeros(1) if self.t is None else self.t.to(CPU))
        self._require_time(ctx)
        plain, placed = GridPositions()(ctx), self.positions(ctx)
        start = self.axes_dim[0]
        for axis, line in enumerate((image.rows, image.columns)):
            width = self.axes_dim[axis + 1]
            F = width // 2
            own_F, frequency_F = Geometric(theta=self.theta)(ctx, axis, F)[0], self.frequencies(ctx, axis, F)[0]
            plain_N, position_N = plain[axis][0], placed[axis][0]
            if not (torch.equal(own_F, frequency_F) and torch.equal(plain_N, position_N)):
                first = image.start  # text comes before
                moved_S = self._moved(places_S3[first:, axis + 1], image, axis, position_N)
                places_N, which_S = moved_S.unique(return_inverse=True)  # few places, many tokens
                corner_F = line.first * geometric(F, self.theta, CPU)
                angles_NF = corner_F + line.step * places_N[:, None] * frequency_F.double()
                angles_NK, which_S = angles_NF.repeat_interleave(2, dim=-1), which_S.to(ids.device)
                channels = slice(start, start + width)
                cos_SK, sin_SK = cos_SK.clone(), sin_SK.clone()
                cos_SK[first:, channels] = angles_NK.cos().float().to(ids.device)[which_S]
                sin_SK[first:, channels] = angles_NK.sin().float().to(ids.device)[which_S]
            start += width
        factor = float(torch.as_tensor(self.logit_scale(ctx)).reshape(-1)[0].double().sqrt())
        return (cos_SK, sin_SK) if factor == 1 else (cos_SK * factor, sin_SK * factor)

    def _require_time(self, ctx: Context) -> None:
        """Raises UserError where t lies outside [0, 1] and the rules ask for it."""
        if ctx.t is None or -1e-3 <= float(ctx.t[0]) <= 1.001:
            return
        ends = [dataclasses.replace(ctx, t=torch.full((1,), t)) for t in (0.0, 1.0)]
        seen = [torch.cat([self.frequencies(end, a, self.axes_dim[a + 1] // 2)[0] for a in (0, 1)]) for end in ends]
        if not torch.equal(*seen):
            raise UserError(
                f"timestep {float(ctx.t[0]) * self.time_scale:g}: these rules depend on time, from 0 for data to "
                f"{self.time_scale:g} for noise, as the model's pipeline passes it"
            )

    def _moved(self, ids_S: Tensor, image: Raster, axis: int, position_N: Tensor) -> Tensor:
        """[S] positions of the image's tokens, and of reference images by continuing evenly spaced positions."""
        line = (image.rows, image.columns)[axis]
        k_S = line.places(ids_S)
        position_N = position_N.double()
        inside = (k_S > -1e-3) & (k_S < line.count - 1 + 1e-3) & ((k_S - k_S.round()).abs() < 1e-3)
        if bool(inside.all()):
            return position_N[k_S.round().long()]
        steps_N = position_N.diff()
        even = len(steps_N) > 0 and bool(((steps_N - steps_N[0]).abs() < 1e-5).all())
        if len(position_N) > 1 and not even:
            raise UserError(
                f"{type(self.positions).__name__} places the tokens of one image; a reference image lies beside them, "
                "so leave positions at grid"
            )
        return position_N[0] + k_S * (float(steps_N[0]) if even else 1.0)

    def remember(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pre-hook of the transformer: its timestep, 0 = data and 1 = noise, and how many tokens are text."""
        given = {**dict(zip(self.parameters_of(_module), args, strict=False)), **kwargs}
        text = given.get("txt_ids")
        self.text = None if text is None else int(text.shape[-2])
        timestep = given.get("timestep")
        if timestep is None:
            self.t = None
            return
        times = torch.as_tensor(timestep).detach().reshape(-1).float() / self.time_scale
        if bool((times != times[0]).any()):
            raise UserError("diffusers gives one rotation to the whole batch: call the transformer with one timestep")
        self.t = times[:1]

    @staticmethod
    def parameters_of(module: nn.Module) -> list[str]:
        """Names of a forward's positional parameters."""
        return list(inspect.signature(module.forward).parameters)


def swap_rotary(
    transformer: Any,
    train_grid: Grid,
    frequencies: Frequencies = Geometric(),  # noqa: B008  (frozen values)
    logit_scale: LogitScale = Constant(),  # noqa: B008
    positions: Positions = GridPositions(),  # noqa: B008
    image: Grid | None = None,
) -> Callable[[], None]:
    """Give a Flux-like diffusers transformer our rules; returns a function that puts the old embedding back.

    train_grid: tokens of the training resolution, 64x64 for Flux at 1,024 px (16 px a token). The rotary base is the
    transformer's own. image: tokens of the image that is made, needed only where its ids do not tell. A second swap
    takes the place of the first. Raises UserError at once for a transformer that is not in `FAMILIES`.
    """
    family = next((cls.__name__ for cls in type(transformer).__mro__ if cls.__name__ in FAMILIES), None)
    old = getattr(transformer, "pos_embed", None)
    if isinstance(old, FluxRotary) and old.undo is not None:
        old.undo()
        old = transformer.pos_embed
    axes_dim = tuple(getattr(old, "axes_dim", ()))
    fits = type(old).__name__ in EMBEDDINGS and len(axes_dim) == 3 and all(width % 2 == 0 for width in axes_dim)
    if family is None or not fits:
        supported = ", ".join(name.removesuffix("Transformer2DModel") for name in FAMILIES)
        raise UserError(
            f"{type(transformer).__name__} has no Flux-like rotary embedding that rules can be put into; supported are "
            f"diffusers' {supported}"
        )
    theta = float(old.theta)  # type: ignore[union-attr]
    rotary = FluxRotary(theta, axes_dim, train_grid, positions, frequencies, logit_scale, old, image, FAMILIES[family])
    hook = transformer.register_forward_pre_hook(rotary.remember, with_kwargs=True)
    transformer.pos_embed = rotary

    def restore() -> None:
        if transformer.pos_embed is rotary:
            transformer.pos_embed = old
        hook.remove()

    rotary.undo = restore
    return restore
