"""The transformer: the only consumer of an Encoding."""

from rpe2d_bench.models.dit import DiT, DiTOptions
from rpe2d_bench.models.sizes import SIZES, flops_per_forward, preset

__all__ = ["SIZES", "DiT", "DiTOptions", "flops_per_forward", "preset"]
