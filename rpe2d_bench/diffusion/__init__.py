"""Diffusion without a model: paths, what is learned, samplers and their times."""

from rpe2d_bench.diffusion.flow import Flow
from rpe2d_bench.diffusion.objectives import Objective, Prediction, clean_image, draw_times, noised
from rpe2d_bench.diffusion.paths import PATHS, Path, path
from rpe2d_bench.diffusion.samplers import SAMPLERS, Solver, guided
from rpe2d_bench.diffusion.times import Schedule, shift_at, steps_from, times

__all__ = [
    "PATHS",
    "SAMPLERS",
    "Flow",
    "Objective",
    "Path",
    "Prediction",
    "Schedule",
    "Solver",
    "clean_image",
    "draw_times",
    "guided",
    "noised",
    "path",
    "shift_at",
    "steps_from",
    "times",
]
