"""Our three rules as an adapter applies them: what they say of one grid at the time of the transformer's latest call.

An adapter asks for lines (one axis of the image) and puts angles = anchor f + unit (p_k - centre) f' where the model
has its own: f are the model's frequencies, f' and p_k the rules'. What a rule leaves alone stays the model's own.

Shape suffixes: N tokens of one axis, F channel pairs of one axis.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rpe2d_bench.encodings.axial import with_theta
from rpe2d_bench.encodings.frequencies import Geometric, geometric
from rpe2d_bench.encodings.interface import Context, Frequencies, Grid, LogitScale, Positions
from rpe2d_bench.encodings.logit_scales import Constant
from rpe2d_bench.encodings.positions import GridPositions
from rpe2d_bench.errors import UserError

CPU = torch.device("cpu")
STRAY = 1e-3  # of a token: what rounding may add


@dataclass(frozen=True)
class Line:
    """One axis of an image under the rules: positions [N] and frequencies [F], float64 on the CPU."""

    positions_N: Tensor
    frequencies_F: Tensor
    own_F: Tensor  # the model's frequencies
    changed: bool  # whether the rules say anything else than the grid's positions at the model's frequencies

    def angles(self, unit: float = 1.0, anchor: float = 0.0, centre: float = 0.0) -> Tensor:
        """[N, F] radians. unit: of the model's positions per token; anchor: the trained position of `centre`."""
        return anchor * self.own_F + unit * (self.positions_N - centre)[:, None] * self.frequencies_F

    def at(self, k_S: Tensor) -> Tensor:
        """[S] positions of tokens k of the image, and of reference images by continuing evenly spaced positions.

        Raises UserError for tokens beside the image where positions are not evenly spaced.
        """
        whole_S, count = k_S.round(), len(self.positions_N)
        if bool(((k_S - whole_S).abs() < STRAY).all() and ((whole_S >= 0) & (whole_S < count)).all()):
            return self.positions_N[whole_S.long()]
        steps_N = self.positions_N.diff()
        even = len(steps_N) > 0 and bool(((steps_N - steps_N[0]).abs() < 1e-5).all())
        if count > 1 and not even:
            raise UserError(
                "positions of this rule place the tokens of one image; a reference image lies beside them, so leave "
                "positions at grid"
            )
        return self.positions_N[0] + k_S * (float(steps_N[0]) if even else 1.0)


@dataclass(frozen=True)
class Spectrum:
    """What a transformer's channels turn with: the base, and channel pairs of rows and of columns."""

    theta: float
    pairs: tuple[int, int]


def spectrum_of(transformer: Any) -> Spectrum:
    """Of a transformer whose embedder has three axes or more, rows second and columns third."""
    embedder = transformer.pos_embed if hasattr(transformer, "pos_embed") else transformer.rope_embedder
    axes = embedder.axes_dims if hasattr(embedder, "axes_dims") else embedder.axes_dim
    return Spectrum(float(embedder.theta), (axes[1] // 2, axes[2] // 2))


class Replaced:
    """A part of a transformer with another in its place; a handle that puts it back, unless a third has come since."""

    def __init__(self, transformer: Any, name: str, part: Any) -> None:
        self.transformer, self.name, self.part = transformer, name, part
        self.stock = getattr(transformer, name)
        setattr(transformer, name, part)

    def remove(self) -> None:
        if getattr(self.transformer, self.name) is self.part:
            setattr(self.transformer, self.name, self.stock)


@dataclass
class Clock:
    """The time of the transformer's latest call, 0 = data and 1 = noise, from the timestep that its pipeline passes."""

    noise: float  # the timestep of pure noise
    data: float = 0.0
    t: Tensor | None = None

    def read(self, timestep: Any) -> None:
        """Raises UserError for a batch of different timesteps: a rotation belongs to the whole batch."""
        if timestep is None:
            self.t = None
            return
        times = (torch.as_tensor(timestep).detach().reshape(-1).float() - self.data) / (self.noise - self.data)
        if bool((times != times[0]).any()):
            raise UserError("diffusers gives one rotation to the whole batch: call the transformer with one timestep")
        self.t = times[:1].to(CPU)

    def remember(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward pre-hook of a transformer that is given its time as `timestep`."""
        self.read(arguments(module, args, kwargs).get("timestep"))


@dataclass(frozen=True)
class Rules:
    """Where tokens are, how fast channels turn, how sharp attention is; train_grid: what s is measured against."""

    train_grid: Grid
    frequencies: Frequencies = field(default_factory=Geometric)
    logit_scale: LogitScale = field(default_factory=Constant)
    positions: Positions = field(default_factory=GridPositions)

    def context(self, grid: Grid, t: Tensor | None) -> Context:
        return Context(grid, self.train_grid, t=torch.zeros(1) if t is None else t)

    def line(self, ctx: Context, axis: int, spectrum: Spectrum) -> Line:
        """What the rules say of an axis: 0 the rows, 1 the columns."""
        F, theta = spectrum.pairs[axis], spectrum.theta
        plain_N, position_N = GridPositions()(ctx)[axis][0], self.positions(ctx)[axis][0]
        own_F, frequency_F = (
            Geometric(theta=theta)(ctx, axis, F)[0],
            with_theta(self.frequencies, theta)(ctx, axis, F)[0],
        )
        changed = not (torch.equal(own_F, frequency_F) and torch.equal(plain_N, position_N))
        exact_F = geometric(F, theta, CPU)[0]
        # Rules answer in float32; where they keep a model's frequencies, its own float64 ones stand.
        frequencies_F = exact_F if torch.equal(own_F, frequency_F) else frequency_F.double()
        return Line(position_N.double(), frequencies_F, exact_F, changed)

    def lines(self, ctx: Context, spectrum: Spectrum) -> tuple[Line, Line]:
        """Rows and columns. Raises UserError where the time is none and the rules ask for it."""
        self.require_time(ctx, spectrum)
        return self.line(ctx, 0, spectrum), self.line(ctx, 1, spectrum)

    def root(self, ctx: Context) -> float:
        """What q and k are multiplied with each, so that their product has the logit scale."""
        return float(torch.as_tensor(self.logit_scale(ctx)).reshape(-1)[0].double().sqrt())

    def require_time(self, ctx: Context, spectrum: Spectrum) -> None:
        """Raises UserError where t lies outside [0, 1] and the frequencies depend on it."""
        if ctx.t is None or -1e-3 <= float(ctx.t[0]) <= 1.001:
            return
        ends = [replace(ctx, t=torch.full((1,), t)) for t in (0.0, 1.0)]
        seen = [torch.cat([self.line(end, axis, spectrum).frequencies_F for axis in (0, 1)]) for end in ends]
        if not torch.equal(*seen):
            raise UserError(
                f"the transformer was called at t = {float(ctx.t[0]):g}, outside of 0 (data) to 1 (noise), and these "
                "rules depend on time; pass the timestep as the model's pipeline does"
            )

    def changes(self, grid: Grid, spectrum: Spectrum, ts: Sequence[float]) -> bool:
        """Whether anything is said at any of these times that the model does not do anyway."""
        contexts = [self.context(grid, torch.full((1,), t)) for t in ts]
        return any(self.root(c) != 1 or any(x.changed for x in self.lines(c, spectrum)) for c in contexts)

    def digest(self, grid: Grid, spectrum: Spectrum, ts: Sequence[float]) -> str:
        """sha256 over the numbers that the rules give at these times: rules that agree in them give the same images."""
        digest = hashlib.sha256(f"{spectrum} {grid}".encode())
        for t in ts:
            ctx = self.context(grid, torch.full((1,), t))
            for line in self.lines(ctx, spectrum):
                for numbers in (line.positions_N, line.frequencies_F):
                    digest.update((numbers.float() + 0.0).numpy().tobytes())
            digest.update(f"{self.root(ctx):.9g}".encode())
        return digest.hexdigest()


def over_grid(rows_NF: Tensor, columns_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Angles of rows and of columns for every token of the image, row by row: [height * width, F] each."""
    height, width = len(rows_NF), len(columns_NF)
    return (
        rows_NF[:, None].expand(-1, width, -1).flatten(0, 1),
        columns_NF[None].expand(height, -1, -1).flatten(0, 1),
    )


def arguments(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a module's forward is called with, by name."""
    return {**dict(zip(inspect.signature(module.forward).parameters, args, strict=False)), **kwargs}


def eager(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that torch.compile leaves to Python: rules read numbers, and a trace would keep those it has seen."""
    left: Callable[..., Any] = torch.compiler.disable(hook)
    return left


def complex_turns(angles: Tensor) -> Tensor:
    """Rotations as complex64 numbers of modulus 1."""
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def interleaved_turns(angles: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin in float32, each for both channels of a pair, pairs next to each other."""
    twice = angles.repeat_interleave(2, dim=-1)
    return twice.cos().float(), twice.sin().float()
