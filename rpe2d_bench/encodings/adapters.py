"""Our rules inside somebody else's transformer: a Flux-like model of diffusers, whose weights stay as they are.

Shape suffixes: B batch, S tokens of the joint sequence (text, then picture), N tokens of one axis, F pairs of one axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.axial import with_theta
from rpe2d_bench.encodings.frequencies import Geometric, geometric
from rpe2d_bench.encodings.interface import Context, Frequencies, Grid, LogitScale, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.errors import UserError


class FluxRotary(nn.Module):
    """In place of diffusers' FluxPosEmbed: token ids [S, 3] (index, row, column) -> cos and sin, [S, head_width].

    The first axis keeps its geometric frequencies; rows and columns follow the rules, on the grid read from the ids.
    The root of the logit scale multiplies cos and sin of the whole head, hence of q and of k. Channel pairs are
    interleaved, as Flux's weights expect. t is that of the transformer's latest call, one for the whole batch.
    """

    def __init__(
        self,
        theta: float,
        axes_dim: tuple[int, int, int],
        train_grid: Grid,
        positions: Positions,
        frequencies: Frequencies,
        logit_scale: LogitScale,
    ) -> None:
        super().__init__()
        self.theta, self.axes_dim, self.train_grid = theta, axes_dim, train_grid
        self.positions, self.logit_scale = positions, logit_scale
        self.frequencies = with_theta(frequencies, theta)
        self.t: Tensor | None = None

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        places_SA = ids.long()
        grid = Grid(int(places_SA[:, 1].max()) + 1, int(places_SA[:, 2].max()) + 1)
        t = torch.zeros(1, device=ids.device) if self.t is None else self.t.to(ids.device)
        ctx = Context(grid=grid, train_grid=self.train_grid, t=t)
        angles = [ids[:, :1].double() * geometric(self.axes_dim[0] // 2, self.theta, ids.device)]
        for axis, p_BN in enumerate(self.positions(ctx)):
            frequency_BF = self.frequencies(ctx, axis, self.axes_dim[axis + 1] // 2)
            angles.append(p_BN[0, places_SA[:, axis + 1], None].double() * frequency_BF[:1].double())
        angles_SK = torch.cat(angles, dim=-1).repeat_interleave(2, dim=-1)
        factor = torch.as_tensor(self.logit_scale(ctx), device=ids.device).reshape(-1)[0].double().sqrt()
        return (angles_SK.cos() * factor).float(), (angles_SK.sin() * factor).float()

    def remember_time(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pre-hook of the transformer: its timestep, 0 = data and 1 = noise, as its pipeline passes it."""
        timestep = kwargs.get("timestep", args[3] if len(args) > 3 else None)
        if timestep is None:
            self.t = None
            return
        times = torch.as_tensor(timestep).detach().reshape(-1).float()
        if bool((times != times[0]).any()):
            raise UserError("diffusers gives one rotation to the whole batch: call the transformer with one timestep")
        self.t = times[:1]


def swap_rotary(
    transformer: Any,
    train_grid: Grid,
    frequencies: Frequencies = Geometric(),  # noqa: B008  (frozen values)
    logit_scale: LogitScale = Constant(),  # noqa: B008
    positions: Positions = GridPositions(),  # noqa: B008
) -> Callable[[], None]:
    """Give a Flux-like diffusers transformer our rules; returns a function that puts the old embedding back.

    train_grid: tokens of the training resolution, 64x64 for Flux at 1,024 px (16 px a token). The rotary base is the
    transformer's own. Raises UserError for a transformer without pos_embed.theta and a three-axis pos_embed.axes_dim.
    """
    old = getattr(transformer, "pos_embed", None)
    axes_dim, theta = getattr(old, "axes_dim", None), getattr(old, "theta", None)
    if axes_dim is None or theta is None or len(axes_dim) != 3:
        raise UserError(
            f"{type(transformer).__name__} has no Flux-like rotary embedding: expected pos_embed.theta and "
            "pos_embed.axes_dim with three axes (index, row, column)"
        )
    axes = (int(axes_dim[0]), int(axes_dim[1]), int(axes_dim[2]))
    rotary = FluxRotary(float(theta), axes, train_grid, positions, frequencies, logit_scale)
    hook = transformer.register_forward_pre_hook(rotary.remember_time, with_kwargs=True)
    transformer.pos_embed = rotary

    def restore() -> None:
        transformer.pos_embed = old
        hook.remove()

    return restore
