"""RPE-2D (arXiv 2503.18719): ordered random positions, drawn per axis from a range wider than the train grid.

Trained on draws from the whole range, the positions of a larger grid were seen in training, so extrapolation becomes
interpolation. What the paper's text available to us does not state (range, integer or real draws, scope of a draw,
layout at inference) is an option here. The one-dimensional ancestor is Ruoss et al. 2023 (arXiv 2305.16843).

Shape suffixes: B batch, M positions of the range of one axis, N tokens of one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from rpe2d_bench.encodings.interface import Context, Grid
from rpe2d_bench.encodings.ranges import Seed, Tokens
from rpe2d_bench.encodings.scaling import device_of, has_float64, wide
from rpe2d_bench.encodings.source import Source
from rpe2d_bench.errors import UserError

Draw = Literal["integer", "real", "stratified", "stride_jitter"]
Layout = Literal["even", "mean", "centred", "contiguous", "random"]


@dataclass(frozen=True)
class RandomPositions:
    """Draws with ctx.rng; without it, the inference layout.

    max_grid: the range per axis, positions lie in [0, max_grid - 1]. draw: `integer` without replacement (Ruoss),
    `real` sorted uniforms (RFS, arXiv 2602.14050), `stratified` one real per equal stratum, `stride_jitter` an evenly
    spaced run of random stride (1 or more) and offset, each position moved by up to jitter/2 strides.
    per: one draw for every sample, or one for the batch. tied: both axes share their random numbers.
    inference: `even` over the whole range, `mean` the means of the order statistics of the draw, `centred` and
    `contiguous` runs of stride 1, `random` one draw by `seed`, the same for every image.
    Raises UserError where a grid does not fit in max_grid.
    """

    source: ClassVar[Source] = Source(
        paper="RPE-2D, arXiv 2503.18719; Ruoss et al. 2023, arXiv 2305.16843",
        trained=True,
        aliases=("RPE-2D", "randomized positions"),
        code="google-deepmind/randomized_positional_encodings@e8c6474 models/positional_encodings.py (one dimension)",
        differs="range, kind of draw, its scope and the layout at inference are options: only abstracts and summaries "
        "of the paper could be read, and no code is public",
        clamp="none: positions stay in [0, max_grid - 1]",
    )
    identity_at_train_grid: ClassVar[bool] = False
    example: ClassVar[dict[str, tuple[int, int]]] = {"max_grid": (64, 64)}

    max_grid: tuple[Tokens, Tokens]
    draw: Draw = "integer"
    per: Literal["sample", "batch"] = "sample"
    tied: bool = False
    inference: Layout = "mean"
    seed: Seed = 0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if len(self.max_grid) != 2 or min(self.max_grid) < 1:
            raise UserError(
                f"positions random: max_grid is [height, width] in tokens, both 1 or more; got {self.max_grid}"
            )
        if not 0 <= self.jitter < 1:
            raise UserError(f"positions random: jitter is a share of the stride, 0 <= jitter < 1; got {self.jitter}")

    def __call__(self, ctx: Context) -> tuple[Tensor, Tensor]:
        self.require_room(ctx.grid)
        device = device_of(ctx)
        if ctx.rng is not None:
            y_BN, x_BN = self.drawn(ctx.grid, ctx.batch if self.per == "sample" else 1, ctx.rng)
        elif self.inference == "random":
            y_BN, x_BN = self.drawn(ctx.grid, 1, Generator().manual_seed(self.seed))
        else:
            y_BN, x_BN = (self.layout(n, m, device) for n, m in zip(astuple(ctx.grid), self.max_grid, strict=True))
        return _placed(y_BN.float(), device), _placed(x_BN.float(), device)

    def require_room(self, grid: Grid) -> None:
        """Raises UserError, naming the fix, unless the grid fits in max_grid."""
        height, width = self.max_grid
        if grid.height > height or grid.width > width:
            fit = f"[{max(grid.height, height)}, {max(grid.width, width)}]"
            raise UserError(
                f"positions random: max_grid {height}x{width} is smaller than the grid of {grid} tokens; "
                f"train with max_grid {fit} or more, or leave that resolution out"
            )

    def drawn(self, grid: Grid, rows: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """Increasing draws ([rows, height], [rows, width]) on the generator's device."""
        shape = (rows, max(*self.max_grid, grid.height + 2, grid.width + 2))
        dtype = wide(rng.device)
        u_BM = torch.rand(shape, generator=rng, device=rng.device, dtype=dtype)
        v_BM = u_BM if self.tied else torch.rand(shape, generator=rng, device=rng.device, dtype=dtype)
        return (
            increasing(self.draw, u_BM, grid.height, self.max_grid[0], self.jitter),
            increasing(self.draw, v_BM, grid.width, self.max_grid[1], self.jitter),
        )

    def layout(self, n: int, m: int, device: torch.device) -> Tensor:
        """The [1, n] positions that inference uses on an axis of n tokens and a range of m, float64.

        On the CPU where the device has no float64.
        """
        device = device if has_float64(device) else torch.device("cpu")
        k_BN = torch.arange(n, device=device, dtype=torch.float64)[None]
        middle = (m - 1) / 2
        match self.inference:
            case "contiguous":
                return k_BN
            case "centred":
                return middle + k_BN - (n - 1) / 2
            case "even":
                return k_BN * ((m - 1) / (n - 1)) if n > 1 else k_BN + middle
        match self.draw:  # "mean"
            case "integer":  # E[p_(k)] of n out of m without replacement
                return (k_BN + 1) * ((m + 1) / (n + 1)) - 1
            case "real":  # E of uniform order statistics
                return (k_BN + 1) * ((m - 1) / (n + 1))
            case "stratified":
                return (k_BN + 0.5) * ((m - 1) / n)
            case _:
                low, high = strides(n, m, self.jitter)
                return middle + (k_BN - (n - 1) / 2) * ((low + high) / 2)


def _placed(positions: Tensor, device: torch.device) -> Tensor:
    """On the device; from pinned memory, so that nothing waits for the copy."""
    if device.type == "cuda" and positions.device.type == "cpu":
        positions = positions.pin_memory()
    return positions.to(device, non_blocking=True)


def astuple(grid: Grid) -> tuple[int, int]:
    return grid.height, grid.width


def increasing(draw: Draw, u_BM: Tensor, n: int, m: int, jitter: float) -> Tensor:
    """[B, n] increasing positions in [0, m - 1] from uniforms u_BM; no loop over samples."""
    if draw == "integer":  # a uniform permutation from m uniforms; its first n are a uniform subset
        return u_BM[:, :m].argsort(dim=1)[:, :n].sort(dim=1).values
    if draw == "real":
        return u_BM[:, :n].sort(dim=1).values * (m - 1)
    k_N = torch.arange(n, device=u_BM.device, dtype=u_BM.dtype)
    if draw == "stratified":
        return (k_N + u_BM[:, :n]) * ((m - 1) / n)
    low, high = strides(n, m, jitter)
    stride_B1 = low + (high - low) * u_BM[:, -1:]
    room_B1 = (m - 1 - stride_B1 * (n - 1 + jitter)).clamp_min(0)
    start_B1 = room_B1 * u_BM[:, -2:-1] + stride_B1 * jitter / 2
    return start_B1 + stride_B1 * (k_N + jitter * (u_BM[:, :n] - 0.5))


def strides(n: int, m: int, jitter: float) -> tuple[float, float]:
    """The smallest and the largest stride of `stride_jitter`: 1 or more, unless only a smaller one fits."""
    high = (m - 1) / max(n - 1 + jitter, 1)
    return min(1.0, high), high
