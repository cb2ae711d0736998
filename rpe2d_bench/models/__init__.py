"""The transformer, the only consumer of an Encoding, and the denoiser that it is part of."""

from rpe2d_bench.models.denoiser import Denoiser
from rpe2d_bench.models.dit import DiT, DiTOptions
from rpe2d_bench.models.sizes import SIZES, flops_per_forward, options_of, preset

__all__ = ["SIZES", "Denoiser", "DiT", "DiTOptions", "flops_per_forward", "options_of", "preset"]
