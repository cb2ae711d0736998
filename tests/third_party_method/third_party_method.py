"""Somebody else's method, complete: one frozen dataclass and one line in a table."""

from dataclasses import dataclass

from torch import Tensor

from rpe2d_bench.encodings import Context, Geometric


@dataclass(frozen=True)
class RootInterpolated:
    """Frequencies divided by a power of s, by default halfway between extrapolation and interpolation."""

    theta: float = 10_000.0
    power: float = 0.5

    def __call__(self, ctx: Context, axis: int, F: int) -> Tensor:
        return Geometric(self.theta)(ctx, axis, F) / max(ctx.scale_factor(axis), 1.0) ** self.power


FREQUENCIES = {"root_interpolated": RootInterpolated}
