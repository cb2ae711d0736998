"""Which schedule is where in an experiment, in words; what a schedule is stands in diffusion/times.py."""

from __future__ import annotations

from math import prod

from rpe2d_bench.config.experiment import Experiment, Sampler
from rpe2d_bench.diffusion import SAMPLERS, Schedule, shift_at
from rpe2d_bench.resolution import Size

Place = tuple[str, Size]  # method, test resolution


def schedule_at(options: Sampler, resolution: Size, train: Size) -> Schedule:
    """What a sampler does at a size; sides are whole tokens, so that ratios of pixels are those of tokens."""
    solver, shift = SAMPLERS[options.kind], shift_at(options.shift, prod(resolution), prod(train))
    return Schedule(options.kind, shift, tuple(solver.times(options.steps, shift)[:-1]), solver.adaptive)


def schedules(experiment: Experiment) -> dict[Schedule, list[Place]]:
    """Every realised schedule and where it is; what is resized afterwards is sampled at the train resolution."""
    found: dict[Schedule, list[Place]] = {}
    for name, method in experiment.methods.items():
        if experiment.models[method.model].pipeline is not None:
            continue  # its own scheduler decides
        for pair in experiment.resolutions:
            train = experiment.models[method.model].resolution or pair.train
            for test in pair.test:
                schedule = schedule_at(experiment.sampler_of(name), train if method.upscale else test, train)
                found.setdefault(schedule, []).append((name, (test[0], test[1])))
    return found


def in_words(found: dict[Schedule, list[Place]]) -> list[str]:
    """A line per schedule, with where it is unless it is everywhere."""
    if len(found) == 1:
        return [str(next(iter(found)))]
    return [f"{schedule}: {places_in_words(places)}" for schedule, places in found.items()]


def warnings(found: dict[Schedule, list[Place]]) -> list[str]:
    """A sentence for every schedule that leaves less than a third of its steps below t = 0.9."""
    sentences = ((schedule.warning, places) for schedule, places in found.items())
    return [f"sampler: {sentence}; {places_in_words(places)}" for sentence, places in sentences if sentence]


def places_in_words(places: list[Place]) -> str:
    """'yarn, ntk at 48x48, 64x64; upscaled at 32x32': sizes with the methods that are there."""
    methods: dict[Size, list[str]] = {}
    for method, resolution in places:
        methods.setdefault(resolution, []).append(method)
    sizes: dict[str, list[str]] = {}
    for (height, width), names in methods.items():
        sizes.setdefault(", ".join(dict.fromkeys(names)), []).append(f"{height}x{width}")
    return "; ".join(f"{names} at {', '.join(where)}" for names, where in sizes.items())
