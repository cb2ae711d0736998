"""Diffusion without a model: paths, what is learned, samplers."""

from rpe2d_bench.diffusion.objectives import Objective, Prediction, clean_image, draw_times, noised
from rpe2d_bench.diffusion.paths import PATHS, Path, path
from rpe2d_bench.diffusion.samplers import SAMPLERS, evaluations, guided, sampler, steps_from, times

__all__ = [
    "PATHS",
    "SAMPLERS",
    "Objective",
    "Path",
    "Prediction",
    "clean_image",
    "draw_times",
    "evaluations",
    "guided",
    "noised",
    "path",
    "sampler",
    "steps_from",
    "times",
]
